"""How long words are kept: what goes, what stays, in which batches; on SQLite and on PostgreSQL."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update
from turn_values import CHAT, PERSON, ask, talk

from storage import retention
from storage.dialog import PoolEntry, Turn, Vote, now
from storage.export import FORMATS, Filters, export
from storage.retention import Expiry, expiry
from storage.schema import Base, DialogRow, MessageRow
from storage.store import SqlDialogStore

GROUP = "telegram:-100"
OTHER = "telegram:43"
YEAR = timedelta(days=365)


def ago(store: SqlDialogStore, turn: Turn, age: timedelta) -> Turn:
    """A turn as if it had been that long ago, and its dialog had been silent since."""
    with store._writing() as connection:
        old = now() - age
        connection.execute(update(MessageRow).where(MessageRow.id == turn.asked.message_id).values(at=old))
        connection.execute(update(DialogRow).where(DialogRow.id == turn.asked.dialog_id).values(active_at=old))
    return turn


def prune(store: SqlDialogStore, gone: Expiry) -> list[int]:
    """How many messages went in each batch."""
    batches = []
    while count := store.prune(gone):
        batches.append(count)
    return batches


def words(store: SqlDialogStore) -> str:
    """All that is in any row of any table."""
    with store.reading() as connection:
        return "\n".join(str(row) for table in Base.metadata.sorted_tables for row in connection.execute(select(table)))


def test_old_messages_go_with_all_that_answered_them(store: SqlDialogStore) -> None:
    old = talk(store, "an old secret", "an old reply", "an old thought")
    store.add_vote(Vote(old.id, PERSON, -1, "button", "boring"), CHAT)
    store.add_delivery(old.id, CHAT, ["an old place"])
    ago(store, old, YEAR)
    new = talk(store, "a new message", "a new reply")
    gone = expiry(keep_days=364, opted_out_hours=24)
    assert store.count_expired(gone) == {"message": 1, "turn": 1, "candidate": 2, "vote": 1}
    assert prune(store, gone) == [1]
    assert "old" not in words(store)
    assert store.turn(new.id) == new
    assert store.count_expired(gone) == {"message": 0, "turn": 0, "candidate": 0, "vote": 0}


def test_by_default_nothing_of_people_who_said_yes_goes(store: SqlDialogStore) -> None:
    ago(store, talk(store, "hi", "hello"), 10 * YEAR)
    assert prune(store, expiry(keep_days=0, opted_out_hours=24)) == []
    assert prune(store, Expiry()) == []


@pytest.mark.parametrize("consent", [False, None])
def test_without_consent_a_dialog_is_kept_while_it_goes_on(store: SqlDialogStore, consent: bool | None) -> None:
    for name, hours in (("before", 25), ("lately", 23)):
        person = f"telegram:{name}"
        asked = store.take(person, person, f"said {name}", name)
        assert asked
        if consent is False:
            store.change_person(person, consent=False)
        with store._writing() as connection:
            active = update(DialogRow).where(DialogRow.id == asked.dialog_id)
            connection.execute(active.values(active_at=now() - timedelta(hours=hours)))
    assert prune(store, expiry(keep_days=0, opted_out_hours=24)) == [1]
    assert "said before" not in words(store) and "said lately" in words(store)
    assert store.person("telegram:before").consent is consent  # what they chose stays
    assert [dialog.chat for dialog in store.dialogs()] == ["telegram:lately"]


def test_a_group_s_dialog_goes_when_one_of_its_people_did_not_consent(store: SqlDialogStore) -> None:
    talk(store, "mine", "to me", chat=GROUP)
    theirs = talk(store, "theirs", "to them", chat=GROUP, person=OTHER)
    store.set_persona(GROUP, "poet")
    kept = ago(store, talk(store, "alone", "to me alone"), 10 * YEAR)
    store.change_person(OTHER, consent=False)
    ago(store, theirs, timedelta(hours=25))
    assert prune(store, expiry(keep_days=0, opted_out_hours=24)) == [2]
    assert store.turn(kept.id) == kept
    assert store.persona(GROUP) == "poet"


def test_batches_are_bounded_and_the_oldest_goes_first(store: SqlDialogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention.prune, "__defaults__", (2,))
    turns = [ago(store, talk(store, f"message {number}", "hello"), YEAR) for number in range(5)]
    gone = expiry(keep_days=1, opted_out_hours=24)
    assert store.prune(gone) == 2
    assert [store.turn(turn.id) is None for turn in turns] == [True, True, False, False, False]
    assert prune(store, gone) == [2, 1]
    assert store.dialogs() == []
    assert ask(store, "hi again")


def test_the_pool_loses_the_words_of_pruned_messages(store: SqlDialogStore) -> None:
    mine, theirs = talk(store, "my secret", "hello"), talk(store, "good day", "hello", chat=OTHER, person=OTHER)
    imported = PoolEntry("imported-1", "well", ("hello there",), "imported")
    entries = [
        PoolEntry("liked-1", "hello", ("my secret",), "liked"),
        PoolEntry("liked-2", "hello!", ("my secret", "good day"), "liked"),
        imported,
    ]
    store.add_pool_entries(entries, {"liked-1": [mine.id], "liked-2": [mine.id, theirs.id]})
    ago(store, mine, YEAR)
    assert prune(store, expiry(keep_days=7, opted_out_hours=24)) == [1]
    assert store.pool_entries() == [PoolEntry("liked-2", "hello!", ("good day",), "liked"), imported]
    assert "my secret" not in words(store)


def test_a_message_that_comes_meanwhile_finds_its_dialog_gone_and_begins_another(store: SqlDialogStore) -> None:
    old = ago(store, talk(store, "old", "hello"), timedelta(hours=2))
    store.change_person(PERSON, consent=False)
    assert prune(store, Expiry(without_consent=now() - timedelta(hours=1))) == [1]
    asked = ask(store, "new")
    assert asked.dialog_id != old.asked.dialog_id
    assert [message.text for message in store.context(asked).messages] == ["new"]


def test_forgetting_leaves_no_row_with_a_word_of_the_person(store: SqlDialogStore, tmp_path: Path) -> None:
    turn = talk(store, "quokkaberry", "You said quokkaberry", "quokkaberry again", chat=GROUP)
    store.add_vote(Vote(turn.id, PERSON, 1, "button"), GROUP)
    store.add_pool_entries([PoolEntry("liked-1", "quokkaberry", ("quokkaberry",), "liked")], {"liked-1": [turn.id]})
    talk(store, "and me", "you too", chat=GROUP, person=OTHER)
    assert "quokkaberry" in words(store) and PERSON in words(store)
    store.forget(PERSON)
    assert "quokkaberry" not in words(store) and PERSON not in words(store)
    for format in FORMATS:
        export(store, format, tmp_path / f"{format}.jsonl", Filters(), None, unredacted=True)
    assert not any("quokkaberry" in file.read_text() for file in tmp_path.glob("*.jsonl"))


def test_times_are_those_of_the_settings() -> None:
    gone = expiry(keep_days=2, opted_out_hours=3)
    assert isinstance(gone.before, datetime) and isinstance(gone.without_consent, datetime)
    assert timedelta(hours=44) < gone.without_consent - gone.before < timedelta(hours=46)
