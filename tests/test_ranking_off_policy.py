"""Off-policy evaluation: in a world where the truth is known the intervals hold it, and what a log cannot tell is
refused. `python tests/covering.py` does the same at length."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logged_world import LOGGING, TARGETS, World, chances, make_world, talked, truth

from ranking.off_policy import (
    DOUBLY_ROBUST,
    IPS,
    SELF_NORMALISED,
    Log,
    as_logged,
    evaluate,
    log_of,
    rewards,
)
from ranking.off_policy import chances as chances_of
from ranking.policy import ScoringPolicy, Weights
from storage.dialog import Candidate, Decision, Scored
from storage.estimates import Floats

REPEATS = 10


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.estimates.RESAMPLES", 200)


def world_and_log(seed: int, dialogs: int = 150, policy: tuple[Floats, float] = LOGGING) -> tuple[World, Log]:
    draw = np.random.default_rng([5, seed])
    world = make_world(draw, dialogs)
    return world, talked(world, draw, chances(world, policy))


def test_intervals_hold_the_truth_where_the_log_alone_is_wrong() -> None:
    target = TARGETS["other weights"]
    true = truth(target, 4_000)
    held = dict.fromkeys((IPS, SELF_NORMALISED, DOUBLY_ROBUST, "as logged"), 0)
    errors = []
    for seed in range(REPEATS):
        world, log = world_and_log(seed)
        found = evaluate(log, chances(world, target).ravel(), "t")
        for method, figures in {**found.figures, "as logged": as_logged(log)}.items():
            figure = figures["approval"]
            held[method] += figure.low <= true["approval"] <= figure.high
        errors.append(found.figures[DOUBLY_ROBUST]["approval"].value - true["approval"])
    assert min(held[method] for method in (IPS, SELF_NORMALISED, DOUBLY_ROBUST)) >= REPEATS - 3
    assert held["as logged"] < REPEATS / 2
    assert abs(np.mean(errors)) < 0.03


def test_the_policy_that_talked_is_estimated_as_what_it_got() -> None:
    _, log = world_and_log(0)
    found = evaluate(log, log.drawn, "the same")
    then = as_logged(log)
    assert found.effective_votes == pytest.approx(log.voted.sum())
    assert found.unsupported == pytest.approx(0.0)
    for name in ("approval", "likes a turn", "votes a turn"):
        assert found.figures[IPS][name] == then[name]
    assert found.figures[IPS]["difference"].value == pytest.approx(0.0)


def test_a_difference_is_surer_than_two_figures_apart() -> None:
    world, log = world_and_log(1)
    figures = evaluate(log, chances(world, TARGETS["lower temperature"]).ravel(), "t").figures[SELF_NORMALISED]
    width, paired = (figures[name].high - figures[name].low for name in ("approval", "difference"))
    assert paired < 0.75 * width


def test_a_good_model_of_the_reward_makes_the_doubly_robust_estimate_surer() -> None:
    world, log = world_and_log(2)
    target = chances(world, TARGETS["always the best"]).ravel()
    known = (world.liked * world.voted).ravel(), world.voted.ravel()
    figures = evaluate(log, target, "t", known).figures
    widths = {method: figures[method]["votes a turn"].high - figures[method]["votes a turn"].low for method in figures}
    assert widths[DOUBLY_ROBUST] < widths[IPS]


@pytest.mark.parametrize(
    ("dialogs", "temperature", "target", "reasons"),
    [
        (10, 0.5, "other weights", ["votes on replies that a policy chose; 50 are needed"]),
        (150, 0.5, "far away", ["Weighted, the", "votes on it are to be expected"]),
        (150, 0.1, "far away", ["votes on it are to be expected"]),
    ],
)
def test_what_the_log_cannot_tell_is_refused_with_the_reason(
    dialogs: int, temperature: float, target: str, reasons: list[str]
) -> None:
    world, log = world_and_log(3, dialogs, (LOGGING[0], temperature))
    found = evaluate(log, chances(world, TARGETS[target]).ravel(), target)
    assert found.figures == {}
    assert any(reason in found.refused for reason in reasons)


def test_a_log_that_never_explored_says_so() -> None:
    world = make_world(np.random.default_rng(0), 150)
    best = (chances(world, (LOGGING[0], 0.0001)) > 0.5).astype(float)
    found = evaluate(
        talked(world, np.random.default_rng(1), best), chances(world, TARGETS["other weights"]).ravel(), "t"
    )
    assert found.refused == "Nothing was drawn by chance: set KITH_EXPLORATION over 0 and gather votes."


def test_what_could_not_be_drawn_is_refused() -> None:
    world = make_world(np.random.default_rng(0), 150)
    target = chances(world, (np.array([0.0, 0.0, 0.0, 0.0, 3.0]), 0.5))
    vetoed = world.features[:, :, 4] > np.sort(world.features[:, :, 4], axis=1)[:, 5:6]
    drawn = np.where(vetoed, 0.0, chances(world, LOGGING))
    log = talked(world, np.random.default_rng(1), drawn / drawn.sum(axis=1, keepdims=True))
    found = evaluate(log, target.ravel(), "t")
    assert "of what it would say could not be drawn when the log was made" in found.refused
    assert found.unsupported == pytest.approx(target[vetoed].sum() / len(target))


numbers = st.floats(-3, 3) | st.sampled_from([0.0, math.nan, math.inf])
rows = st.lists(st.tuples(numbers, numbers, st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=5)


@given(turns=st.lists(rows, min_size=1, max_size=4), temperature=st.sampled_from([0.0, 0.3, 1.0]))
def test_logged_turns_are_decided_as_the_policy_itself_would(
    turns: list[list[tuple[float, float, float]]], temperature: float
) -> None:
    weights = Weights("w", {"a": 0.7, "b": -0.4, "absent": 9.0}, {"veto": 0.75, "gone": 0.5})
    policy = ScoringPolicy(weights, temperature, seed=0)
    decided, expected = [], []
    for rows in turns:
        candidates = [Candidate(str(place), "s", 0.0) for place in range(len(rows))]
        features = {name: [row[at] for row in rows] for at, name in enumerate(("a", "b", "veto"))}
        decision = policy(candidates, features)
        decided.append(("d", replace(decision, chosen=decision.chosen or 0), 0))
        expected += [scored.probability for scored in decision.ranked]
    assert chances_of(log_of(decided), weights, temperature) == pytest.approx(np.array(expected), abs=1e-9)


def decision(*features: dict[str, float]) -> Decision:
    ranked = tuple(Scored(Candidate(str(n), "s", 0.0), each, 0.0, 0.5) for n, each in enumerate(features))
    return Decision("0", "policy", ranked, 1)


def test_a_feature_that_came_up_later_was_nothing_before() -> None:
    log = log_of([("a", decision({"x": 1.0}, {"x": 2.0}), 1), ("b", decision({"y": 4.0}, {"x": 3.0, "y": 5.0}), -1)])
    assert log.names == ("x", "y")
    assert log.features.tolist() == [[1, 0], [2, 0], [0, 4], [3, 5]]
    assert (log.said.tolist(), log.turn.tolist()) == ([1, 3], [0, 0, 1, 1])
    assert (log.liked.tolist(), log.voted.tolist()) == ([1, 0], [1, 1])


def test_another_ranker_takes_the_place_of_the_one_that_was_logged() -> None:
    log = log_of([("a", decision({"ranker": 1.0}, {"ranker": 0.0}), 0)])
    weights = Weights("w", {"ranker": 1.0}, {})
    assert chances_of(log, weights, 0.0).tolist() == [1, 0]
    assert chances_of(log, weights, 0.0, np.array([0.0, 1.0])).tolist() == [0, 1]


def test_rewards_are_told_by_models_of_other_dialogs() -> None:
    """In each dialog its own turns alone have a feature that tells all: nobody else can learn it."""
    turns = [(f"d{n}", decision({"x": 0.0}, {"x": 0.0, f"own {n}": 1.0}), n % 2) for n in range(40)]
    liked, _ = rewards(log_of(turns))
    assert liked == pytest.approx(0.5, abs=0.2)
