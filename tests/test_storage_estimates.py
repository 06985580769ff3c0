"""Intervals by bootstrap over dialogs, and paired differences."""

import math

import numpy as np

from storage.estimates import draws, estimate, interval, ratio

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


def test_a_ratio_of_sums_knows_of_whom_its_items_are() -> None:
    draw = np.random.default_rng(0)
    votes = draw.integers(0, 3, 400).astype(float)
    likes = draw.binomial(votes.astype(int), np.repeat(draw.beta(1, 1, 40), 10)).astype(float)
    together = ratio((likes, votes), [str(i // 10) for i in range(400)])
    alone = ratio((likes, votes), [str(i) for i in range(400)])
    assert together.value == alone.value == likes.sum() / votes.sum()
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_a_difference_of_ratios_is_paired() -> None:
    draw = np.random.default_rng(1)
    bottoms = draw.uniform(1, 2, 200)
    tops = bottoms * draw.uniform(0, 1, 200)
    groups = [str(i) for i in range(200)]
    better = tops + draw.uniform(0, 0.2, 200) * bottoms
    gap = ratio((better, bottoms), groups, less=(tops, bottoms))
    alone = ratio((tops, bottoms), groups)
    assert gap.low <= gap.value <= gap.high
    assert gap.high - gap.low < (alone.high - alone.low) / 5


def test_a_bootstrap_t_holds_the_truth_of_few_and_skewed_groups() -> None:
    held = 0
    for seed in range(100):
        draw = np.random.default_rng(seed)
        bottoms = draw.lognormal(0, 1, 40)
        found = ratio((bottoms * (draw.uniform(size=40) < 0.3), bottoms), [str(i) for i in range(40)])
        held += found.low <= 0.3 <= found.high
    assert 88 <= held <= 100


def test_a_ratio_of_nothing_and_of_one_group_has_no_interval() -> None:
    one = ratio((np.array([1.0, 2.0]), np.array([2.0, 4.0])), ["a", "a"])
    assert one.value == 0.5
    assert math.isnan(one.low) and math.isnan(one.high)
    assert math.isnan(ratio((np.zeros(3), np.zeros(3)), ["a", "b", "c"]).value)
