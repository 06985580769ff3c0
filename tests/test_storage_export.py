"""Exports: whose dialogs, which replies, under which names, in which time and memory; on SQLite and on PostgreSQL."""

import json
import re
import tracemalloc
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from exporting import SALT, assistant, exported, retry, texts, user, vote
from turn_values import CHAT, ask, talk, turn_for

from storage import streaming
from storage.dialog import now
from storage.export import FORMATS, ExportError, Filters, count, export
from storage.store import SqlDialogStore


def test_dialogs_come_in_the_order_in_which_they_began(store: SqlDialogStore, tmp_path: Path) -> None:
    begun = []
    for _ in range(4):
        begun.append(store.new_dialog(CHAT))
        talk(store, "hi", "hello")
    assert [record["id"] for record in exported(store, "dialogs", tmp_path)] == begun


def test_people_and_chats_have_pseudonyms_unless_their_ids_are_asked_for(store: SqlDialogStore, tmp_path: Path) -> None:
    vote(store, talk(store, "hi", "hello", chat="telegram:-7", person="telegram:1234567"), 1)
    (record,) = exported(store, "dialogs", tmp_path)
    (person,) = record["people"]
    (message,) = record["messages"]
    assert re.fullmatch("[0-9a-f]{16}", person)
    assert message["person_id"] == message["turns"][0]["votes"][0]["person_id"] == person != record["chat"]
    for format in FORMATS:
        exported(store, format, tmp_path)
        assert "telegram:" not in (tmp_path / "export.jsonl").read_text()
    export(store, "dialogs", tmp_path / "real.jsonl", Filters(), None)
    real = json.loads((tmp_path / "real.jsonl").read_text())
    assert (real["people"], real["chat"]) == (["telegram:1234567"], "telegram:-7")


@pytest.mark.parametrize("format", FORMATS)
def test_a_dialog_with_somebody_who_opted_out_is_left_out(store: SqlDialogStore, tmp_path: Path, format: str) -> None:
    for chat, person in (("group", "telegram:1"), ("group", "telegram:2"), ("telegram:1", "telegram:1")):
        retry(store, talk(store, "hi", "bad", chat=chat, person=person), "good")
        vote(store, talk(store, chat, "hello", chat=chat, person=person), 1)
    everything = exported(store, format, tmp_path)
    store.change_person("telegram:2", consent=False)
    rest = exported(store, format, tmp_path)
    assert 0 < len(rest) < len(everything)
    assert "group" not in json.dumps(rest)
    store.change_person("telegram:1", consent=False)
    assert exported(store, format, tmp_path) == []
    assert count(store, Filters()) == 0


def test_filters_choose_replies(store: SqlDialogStore, tmp_path: Path) -> None:
    vote(store, talk(store, "one", "first"), 1)
    second = turn_for(ask(store, "two"), "second", source="generation")
    store.add_turn(second)
    vote(store, second, -1)
    vote(store, talk(store, "three"), -1)  # a fallback
    vote(store, talk(store, "four", "fourth", chat="other"), 1)

    def chosen(**filters: Any) -> list[str]:
        return texts(exported(store, "votes", tmp_path, Filters(**filters)))

    assert chosen() == ["first", "second", "Hm.", "fourth"]
    assert chosen(liked=True) == ["first", "fourth"]
    assert chosen(disliked=True) == ["second", "Hm."]
    assert chosen(liked=True, disliked=True) == chosen()
    assert chosen(source="generation") == ["second"]
    assert chosen(source="fallback") == ["Hm."]
    assert chosen(source="retrieval", liked=True, chat="other") == ["fourth"]
    assert chosen(chat="nobody") == []
    assert chosen(limit=2) == ["first", "second"]
    assert chosen(limit=0) == []


def test_filters_choose_dialogs_by_their_replies(store: SqlDialogStore, tmp_path: Path) -> None:
    vote(store, talk(store, "one", "first"), 1)
    talk(store, "two", "second")
    ask(store, "nobody answers", chat="other")

    def chats(**filters: Any) -> int:
        return len(exported(store, "dialogs", tmp_path, Filters(**filters)))

    assert (chats(), chats(liked=True), chats(disliked=True), chats(source="retrieval")) == (2, 1, 0, 1)
    (record,) = exported(store, "messages", tmp_path, Filters(liked=True))
    assert record["messages"] == [user("one"), assistant("first")]


def test_since_is_inclusive_and_until_is_not(store: SqlDialogStore, tmp_path: Path) -> None:
    vote(store, talk(store, "one", "first"), 1)
    vote(store, talk(store, "two", "second"), 1)
    vote(store, talk(store, "three", "third"), 1)
    (dialog,) = exported(store, "dialogs", tmp_path)
    second, third = (datetime.fromisoformat(message["at"]) for message in dialog["messages"][1:])
    assert texts(exported(store, "votes", tmp_path, Filters(since=second))) == ["second", "third"]
    (record,) = exported(store, "votes", tmp_path, Filters(since=second, until=third))
    assert record["prompt"] == [user("one"), assistant("first"), user("two")]
    assert exported(store, "dialogs", tmp_path, Filters(since=now())) == []
    assert count(store, Filters(since=now())) == 0


def test_a_time_without_a_zone_and_a_negative_limit_are_refused() -> None:
    for wrong in ({"since": datetime(2026, 1, 1)}, {"until": datetime(2026, 1, 1)}, {"limit": -1}):
        with pytest.raises(ValueError):
            Filters(**wrong)


def test_an_export_is_one_state_of_the_log(
    store: SqlDialogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BATCH_MESSAGES", 1)
    for number in range(3):
        talk(store, "hi", "hello", chat=f"chat {number}", person=f"telegram:{number}")

    def meanwhile(_: int) -> None:
        store.change_person("telegram:1", consent=False)
        talk(store, "new", "words", chat="chat 2", person="telegram:2")

    file = tmp_path / "export.jsonl"
    assert export(store, "messages", file, Filters(), SALT, meanwhile) == 3
    assert "new" not in file.read_text()
    assert len(exported(store, "messages", tmp_path)) == 2


def test_progress_counts_the_dialogs_up_to_their_number(
    store: SqlDialogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BATCH_MESSAGES", 2)
    for number in range(5):
        talk(store, "hi", "hello", chat=str(number))
    told: list[int] = []
    export(store, "votes", tmp_path / "votes.csv", Filters(), SALT, told.append)
    assert told == [2, 2, 1]
    assert count(store, Filters()) == 5


def test_memory_does_not_grow_with_the_log(
    store: SqlDialogStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "BATCH_MESSAGES", 10)

    def peak() -> int:
        tracemalloc.start()
        export(store, "dialogs", tmp_path / "dialogs.jsonl", Filters(), SALT)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    for _ in range(10):
        store.new_dialog(CHAT)
        talk(store, "hi", "x" * 10_000)
    peak()  # SQLAlchemy keeps the statements that it compiled
    few = peak()
    for _ in range(90):
        store.new_dialog(CHAT)
        talk(store, "hi", "x" * 10_000)
    assert peak() < 1.5 * few


def test_an_unknown_format_is_told_with_those_there_are(sqlite_url: str, tmp_path: Path) -> None:
    with SqlDialogStore(sqlite_url) as store, pytest.raises(ExportError, match="dialogs, messages, votes, preferences"):
        export(store, "rows", tmp_path / "rows.jsonl", Filters(), SALT)
    assert not (tmp_path / "rows.jsonl").exists()


def test_without_a_file_the_records_are_json_lines_on_standard_output(
    sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with SqlDialogStore(sqlite_url) as store:
        talk(store, "hi", "Привет 👍")
        assert export(store, "messages", None, Filters(), SALT) == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out)["messages"] == [user("hi"), assistant("Привет 👍")]
    assert shown.err == ""
