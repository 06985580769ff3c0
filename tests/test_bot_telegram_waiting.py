"""Messages that wait for the models, with the real batcher and pipeline: what becomes of them when their dialog is
ended, when they are edited, when too many of all chats wait, and what does not wait with them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bot_api import BotApi
from fixed_answers import FixedAnswers, empty_log
from serving_bot import keep_alone, serving
from telegram_people import Chat, Json, Somebody
from turn_values import not_done

from bot.batching import Batcher
from bot.pipeline import Pipeline
from bot.texts import fallback, load_texts
from ranking.policy import ScoringPolicy, Weights
from storage.dialog import Asked, Candidate, Context, Turn
from storage.store import SqlDialogStore

TEXTS = load_texts()
PATIENCE = 20.0
HAND = Weights("none", {}, {})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlDialogStore]:
    keep_alone(tmp_path, monkeypatch)
    with empty_log(tmp_path) as store:
        yield store


class Models(FixedAnswers):
    """A batcher over a source that repeats what it hears, and waits there while it is held."""

    def __init__(self, store: SqlDialogStore, batcher: Batcher) -> None:
        super().__init__(store)
        self.batcher = batcher

    async def __call__(self, asked: Asked) -> Turn:
        return await self.batcher.answer(asked)


class Repeats:
    """The source."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.busy, self.free = threading.Event(), threading.Event()

    def __call__(self, contexts: Sequence[Context]) -> list[list[Candidate]]:
        self.heard += [context.last for context in contexts]
        self.busy.set()
        assert self.free.wait(PATIENCE)
        return [[Candidate(f"You said: {context.last}", "retrieval", 0.0)] for context in contexts]


@pytest.fixture
def source() -> Repeats:
    return Repeats()


@asynccontextmanager
async def talking(api: BotApi, store: SqlDialogStore, source: Repeats, **settings: Any) -> AsyncIterator[None]:
    pipeline = Pipeline(
        store=store,
        sources={"retrieval": source},
        scorers={},
        policy=ScoringPolicy(HAND),
        fallback=fallback(TEXTS),
        personas={},
        default_persona="",
        versions=dict,
    )
    async with Batcher(pipeline.answer) as batcher, serving(api, Models(store, batcher), **settings):
        try:
            yield
        finally:
            source.free.set()


@pytest.fixture
async def api(store: SqlDialogStore, source: Repeats) -> AsyncIterator[BotApi]:
    async with BotApi() as api, talking(api, store, source):
        yield api


async def heard(chat: Chat) -> str:
    return str((await chat.hears())["text"])


async def begun(somebody: Somebody, source: Repeats, text: str) -> Json:
    """Says something, and waits until the models are at it."""
    message = somebody.say(text)
    assert await asyncio.to_thread(source.busy.wait, PATIENCE)
    return message


def texts_of(store: SqlDialogStore, somebody: Somebody) -> list[list[str]]:
    """What the log has of somebody's messages, by dialog."""
    dialogs = store.personal_data(f"telegram:{somebody.user['id']}")["dialogs"]
    return [[message["text"] for message in dialog["messages"]] for dialog in dialogs]


async def test_new_drops_what_has_not_begun_and_the_log_keeps_it(
    api: BotApi, store: SqlDialogStore, source: Repeats
) -> None:
    ann, bob = api.person("Ann"), api.person("Bob")
    await begun(bob, source, "hold on")
    for text in ("one", "two", "three", "/new"):
        ann.say(text)
    assert await heard(ann.chat) == TEXTS.say("en", "new")
    source.free.set()
    assert await heard(bob.chat) == "You said: hold on"
    ann.say("afresh")
    assert await heard(ann.chat) == "You said: afresh"
    assert source.heard == ["hold on", "afresh"]
    assert texts_of(store, ann) == [["one", "two", "three"], ["afresh"]]
    await api.until(lambda: not not_done(store))


async def test_what_has_begun_before_new_is_still_said(api: BotApi, store: SqlDialogStore, source: Repeats) -> None:
    ann = api.person("Ann")
    await begun(ann, source, "one")
    ann.say("two")
    ann.say("/new")
    assert await heard(ann.chat) == TEXTS.say("en", "new")
    source.free.set()
    assert await heard(ann.chat) == "You said: one"
    await api.until(lambda: not not_done(store))
    assert source.heard == ["one"]


async def test_what_was_dropped_gets_no_reply_after_the_next_start_either(
    store: SqlDialogStore, source: Repeats
) -> None:
    async with BotApi() as api:
        async with talking(api, store, source):
            ann = api.person("Ann")
            await begun(ann, source, "one")
            ann.say("two")
            ann.say("/new")
            assert await heard(ann.chat) == TEXTS.say("en", "new")
        source.heard.clear()
        async with talking(api, store, source):
            ann.say("afresh")
            while (said := await heard(ann.chat)) != "You said: afresh":
                assert said == "You said: one"  # it had begun, and may have been said before the end or after
        assert "two" not in source.heard


async def test_what_is_edited_before_it_began_is_answered_once_as_it_is_then(
    api: BotApi, store: SqlDialogStore, source: Repeats
) -> None:
    ann, bob = api.person("Ann"), api.person("Bob")
    await begun(bob, source, "hold on")
    message = ann.say("i am fien")
    ann.edit(message, "i am fine")
    await api.until(lambda: texts_of(store, ann) == [["i am fine"]])
    source.free.set()
    assert await heard(ann.chat) == "You said: i am fine"
    ann.say("really")
    assert await heard(ann.chat) == "You said: really"
    assert source.heard == ["hold on", "i am fine", "really"]


async def test_forget_drops_what_has_not_begun(api: BotApi, store: SqlDialogStore, source: Repeats) -> None:
    ann, bob = api.person("Ann"), api.person("Bob")
    await begun(bob, source, "hold on")
    ann.say("one")
    ann.say("/forget")
    ann.press(await ann.chat.hears(), TEXTS.say("en", "forget_yes"))
    await api.until(lambda: not texts_of(store, ann))
    source.free.set()
    ann.say("a new life")
    assert await heard(ann.chat) == "You said: a new life"
    assert source.heard == ["hold on", "a new life"]
    await api.until(lambda: not not_done(store))


async def test_commands_wait_for_no_model(api: BotApi, source: Repeats) -> None:
    ann = api.person("Ann")
    await begun(ann, source, "hi")
    for command in ("/help", "/privacy", "/persona", "/language", "/start", "/feedback"):
        ann.say(command)
        assert not (await heard(ann.chat)).startswith("You said")
    ann.say("/export")
    assert "document" in await ann.chat.hears()
    assert not source.free.is_set()


async def test_when_too_many_of_all_chats_wait_the_others_are_told_once_and_logged(
    store: SqlDialogStore, source: Repeats
) -> None:
    async with BotApi() as api, talking(api, store, source, max_waiting_all=2):
        ann, bob, eve = api.person("Ann"), api.person("Bob"), api.person("Eve", "ru")
        await begun(ann, source, "hi")
        bob.say("hello")
        await api.until(lambda: texts_of(store, bob) == [["hello"]])
        eve.say("привет")
        assert await heard(eve.chat) == TEXTS.say("ru", "crowded")
        eve.say("ау")
        eve.say("/help")
        assert "/forget" in await heard(eve.chat)  # not told a second time
        source.free.set()
        assert [await heard(ann.chat), await heard(bob.chat)] == ["You said: hi", "You said: hello"]
        await api.until(lambda: not not_done(store))
        eve.say("и теперь?")
        assert await heard(eve.chat) == "You said: и теперь?"
        assert texts_of(store, eve) == [["привет", "ау", "и теперь?"]]


async def test_a_reply_is_not_sent_back_for_another_one_when_too_many_wait(
    store: SqlDialogStore, source: Repeats
) -> None:
    async with BotApi() as api, talking(api, store, source, max_waiting_all=1):
        ann, bob = api.person("Ann"), api.person("Bob")
        source.free.set()
        ann.say("hi")
        reply = await ann.chat.hears()
        await api.until(lambda: not not_done(store))
        source.free.clear()
        source.busy.clear()
        await begun(bob, source, "hold on")
        query = ann.press(reply, "🔁")
        await api.until(lambda: query in api.answers)
        assert api.answers[query] == TEXTS.say("en", "crowded")
        assert store.last_turn(f"telegram:{ann.user['id']}")
