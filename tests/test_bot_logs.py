"""Tests of bot/logs.py: what a line holds; and that a whole bot, through faults too, never logs what people say."""

import asyncio
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from bot_api import TOKEN, ApiError, BotApi
from fixed_answers import empty_log
from pydantic import SecretStr
from serving_bot import keep_alone
from telegram_people import Somebody

from bot.cli import talk
from bot.logs import JsonLines, TextLines, facts, redacted, write_log
from bot.running import open_bot
from bot.settings import Settings
from bot.telegram_chat import run
from bot.texts import load_texts
from storage.dialog import PoolEntry
from storage.store import SqlDialogStore

pytest_plugins = ("tiny",)

TEXTS = load_texts()
ENTRY = PoolEntry("food/1", "Pizza!", ("what shall we eat",), "curated")


def caught(error: Exception) -> Any:
    """An exception as a logger gets it, raised here for something else."""
    try:
        try:
            raise KeyError("what Ann said")
        except KeyError as before:
            raise error from before
    except type(error):
        return sys.exc_info()


def record(message: str, *values: object, name: str = "bot.test", error: Any = None, **given: object) -> Any:
    """A record of the log."""
    made = logging.LogRecord(name, logging.ERROR, "/x/part.py", 7, message, values, error)
    made.__dict__.update(facts(**given))
    return made


def test_a_line_of_ours_has_its_facts_in_both_forms() -> None:
    event = record("a turn", turn="abc", seconds=0.5)
    assert TextLines(False, ()).format(event).endswith("ERROR bot.test: a turn turn=abc seconds=0.5")
    line = json.loads(JsonLines(False, ()).format(event))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "ERROR", "logger": "bot.test", "event": "a turn", "turn": "abc", "seconds": 0.5}


@pytest.mark.parametrize("form", [TextLines, JsonLines])
def test_of_an_exception_its_type_and_place_are_told_and_its_words_to_debug_alone(form: type[TextLines]) -> None:
    failed = record("the source x failed", error=caught(ValueError("Ann's secret")))
    line = form(False, ()).format(failed)
    assert "Ann" not in line
    assert "ValueError at test_bot_logs.py:" in line and "in caught" in line and "after KeyError" in line
    assert "Ann's secret" in form(True, ()).format(failed)
    assert "what Ann said" in form(True, ()).format(failed)


@pytest.mark.parametrize(
    ("message", "values", "shown"),
    [
        ("no handler for %s in %5.2f s", ("Ann's words", 1.5), "no handler for … in … s"),
        ("Task was not awaited: said('Ann')", (), "part.py:7"),
    ],
)
def test_what_a_library_fills_in_is_for_debug_alone(message: str, values: tuple[object, ...], shown: str) -> None:
    foreign = record(message, *values, name="asyncio")
    assert TextLines(False, ()).format(foreign).endswith(f"asyncio: {shown}")
    assert "Ann" in TextLines(True, ()).format(foreign)


@pytest.mark.parametrize("form", [TextLines, JsonLines])
@pytest.mark.parametrize("whole", [True, False])
def test_a_secret_is_in_no_line(form: type[TextLines], whole: bool) -> None:
    failed = record(f"calling {TOKEN}", token=TOKEN, error=caught(ValueError(TOKEN)))
    assert TOKEN not in form(whole, [TOKEN]).format(failed)
    assert redacted("a b", ["a"]) == "a b"  # too short to be told from words


# The whole bot


@pytest.fixture
def settings(
    bi_encoder_folder: str, cross_encoder_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """A bot on tiny models, whose pool has one reply."""
    keep_alone(tmp_path, monkeypatch)
    empty_log(tmp_path).close()
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"version": "similar", "weights": {"similarity": 1.0}, "vetoes": {}}))
    monkeypatch.setattr("bot.assemble.curated", lambda: [ENTRY])
    monkeypatch.setattr("ranking.toxicity.curated", lambda: [ENTRY] * 150)
    return Settings(
        telegram_bot_token=SecretStr(TOKEN), data_dir=tmp_path, policy=policy, exploration=0,
        retriever=bi_encoder_folder, ranker=cross_encoder_folder, candidates=0, threads=1,
    )  # fmt: skip


@pytest.fixture(params=["text", "json"])
def lines(request: pytest.FixtureRequest, settings: Settings) -> Iterator[io.StringIO]:
    """Everything that is logged at INFO, by anybody, as the bot of `kith run` writes it."""
    root = logging.getLogger()
    before = root.handlers[:]
    root.handlers.clear()
    written = io.StringIO()
    write_log(logging.StreamHandler(written), "INFO", request.param, settings.secrets)
    yield written
    root.handlers[:] = before


async def everything(api: BotApi, ann: Somebody, fault: Callable[[], None]) -> None:
    """Turns, votes, commands and faults."""
    ann.say("what shall we eat, Waldemar?")
    reply = await ann.chat.hears()
    for label in ("👍", "👎"):
        query = ann.press(reply, label)
        await api.until(lambda query=query: query in api.answers)  # type: ignore[misc]
    ann.react(reply, "🔥")
    ann.press(reply, "🔁")
    await ann.chat.hears()
    for command in ("/start", "/privacy", "/persona", "/nonsense Waldemar", "/new"):
        ann.say(command)
        await ann.chat.hears()
    ann.say("/export")
    await api.until(lambda: api.documents)
    api.refusals.append(ApiError(403, "Forbidden: bot was blocked by the user"))
    ann.say("are you there, Waldemar?")
    await api.until(lambda: not api.refusals)
    api.hiccups = 1
    fault()
    await ann.chat.hears()  # that something went wrong
    ann.say("what shall we eat now, Waldemar?")
    await ann.chat.hears()
    ann.say("/forget")
    question = await ann.chat.hears()
    ann.press(question, TEXTS.say("en", "forget_yes"))
    await api.until(lambda: api.called("editMessageText"))


async def test_nothing_that_is_logged_at_info_tells_who_talks_or_of_what(
    settings: Settings, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*given: object) -> Any:
        raise ValueError(f"Waldemar of {given} did not fit")

    monkeypatch.setattr("ranking.listener.Listener.propose", fails)

    def fault() -> None:
        monkeypatch.setattr(SqlDialogStore, "edit", fails)
        ann.edit(ann.chat.messages[1], "Waldemar!")
        asyncio.get_running_loop().create_task(never_awaited())

    async def never_awaited() -> None:
        fails("a task")

    async with BotApi() as api:
        ann = api.person("Waldemarina")
        settings = settings.model_copy(update={"telegram_api_url": api.url})
        async with open_bot(settings) as conversation:
            task = asyncio.create_task(run(settings, conversation))
            await api.until(lambda: api.called("getUpdates"))
            with SqlDialogStore(settings.database) as store:
                await everything(api, ann, fault)
                assert store.personal_data(f"telegram:{ann.user['id']}")["person"] is None
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
    logged = lines.getvalue()
    told = ("a turn", "a vote", "failed", "was not handled", "Telegram did not take a message", "for updates failed")
    assert [words for words in told if words not in logged] == []
    assert "ValueError at " in logged
    private = ("Waldemar", "waldemar", "eat", "Pizza", TOKEN, TOKEN.partition(":")[2], str(ann.user["id"]), "telegram:")
    assert [words for words in private if words in logged] == []


async def test_the_turns_id_in_the_log_leads_to_the_turn(settings: Settings, lines: io.StringIO) -> None:
    async with open_bot(settings) as conversation:
        turn = await conversation.hear("console:me", "console:me", "what shall we eat", "1")
    assert turn is not None
    assert turn.id in lines.getvalue()
    assert "console:me" not in lines.getvalue()


async def test_a_fault_that_ends_the_bot_is_a_line_of_the_log_too(
    settings: Settings, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*given: object) -> None:
        raise ValueError(f"Waldemar {TOKEN}")

    monkeypatch.setattr("bot.telegram_chat.run", fails)
    monkeypatch.setattr(talk, "exit_within", lambda seconds, code: None)  # it would end the tests
    with pytest.raises(typer.Exit) as end:
        await talk.serve(settings)
    assert end.value.exit_code == 1
    assert "Kith stops for a fault of its own" in lines.getvalue() and "ValueError at" in lines.getvalue()
    assert "Waldemar" not in lines.getvalue() and TOKEN not in lines.getvalue()


def test_addresses_that_hold_the_token_are_not_logged(settings: Settings, lines: io.StringIO) -> None:
    logging.getLogger("httpx").setLevel(logging.INFO)
    try:
        with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200))) as client:
            client.get(f"https://api.telegram.example/bot{TOKEN}/getMe")
    finally:
        logging.getLogger("httpx").setLevel(logging.WARNING)
    assert "HTTP Request" in lines.getvalue()
    assert TOKEN not in lines.getvalue()
