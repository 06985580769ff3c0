"""Ranks, rates and their intervals."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.metrics import auc, estimate, mean_reciprocal_rank, recall_at, true_ranks

NAN = math.nan


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


@given(st.lists(st.lists(st.floats(-5, 5), min_size=4, max_size=4), min_size=1, max_size=9), st.integers(1, 4))
def test_recall_grows_with_k_and_bounds_the_mean_reciprocal_rank(rows: list[list[float]], k: int) -> None:
    ranks = true_ranks(np.array(rows)).astype(float)
    assert recall_at(1)(ranks) <= recall_at(k)(ranks) <= recall_at(4)(ranks) == 1
    assert max(0.25, recall_at(1)(ranks)) <= mean_reciprocal_rank(ranks) <= 1


def test_auc_is_the_chance_that_a_liked_item_scores_higher() -> None:
    labels = [1.0, 1.0, 0.0, 0.0]
    assert auc(np.array(list(zip([4.0, 3.0, 2.0, 1.0], labels, strict=True)))) == 1
    assert auc(np.array(list(zip([1.0, 1.0, 1.0, 1.0], labels, strict=True)))) == 0.5
    assert auc(np.array(list(zip([4.0, 1.0, 3.0, 2.0], labels, strict=True)))) == 0.5


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_auc_of_one_label_alone_is_not_a_number(label: float) -> None:
    assert math.isnan(auc(np.array([[0.3, label], [0.4, label]])))


def mean(items: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    return float(items.mean())


def test_an_estimate_holds_its_value_and_is_the_same_each_time() -> None:
    items = np.random.default_rng(0).normal(size=200)
    groups = [str(i) for i in range(200)]
    found = estimate(items, groups, mean)
    assert found.low < found.value == items.mean() < found.high
    assert estimate(items, groups, mean) == found
    assert str(found) == f"{found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"


def test_items_of_one_dialog_do_not_count_as_independent() -> None:
    """Two hundred copies of ten opinions tell no more than the ten."""
    items = np.repeat(np.random.default_rng(0).normal(size=10), 20)
    together = estimate(items, [str(i // 20) for i in range(200)], mean)
    alone = estimate(items, [str(i) for i in range(200)], mean)
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_an_interval_passes_over_resamples_in_which_the_figure_is_not_a_number() -> None:
    found = estimate(np.array([1.0, 0.0, 1.0]), ["a", "b", "c"], lambda items: 1.0 if items.min() == 0 else NAN)
    assert found.value == found.low == found.high == 1
