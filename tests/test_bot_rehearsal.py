"""Talks in memory: who says what in them, and that the pipeline is the real one."""

from collections.abc import Sequence

import pytest
from spoken import spoken

from bot.pipeline import Pipeline
from bot.rehearsal import InMemory, ScriptedUser, answer, scripted_users, self_play, talk
from bot.texts import fallback, load_texts
from ranking.policy import ScoringPolicy, Weights
from storage.dialog import Candidate, Context, Message


def hears(contexts: Sequence[Context]) -> list[list[Candidate]]:
    """A source that says what it has heard."""
    return [[Candidate(f"<{len(c.messages)} {c.last}>", "retrieval", 1.0)] for c in contexts]


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(
        store=InMemory([]),
        sources={"retrieval": hears},
        scorers={},
        policy=ScoringPolicy(Weights("w", {}, {})),
        fallback=fallback(load_texts()),
        personas={"friend": "You are a friend."},
        default_persona="friend",
        versions=lambda: {},
    )


def test_each_place_is_answered_once_whatever_the_batch(pipeline: Pipeline) -> None:
    places = [(f"d{number}", Context(spoken("x", "y", f"text {number}"))) for number in range(5)]
    told: list[int] = []
    for batch in (1, 2, 16):
        found = answer(pipeline, places, told.append, batch)
        assert [(a.dialog, a.turn.decision.reply) for a in found] == [(f"d{n}", f"<3 text {n}>") for n in range(5)]
    assert told == [1] * 5 + [2, 2, 1] + [5]


def test_scripted_users_say_their_lines_whatever_they_hear(pipeline: Pipeline) -> None:
    users = [ScriptedUser("a", "hello", ("one", "two", "three")), ScriptedUser("b", "hello", ("eins",))]
    turns = talk(pipeline, users, lambda _: None)
    assert [(t.dialog, t.turn.message) for t in turns] == [("a", "one"), ("b", "eins"), ("a", "two"), ("a", "three")]
    assert turns[-1].context.messages == spoken("one", "<1 one>", "two", "<3 two>", "three")


def test_in_self_play_each_side_hears_the_other_as_the_person(pipeline: Pipeline) -> None:
    turns = self_play(pipeline, {"a": "hello"}, 3, lambda _: None)
    assert [turn.turn.message for turn in turns] == ["hello", "<1 hello>", "<2 <1 hello>>"]
    assert turns[1].context.messages == (Message("assistant", "hello"), Message("user", "<1 hello>"))
    assert turns[2].context.messages == spoken("hello", "<1 hello>", "<2 <1 hello>>")


def test_the_shipped_users_have_ten_messages_and_ten_openings_of_four() -> None:
    users = scripted_users()
    assert len(users) == len({user.name for user in users}) == 40
    assert {len(user.says) for user in users} == {10}
    assert all(text.strip() for user in users for text in user.says)
    openings = [user.opening for user in users]
    assert len(set(openings[:10])) == 10
    assert openings == openings[:10] * 4
    assert len({user.says[0] for user in users}) == 40
