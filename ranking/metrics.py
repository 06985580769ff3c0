"""How well something ranks, and how well probabilities of a 👍 agree with votes.

Figures of votes take `columns` of shape (items, 2): what was predicted, and the vote as 0 or 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from storage.estimates import Floats

BINS = 15
"""Of calibration, each with about as many items as the others."""


class Bin(NamedTuple):
    """Items with like probabilities: the mean of these, the share of likes, how many."""

    predicted: float
    liked: float
    items: int


def true_ranks(scores: Floats) -> NDArray[np.int64]:
    """The rank (1 is best) of column 0, the true reply, in each row of shape (items, candidates). Ties count against it
    by half, rounded up, so that a constant score is no better than chance; what is not a number counts as beaten."""
    better = (~(scores[:, 1:] <= scores[:, :1])).sum(axis=1)
    equal = (scores[:, 1:] == scores[:, :1]).sum(axis=1)
    ranks: NDArray[np.int64] = 1 + better + (equal + 1) // 2
    return ranks


def recall_at(k: int) -> Callable[[Floats], float]:
    """The share of ranks that are k or better."""
    return lambda ranks: float(np.mean(ranks <= k))


def mean_reciprocal_rank(ranks: Floats) -> float:
    """The mean of 1 / rank."""
    return float(np.mean(1 / ranks))


def auc(columns: Floats) -> float:
    """Area under the ROC curve: the chance that a liked item scores higher than another, ties by half (Mann and Whitney
    1947). A third column is what each item counts. Not a number when one label is absent."""
    counts = columns[:, 2] if columns.shape[1] > 2 else np.ones(len(columns))
    liked = columns[:, 1] > 0.5
    scores, place = np.unique(columns[:, 0], return_inverse=True)
    likes, others = (np.bincount(place, np.where(side, counts, 0.0), len(scores)) for side in (liked, ~liked))
    pairs = likes.sum() * others.sum()
    return float(likes @ (np.cumsum(others) - others / 2) / pairs) if pairs else float("nan")


def balanced_accuracy(columns: Floats) -> float:
    """The mean of the shares of likes and of dislikes that are told right at a probability of 0.5. Not a number when
    one label is absent."""
    liked = columns[:, 1] > 0.5
    if liked.all() or not liked.any():
        return float("nan")
    right = (columns[:, 0] >= 0.5) == liked
    return float((right[liked].mean() + right[~liked].mean()) / 2)


def brier(columns: Floats) -> float:
    """The mean squared distance of probability and vote (Brier 1950)."""
    return float(np.mean((columns[:, 0] - columns[:, 1]) ** 2))


def calibration_bins(columns: Floats) -> list[Bin]:
    """At most BINS bins of equal mass by probability; equal probabilities stay in one bin."""
    of = _bin_of(columns[:, 0])
    items = np.bincount(of, minlength=BINS)
    sums = [np.bincount(of, weights=columns[:, side], minlength=BINS) for side in (0, 1)]
    return [Bin(float(p / n), float(y / n), int(n)) for p, y, n in zip(*sums, items, strict=True) if n]


def calibration_error(columns: Floats) -> float:
    """Expected calibration error: the mean distance of probability and share of likes, over BINS bins of equal mass
    (Nguyen and O'Connor 2015, arXiv 1508.05154)."""
    gaps = np.bincount(_bin_of(columns[:, 0]), weights=columns[:, 0] - columns[:, 1], minlength=BINS)
    return float(np.abs(gaps).sum() / len(columns))


def calibration_floor(probabilities: Floats, seed: int = 0, times: int = 200) -> float:
    """The calibration error that these very probabilities would show if they were true: few items in a bin scatter, so
    it is not 0. The mean over labels that are drawn from them."""
    draw = np.random.default_rng(seed)
    labels = draw.random((times, len(probabilities))) < probabilities
    return float(np.mean([calibration_error(np.stack([probabilities, row], axis=1)) for row in labels]))


def _bin_of(probabilities: Floats) -> NDArray[np.intp]:
    edges = np.quantile(probabilities, np.arange(1, BINS) / BINS)
    return np.searchsorted(edges, probabilities, side="right")
