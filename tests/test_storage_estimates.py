"""Intervals by bootstrap over dialogs, and paired differences."""

import math

import numpy as np

from storage.estimates import draws, estimate, interval

NAN = math.nan


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


def test_a_paired_difference_is_surer_than_two_figures_apart() -> None:
    """Two models that err on the same items differ for certain, however uncertain each figure is."""
    draw = np.random.default_rng(0)
    hard = draw.normal(size=100)
    groups = [str(i) for i in range(100)]
    better, worse = hard + 0.1 + draw.normal(0, 0.05, 100), hard
    apart = [mean(better[chosen]) - mean(worse[chosen]) for chosen in draws(groups)]
    found = interval(mean(better) - mean(worse), apart)
    assert 0 < found.low < found.value < found.high < 0.2
    assert estimate(better, groups, mean).low < estimate(worse, groups, mean).high
