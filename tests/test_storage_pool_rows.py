"""The pool's part of the log: entries, and the replies that earned a place in it."""

import pytest
from turn_values import talk

from storage.dialog import PoolEntry, Vote, VoteValue
from storage.store import LikedReply, SqlDialogStore

ENTRIES = [
    PoolEntry("imported-1", "Hello!", ("hi", "good day"), "imported"),
    PoolEntry("imported-2", "Доброе утро 🌞", ("утро",), "imported"),
]


def rate(store: SqlDialogStore, number: int, value: VoteValue, reply: str = "Nice!", text: str = "I won") -> str:
    """A person of their own gets a reply and votes on it; the turn's id."""
    person = f"telegram:{number}"
    turn = talk(store, text, reply, chat=person, person=person)
    store.add_vote(Vote(turn.id, person, value, "button"), person)
    return turn.id


def test_entries_come_back_as_they_were_added(store: SqlDialogStore) -> None:
    assert store.pool_entries() == []
    assert store.add_pool_entries(ENTRIES) == 2
    assert store.pool_entries() == ENTRIES


def test_an_entry_is_added_once(store: SqlDialogStore) -> None:
    assert store.add_pool_entries(ENTRIES[:1]) == 1
    assert store.add_pool_entries(ENTRIES) == 1
    assert store.pool_entries() == ENTRIES


def test_an_entry_can_be_removed(store: SqlDialogStore) -> None:
    turn_id = rate(store, 1, 1)
    store.add_pool_entries(ENTRIES, {"imported-1": [turn_id]})
    assert store.remove_pool_entry("imported-1")
    assert not store.remove_pool_entry("imported-1")
    assert store.pool_entries() == ENTRIES[1:]
    assert store.turn(turn_id) is not None


def test_the_state_is_another_after_each_change_of_the_entries(store: SqlDialogStore) -> None:
    empty = store.pool_state()
    store.add_pool_entries(ENTRIES[:1])
    one = store.pool_state()
    store.add_pool_entries(ENTRIES)
    two = store.pool_state()
    store.remove_pool_entry("imported-1")
    other = store.pool_state()
    assert len({empty, one, two, other}) == 4


def test_the_state_is_another_when_an_entry_took_the_place_of_one(store: SqlDialogStore) -> None:
    store.add_pool_entries(ENTRIES)
    before = store.pool_state()
    for gone, new in (("imported-1", "imported-3"), ("imported-2", "imported-2")):
        store.remove_pool_entry(gone)
        store.add_pool_entries([PoolEntry(new, "Hello!", ("hi", "good day"), "imported")])
        assert store.pool_state() != before
        before = store.pool_state()


def test_the_state_is_another_when_somebody_who_is_forgotten_takes_a_context_along(store: SqlDialogStore) -> None:
    turns = [rate(store, number, 1, text=f"said by {number}") for number in (1, 2)]
    shared = PoolEntry("liked-1", "Nice!", ("said by 1", "said by 2"), "liked")
    store.add_pool_entries([shared], {"liked-1": turns})
    before = store.pool_state()
    store.forget("telegram:1")
    assert store.pool_state() != before
    assert [entry.contexts for entry in store.pool_entries()] == [("said by 2",)]


def test_the_state_stays_while_the_entries_do(store: SqlDialogStore) -> None:
    store.add_pool_entries(ENTRIES)
    before = store.pool_state()
    store.add_pool_entries(ENTRIES)
    store.remove_pool_entry("imported-9")
    rate(store, 1, 1)
    store.forget("telegram:1")
    assert store.pool_state() == before


def test_a_reply_that_several_people_like_is_found_with_what_it_answered(store: SqlDialogStore) -> None:
    ids = [rate(store, 1, 1), rate(store, 2, 1, text="I passed"), rate(store, 3, 1)]
    rate(store, 4, -1, text="I lost")
    assert store.liked_replies(people=3) == [LikedReply("Nice!", ("I won", "I passed"), 3, 1, tuple(ids))]
    assert store.liked_replies(people=4) == []


def test_one_person_s_many_likes_are_one(store: SqlDialogStore) -> None:
    for _ in range(3):
        rate(store, 1, 1)
    assert store.liked_replies(people=2) == []


@pytest.mark.parametrize("dislikes, liked", [(2, 1), (3, 0)])
def test_a_reply_that_more_people_dislike_is_not_liked(store: SqlDialogStore, dislikes: int, liked: int) -> None:
    for number in range(2):
        rate(store, number, 1)
    for number in range(dislikes):
        rate(store, 10 + number, -1)
    assert len(store.liked_replies(people=2)) == liked


def test_a_like_that_was_taken_back_does_not_count(store: SqlDialogStore) -> None:
    rate(store, 1, 1)
    turn_id = rate(store, 2, 1)
    store.add_vote(Vote(turn_id, "telegram:2", 0, "button"), "telegram:2")
    assert store.liked_replies(people=2) == []


def test_people_who_did_not_consent_are_not_counted_nor_quoted(store: SqlDialogStore) -> None:
    for number in range(3):
        rate(store, number, 1, text=f"said by {number}")
    store.change_person("telegram:1", consent=False)
    [liked] = store.liked_replies(people=2)
    assert (liked.likes, liked.contexts) == (2, ("said by 0", "said by 2"))


def test_a_dialog_with_somebody_who_did_not_consent_does_not_count(store: SqlDialogStore) -> None:
    for number in range(2):
        rate(store, number, 1)
    assert len(store.liked_replies(people=2)) == 1
    talk(store, "said before", "well", chat="telegram:1", person="telegram:9")
    store.change_person("telegram:9", consent=False)
    assert store.liked_replies(people=2) == []


def test_a_fallback_is_no_find(store: SqlDialogStore) -> None:
    for number in range(3):
        person = f"telegram:{number}"
        turn = talk(store, "hi", chat=person, person=person)
        store.add_vote(Vote(turn.id, person, 1, "button"), person)
    assert store.liked_replies(people=2) == []


def test_the_most_liked_reply_comes_first(store: SqlDialogStore) -> None:
    for number in range(2):
        rate(store, number, 1, reply="A fair reply.")
    for number in range(3):
        rate(store, 10 + number, 1, reply="The best reply.")
    assert [liked.reply for liked in store.liked_replies(people=2)] == ["The best reply.", "A fair reply."]
