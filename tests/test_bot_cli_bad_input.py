"""Commands with what nobody meant: one clear sentence, code 2, and nothing lost."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixed_answers import empty_log
from hypothesis import example, given, settings
from hypothesis import strategies as st
from turn_values import talk

from bot.cli import main
from bot.cli.output import show_json
from bot.settings import Settings, env_name
from storage.store import SqlDialogStore

HUGE = str(10**30)

ODD = [
    "", "-", "--", "\udcff", "\0", "a\nb", "ж" * 300, HUGE, "-1", "0", "nan", "telegram:42", "../../etc/passwd", "/",
    "/dev/null/x", "x" * 300, "--json", "'; DROP TABLE message; --", "\x1b[2J", "0001-01-01", "9999-12-31",
]  # fmt: skip
WORDS = st.sampled_from(ODD) | st.text(st.characters(), max_size=12)

VERBS = [
    ["stats"], ["dialogs", "list", "--limit"], ["dialogs", "show"], ["forget", "--yes"], ["pool", "list", "--find"],
    ["pool", "list", "--limit"], ["pool", "add"], ["pool", "add", "hi", "--context"], ["pool", "import"],
    ["pool", "remove"], ["pool", "promote", "--yes", "--people"], ["export"], ["export", "votes"],
    ["export", "votes", "x.csv", "--since"], ["export", "votes", "x.csv", "--until"],
    ["export", "votes", "x.csv", "--limit"], ["export", "dialogs", "x.jsonl", "--chat"], ["chat", "--name", "!"],
]  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A log with one dialog, in an empty folder, and only this setting."""
    for name in {env_name(field) for field in Settings.model_fields} & set(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("KITH_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    with empty_log(tmp_path) as store:
        talk(store, "hi", "hello")
    yield


def kith(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    return code, *capsys.readouterr()


@settings(max_examples=50)
@given(verb=st.sampled_from(VERBS), words=st.lists(WORDS, max_size=2))
@example(verb=["dialogs", "list", "--limit"], words=[HUGE])
@example(verb=["export", "votes", "x.csv", "--limit"], words=[HUGE])
@example(verb=["export", "votes"], words=["x" * 300 + ".jsonl"])
@example(verb=["export", "votes"], words=["\udcff.jsonl", "--json"])
def test_any_argument_is_taken_or_a_mistake(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], verb: list[str], words: list[str]
) -> None:
    code = main([*verb, *words])
    _, err = capfd.readouterr()
    assert code in (0, 2) and "Traceback" not in err
    with SqlDialogStore(f"sqlite:///{tmp_path / 'kith.db'}") as store:
        assert len(store.dialogs()) == (0 if code == 0 and verb[0] == "forget" and "telegram:42" in words else 1)
        if verb[0] == "forget" and not store.dialogs():
            talk(store, "hi", "hello")


@pytest.mark.parametrize(("zone", "day"), [("Asia/Tokyo", "0001-01-01"), ("America/New_York", "9999-12-31T23:00:00")])
def test_a_day_outside_the_calendar_is_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, zone: str, day: str
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        code, _, err = kith(capsys, "export", "votes", "x.csv", "--since", day)
    time.tzset()
    assert code == 2 and "is out of range" in err and err.count("\n") == 1


def test_half_a_letter_is_printed_as_its_escape(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    show_json({"file": "\udcff"})
    assert json.loads(capsysbinary.readouterr().out) == {"file": "\udcff"}


# Files


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe", b"[" * 200_000, b'{"reply": ' + b"1" * 5000 + b"}", b"\0" * 9, b"[]", b'"text"', b"{}",
        b'{"reply": "hi", "contexts": ["a"]}\n{"reply": "hi"}', b'{"reply": "hi", "contexts": []}',
        b'{"reply": "\\u0000\\ud83d", "contexts": ["a"]}', b'{"reply": "hi", "contexts": ["\\u001b"]}',
        b'{"reply": "hi", "contexts": ["' + b"x" * 5000 + b'"]}',
        b'{"reply": "' + b"x" * 5000 + b'", "contexts": ["a"]}',
    ],
)  # fmt: skip
def test_a_file_of_replies_that_is_none_is_one_sentence_and_nothing_comes_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    file = tmp_path / "pool.jsonl"
    file.write_bytes(content)
    code, _, err = kith(capsys, "pool", "import", str(file))
    assert code == 2 and "pool.jsonl" in err and err.count("\n") == 1
    assert json.loads(kith(capsys, "pool", "list", "--origin", "imported", "--json")[1]) == []


def test_what_comes_in_can_be_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pool.jsonl"
    lines = [{"reply": "Hi\ud83d \x1b[2Jthere\0", "contexts": ["a\ud83d\x07"]}, {"reply": "=1+1", "contexts": ["sum"]}]
    file.write_text("\n".join(map(json.dumps, lines)))
    assert kith(capsys, "pool", "import", str(file))[0] == 0
    entries = json.loads(kith(capsys, "pool", "list", "--origin", "imported", "--json")[1])
    assert [(entry["reply"], entry["contexts"]) for entry in entries] == [
        ("Hi? [2Jthere", ["a?"]), ("=1+1", ["sum"])
    ]  # fmt: skip


@pytest.mark.parametrize("verb", [["pool", "import"], ["export", "votes"]])
def test_a_folder_in_place_of_a_file_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    code, _, err = kith(capsys, *verb, "folder.jsonl")
    assert code == 2 and "folder.jsonl" in err and err.count("\n") == 1


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\0" + b"\xff" * 200])
def test_a_file_that_is_no_database_stays_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    file = tmp_path / "other.db"
    file.write_bytes(content)
    os.environ["KITH_DATABASE_URL"] = f"sqlite:///{file}"
    try:
        code, _, err = kith(capsys, "stats")
    finally:
        del os.environ["KITH_DATABASE_URL"]
    if content:
        assert code == 2 and err.count("\n") == 1
        assert file.read_bytes() == content
    else:
        assert code == 0  # an empty file is a new log


# What people say, on the owner's desk


def test_what_people_say_commands_no_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with SqlDialogStore(f"sqlite:///{tmp_path / 'kith.db'}") as store:
        turn = talk(store, "\x1b]0;owned\x07\x1b[2J\x9b2Jlook", "\x1b[31mred", chat="telegram:7", person="telegram:7")
    _, out, _ = kith(capsys, "dialogs", "show", turn.asked.dialog_id)
    assert "look" in out and "red" in out
    assert not {"\x1b", "\x07", "\x9b"} & set(out)
    _, out, _ = kith(capsys, "dialogs", "show", turn.asked.dialog_id, "--json")
    assert not {"\x1b", "\x07"} & set(out)
