"""What a person may ask for: their data, and that it be gone for good."""

import json
from pathlib import Path

import pytest
from turn_values import CHAT, NOTHING, PERSON, ask, talk, turn_for

from storage.dialog import PoolEntry, Received, Vote
from storage.rights import BESIDE, _kept_about
from storage.schema import Base, VoteRow
from storage.store import SqlDialogStore

GROUP = "telegram:-100"
OTHER = "telegram:43"


def test_personal_data_is_a_document_of_all_that_is_kept(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello", "hey")
    store.add_vote(Vote(turn.id, PERSON, -1, "button", "boring"), CHAT)
    store.add_delivery(turn.id, CHAT, ["7"])
    store.add_turn(turn_for(store.ask_again(turn.id, PERSON), "good day"))
    store.set_persona(CHAT, "poet")
    store.add_pool_entries([PoolEntry("liked-1", "hello", ("hi",), "liked")], {"liked-1": [turn.id]})

    data = json.loads(json.dumps(store.personal_data(PERSON)))
    assert (data["person"]["id"], data["person"]["consent"]) == (PERSON, True)
    assert [(chat["key"], chat["persona"]) for chat in data["chats"]] == [(CHAT, "poet")]
    [message] = data["dialogs"][0]["messages"]
    assert (message["text"], message["at"][-6:]) == ("hi", "+00:00")
    first, second = message["replies"]
    assert (first["reply"], first["rejected"]) == ("hello", True)
    assert (second["reply"], second["rejected"]) == ("good day", False)
    assert [candidate["text"] for candidate in first["candidates"]] == ["hello", "hey"]
    assert first["candidates"][0]["features"] == {"ranker": 0.25, "repetition": 0.0}
    assert [vote["reason"] for vote in first["votes"]] == ["boring"]
    assert [event["value"] for event in first["vote_history"]] == [-1]
    assert [shown["external_id"] for shown in first["shown_as"]] == ["7"]
    assert [entry["entry_id"] for entry in first["in_pool"]] == ["liked-1"]
    assert [(entry["reply"], entry["contexts"]) for entry in data["pool"]] == [("hello", ["hi"])]


def test_of_a_pool_entry_that_others_liked_too_one_sees_one_s_own_words(store: SqlDialogStore) -> None:
    mine, theirs = talk(store, "mine", "hello"), talk(store, "theirs", "hello", chat=OTHER, person=OTHER)
    entry = PoolEntry("liked-1", "hello", ("mine", "theirs"), "liked")
    store.add_pool_entries([entry], {"liked-1": [mine.id, theirs.id]})
    assert [entry["contexts"] for entry in store.personal_data(PERSON)["pool"]] == [["mine"]]


def test_a_private_chat_without_a_word_is_shown_and_goes_with_its_topics(store: SqlDialogStore) -> None:
    store.person(PERSON)
    for chat in (CHAT, f"{CHAT}:7", f"{CHAT}7"):
        store.set_persona(chat, "poet")
        store.new_dialog(chat)
    data = store.personal_data(PERSON)
    assert [chat["key"] for chat in data["chats"]] == [CHAT, f"{CHAT}:7"]
    assert [dialog["messages"] for dialog in data["dialogs"]] == [[], []]
    store.forget(PERSON)
    assert [store.persona(chat) for chat in (CHAT, f"{CHAT}:7", f"{CHAT}7")] == ["", "", "poet"]


def test_a_table_beside_the_dialogs_takes_one_line(store: SqlDialogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    turn = talk(store, "hi", "hello")
    store.add_vote(Vote(turn.id, PERSON, 1, "button"), CHAT)
    monkeypatch.setitem(BESIDE, "ballots", VoteRow.person_id)
    assert [ballot["value"] for ballot in store.personal_data(PERSON)["ballots"]] == [1]


def test_updates_in_hand_are_exported_and_forgotten_and_a_block_stays(store: SqlDialogStore) -> None:
    store.receive(Received("telegram:1:7", PERSON, '{"text": "hi"}'))
    store.receive(Received("telegram:1:8", OTHER, '{"text": "ho"}'))
    store.block(PERSON)
    data = store.personal_data(PERSON)
    assert [each["body"] for each in data["received"]] == ['{"text": "hi"}']
    assert [each["id"] for each in data["blocked"]] == [PERSON]
    assert store.forget(PERSON)["received"] == 1
    assert (store.personal_data(PERSON)["received"], store.updates_in_hand()) == ([], 1)
    assert store.blocked() == {PERSON}


def test_every_table_is_about_a_person_or_said_not_to_be() -> None:
    beside = {column.class_.__tablename__ for column in BESIDE.values()}
    covered = {row.__tablename__ for row in _kept_about(PERSON)} | beside
    of_models = {"model_version", "promotion"}  # which count people, and name nobody but who promoted
    assert set(Base.metadata.tables) == covered | of_models


def test_personal_data_of_a_group_is_one_s_own_share(store: SqlDialogStore) -> None:
    talk(store, "mine", "to me", chat=GROUP)
    talk(store, "theirs", "to them", chat=GROUP, person=OTHER)
    data = json.dumps(store.personal_data(PERSON))
    assert "to me" in data
    assert "to them" not in data and "theirs" not in data and OTHER not in data


def test_of_a_stranger_nothing_is_kept(store: SqlDialogStore) -> None:
    assert store.personal_data(PERSON) == NOTHING
    assert set(store.forget(PERSON).values()) == {0}


def test_forgetting_leaves_nothing_of_a_person(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello", "hey")
    store.add_vote(Vote(turn.id, PERSON, 1, "button"), CHAT)
    store.add_delivery(turn.id, CHAT, ["7"])
    store.new_dialog(CHAT)
    store.set_persona(CHAT, "poet")
    counts = store.forget(PERSON)
    assert counts == {
        "person": 1, "chat": 1, "dialog": 2, "message": 1, "turn": 1, "candidate": 2,
        "vote": 1, "vote_event": 1, "after_talk": 0, "pool_entry": 0, "received": 0,
    }  # fmt: skip
    assert store.personal_data(PERSON) == NOTHING
    assert store.turn(turn.id) is None
    assert store.turn_at(CHAT, "7") is None
    assert store.persona(CHAT) == ""
    assert store.dialogs() == []
    assert store.person(PERSON).consent is None  # a stranger again


def test_in_a_group_other_people_s_rows_stay(store: SqlDialogStore) -> None:
    mine = talk(store, "mine", "to me", chat=GROUP)
    theirs = talk(store, "theirs", "to them", chat=GROUP, person=OTHER)
    vote = store.add_vote(Vote(theirs.id, OTHER, 1, "button"), GROUP)
    store.set_persona(GROUP, "poet")
    store.forget(PERSON)
    assert store.turn(mine.id) is None
    assert store.turn(theirs.id) == theirs
    assert store.vote_of(theirs.id, OTHER) == vote
    context = store.context(ask(store, "again", GROUP, OTHER))
    assert [message.text for message in context.messages] == ["theirs", "to them", "again"]
    assert context.persona == "poet"


def test_pool_entries_that_came_from_one_person_go_and_shared_ones_lose_their_words(store: SqlDialogStore) -> None:
    mine = talk(store, "my secret", "hello")
    theirs = talk(store, "good day", "hello", chat=OTHER, person=OTHER)
    imported = PoolEntry("imported-1", "well", ("my secret",), "imported")
    store.add_pool_entries([
        PoolEntry("liked-1", "hello", ("my secret",), "liked"),
        PoolEntry("liked-2", "hello!", ("my secret", "good day"), "liked"),
        imported,
    ], {"liked-1": [mine.id], "liked-2": [mine.id, theirs.id]})  # fmt: skip
    assert store.forget(PERSON)["pool_entry"] == 1
    assert store.pool_entries() == [PoolEntry("liked-2", "hello!", ("good day",), "liked"), imported]
    store.forget(OTHER)
    assert store.pool_entries() == [imported]


def test_the_words_of_a_forgotten_person_are_nowhere_in_the_files(sqlite_url: str, tmp_path: Path) -> None:
    people = ["telegram:1000", "telegram:1001", "telegram:1002"]

    def files_with(person: str) -> list[str]:
        return [file.name for file in tmp_path.iterdir() if person.encode() in file.read_bytes()]

    with SqlDialogStore(sqlite_url) as store:
        for number in range(60):
            ask(store, f"{people[number % 3]} said".ljust(40), GROUP, people[number % 3], str(number))
        # Rows that grow from the end make SQLite split pages, and leave copies that secure_delete does not reach.
        for number in reversed(range(60)):
            store.edit(GROUP, str(number), f"{people[number % 3]} meant".ljust(900))
        for person in people:
            talk(store, f"{person} asks", f"{person} hears", f"{person} could have heard", chat=GROUP, person=person)
        for person in people[:2]:
            assert files_with(person)
            store.forget(person)
            assert files_with(person) == []
        assert files_with(people[2]) == ["kith.db"]


def test_while_somebody_reads_the_log_forgetting_says_that_traces_stay(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("storage.database.BUSY_SECONDS", 0.05)
    with SqlDialogStore(sqlite_url) as store:
        talk(store, "hi", "hello")
        with store.reading() as connection:
            connection.exec_driver_sql("SELECT * FROM message").fetchall()
            assert store.forget(PERSON)["message"] == 1
        assert "traces of forgotten rows stay" in caplog.text
        assert store.personal_data(PERSON)["person"] is None
