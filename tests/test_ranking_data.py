"""What rankers learn from: whose place a context is seen from, how often and by which head a rated reply is learnt, and
what is kept out of training."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoken import context, spoken

from ranking.data import OWN, for_calibration, head_of, position, positions, rated_pairs
from storage.corpora import CorpusDialog, RatedReply


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


def rating(source: str, liked: bool = True) -> RatedReply:
    return RatedReply("d", source, "train", spoken("hi"), "hello", liked)


def test_rated_replies_keep_their_label_and_come_as_often_as_their_source_is_worth() -> None:
    ratings = [rating("twice", i % 2 == 0) for i in range(100)] + [rating("rarely") for _ in range(1000)]
    pairs = rated_pairs([*ratings, rating("never"), rating("unnamed")], 0, {"twice": 2.0, "rarely": 0.08, "never": 0.0})
    counts = Counter((pair.source, pair.liked) for pair in pairs)
    assert counts["twice", True] == counts["twice", False] == 100
    assert 50 <= counts["rarely", True] <= 110
    assert counts["never", True] == 0
    assert counts["unnamed", True] == 1
    assert pairs[0].context == context("hi")


def test_public_votes_have_heads_of_their_own_and_all_others_are_ones_own_peoples() -> None:
    assert head_of("convai2017") == head_of("convai2018") == "convai2017"
    assert head_of("accentor") == "accentor"
    assert head_of("kith") == head_of("voice") == head_of("my log") == OWN


def test_a_tenth_of_the_rated_dialogs_is_for_calibration_and_a_dialog_is_so_as_a_whole() -> None:
    dialogs = [f"d{i}" for i in range(3000)]
    kept = {name for name in dialogs if for_calibration(replace(rating("x"), dialog_id=name))}
    assert 0.08 < len(kept) / 3000 < 0.12
    for name in dialogs[:50]:
        other = replace(rating("y", liked=False), dialog_id=name, reply="something else")
        assert for_calibration(other) == (name in kept)
