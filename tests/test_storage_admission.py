"""What the log knows of who may talk: blocks, and how many replies somebody asked for."""

from datetime import timedelta

from turn_values import PERSON, ask, talk, turn_for

from storage.dialog import now
from storage.store import SqlDialogStore

OTHER = "telegram:43"
AGO = timedelta(minutes=1)


def test_a_block_is_kept_once_and_goes_when_it_is_taken_back(store: SqlDialogStore) -> None:
    assert store.block(PERSON) and not store.block(PERSON)
    assert store.block("telegram:-100")
    assert store.blocked() == {PERSON, "telegram:-100"}
    assert store.unblock(PERSON) and not store.unblock(PERSON)
    assert store.blocked() == {"telegram:-100"}


def test_a_block_outlives_the_person_s_data(store: SqlDialogStore) -> None:
    talk(store, "hi", "hello")
    store.block(PERSON)
    store.forget(PERSON)
    assert store.blocked() == {PERSON}


def test_replies_asked_for_are_messages_and_those_sent_back_of_one_person_since_a_time(store: SqlDialogStore) -> None:
    talk(store, "theirs", chat=OTHER, person=OTHER)
    turn = talk(store, "hi", "hello")
    ask(store, "not answered yet", chat="telegram:-100")
    assert store.asked_since(PERSON, now() - AGO) == 2
    store.add_turn(turn_for(store.ask_again(turn.id, PERSON), "hey"))
    assert store.asked_since(PERSON, now() - AGO) == 3
    assert store.asked_since(PERSON, now() + AGO) == 0


def test_of_a_message_from_before_what_was_answered_again_since_counts(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello")
    since = now()
    store.add_turn(turn_for(store.ask_again(turn.id, PERSON), "hey"))
    assert store.asked_since(PERSON, since) == 0
    assert store.asked_since(PERSON, since, turn.asked.message_id) == 1
