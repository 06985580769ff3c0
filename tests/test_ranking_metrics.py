"""Ranks and rates; votes told right, and probabilities that keep their word."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ranking.metrics import (
    BINS,
    auc,
    balanced_accuracy,
    brier,
    calibration_bins,
    calibration_error,
    calibration_floor,
    mean_reciprocal_rank,
    recall_at,
    true_ranks,
)
from storage.estimates import Floats

NAN = math.nan


def columns(predicted: list[float], votes: list[float]) -> Floats:
    return np.array(list(zip(predicted, votes, strict=True)))


@pytest.mark.parametrize(
    ("scores", "rank"),
    [
        ([3.0, 2.0, 1.0], 1),
        ([2.0, 3.0, 1.0], 2),
        ([1.0, 3.0, 2.0], 3),
        ([0.0, 0.0, 0.0], 2),
        ([0.0, 0.0], 2),
        ([NAN, NAN, NAN], 3),
        ([NAN, 1.0, 2.0], 3),
        ([1.0, NAN, 0.0], 2),
        ([-math.inf, 0.0], 2),
    ],
)
def test_the_rank_of_the_true_reply_counts_ties_by_half_and_no_number_as_beaten(scores: list[float], rank: int) -> None:
    assert true_ranks(np.array([scores])).tolist() == [rank]


def test_a_model_that_knows_nothing_is_not_taken_for_a_good_one() -> None:
    constant = true_ranks(np.zeros((50, 20))).astype(float)
    assert recall_at(1)(constant) == 0
    assert mean_reciprocal_rank(constant) < 0.1


@settings(deadline=None)
@given(st.lists(st.lists(st.floats(-5, 5), min_size=4, max_size=4), min_size=1, max_size=9), st.integers(1, 4))
def test_recall_grows_with_k_and_bounds_the_mean_reciprocal_rank(rows: list[list[float]], k: int) -> None:
    ranks = true_ranks(np.array(rows)).astype(float)
    assert recall_at(1)(ranks) <= recall_at(k)(ranks) <= recall_at(4)(ranks) == 1
    assert max(0.25, recall_at(1)(ranks)) <= mean_reciprocal_rank(ranks) <= 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.floats(0.01, 9)), min_size=2, max_size=30))
def test_auc_is_that_of_scikit_learn_with_ties_and_weights_and_without(rows: list[tuple[int, int, float]]) -> None:
    scores, votes, counts = zip(*rows, strict=True)
    if len(set(votes)) == 2:
        assert auc(np.array(rows)[:, :2]) == pytest.approx(roc_auc_score(votes, scores))
        assert auc(np.array(rows)) == pytest.approx(roc_auc_score(votes, scores, sample_weight=counts))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_auc_and_balanced_accuracy_of_one_label_alone_are_not_numbers(label: float) -> None:
    assert math.isnan(auc(columns([0.3, 0.4], [label, label])))
    assert math.isnan(balanced_accuracy(columns([0.3, 0.4], [label, label])))


def test_balanced_accuracy_does_not_pay_for_guessing_the_majority() -> None:
    votes = [1.0] * 9 + [0.0]
    assert balanced_accuracy(columns([0.9] * 10, votes)) == 0.5
    assert balanced_accuracy(columns([0.5] * 9 + [0.49], votes)) == 1


def test_the_brier_score_is_the_mean_squared_distance() -> None:
    assert brier(columns([1.0, 0.5, 0.0], [1.0, 0.0, 1.0])) == pytest.approx((0 + 0.25 + 1) / 3)


def test_calibration_bins_hold_as_many_items_each_and_equal_probabilities_together() -> None:
    spread = calibration_bins(columns(np.linspace(0, 1, 150).tolist(), [0.0, 1.0] * 75))
    assert len(spread) == BINS
    assert {found.items for found in spread} == {10}
    [alone] = calibration_bins(columns([0.3] * 40, [1.0] * 10 + [0.0] * 30))
    assert alone == pytest.approx((0.3, 0.25, 40))


def test_calibration_error_is_the_mean_gap_of_probability_and_likes() -> None:
    assert calibration_error(columns([0.8] * 10, [1.0] * 8 + [0.0] * 2)) == pytest.approx(0)
    assert calibration_error(columns([0.9] * 10, [0.0] * 10)) == pytest.approx(0.9)
    low, high = [0.1] * 20, [0.9] * 20
    assert calibration_error(columns(low + high, [1.0] * 20 + [1.0] * 20)) == pytest.approx((0.9 + 0.1) / 2)


def test_true_probabilities_have_the_error_of_the_floor_and_more_votes_lower_it() -> None:
    draw = np.random.default_rng(0)
    few, many = draw.random(150), draw.random(6000)
    assert calibration_floor(many) < 0.03 < 0.08 < calibration_floor(few)
    true = np.stack([many, draw.random(6000) < many], axis=1)
    assert calibration_error(true) < 1.6 * calibration_floor(many)
    assert calibration_error(np.stack([many**3, true[:, 1]], axis=1)) > 5 * calibration_floor(many)
