"""A measured figure with its 95 % interval, by bootstrap over dialogs.

Items of one dialog are not independent, so whole dialogs are drawn, with replacement. For a difference of two
models both are measured on the same draws.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

RESAMPLES = 1000

Z95 = 1.959964
"""Standard deviations of the normal distribution within which 95 % lie."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: a model's figures by name, and how much they differ from those of a baseline."""

    model: str
    figures: Mapping[str, Estimate]
    against: Mapping[str, Estimate] = field(default_factory=dict)
    """Paired differences to the baseline, by the figure's name; empty for the baseline itself."""


NONE = Estimate(math.nan, math.nan, math.nan)
"""Where there is no figure."""

Measured: TypeAlias = Mapping[str, tuple[float, Floats]]
"""Figures by name, each with what it is in the resamples, the same ones for all models."""


def draws(groups: Sequence[str], seed: int = 0, count: int = RESAMPLES) -> list[NDArray[np.intp]]:
    """`count` bootstrap samples as indexes of items; `groups` names each item's dialog."""
    draw = np.random.default_rng(seed)
    _, of = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(of == group) for group in range(of.max() + 1)]
    return [
        np.concatenate([members[group] for group in draw.integers(len(members), size=len(members))])
        for _ in range(count)
    ]


def estimate(items: Floats, groups: Sequence[str], metric: Callable[[Floats], float], seed: int = 0) -> Estimate:
    """A metric of items (first axis) with its interval; `groups` names each item's dialog."""
    return interval(metric(items), [metric(items[chosen]) for chosen in draws(groups, seed)])


def share(hits: int, of: int) -> Estimate:
    """A share of independent items with Wilson's interval, which is honest where all or none are hit."""
    if of == 0:
        return NONE
    value = hits / of
    scale = 1 + Z95**2 / of
    middle = (value + Z95**2 / (2 * of)) / scale
    spread = Z95 * math.sqrt(value * (1 - value) / of + Z95**2 / (4 * of**2)) / scale
    return Estimate(value, max(0.0, middle - spread), min(1.0, middle + spread))


def interval(value: float, resampled: Sequence[float]) -> Estimate:
    """A value with the middle 95 % of what it was in the resamples."""
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return Estimate(value, float(low), float(high))


def measured(
    items: Floats, drawn: Sequence[NDArray[np.intp]], metric: Callable[[Floats], float]
) -> tuple[float, Floats]:
    """A metric of items, and what it is in each sample of `drawn`."""
    return metric(items), np.array([metric(items[chosen]) for chosen in drawn])


def compared(
    current: Floats, candidate: Floats, drawn: Sequence[NDArray[np.intp]], metric: Callable[[Floats], float]
) -> tuple[Estimate, Estimate, Estimate]:
    """A metric of two models' items with intervals, and of the second one's difference to the first, on the same
    samples."""
    (now, nows), (then, thens) = measured(current, drawn, metric), measured(candidate, drawn, metric)
    if not math.isfinite(then - now):
        return NONE, NONE, NONE
    return interval(now, nows.tolist()), interval(then, thens.tolist()), interval(then - now, (thens - nows).tolist())


def mean(values: Floats) -> float:
    """The metric of what is averaged."""
    return float(values.mean())


def rows_against(models: Mapping[str, Measured], baseline: str) -> list[Row]:
    """A row a model; those of others than the baseline with their differences to it, if it is there."""
    rows = []
    for name, figures in models.items():
        other = models.get(baseline, {}) if name != baseline else {}
        gaps = {key: (figures[key][0] - value, figures[key][1] - drawn) for key, (value, drawn) in other.items()}
        shown, against = (
            {
                key: interval(value, drawn.tolist()) if math.isfinite(value) else NONE
                for key, (value, drawn) in part.items()
            }
            for part in (figures, gaps)
        )
        rows.append(Row(name, shown, against))
    return rows
