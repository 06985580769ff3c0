"""The regression set: the shipped places, and what counts as in order."""

import math
from collections.abc import Sequence

from ranking.pool import curated, normal
from ranking.regression import Place, ordered, places
from storage.dialog import Candidate, Context, Message

PLACE = Place("tiny", Context((Message("user", "hi"),)), ("a", "b"), ("c", "d"))


def by(**totals: float) -> list[float]:
    """The share of a place when its replies have these totals."""

    def judge(batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        return [[totals[candidate.text] for candidate in candidates] for _, candidates in batch]

    return [float(share) for share in ordered(judge, [PLACE])]


def test_pairs_count_ties_by_half_and_no_numbers_as_beaten() -> None:
    assert by(a=2, b=3, c=1, d=0) == [1.0]
    assert by(a=2, b=0, c=1, d=1) == [0.5]
    assert by(a=1, b=1, c=1, d=-math.inf) == [0.75]
    assert by(a=math.nan, b=2, c=1, d=1) == [0.5]
    assert by(a=math.nan, b=math.nan, c=0, d=0) == [0.0]


def test_the_shipped_places_are_many_of_each_kind_and_no_reply_is_good_and_bad() -> None:
    found = places()
    assert len(found) >= 60
    assert {"greeting", "grief", "question", "insult", "are you a bot", "nonsense", "joke"} <= {p.kind for p in found}
    for place in found:
        assert place.context.messages[-1].role == "user"
        assert place.good and place.bad and not {*place.good} & {*place.bad}


def test_no_good_reply_is_one_of_the_pool() -> None:
    pool = {normal(entry.reply) for entry in curated()}
    assert [reply for place in places() for reply in place.good if normal(reply) in pool] == []
