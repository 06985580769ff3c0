"""The shipped voice files: whole, told apart, fit to be learnt from. What a reader has to judge is not tested here."""

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from bot.personas import PERSONA_FILES
from storage.corpora import CorpusDialog, read_dialogs

FILES = sorted((Path(__file__).parent.parent / "generation" / "voice").glob("*.toml"))
BY_FILE = {file.stem: list(read_dialogs(file)) for file in FILES}
DIALOGS = [dialog for dialogs in BY_FILE.values() for dialog in dialogs]

LONGEST = 36
"""Words of a reply."""

MARKUP = re.compile(r"[*_#`~<>|\[\]{}\\]")

PRIVATE = {
    "an e-mail address": re.compile(r"\S@\S"),
    "a link": re.compile(r"https?:|www\.|\b[a-z0-9-]+\.(?:com|org|net|io|co\.uk|de|ru)\b", re.IGNORECASE),
    "a phone number": re.compile(r"\d(?:[ ().-]?\d){6,}"),
}


def replies(dialog: CorpusDialog) -> list[str]:
    return [message.text for message in dialog.messages if message.role == "assistant"]


def words(text: str) -> str:
    """In lower case, without punctuation."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def situation(dialog: CorpusDialog) -> str:
    return dialog.id.rpartition("/")[0]


def test_there_are_enough() -> None:
    assert len(DIALOGS) >= 800
    assert {dialog.source for dialog in DIALOGS} == {"voice"}
    assert len({dialog.id for dialog in DIALOGS}) == len(DIALOGS)


@pytest.mark.parametrize("theme", BY_FILE)
def test_dialogs_are_of_8_to_14_turns_that_alternate_and_end_with_kith(theme: str) -> None:
    for dialog in BY_FILE[theme]:
        assert 8 <= len(dialog.messages) <= 14, dialog.id
        assert len(dialog.messages) % 2 == 0, dialog.id
        assert [m.role for m in dialog.messages] == ["user", "assistant"] * (len(dialog.messages) // 2), dialog.id
        for message in dialog.messages:
            assert message.text == " ".join(message.text.split()) != "", f"{dialog.id}: {message.text!r}"


@pytest.mark.parametrize("theme", BY_FILE)
def test_every_persona_is_a_shipped_one(theme: str) -> None:
    assert {dialog.persona for dialog in BY_FILE[theme]} <= {file.stem for file in PERSONA_FILES.glob("*.toml")}


@pytest.mark.parametrize("theme", BY_FILE)
def test_each_file_has_situations_of_its_own_and_holds_some_back(theme: str) -> None:
    split = {situation(dialog): dialog.split for dialog in BY_FILE[theme]}
    assert all(re.fullmatch(rf"{theme}\.[a-z0-9_]+", name) for name in split)
    assert 1 <= list(split.values()).count("valid") <= len(split) // 4


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.stem))
def test_what_is_held_back_is_there(file: Path) -> None:
    """A name that is misspelt would hold nothing back."""
    listed = tomllib.loads(file.read_text(encoding="utf-8"))["valid"]
    held_back = {situation(dialog) for dialog in BY_FILE[file.stem] if dialog.split == "valid"}
    assert sorted(listed) == sorted(held_back)


def test_no_dialog_is_there_twice() -> None:
    said = Counter(tuple(words(message.text) for message in dialog.messages) for dialog in DIALOGS)
    assert [dialog for dialog, times in said.items() if times > 1] == []
    begun = Counter(tuple(words(message.text) for message in dialog.messages[:4]) for dialog in DIALOGS)
    assert [beginning for beginning, times in begun.items() if times > 1] == []


def test_no_reply_of_five_words_is_said_more_than_twice() -> None:
    said = Counter(words(reply) for dialog in DIALOGS for reply in replies(dialog))
    assert {reply: times for reply, times in said.items() if times > 2 and len(reply.split()) >= 5} == {}


def test_kith_never_repeats_itself_within_a_dialog() -> None:
    for dialog in DIALOGS:
        said = Counter(map(words, replies(dialog)))
        assert [reply for reply, times in said.items() if times > 1] == [], dialog.id


def test_kith_is_brief_and_plain() -> None:
    for dialog in DIALOGS:
        for reply in replies(dialog):
            assert len(reply.split()) <= LONGEST, f"{dialog.id}: {reply}"
            assert not MARKUP.search(reply), f"{dialog.id}: {reply}"
            assert max(reply) <= "\xff", f"{dialog.id}: {reply}"  # emoji and curly quotes are beyond Latin-1
            assert reply.count("?") <= 1, f"{dialog.id}: {reply}"


@pytest.mark.parametrize("what", PRIVATE)
def test_nothing_is_anybodys(what: str) -> None:
    for dialog in DIALOGS:
        for message in dialog.messages:
            assert not PRIVATE[what].search(message.text), f"{dialog.id}: {message.text}"
