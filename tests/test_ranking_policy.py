"""The policy: weights, vetoes, the draw and its probability, and files of weights."""

import json
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.features import cheap_features
from ranking.policy import PolicyError, ScoringPolicy, Weights, load_weights, softmax
from storage.dialog import Candidate, Decision

numbers = st.floats(-50, 50)
anything = st.floats()
temperatures = st.floats(0, 10) | st.sampled_from([0.0, 1e-300, 1e300])


def candidates(count: int) -> list[Candidate]:
    return [Candidate(f"reply {i}", "retrieval", 0.0) for i in range(count)]


def decide(totals: list[float], temperature: float = 0.0, seed: int = 0) -> Decision:
    policy = ScoringPolicy(Weights("v", {"x": 1.0}, {}), temperature, seed)
    return policy(candidates(len(totals)), {"x": totals})


def test_greedy_takes_the_best_total_with_certainty() -> None:
    decision = decide([0.1, 0.7, 0.3])
    assert (decision.reply, decision.reason, decision.chosen) == ("reply 1", "policy", 0)
    assert [scored.probability for scored in decision.ranked] == [1.0, 0.0, 0.0]
    assert [scored.total for scored in decision.ranked] == [0.7, 0.3, 0.1]


def test_of_equals_greedy_takes_the_first() -> None:
    assert {decide([0.5, 0.5, 0.5], seed=seed).reply for seed in range(20)} == {"reply 0"}


@given(st.lists(st.tuples(numbers, st.floats(0, 50)), min_size=1, max_size=6), st.floats(0.01, 50), temperatures)
def test_a_penalty_is_never_a_reward(rows: list[tuple[float, float]], penalty: float, temperature: float) -> None:
    """Whatever the weights sum up to: more of what is punished makes neither total nor probability greater."""
    policy = ScoringPolicy(Weights("v", {"good": 0.1, "bad": -penalty}, {}), temperature)
    good, bad = [good for good, _ in rows], [bad for _, bad in rows]
    before = policy(candidates(len(rows)), {"good": good, "bad": bad})
    after = policy(candidates(len(rows)), {"good": good, "bad": [bad[0] + 1, *bad[1:]]})

    def first(decision: Decision) -> tuple[float, float]:
        return next((s.total, s.probability) for s in decision.ranked if s.candidate.text == "reply 0")

    assert first(after)[0] < first(before)[0]
    assert first(after)[1] <= first(before)[1] + 1e-12


@given(st.lists(anything, max_size=8), temperatures, st.integers())
def test_whatever_the_numbers_the_decision_is_sound(values: list[float], temperature: float, seed: int) -> None:
    policy = ScoringPolicy(Weights("v", {"x": 1.0}, {"x": 40.0}), temperature, seed)
    decision = policy(candidates(len(values)), {"x": values})
    fit = [s for s in decision.ranked if not s.veto]
    assert len(decision.ranked) == len(values)
    assert all(math.isfinite(s.total) and s.total < 40 for s in fit)
    assert all(s.probability == 0 for s in decision.ranked if s.veto)
    assert [s.total for s in fit] == sorted((s.total for s in fit), reverse=True)
    if fit:
        assert sum(s.probability for s in fit) == pytest.approx(1)
        assert decision.chosen is not None
        assert decision.ranked[decision.chosen].probability > 0
        assert decision.reply == decision.ranked[decision.chosen].candidate.text
    else:
        assert (decision.reply, decision.reason, decision.chosen) == ("", "fallback", None)


@given(st.lists(numbers | st.just(-math.inf), max_size=8), temperatures)
def test_softmax_gives_probabilities_in_the_order_of_the_totals(totals: list[float], temperature: float) -> None:
    probabilities = softmax(totals, temperature)
    assert all(0 <= p <= 1 for p in probabilities)
    if any(total > -math.inf for total in totals):
        assert sum(probabilities) == pytest.approx(1)
    else:
        assert probabilities == [0.0] * len(totals)
    pairs = list(zip(totals, probabilities, strict=True))
    assert all(p <= q for t, p in pairs for u, q in pairs if t < u)
    assert all(p == 0 for t, p in pairs if t == -math.inf)


def test_replies_are_drawn_as_often_as_their_probability_says() -> None:
    draws = 4000
    policy = ScoringPolicy(Weights("v", {"x": 1.0}, {}), temperature=0.7, seed=1)
    values = [0.0, 1.0, -0.5, 0.4]
    decisions = [policy(candidates(4), {"x": values}) for _ in range(draws)]
    drawn = Counter(decision.reply for decision in decisions)
    for scored in decisions[0].ranked:
        p = scored.probability
        four_sigma = 4 * math.sqrt(p * (1 - p) / draws)
        assert drawn[scored.candidate.text] / draws == pytest.approx(p, abs=four_sigma)


def test_the_random_numbers_go_on_from_message_to_message() -> None:
    policy = ScoringPolicy(Weights("v", {"x": 1.0}, {}), temperature=1.0, seed=3)
    replies = [policy(candidates(2), {"x": [0.0, 0.0]}).reply for _ in range(60)]
    assert 15 <= replies.count("reply 0") <= 45
    again = ScoringPolicy(Weights("v", {"x": 1.0}, {}), temperature=1.0, seed=3)
    assert [again(candidates(2), {"x": [0.0, 0.0]}).reply for _ in range(60)] == replies


def test_a_score_of_zero_stays_zero_and_beats_what_is_below_it() -> None:
    decision = decide([-1.0, 0.0, -0.5])
    assert decision.reply == "reply 1"
    assert decision.ranked[0].total == 0.0
    assert decision.ranked[0].features == {"x": 0.0}


def test_a_veto_begins_at_its_limit_and_names_its_feature() -> None:
    policy = ScoringPolicy(Weights("v", {"x": 1.0}, {"echo": 0.75}))
    decision = policy(candidates(3), {"x": [9.0, 5.0, 1.0], "echo": [0.75, 0.8, 0.7499]})
    assert decision.reply == "reply 2"
    assert [(s.candidate.text, s.veto) for s in decision.ranked] == [
        ("reply 2", ""), ("reply 0", "echo"), ("reply 1", "echo"),
    ]  # fmt: skip


@pytest.mark.parametrize("count", [0, 3])
def test_without_a_candidate_that_may_be_said_the_decision_is_a_fallback(count: int) -> None:
    policy = ScoringPolicy(Weights("v", {"x": 1.0}, {"unsafe": 1}), temperature=1.0)
    decision = policy(candidates(count), {"x": [1.0] * count, "unsafe": [1.0] * count})
    assert (decision.reply, decision.reason, decision.chosen) == ("", "fallback", None)
    assert len(decision.ranked) == count


@pytest.mark.parametrize("strange", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("feature", ["x", "shadow"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_candidate_whose_feature_is_no_number_is_never_said(strange: float, feature: str, temperature: float) -> None:
    policy = ScoringPolicy(Weights("v", {"x": 0.0, "y": 1.0}, {}), temperature, seed=0)
    values = {"x": [0.0, 0.0], "y": [5.0, 1.0], "shadow": [0.0, 0.0]}
    values[feature] = [strange, 0.0]
    decision = policy(candidates(2), values)
    assert decision.reply == "reply 1"
    assert decision.ranked[1].veto == "not a number"


def test_a_feature_without_a_weight_is_logged_and_changes_nothing() -> None:
    policy = ScoringPolicy(Weights("v", {"x": 1.0}, {}))
    decision = policy(candidates(2), {"x": [1.0, 2.0], "shadow": [100.0, -100.0]})
    assert decision.reply == "reply 1"
    assert decision.ranked[0].features == {"x": 2.0, "shadow": -100.0}


def test_a_weight_without_a_feature_counts_nothing() -> None:
    policy = ScoringPolicy(Weights("v", {"x": 1.0, "absent": 100.0}, {"gone": 0.5}))
    assert [s.total for s in policy(candidates(2), {"x": [1.0, 2.0]}).ranked] == [2.0, 1.0]


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=5))
def test_a_logged_turn_can_be_decided_again_from_its_features_alone(rows: list[tuple[float, float]]) -> None:
    policy = ScoringPolicy(Weights("v", {"a": 0.3, "b": -0.7}, {"b": 30.0}), temperature=0.5)
    first = policy(candidates(len(rows)), {"a": [a for a, _ in rows], "b": [b for _, b in rows]})
    logged = first.ranked
    features = {name: [scored.features[name] for scored in logged] for name in ("a", "b")}
    again = policy([scored.candidate for scored in logged], features).ranked
    assert [(s.candidate, s.total, s.veto) for s in again] == [(s.candidate, s.total, s.veto) for s in logged]
    assert [s.probability for s in again] == pytest.approx([s.probability for s in logged])


def test_the_version_names_weights_and_temperature() -> None:
    assert ScoringPolicy(Weights("fitted 2026-11-20", {}, {}), 0.3).version == "fitted 2026-11-20, temperature 0.3"


def test_the_shipped_weights_name_features_that_exist_and_veto_what_must_not_be_said() -> None:
    weights = load_weights()
    known = {*cheap_features(), "relevance", "ranker", "taste", "careless", "nearest"}
    assert {*weights.weights, *weights.vetoes} <= known
    assert {"unsafe", "careless", "rejected", "repetition", "echo", "wordless"} <= set(weights.vetoes)
    assert all(0 < limit <= 1 for limit in weights.vetoes.values())


def test_weights_are_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({"version": "mine", "weights": {"length": -1}, "vetoes": {"echo": 0.5}}))
    assert load_weights(file) == Weights("mine", {"length": -1.0}, {"echo": 0.5})


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"version": "v", "weights": {"x": "much"}, "vetoes": {}}',
        '{"version": "v", "weights": {"x": null}, "vetoes": {}}',
        '{"version": "v", "weights": {"x": NaN}, "vetoes": {}}',
        '{"version": "v", "weights": [1], "vetoes": {}}',
        '{"version": "v", "weights": {}}',
        None,
    ],
)
def test_a_file_that_is_no_policy_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "policy.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(PolicyError, match=r"policy\.json is not a file of policy weights"):
        load_weights(file)
