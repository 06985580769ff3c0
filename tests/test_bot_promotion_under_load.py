"""Promotions and rollbacks while twenty people talk in Telegram: no message is lost, and none is answered twice."""

import asyncio
import contextlib
from typing import Any

from bot_api import TOKEN, BotApi
from promoting import Owner, shift
from pydantic import SecretStr
from telegram_people import Somebody

from bot import telegram_chat
from bot.running import open_bot

pytest_plugins = ("tiny", "promoting")

PEOPLE, MESSAGES = 20, 5
SAID = ("hello there", "what shall we eat", "tell me a joke please", "it rains")


async def talks(person: Somebody, number: int, heard: asyncio.Semaphore) -> list[dict[str, Any]]:
    """Each message waits for the reply to the one before."""
    replies = []
    for part in range(MESSAGES):
        person.say(f"{SAID[(number + part) % len(SAID)]} {part}")
        replies.append(await asyncio.wait_for(person.chat.unread.get(), 60))
        heard.release()
    return replies


async def promotes(owner: Owner, heard: asyncio.Semaphore) -> None:
    """Another version after every few replies, until it is stopped."""
    ranker, policies = owner.version("ranker", shift), [owner.policy(ranker=1.0), owner.policy(similarity=2.0)]
    while True:
        for names in ([ranker], [policies[0]], [policies[1]]):
            owner.promote(*names)
            await some(heard)
        for kind in ("policy", "ranker"):
            owner.roll_back(kind)
            await some(heard)


async def some(heard: asyncio.Semaphore) -> None:
    for _ in range(5):
        await heard.acquire()


async def test_no_message_is_lost_or_answered_twice(owner: Owner) -> None:
    async with BotApi() as api:
        given = {"telegram_bot_token": SecretStr(TOKEN), "telegram_api_url": api.url}
        settings = owner.settings.model_copy(update=given)
        people = [api.person(f"Person {number}") for number in range(PEOPLE)]
        async with open_bot(settings) as bot:
            heard = asyncio.Semaphore(0)
            serving = asyncio.create_task(telegram_chat.run(settings, bot))
            promoting = asyncio.create_task(promotes(owner, heard))
            replies = await asyncio.gather(*(talks(person, number, heard) for number, person in enumerate(people)))
            for task in (promoting, serving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        assert [len(of_one) for of_one in replies] == [MESSAGES] * PEOPLE
        assert all(person.chat.unread.empty() for person in people)
        shown = [person.chat.messages for person in people]
        assert [len(messages) for messages in shown] == [2 * MESSAGES] * PEOPLE
    dialogs = [owner.store.dialog(summary.id) for summary in owner.store.dialogs(PEOPLE + 1)]
    turns = [turn for dialog in dialogs if dialog for message in dialog.messages for turn in message.turns]
    assert len(turns) == PEOPLE * MESSAGES
    decided = {turn.turn.versions["policy"] for turn in turns}
    assert len(decided) > 1
