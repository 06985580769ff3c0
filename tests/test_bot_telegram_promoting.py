"""People talk in Telegram while their bot's ranker is promoted, a broken one refused, and the first one rolled back."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from bot_api import TOKEN, BotApi
from promoting import Owner, shift, spoil
from pydantic import SecretStr
from serving_bot import keep_alone
from telegram_people import Json, Somebody

from bot.running import open_bot
from bot.telegram_chat import run

pytest_plugins = ("tiny", "promoting")

PEOPLE = 6
PATIENCE = 60.0
"""Seconds after which the test gives up."""


async def talks(person: Somebody, enough: asyncio.Event) -> list[tuple[Json, Json]]:
    """Says something, waits for the reply, and so on until it is enough; what was said with what came back."""
    heard = []
    for number in itertools.count():
        said = person.say(f"hello there, this is number {number}")
        heard.append((said, await person.chat.hears()))
        if enough.is_set():
            break
    return heard


def rankers(owner: Owner) -> list[str]:
    """What ranked each turn of the log, oldest first."""
    found = [
        turn.turn
        for summary in owner.store.dialogs(1000)
        if (dialog := owner.store.dialog(summary.id))
        for message in dialog.messages
        for turn in message.turns
    ]
    return [turn.versions["ranker"] for turn in sorted(found, key=lambda turn: turn.at)]


async def test_every_message_is_answered_once_while_versions_come_and_go(
    owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_alone(tmp_path, monkeypatch)
    good, broken = owner.version("ranker", shift), owner.version("ranker", spoil)

    async def comes(what: Any) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                if what():
                    return
                await asyncio.sleep(0.05)

    def last() -> str:
        return (rankers(owner) or [""])[-1]

    async with BotApi() as api:
        given = {"telegram_api_url": api.url, "telegram_bot_token": SecretStr(TOKEN), "minute_quota": 0, "day_quota": 0}
        settings = owner.settings.model_copy(update=given)
        people = [api.person(f"Ann {number}") for number in range(PEOPLE)]
        async with open_bot(settings) as conversation:
            bot = asyncio.create_task(run(settings, conversation))
            enough = asyncio.Event()
            talking = [asyncio.create_task(talks(person, enough)) for person in people]
            await comes(lambda: last().startswith("starter"))
            owner.promote(good)
            await comes(lambda: last().startswith(good))
            owner.promote(broken)
            await comes(lambda: owner.state(broken) == "broken")
            owner.roll_back("ranker")  # the broken one
            answered = len(rankers(owner))
            await comes(lambda: len(rankers(owner)) > answered + PEOPLE)
            assert last().startswith(good)
            owner.roll_back("ranker")
            await comes(lambda: last().startswith("starter"))
            enough.set()
            heard = await asyncio.gather(*talking)
            bot.cancel()
            await asyncio.gather(bot, return_exceptions=True)
    assert all(reply.get("text") for pairs in heard for _, reply in pairs)
    assert not [person.user["first_name"] for person in people if not person.chat.unread.empty()]
    names = rankers(owner)
    assert len(names) == sum(map(len, heard))  # each message has one turn, and each turn was one message
    assert [name.split()[0] for name, _ in itertools.groupby(names)] == ["starter", good, "starter"]
