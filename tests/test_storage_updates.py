"""Updates in the store: kept until they are done, known when they come again, and gone when they are old."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select
from turn_values import CHAT, PERSON, ask, talk, turn_for

from storage.dialog import Received, now
from storage.schema import ReceivedRow
from storage.store import AlreadyAnswered, SqlDialogStore
from storage.updates import BODIES_KEPT, KEYS_KEPT, PRUNED

BOT = "telegram:1:"


def update(number: int, person: str = PERSON, age: timedelta = timedelta()) -> Received:
    return Received(f"{BOT}{number}", person, f'{{"text": "secret {number}"}}', at=now() - age)


def rows(store: SqlDialogStore) -> int:
    with store.reading() as connection:
        return connection.execute(select(func.count()).select_from(ReceivedRow)).scalar_one()


def pending(store: SqlDialogStore) -> list[str]:
    return [each.key.removeprefix(BOT) for each in store.unfinished(BOT)]


def test_what_is_not_done_is_found_in_the_order_in_which_it_came(store: SqlDialogStore) -> None:
    for number in (3, 1, 2):
        assert store.receive(update(number))
    store.finish(f"{BOT}1")
    store.receive(Received("telegram:12:1", PERSON, "{}"))  # another bot's
    found = store.unfinished(BOT)
    assert [(each.key, each.body, each.tries) for each in found] == [
        (f"{BOT}3", '{"text": "secret 3"}', 1),
        (f"{BOT}2", '{"text": "secret 2"}', 1),
    ]
    assert [each.tries for each in store.unfinished(BOT)] == [2, 2]


def test_an_update_that_comes_again_is_known_also_when_it_is_done(store: SqlDialogStore) -> None:
    assert store.receive(update(1))
    assert not store.receive(update(1))
    store.finish(f"{BOT}1")
    assert not store.receive(update(1))
    assert pending(store) == []


def test_what_is_done_leaves_its_key_alone(store: SqlDialogStore) -> None:
    store.receive(update(1))
    store.finish(f"{BOT}1")
    with store.reading() as connection:
        row = connection.execute(select(ReceivedRow.__table__)).one()
    assert (row.key, row.person_id, row.body, row.sent_back) == (f"{BOT}1", "", None, "")


def test_a_person_who_is_forgotten_takes_along_what_is_not_done(store: SqlDialogStore) -> None:
    for number, person in enumerate([PERSON, "telegram:43"]):
        store.receive(update(number, person))
    store.forget(PERSON)
    assert pending(store) == ["1"]
    assert not store.receive(update(0))  # and it does not come back


def test_old_keys_go_a_few_with_each_new_update_and_what_is_not_done_stays(store: SqlDialogStore) -> None:
    old = KEYS_KEPT + timedelta(hours=1)
    for number in range(3 * PRUNED):
        store.receive(update(number, age=old))
    for number in range(1, 3 * PRUNED):
        store.finish(f"{BOT}{number}")
    before = rows(store)
    store.receive(update(100))
    assert before - rows(store) == PRUNED - 2  # the first one is not done, and one came
    for number in range(101, 110):
        store.receive(update(number))
    assert pending(store) == ["0", *map(str, range(100, 110))]
    assert rows(store) == 11


def test_what_nobody_finishes_goes_in_the_end(store: SqlDialogStore) -> None:
    store.receive(update(1, age=BODIES_KEPT + timedelta(hours=1)))
    store.receive(update(2))
    assert pending(store) == ["2"]


def test_a_message_has_one_answer_and_what_comes_too_late_is_none(store: SqlDialogStore) -> None:
    asked = ask(store, "hi")
    assert store.answer_to(asked) is None
    first = turn_for(asked, "hello")
    store.add_turn(first)
    with pytest.raises(AlreadyAnswered):
        store.add_turn(turn_for(asked, "from a model that hung"))
    store.add_delivery(first.id, CHAT, ["7", "8"])
    assert store.answer_to(asked) == (store.turn(first.id), 2)


def test_an_update_that_sent_a_reply_back_asks_the_same_again(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello")
    store.receive(update(1))
    assert store.asked_again(f"{BOT}1") is None
    asked = store.ask_again(turn.id, PERSON, f"{BOT}1")
    assert store.asked_again(f"{BOT}1") == asked
    again = turn_for(asked, "hey")
    store.add_turn(again)
    assert store.answer_to(asked) == (store.turn(again.id), 0)
    store.finish(f"{BOT}1")
    assert store.asked_again(f"{BOT}1") is None


def test_a_message_is_found_by_the_update_that_brought_it(store: SqlDialogStore) -> None:
    asked = store.take(CHAT, PERSON, "привет", f"{BOT}1", language="ru")
    assert store.taken(f"{BOT}1") == asked
    assert store.taken(f"{BOT}2") is None
