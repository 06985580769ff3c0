"""Policies that explore no more than what they follow."""

import numpy as np
import pytest

from ranking.exploring import MOST, scale_for, sureness
from ranking.off_policy import Log, chances, log_of
from ranking.policy import ScoringPolicy, Weights
from storage.dialog import Candidate

BEFORE = Weights("before", {"a": 1.0, "b": 0.5}, {})


def log_by(weights: Weights, turns: int = 50) -> Log:
    draw = np.random.default_rng(0)
    policy = ScoringPolicy(weights, 0.3, 0)
    candidates = [Candidate(text, "", 0.0) for text in "xyzu"]
    features = [{name: draw.normal(size=4).tolist() for name in "ab"} for _ in range(turns)]
    return log_of((str(turn), policy(candidates, of_turn), 0) for turn, of_turn in enumerate(features))


def scaled(weights: Weights, scale: float) -> Weights:
    return Weights("scaled", {name: scale * weight for name, weight in weights.weights.items()}, weights.vetoes)


def test_small_weights_are_made_as_sure_as_those_before() -> None:
    log = log_by(BEFORE)
    assert sureness(log, log.drawn) == pytest.approx(sureness(log, chances(log, BEFORE, 0.3)))
    assert scale_for(log, scaled(BEFORE, 0.25), BEFORE, 0.3) == pytest.approx(4.0, abs=1e-3)
    other = Weights("other", {"b": 0.2}, {})
    found = chances(log, scaled(other, scale_for(log, other, BEFORE, 0.3)), 0.3)
    assert sureness(log, found) == pytest.approx(sureness(log, log.drawn), abs=1e-3)


def test_what_is_surer_stays_and_what_knows_nothing_does_not_get_certain() -> None:
    log = log_by(BEFORE)
    assert scale_for(log, scaled(BEFORE, 2), BEFORE, 0.3) == 1.0
    assert scale_for(log, scaled(BEFORE, 0.25), BEFORE, 0.0) == 1.0
    assert scale_for(log_of([]), BEFORE, BEFORE, 0.3) == 1.0
    assert scale_for(log, scaled(BEFORE, 0.001), BEFORE, 0.3) == MOST
