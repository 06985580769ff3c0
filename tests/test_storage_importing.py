"""Rated replies of others as a log: whole dialogs in their order, read back as they were written."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fixed_answers import empty_log
from spoken import spoken
from turn_values import talk

from storage.corpora import RatedReply
from storage.dialog import Message
from storage.importing import FIRST, LogNotEmpty, rated_dialogs
from storage.signals import Disclosed, Signal, read_signals
from storage.store import SqlDialogStore


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqlDialogStore]:
    with empty_log(tmp_path) as store:
        yield store


def signals(log: SqlDialogStore) -> list[Signal]:
    later = Disclosed(str, str, timedelta(hours=12), datetime(2030, 1, 1, tzinfo=UTC))
    with log.reading() as connection:
        return list(read_signals(connection, later))


BOT_FIRST = (Message("assistant", "Hey"), Message("assistant", "Are you there?"), Message("user", "yes"))

RATINGS = [
    RatedReply("b", "thumbs", "train", spoken("hi", "hello", "how are you?"), "fine", True, turn=3),
    RatedReply("b", "thumbs", "train", spoken("you?", "I sing", "nice"), "thanks", False, turn=21),
    RatedReply("a", "thumbs", "train", (), "Hey", False, turn=0),
    RatedReply("a", "thumbs", "train", BOT_FIRST, "So what is new?", True, turn=3),
]


def test_votes_come_back_with_their_contexts_in_the_order_of_the_file(log: SqlDialogStore) -> None:
    counts = log.import_dialogs(list(rated_dialogs(RATINGS)))
    assert counts == {"person": 2, "dialog": 2, "message": 7, "turn": 7, "vote": 4}
    found = signals(log)
    assert [(s.rating.dialog_id, s.rating.reply, s.rating.liked) for s in found] == [
        ("b", "fine", True), ("b", "thanks", False), ("a", "Hey", False), ("a", "So what is new?", True),
    ]  # fmt: skip
    assert [m.text for m in found[0].rating.messages] == ["hi", "hello", "how are you?"]
    assert [m.text for m in found[1].rating.messages][-3:] == ["you?", "I sing", "nice"]
    assert found[2].rating.messages == ()
    assert found[3].rating.messages == BOT_FIRST
    assert {s.kind for s in found} == {"vote"}  # what people did next is not in the file
    assert found[0].began == FIRST < found[2].began


def test_the_sources_own_times_and_people_are_kept(log: SqlDialogStore) -> None:
    at = datetime(2018, 5, 1, 10, tzinfo=UTC)
    rated = [
        RatedReply(name, "x", "train", spoken("hi"), "hello", True, person="ann", at=at + timedelta(days=days))
        for name, days in (("late", 2), ("early", 0))
    ]
    assert log.import_dialogs(list(rated_dialogs(rated)))["person"] == 1
    assert [(s.rating.dialog_id, s.began, s.rating.person) for s in signals(log)] == [
        ("early", at, "imported:ann"), ("late", at + timedelta(days=2), "imported:ann"),
    ]  # fmt: skip


def test_the_dialogs_of_people_are_never_mixed_with_imported_ones(log: SqlDialogStore) -> None:
    talk(log, "hi", "hello")
    with pytest.raises(LogNotEmpty, match="empty folder in KITH_DATA_DIR"):
        log.import_dialogs(list(rated_dialogs(RATINGS)))
    assert len(log.dialogs()) == 1
