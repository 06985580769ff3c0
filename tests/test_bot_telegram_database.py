"""A database that cannot be used for a while: locked, full, away."""

import sqlite3
from pathlib import Path

import pytest
import serving_bot
from bot_api import BotApi
from fixed_answers import FixedAnswers
from serving_bot import done, serving
from sqlalchemy import event
from telegram_people import Json

from bot.telegram_chat import updates
from storage.store import SqlDialogStore, StoreError

store, answers = serving_bot.store, serving_bot.answers


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr("storage.database.BUSY_SECONDS", 0.05)


def talk_of(store: SqlDialogStore, person: Json) -> list[tuple[str, list[str]]]:
    """A person's messages in the log, each with its replies."""
    dialogs = store.personal_data(f"telegram:{person['id']}")["dialogs"]
    messages = [message for dialog in dialogs for message in dialog["messages"]]
    return [(message["text"], [reply["reply"] for reply in message["replies"]]) for message in messages]


async def test_while_the_database_is_locked_nothing_is_confirmed_and_then_all_is_answered(
    answers: FixedAnswers, store: SqlDialogStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with BotApi() as api, serving(api, answers):
        ann = api.person("Ann")
        with sqlite3.connect(tmp_path / "kith.db", isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            ann.say("hi")
            await api.until(lambda: "could not be written down" in caplog.text)
            assert api.waiting() == 1
        assert (await ann.chat.hears())["text"] == "You said: hi"
        await done(api, store)
        assert talk_of(store, ann.user) == [("hi", ["You said: hi"])]


async def test_while_the_disk_is_full_nothing_is_confirmed_and_then_all_is_answered(
    answers: FixedAnswers, store: SqlDialogStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.scrub(rebuild=True)  # leaves no page free
    pages = [1]

    @event.listens_for(store._engine, "checkout")
    def limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages[0]}")  # SQLite takes what there is as the least

    async with BotApi() as api, serving(api, answers):
        ann = api.person("Ann")
        ann.say("x" * 4096)
        await api.until(lambda: "full" in caplog.text)
        assert api.waiting() == 1 and talk_of(store, ann.user) == []
        pages[0] = 1_000_000
        await ann.chat.hears()
        await done(api, store)
        [(text, _)] = talk_of(store, ann.user)
        assert text == "x" * 4096


async def test_a_database_that_fails_in_the_middle_of_a_turn_delays_the_reply(
    answers: FixedAnswers, store: SqlDialogStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with BotApi() as api, serving(api, answers):
        ann = api.person("Ann")
        answers.error = StoreError("The database cannot be used (disk I/O error): see to it, and try again.")
        ann.say("hi")
        await api.until(lambda: caplog.text.count("trying again") > 2)
        answers.error = None
        assert (await ann.chat.hears())["text"] == "You said: hi"
        await done(api, store)
        assert talk_of(store, ann.user) == [("hi", ["You said: hi"])]
