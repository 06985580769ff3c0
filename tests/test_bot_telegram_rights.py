"""Tests of bot/telegram_chat/admitting.py over HTTP: who is shut out, and what admins can do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import serving_bot
from bot_api import BotApi
from fixed_answers import FixedAnswers
from serving_bot import serving
from telegram_people import heard
from turn_values import NOTHING

from bot.rights import Rules
from bot.texts import load_texts
from storage.store import SqlDialogStore

TEXTS = load_texts()
ANN, BOB = "telegram:7000", "telegram:7001"
"""The first two people of a BotApi."""

store = serving_bot.store


@asynccontextmanager
async def under(store: SqlDialogStore, **rules: Any) -> AsyncIterator[BotApi]:
    """A bot that serves under these rules."""
    async with BotApi() as api, serving(api, FixedAnswers(store), Rules(**rules)):
        yield api


def words_on_disk(words: str) -> list[str]:
    """The files of the data folder that hold these words."""
    return [file.name for file in Path().glob("kith.db*") if words.encode() in file.read_bytes()]


async def test_nothing_of_somebody_who_is_blocked_is_answered_or_kept(store: SqlDialogStore) -> None:
    async with under(store, blocked=frozenset({ANN})) as api:
        ann, bob, group = api.person("Ann"), api.person("Bob"), api.group("Friends")
        bob.say("@kith_bot hi", group)
        reply = await group.hears()
        said = ann.say("my secret")
        ann.edit(said, "my other secret")
        for text in ("/start", "/forget", "/export", "/stats"):
            ann.say(text)
        ann.send("voice")
        ann.say("@kith_bot hi", group)
        ann.react(reply, "👍")
        query = ann.press(reply, "👍")
        bob.say("still there?")
        assert await heard(bob.chat) == "You said: still there?"
        assert ann.chat.unread.empty() and group.unread.empty()
        assert query not in api.answers
    assert store.personal_data(ANN) == NOTHING
    assert not words_on_disk("secret")


async def test_who_is_on_no_allow_list_is_told_once_and_only_when_speaking_to_kith(store: SqlDialogStore) -> None:
    async with under(store, allowed=frozenset({BOB})) as api:
        ann, bob, group = api.person("Ann", "ru"), api.person("Bob"), api.group("Friends")
        for text in ("привет", "/start", "есть кто?"):
            ann.say(text)
        ann.say("talking to the others", group)
        bob.say("@kith_bot hi", group)
        assert await heard(ann.chat) == TEXTS.say("ru", "not_allowed", number=ANN.split(":")[1])
        assert await heard(group) == "You said: hi"
        assert ann.chat.unread.empty() and group.unread.empty()
    assert store.personal_data(ANN)["person"] is None


async def test_over_the_quota_is_told_once_and_commands_and_votes_go_on(store: SqlDialogStore) -> None:
    async with under(store, a_day=2) as api:
        ann = api.person("Ann")
        for text in ("one", "two", "three", "four"):
            ann.say(text)
        said = [await ann.chat.hears() for _ in range(3)]
        assert {message["text"] for message in said} == {
            "You said: one", "You said: two", TEXTS.say("en", "quota_day")
        }  # fmt: skip
        reply = next(message for message in said if "reply_markup" in message)
        query, again = ann.press(reply, "👍"), ann.press(reply, "🔁")
        await api.until(lambda: query in api.answers and again in api.answers)
        assert api.answers[query] == TEXTS.say("en", "vote_up")
        ann.say("/privacy")
        assert "What I keep" in await heard(ann.chat)


async def test_an_admin_shuts_somebody_out_from_the_chat(store: SqlDialogStore) -> None:
    async with under(store, admins=frozenset({ANN})) as api:
        ann, bob = api.person("Ann"), api.person("Bob")
        bob.say("/block 7000")
        assert await heard(bob.chat) == TEXTS.say("en", "unknown_command")
        ann.say("/block 7001")
        assert "telegram:7001 is shut out" in await heard(ann.chat)
        bob.say("hello?")
        ann.say("/stats")
        assert "people 0, messages 0" in await heard(ann.chat)
        assert bob.chat.unread.empty()


async def test_in_a_group_commands_for_admins_are_another_bots(store: SqlDialogStore) -> None:
    async with under(store, admins=frozenset({ANN})) as api:
        ann, group = api.person("Ann"), api.group("Friends")
        ann.say("/stats", group)
        ann.say("/block 7001", group)
        ann.say("@kith_bot hi", group)
        assert await heard(group) == "You said: hi"
    assert store.blocked() == frozenset()
