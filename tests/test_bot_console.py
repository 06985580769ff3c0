"""Tests of bot/console_chat.py and bot/console_screen.py: a real log, between pipes and in a pseudo-terminal."""

import codecs
import io
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest
from fixed_answers import FixedAnswers, conversation_with, empty_log

from bot.console_chat import ConsoleChat
from bot.console_screen import Screen, system_language
from bot.texts import load_texts
from storage.dialog import Vote
from storage.store import SqlDialogStore

CHAT = PERSON = "console:me"
TEXTS = load_texts()

Talk: TypeAlias = Callable[..., Awaitable[tuple[list[str], list[str]]]]
"""Lines in; the lines on standard output and on standard error out."""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlDialogStore]:
    with empty_log(tmp_path) as store:
        yield store


@pytest.fixture
async def answers(store: SqlDialogStore) -> FixedAnswers:
    return FixedAnswers(store)


@pytest.fixture
def talk(answers: FixedAnswers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Talk:
    """The terminal chat between pipes."""

    async def talk(*lines: str, name: str = "me", language: str = "en") -> tuple[list[str], list[str]]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
        await ConsoleChat(conversation_with(answers), Screen(), name, language).run()
        shown = capsys.readouterr()
        return shown.out.splitlines(), shown.err.splitlines()

    return talk


def standing(store: SqlDialogStore) -> Vote | None:
    """The vote on the latest reply."""
    turn = store.last_turn(CHAT)
    assert turn is not None
    return store.vote_of(turn.id, PERSON)


# Between pipes


async def test_replies_alone_are_on_standard_output(talk: Talk) -> None:
    assert await talk("hi", "+", "bye") == (["You said: hi", "You said: bye"], [TEXTS.say("en", "vote_up")])


@pytest.mark.parametrize("text", ["hi", "hi\n", "hi\r\n", "\n  \nhi  \n\n"])
async def test_line_ends_and_empty_lines_are_no_messages(talk: Talk, text: str) -> None:
    assert await talk(text) == (["You said: hi"], [])


async def test_bytes_that_are_no_text_are_answered_too(
    answers: FixedAnswers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"hi \xff\n"), encoding="utf-8"))
    await ConsoleChat(conversation_with(answers), Screen(), "me", "en").run()
    assert capsys.readouterr().out == "You said: hi �\n"


async def test_there_are_no_escape_codes(talk: Talk, answers: FixedAnswers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    answers.reply = "\x1b[2J\x07Hello"
    out, err = await talk("hi", "/explain", "/persona", "+")
    assert out[0] == "[2JHello"
    assert "\x1b" not in "".join(out + err)


async def test_nobody_is_asked_for_consent_and_privacy_takes_it_back(talk: Talk, store: SqlDialogStore) -> None:
    assert await talk("hi") == (["You said: hi"], [])
    assert store.person(PERSON).consent is True
    await talk("/privacy", "off")
    await talk("hi again")
    assert store.person(PERSON).consent is False


async def test_quit_ends_the_chat(talk: Talk) -> None:
    assert await talk("hi", "/quit", "not heard") == (["You said: hi"], [])


# Votes


@pytest.mark.parametrize(
    ("lines", "value", "reason"),
    [
        (["+"], 1, ""),
        (["-"], -1, ""),
        (["+", "-"], -1, ""),
        (["-", "+"], 1, ""),
        (["-", "3"], -1, "boring"),
        (["-", "Repeats itself"], -1, "repeats"),
        (["-", "off_topic"], -1, "off_topic"),
        (["-", "3", "+"], 1, ""),
    ],
)
async def test_a_vote_goes_to_the_latest_reply(
    talk: Talk, store: SqlDialogStore, lines: list[str], value: int, reason: str
) -> None:
    await talk("hi", *lines)
    vote = standing(store)
    assert vote is not None
    assert (vote.value, vote.kind, vote.reason) == (value, "console", reason)


@pytest.mark.parametrize("sign", ["+", "-"])
async def test_the_same_vote_again_takes_it_back(talk: Talk, store: SqlDialogStore, sign: str) -> None:
    _, err = await talk("hi", sign, sign)
    assert standing(store) is None
    assert err[-1] == TEXTS.say("en", "vote_back")


async def test_after_a_dislike_one_can_just_go_on(talk: Talk) -> None:
    out, _ = await talk("hi", "-", "let us talk about 3 cats", "3")
    assert out == ["You said: hi", "You said: let us talk about 3 cats", "You said: 3"]


async def test_a_message_that_begins_with_a_sign_is_a_message(talk: Talk) -> None:
    assert (await talk("-5 degrees here", "+1 to that"))[0] == ["You said: -5 degrees here", "You said: +1 to that"]


@pytest.mark.parametrize("line", ["+", "-", "/explain"])
async def test_without_a_reply_there_is_nothing_to_judge(talk: Talk, line: str) -> None:
    assert await talk(line) == ([], [TEXTS.say("en", "console_nothing")])


async def test_a_reply_of_yesterday_can_be_judged_today(talk: Talk, store: SqlDialogStore) -> None:
    await talk("hi")
    await talk("+")
    vote = standing(store)
    assert vote is not None
    assert vote.value == 1


# Commands


async def test_retry_says_something_else_and_keeps_the_rejected_reply(talk: Talk, store: SqlDialogStore) -> None:
    assert (await talk("hi", "/retry"))[0] == ["You said: hi", "You said (1): hi"]
    [dialog] = store.personal_data(PERSON)["dialogs"]
    assert [reply["rejected"] for reply in dialog["messages"][0]["replies"]] == [True, False]


async def test_retry_without_a_reply_is_refused(talk: Talk) -> None:
    assert await talk("/retry") == ([], [TEXTS.say("en", "retry_nothing")])


@pytest.mark.parametrize("lines", [["/persona wit"], ["/persona", "3"], ["/persona", "Wit"], ["/PERSONA", "wit"]])
async def test_a_choice_is_made_by_number_or_by_words(talk: Talk, store: SqlDialogStore, lines: list[str]) -> None:
    out, _ = await talk(*lines)
    assert out[-1] == TEXTS.say("en", "persona_set", name="Wit")
    assert store.persona(CHAT) == "wit"


async def test_a_question_that_is_not_answered_is_dropped(talk: Talk, store: SqlDialogStore) -> None:
    out, _ = await talk("/persona", "never mind", "3")
    assert out[-2:] == ["You said: never mind", "You said: 3"]
    assert store.persona(CHAT) == ""


@pytest.mark.parametrize("line", ["/persona nobody", "/language xx", "/nonsense"])
async def test_what_cannot_be_done_is_said_and_the_chat_goes_on(talk: Talk, line: str) -> None:
    out, err = await talk(line, "hi")
    assert out == ["You said: hi"]
    assert len(err) == 1


async def test_a_new_dialog_has_nothing_to_judge(talk: Talk) -> None:
    assert await talk("hi", "/new", "+") == (
        ["You said: hi", TEXTS.say("en", "new")],
        [TEXTS.say("en", "console_nothing")],
    )


async def test_the_language_is_that_of_the_terminal_until_another_is_chosen(talk: Talk) -> None:
    out, _ = await talk("/new", "/language en", "/new", language="ru")
    assert out == [TEXTS.say("ru", "new"), TEXTS.say("en", "language_set"), TEXTS.say("en", "new")]
    assert (await talk("/new", language="ru"))[0] == [TEXTS.say("en", "new")]


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({"LANG": "ru_RU.UTF-8"}, "ru"),
        ({"LANG": "ru_RU.UTF-8", "LC_ALL": "de_DE"}, "de"),
        ({"LANG": "ru_RU.UTF-8", "LC_MESSAGES": "en_GB@euro", "LC_ALL": ""}, "en"),
        ({"LANG": "C.UTF-8"}, "c"),
        ({}, ""),
    ],
)
def test_posix_says_which_language_the_terminal_speaks(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], language: str
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert system_language() == language


async def test_help_lists_every_command(talk: Talk) -> None:
    text = "\n".join((await talk("/help"))[0])
    commands = [*TEXTS.of("en").commands, "explain", "quit"]
    assert not [command for command in commands if f"/{command}" not in text]


async def test_explain_shows_every_candidate_with_every_feature(talk: Talk) -> None:
    out, _ = await talk("hi", "/explain")
    said, other = next(line for line in out if "▶" in line), next(line for line in out if "Something else" in line)
    assert said.split() == ["▶", "1", "You", "said:", "hi", "retrieval", "1.00", "0.75"]
    assert other.split() == ["2", "Something", "else", "retrieval", "0.00", "0.00", "repetition"]
    assert ["ranker", "0.25", "0.25"] in [line.split() for line in out]
    assert ["repetition", "0.00", "0.00"] in [line.split() for line in out]


async def test_two_people_at_one_machine_have_dialogs_of_their_own(talk: Talk, store: SqlDialogStore) -> None:
    await talk("hi", name="ann")
    await talk("+", name="bob")
    assert [dialog.chat for dialog in store.dialogs()] == ["console:ann"]


# What is kept


async def test_forget_deletes_everything_once_it_is_confirmed(talk: Talk, store: SqlDialogStore) -> None:
    out, _ = await talk("hi", "/forget", "1")
    assert out[-1] == TEXTS.say("en", "forget_done")
    assert store.dialogs() == []


@pytest.mark.parametrize("answer", ["2", "no", "wait", "/new", "+"])
async def test_forget_deletes_nothing_otherwise(talk: Talk, store: SqlDialogStore, answer: str) -> None:
    await talk("hi", "/forget", answer)
    assert len(store.dialogs()) == 1


async def test_export_prints_a_document_or_writes_a_private_file(talk: Talk, tmp_path: Path) -> None:
    out, _ = await talk("/export")
    assert json.loads("\n".join(out))["person"]["id"] == PERSON
    await talk("/export mine.json")
    assert json.loads((tmp_path / "mine.json").read_text())["person"]["id"] == PERSON
    assert (tmp_path / "mine.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("file", ["mine.json", "no/such/folder.json"])
async def test_export_overwrites_nothing_and_says_why(talk: Talk, tmp_path: Path, file: str) -> None:
    (tmp_path / "mine.json").write_text("precious")
    out, [refused] = await talk(f"/export {file}", "hi")
    assert file in refused
    assert out == ["You said: hi"]
    assert (tmp_path / "mine.json").read_text() == "precious"


# In a terminal

SCRIPT = """
import asyncio
from pathlib import Path
from fixed_answers import FixedAnswers, conversation_with, empty_log
from bot.console_chat import ConsoleChat
from bot.console_screen import Screen

async def chat(store):
    answers = FixedAnswers(store)
    await ConsoleChat(conversation_with(answers), Screen(), "me", "en").run()

with empty_log(Path()) as store:
    asyncio.run(chat(store))
print("ended well")
"""


class Terminal:
    """The chat in a pseudo-terminal."""

    def __init__(self, folder: Path) -> None:
        ours, theirs = pty.openpty()
        self.side = ours
        paths = os.pathsep.join(map(str, (Path(__file__).parent, Path(__file__).parent.parent)))
        environment = {**os.environ, "PYTHONPATH": paths, "TERM": "xterm-256color", "COLUMNS": "80"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.shown, self.decode = "", codecs.getincrementaldecoder("utf-8")().decode

    def type(self, keys: str) -> None:
        """Presses keys."""
        os.write(self.side, keys.encode())

    def wait_for(self, text: str, seconds: float = 30) -> str:
        """All that was shown since the last call, up to where this text came."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            ready, _, _ = select.select([self.side], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} did not come: {self.shown!r}"
            self.shown += self.decode(os.read(self.side, 4096))
        before, _, self.shown = self.shown.partition(text)
        return before + text


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.process.kill()
    terminal.process.wait()
    os.close(terminal.side)


@pytest.mark.parametrize("way", ["^D", "^C"])
def test_both_ways_out_of_a_terminal_end_well(terminal: Terminal, way: str) -> None:
    terminal.wait_for("you ›")
    if way == "^D":
        terminal.type("\x04")
    else:
        terminal.type("half a line")
        terminal.wait_for("half a line")
        terminal.process.send_signal(signal.SIGINT)  # as the terminal does
        terminal.type("\r")  # Python's readline does not see a signal that comes just before it waits for a key
    assert "Traceback" not in terminal.wait_for("ended well")
    assert terminal.process.wait(30) == 0


def test_a_terminal_shows_who_speaks_and_what_can_be_done(terminal: Terminal) -> None:
    assert TEXTS.say("en", "console_header") in terminal.wait_for("you ›")
    terminal.type("hi\r")
    reply = terminal.wait_for("you ›")
    assert re.search(r"\x1b\[[\d;]*mKith\x1b|  Kith", reply)
    assert "You said: hi" in reply
    assert TEXTS.say("en", "console_hint") in reply
    terminal.type("/feedback off\r")
    terminal.wait_for("you ›")
    terminal.type("bye\r")
    assert TEXTS.say("en", "console_hint") not in terminal.wait_for("you ›")
