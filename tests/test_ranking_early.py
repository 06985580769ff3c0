"""When a reply is so good that a slow source need not be asked: the bound, and the risk that it keeps."""

import math
import random

import pytest

from ranking.early import best_of, learn_bound
from storage.dialog import Candidate, Decision, Scored

SLOW = frozenset({"generation"})


def decision(quick: float | None, slow: float | None, veto: str = "") -> Decision:
    """Of one candidate of each kind at the most, best first; `veto` is the quick one's."""
    totals = [(quick, "retrieval", veto), (slow, "generation", "")]
    ranked = [
        Scored(Candidate(source, source, 0.0), {}, total, 0.0, vetoed)
        for total, source, vetoed in totals
        if total is not None
    ]
    ranked.sort(key=lambda scored: (bool(scored.veto), -scored.total))
    return Decision(ranked[0].candidate.text, "policy", tuple(ranked), 0)


def world(turns: int, seed: int) -> list[Decision]:
    """Quick candidates from 0 to 10, slow ones around 3."""
    draw = random.Random(seed)
    return [decision(draw.uniform(0, 10), draw.gauss(3, 1)) for _ in range(turns)]


def test_the_bound_is_where_slow_candidates_no_longer_win() -> None:
    turns = [decision(float(total), 5.5) for total in range(10) for _ in range(100)]
    found = learn_bound(turns, SLOW)
    assert (found.total, found.turns) == (6.0, 1000)
    assert (found.early.value, found.otherwise.value) == (0.4, 0.0)
    assert found.otherwise.high < 0.01


def test_more_risk_is_more_turns() -> None:
    turns = world(4000, 1)
    careful, bold = learn_bound(turns, SLOW, 0.005), learn_bound(turns, SLOW, 0.05)
    assert careful.total > bold.total and careful.early.value < bold.early.value
    assert careful.otherwise.high <= 0.005 and bold.otherwise.high <= 0.05


def test_the_risk_is_kept_on_other_turns() -> None:
    """In 95 of 100 worlds at least, or the interval promises too much."""
    others = [best_of(turn, SLOW) for turn in world(20_000, 0)]
    kept = 0
    for seed in range(1, 61):
        bound = learn_bound(world(600, seed), SLOW, 0.02).total
        lost = sum(bool(q and s and q.total >= bound and s.total > q.total) for q, s in others)
        kept += lost / len(others) <= 0.02
    assert kept >= 57


def test_equal_totals_are_early_together_or_not_at_all() -> None:
    turns = [decision(9.0, 1.0)] * 500 + [decision(5.0, 1.0)] * 200 + [decision(5.0, 6.0)] * 200
    assert learn_bound(turns, SLOW).total == 9.0


def test_what_was_vetoed_and_turns_without_slow_candidates_show_nothing() -> None:
    turns = [decision(2.0, 1.0)] * 400 + [decision(9.0, 1.0, veto="echo")] * 100 + [decision(5.0, None)] * 300
    found = learn_bound(turns, SLOW)
    assert (found.total, found.turns, found.early.value) == (2.0, 500, 0.8)


@pytest.mark.parametrize("turns", [[], [decision(9.0, 1.0)] * 300, [decision(1.0, 9.0)] * 1000])
def test_too_few_turns_or_too_close_ones_give_no_bound(turns: list[Decision]) -> None:
    found = learn_bound(turns, SLOW)
    assert found.total == math.inf
    assert not found.early.value > 0
