"""How well something ranks, each figure with a 95 % interval by bootstrap over dialogs: items of one dialog are not
independent, so whole dialogs are drawn, with replacement."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

Floats: TypeAlias = NDArray[np.float64]

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


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
    """Area under the ROC curve; `columns` has shape (items, 2): score, label. Not a number when one label is absent."""
    labels = columns[:, 1]
    return float(roc_auc_score(labels, columns[:, 0])) if 0 < labels.mean() < 1 else float("nan")


def estimate(items: Floats, groups: Sequence[str], metric: Callable[[Floats], float], seed: int = 0) -> Estimate:
    """A metric of items with its interval; `groups` names each item's dialog."""
    draw = np.random.default_rng(seed)
    _, of = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(of == group) for group in range(of.max() + 1)]
    values = []
    for _ in range(RESAMPLES):
        chosen = draw.integers(len(members), size=len(members))
        values.append(metric(items[np.concatenate([members[group] for group in chosen])]))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return Estimate(metric(items), float(low), float(high))
