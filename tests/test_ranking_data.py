"""What the ranker learns from: whose place a context is seen from, what stands against the true reply, and what is kept
out of training."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoken import context, spoken

from ranking import data
from ranking.data import Position, choices, for_calibration, pool_choices, position, positions, rated_pairs
from ranking.pool import normal
from ranking.vectors import Encoder, Vectors
from storage.corpora import CorpusDialog, RatedReply
from storage.dialog import PoolEntry


def dialog(*texts: str, source: str = "kith", lang: str = "en", name: str = "d") -> CorpusDialog:
    return CorpusDialog(name, source, "train", spoken(*texts), lang=lang)


LONG = dialog(*(f"message {i}" for i in range(20)))


@pytest.mark.parametrize("index", [1, 2])
def test_a_place_is_seen_by_the_one_who_speaks_next(index: int) -> None:
    place = position(dialog("hi", "hello", "how are you"), index)
    assert place.reply == ("hi", "hello", "how are you")[index]
    assert [m.text for m in place.context.messages] == ["hi", "hello", "how are you"][:index]
    assert place.context.messages[-1].role == "user"


@given(st.integers(1, 19))
def test_a_place_holds_up_to_eight_messages_and_the_newest_are_those(index: int) -> None:
    said = [m.text for m in position(LONG, index).context.messages]
    assert said == [f"message {i}" for i in range(max(0, index - 8), index)]


def test_places_come_from_many_dialogs_and_are_the_same_for_the_same_seed() -> None:
    dialogs = [dialog("a", "b", "c", name=str(i)) for i in range(30)]
    found = positions(dialogs, 20, seed=1)
    assert len({place.dialog_id for place in found}) == 20
    assert positions(dialogs, 20, seed=1) == found
    assert positions(dialogs, 20, seed=2) != found


def test_dialogs_that_cannot_be_used_give_no_place() -> None:
    unusable = [
        dialog("a", "b", lang="ru"),
        dialog("only one message"),
        dialog(),
        dialog("a", "b", source="convai2018"),
    ]
    assert positions(unusable, 5, seed=0) == []
    assert {place.reply for place in positions([*unusable, dialog("a", "b", lang="")], 5, seed=0)} == {"b"}


def test_the_share_of_a_source_says_how_often_it_is_used() -> None:
    dialogs = [dialog("a", "b", source=source, name=f"{source}{i}") for source in ("x", "y") for i in range(500)]
    found = Counter(place.source for place in positions(dialogs, 300, seed=0, shares={"x": 1.0, "y": 0.25}))
    assert 0.1 < found["y"] / 300 < 0.3


def places(count: int = 40, source: str = "kith") -> list[Position]:
    return [Position(context(f"q{i}", f"a{i}", f"r{i}"), f"reply {i}", source, f"{source}{i}") for i in range(count)]


def on_a_circle(texts: Sequence[str]) -> Vectors:
    """Texts with a number n lie at n fortieths of a circle, so that r7 is near to reply 7, and to replies 6 and 8."""
    angles = [2 * np.pi * int(re.sub(r"\D", "", text) or 0) / 40 for text in texts]
    return np.array([[np.cos(angle), np.sin(angle)] for angle in angles], np.float32)


ENCODER = Encoder(on_a_circle, np.ones(1, np.float32), "circle")
"""Its contexts are their last messages."""


def number(text: str) -> int:
    return int(text.removeprefix("reply "))


def test_the_true_reply_comes_first_and_stands_against_near_and_random_ones() -> None:
    made = choices(places(), ENCODER, seed=0)
    assert [choice.replies[0] for choice in made] == [f"reply {i}" for i in range(40)]
    kinds: Counter[str] = Counter()
    for i, choice in enumerate(made):
        assert choice.context == places()[i].context
        assert 2 <= len(choice.replies) <= 5
        far = [(number(reply) - i) % 40 for reply in choice.replies[1:]]
        near = sum(distance <= 4 or distance >= 36 for distance in far)
        kinds["near"] += near
        kinds["far"] += len(far) - near
    assert kinds["near"] >= 60  # one in eight is the true one, and left out
    assert kinds["far"] >= 40
    assert choices(places(), ENCODER, seed=0) == made
    assert choices(places(), ENCODER, seed=1) != made


def test_wrong_replies_are_of_the_same_source() -> None:
    mixed = [*places(10, "one"), *(replace(place, reply=place.reply.upper()) for place in places(10, "two"))]
    for choice in choices(mixed, ENCODER, seed=0):
        replies = [reply for reply in choice.replies if "reply" in reply.lower()]
        assert {reply.isupper() for reply in replies} == {choice.source == "two"}


@given(st.lists(st.sampled_from(["yes", "Yes!", "no", "so what"]), max_size=8), st.integers(0, 99))
def test_no_reply_of_a_choice_says_the_same_as_another(texts: list[str], seed: int) -> None:
    found = [Position(context("well", text), text, "kith", str(i)) for i, text in enumerate(texts)]
    for choice in choices(found, ENCODER, seed):
        said = [normal(reply) for reply in choice.replies]
        assert len(set(said)) == len(said) >= 2


def test_a_place_where_nothing_else_was_said_gives_no_choice() -> None:
    assert choices([Position(context("yes"), "Yes!", "kith", "1")], ENCODER, seed=0) == []
    assert choices([], ENCODER, seed=0) == []


def test_many_places_are_embedded_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = choices(places(), ENCODER, seed=0)
    monkeypatch.setattr(data, "PART", 7)
    assert choices(places(), ENCODER, seed=0) == whole


def test_pool_replies_stand_against_those_of_other_situations_only() -> None:
    entries = [
        PoolEntry(f"{name}/{i}", f"{name} {i}", (f"{name}?", f"{name}!"), "curated")
        for name in "abc"
        for i in (1, 2, 3)
    ]
    made = pool_choices(entries, 60, seed=0)
    assert len(made) == 60
    for choice in made:
        (asked,) = (message.text for message in choice.context.messages)
        true, *wrong = choice.replies
        assert asked[0] == true[0]
        assert 1 <= len(wrong) <= 4
        assert all(reply[0] != true[0] for reply in wrong)
    assert len({choice.replies for choice in made}) > 30
    assert pool_choices(entries[:3], 5, seed=0) == pool_choices([], 0, seed=0) == []


def rating(source: str, liked: bool = True) -> RatedReply:
    return RatedReply("d", source, "train", spoken("hi"), "hello", liked)


def test_rated_replies_keep_their_label_and_come_as_often_as_their_source_is_worth() -> None:
    ratings = [rating("twice", i % 2 == 0) for i in range(100)] + [rating("rarely") for _ in range(1000)]
    pairs = rated_pairs([*ratings, rating("never"), rating("unnamed")], 0, {"twice": 2.0, "rarely": 0.08, "never": 0.0})
    counts = Counter((pair.source, pair.liked) for pair in pairs)
    assert counts["twice", True] == counts["twice", False] == 100
    assert 50 <= counts["rarely", True] <= 110
    assert counts["never", True] == 0
    assert counts["unnamed", True] == 2
    assert pairs[0].context == context("hi")


def test_a_tenth_of_the_rated_dialogs_is_for_calibration_and_a_dialog_is_so_as_a_whole() -> None:
    dialogs = [f"d{i}" for i in range(3000)]
    kept = {name for name in dialogs if for_calibration(replace(rating("x"), dialog_id=name))}
    assert 0.08 < len(kept) / 3000 < 0.12
    for name in dialogs[:50]:
        other = replace(rating("y", liked=False), dialog_id=name, reply="something else")
        assert for_calibration(other) == (name in kept)
