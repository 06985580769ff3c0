"""What a log says about replies: labels that people gave, those that can be told from what they did, and of whom."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from exporting import retry, vote
from sqlalchemy import update
from turn_values import ask, talk, turn_for

from storage.dialog import Candidate, Decision, Scored, Turn, new_id
from storage.redaction import redact
from storage.schema import CandidateRow, DialogRow, MessageRow, TurnRow
from storage.signals import CONTEXT, Disclosed, Kind, Signal, newest, read_signals
from storage.store import SqlDialogStore

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def read(store: SqlDialogStore, hours_later: float = 0) -> list[Signal]:
    disclosed = Disclosed(lambda name: f"<{name}>", redact, timedelta(hours=12), NOON + timedelta(hours=hours_later))
    with store.reading() as connection:
        return list(read_signals(connection, disclosed))


def labels(signals: Sequence[Signal]) -> list[tuple[str, Kind, bool]]:
    return [(signal.rating.reply, signal.kind, signal.rating.liked) for signal in signals]


def said_at(store: SqlDialogStore, turn: Turn, minute: float) -> None:
    """The message was said so many minutes after noon, and answered at once."""
    at = NOON + timedelta(minutes=minute)
    with store.reading() as connection:
        connection.execute(update(MessageRow).where(MessageRow.id == turn.asked.message_id).values(at=at))
        connection.execute(update(TurnRow).where(TurnRow.id == turn.id).values(at=at))
        connection.execute(update(DialogRow).where(DialogRow.id == turn.asked.dialog_id).values(active_at=at))


def begun(store: SqlDialogStore, turn: Turn, hour: int) -> None:
    with store.reading() as connection:
        at = NOON + timedelta(hours=hour)
        connection.execute(update(DialogRow).where(DialogRow.id == turn.asked.dialog_id).values(at=at))


def test_votes_are_explicit_labels_with_their_reason_features_and_time(store: SqlDialogStore) -> None:
    liked, disliked = talk(store, "hi", "hello"), talk(store, "how are you?", "fine")
    vote(store, liked, 1)
    vote(store, disliked, -1, "boring")
    first, second = read(store)
    assert labels([first, second]) == [("hello", "vote", True), ("fine", "vote", False)]
    assert (first.reason, second.reason) == ("", "boring")
    assert first.features == {"ranker": 0.25, "repetition": 0.0}
    assert [m.text for m in second.rating.messages] == ["hi", "hello", "how are you?"]
    assert (first.rating.person, first.rating.weight, first.rating.implicit) == ("<telegram:42>", 1.0, False)
    assert first.rating.at is not None


def test_a_reply_that_was_sent_back_loses_to_the_one_that_was_kept(store: SqlDialogStore) -> None:
    retry(store, retry(store, talk(store, "hi", "bad"), "worse"), "good")
    talk(store, "and now?", "onward")
    found = read(store)
    assert labels(found)[:3] == [("bad", "retry", False), ("worse", "retry", False), ("good", "kept", True)]
    assert [signal.rating.implicit for signal in found[:3]] == [False, False, True]
    assert [m.text for m in found[2].rating.messages] == ["hi"]


def test_whether_a_person_went_on_soon_is_an_implicit_label(store: SqlDialogStore) -> None:
    turns = [talk(store, f"message {i}", f"reply {i}") for i in range(3)]
    for turn, minute in zip(turns, (0, 4, 60), strict=True):
        said_at(store, turn, minute)
    assert labels(read(store, 1)) == [("reply 0", "went_on", True)]  # of the last nobody knows yet
    assert labels(read(store, 24)) == [("reply 0", "went_on", True), ("reply 2", "ended", False)]
    assert all(signal.rating.implicit for signal in read(store, 24))


def test_of_a_reply_with_a_vote_it_is_known_whether_the_person_went_on(store: SqlDialogStore) -> None:
    turns = [talk(store, f"message {i}", f"reply {i}") for i in range(4)]
    for turn, minute in zip(turns, (0, 4, 60, 61), strict=True):
        said_at(store, turn, minute)
        vote(store, turn, 1)
    retry(store, turns[3], "another")
    found = {signal.rating.reply: signal.went_on for signal in read(store, 24)}
    assert found == {"reply 0": True, "reply 1": None, "reply 2": True, "reply 3": None, "another": None}


@pytest.mark.parametrize("origin", ["goodbyes.bye/3", "listening.farewell/0"])
def test_a_goodbye_may_end_a_dialog(store: SqlDialogStore, origin: str) -> None:
    turn = talk(store, "bye", "see you")
    with store.reading() as connection:
        connection.execute(update(CandidateRow).values(origin=origin))
    said_at(store, turn, 0)
    assert read(store, 24) == []


def test_in_a_group_it_counts_what_the_same_person_does(store: SqlDialogStore) -> None:
    mine = talk(store, "hi", "hello", chat="telegram:-1", person="telegram:1")
    theirs = talk(store, "hey", "good day", chat="telegram:-1", person="telegram:2")
    for turn in (mine, theirs):
        said_at(store, turn, 0)
    assert labels(read(store, 24)) == [("hello", "ended", False), ("good day", "ended", False)]


def test_fallbacks_and_what_was_moderated_teach_nothing(store: SqlDialogStore) -> None:
    vote(store, talk(store, "what?"), 1)
    asked = ask(store, "I am so sad")
    lines = Candidate("You are not alone.", "moderation", 1.0, "despair/1")
    store.add_turn(
        Turn(new_id(), asked, "I am so sad", Decision(lines.text, "moderated", (Scored(lines, {}, 0, 1),), 0), {}, {})
    )
    assert read(store, 24) == []


def test_who_did_not_say_yes_teaches_nothing_and_who_was_forgotten_is_gone(store: SqlDialogStore) -> None:
    for person in ("telegram:1", "telegram:2", "telegram:3"):
        vote(store, talk(store, "hi", f"hello {person}", chat=person, person=person), 1)
    store.change_person("telegram:1", consent=False)
    store.forget("telegram:2")
    assert [signal.rating.person for signal in read(store)] == ["<telegram:3>"]


def test_texts_are_as_in_an_export_and_a_context_keeps_its_newest_messages(store: SqlDialogStore) -> None:
    for i in range(CONTEXT):
        talk(store, f"message {i}", f"reply {i}")
    vote(store, talk(store, "write to me@example.org", "I will"), 1)
    last = [signal for signal in read(store) if signal.kind == "vote"][-1]
    assert len(last.rating.messages) == CONTEXT
    assert last.rating.messages[-1].text == "write to [email]"


def test_the_newest_dialogs_with_votes_are_split_off_by_their_start(store: SqlDialogStore) -> None:
    turns = [talk(store, "hi", f"reply {i}", chat=f"telegram:{i}", person=f"telegram:{i}") for i in range(11)]
    for i, turn in enumerate(turns):
        begun(store, turn, -i)  # the first is the newest
        said_at(store, turn, 0)
        if i < 10:
            vote(store, turn, 1)
    older, newer, until = newest(read(store, 24), 0.3)
    assert {signal.rating.reply for signal in newer} == {"reply 0", "reply 1", "reply 2"}
    assert {signal.rating.reply for signal in older} == {f"reply {i}" for i in range(3, 11)}
    assert until == NOON - timedelta(hours=2)


def test_one_dialog_has_nothing_newer(store: SqlDialogStore) -> None:
    vote(store, talk(store, "hi", "hello"), 1)
    older, newer, until = newest(read(store), 0.3)
    assert (len(older), newer, until) == (1, [], None)
    store.add_turn(turn_for(ask(store, "hm"), "yes"))
    assert newest([], 0.3) == ([], [], None)
