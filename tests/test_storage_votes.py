"""Votes: one stands for each person and turn, all are kept as history."""

from typing import Any

import pytest
from turn_values import CHAT, PERSON, talk

from storage.dialog import Vote, VoteValue
from storage.store import NotAddressed, SqlDialogStore, UnknownTurn


def history(store: SqlDialogStore) -> list[tuple[int, str]]:
    reply = store.personal_data(PERSON)["dialogs"][0]["messages"][0]["replies"][0]
    events: list[dict[str, Any]] = reply["vote_history"]
    return [(event["value"], event["reason"]) for event in events]


def vote(store: SqlDialogStore, turn_id: str, value: VoteValue, reason: str = "") -> Vote:
    return store.add_vote(Vote(turn_id, PERSON, value, "button", reason), CHAT)


def test_the_last_vote_stands_and_the_earlier_ones_are_history(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello")
    assert store.vote_of(turn.id, PERSON) is None
    up = vote(store, turn.id, 1)
    assert store.vote_of(turn.id, PERSON) == up
    down = vote(store, turn.id, -1)
    assert store.vote_of(turn.id, PERSON) == down
    assert history(store) == [(1, ""), (-1, "")]
    assert [(dialog.likes, dialog.dislikes) for dialog in store.dialogs()] == [(0, 1)]


def test_a_double_tap_counts_once(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello")
    first = vote(store, turn.id, 1)
    assert store.add_vote(Vote(turn.id, PERSON, 1, "reaction"), CHAT) == first
    assert history(store) == [(1, "")]


def test_a_vote_can_be_taken_back(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello")
    vote(store, turn.id, 1)
    assert vote(store, turn.id, 0).value == 0
    assert store.vote_of(turn.id, PERSON) is None
    assert vote(store, turn.id, 0).value == 0  # there is nothing left to take back
    assert history(store) == [(1, ""), (0, "")]


def test_a_reason_joins_the_dislike_that_stands(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello")
    vote(store, turn.id, -1)
    assert vote(store, turn.id, 0, "boring").value == -1
    standing = store.vote_of(turn.id, PERSON)
    assert standing and (standing.value, standing.reason) == (-1, "boring")
    assert vote(store, turn.id, -1).reason == "boring"  # the 👎 once more, late
    assert history(store) == [(-1, ""), (-1, "boring")]


@pytest.mark.parametrize("standing", [1, 0])
def test_a_reason_without_a_dislike_changes_nothing(store: SqlDialogStore, standing: VoteValue) -> None:
    turn = talk(store, "hi", "hello")
    before = vote(store, turn.id, standing)
    after = vote(store, turn.id, 0, "boring")
    assert (after.value, after.reason) == (before.value, "")


def test_a_like_has_no_reason(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello")
    vote(store, turn.id, -1, "rude")
    assert vote(store, turn.id, 1).reason == ""
    assert vote(store, turn.id, -1).reason == ""  # the old one was about another mood


def test_a_vote_survives_a_restart(database_url: str) -> None:
    with SqlDialogStore(database_url) as store:
        turn = talk(store, "hi", "hello")
        given = vote(store, turn.id, 1)
    with SqlDialogStore(database_url) as store:
        assert store.vote_of(turn.id, PERSON) == given


def test_a_reply_that_was_sent_back_can_be_voted_on(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello")
    store.ask_again(turn.id, PERSON)
    assert vote(store, turn.id, -1).value == -1


@pytest.mark.parametrize("change, error", [
    ({"turn_id": "0" * 32}, UnknownTurn),
    ({"person_id": "telegram:666"}, NotAddressed),
    ({"chat": "telegram:-666"}, UnknownTurn),
])  # fmt: skip
def test_a_forged_vote_is_refused_and_changes_nothing(
    store: SqlDialogStore, change: dict[str, str], error: type[Exception]
) -> None:
    turn = talk(store, "hi", "hello")
    forged = {"turn_id": turn.id, "person_id": PERSON, "chat": CHAT} | change
    with pytest.raises(error):
        store.add_vote(Vote(forged["turn_id"], forged["person_id"], -1, "button"), forged["chat"])
    assert history(store) == []


def test_the_votes_of_a_dialog_are_shown_with_it(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello")
    given = vote(store, turn.id, -1, "untrue")
    dialog = store.dialog(turn.asked.dialog_id)
    assert dialog and dialog.messages[0].turns[0].votes == (given,)
