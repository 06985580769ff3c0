"""Training pairs: whose place a context is seen from, and what stands against the true reply."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoken import context, spoken

from ranking.data import Position, dialog_pairs, pool_pairs, position, positions, rated_pairs
from ranking.pool import normal
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


def places(count: int = 40) -> list[Position]:
    return [Position(context(f"q{i}", f"a{i}", f"r{i}"), f"reply {i}", "kith", str(i)) for i in range(count)]


def test_the_true_reply_stands_against_one_from_outside_and_one_out_of_the_dialog_itself() -> None:
    found = places()
    nearest = np.array([[(i + 1) % 40, (i + 2) % 40] for i in range(40)])
    pairs = dialog_pairs(found, nearest, seed=0)
    kinds: Counter[str] = Counter()
    for pair in pairs:
        i = int(pair.context.messages[0].text[1:])
        if pair.liked:
            assert pair.reply == f"reply {i}"
            kinds["true"] += 1
        elif pair.reply in {m.text for m in pair.context.messages}:
            kinds["own words" if pair.reply == f"r{i}" else "said before"] += 1
        else:
            kinds["nearest" if pair.reply in (f"reply {(i + 1) % 40}", f"reply {(i + 2) % 40}") else "random"] += 1
    assert kinds["true"] == 40
    assert min(kinds[kind] for kind in ("own words", "said before", "nearest", "random")) >= 5
    assert dialog_pairs(found, nearest, seed=0) == pairs


@given(st.lists(st.sampled_from(["yes", "Yes!", "no", "so what"]), min_size=1, max_size=8), st.integers(0, 99))
def test_the_true_reply_never_stands_against_itself(texts: list[str], seed: int) -> None:
    found = [Position(context(text), text, "kith", str(i)) for i, text in enumerate(texts)]
    nearest = np.array([range(len(found))] * len(found))
    for pair in dialog_pairs(found, nearest, seed):
        assert pair.liked or normal(pair.reply) != normal(pair.context.last)


def test_pool_replies_stand_against_those_of_other_situations_only() -> None:
    entries = [
        PoolEntry(f"{name}/{i}", f"{name} {i}", (f"{name}?", f"{name}!"), "curated")
        for name in "abc"
        for i in (1, 2, 3)
    ]
    pairs = pool_pairs(entries, 60, seed=0)
    assert sum(pair.liked for pair in pairs) == 60
    for pair in pairs:
        assert pair.liked == (pair.context.last[0] == pair.reply[0])
    assert sum(not pair.liked for pair in pairs) > 60


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
