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

AT_ONCE = 50
"""Resamples in one go: as many numbers a group."""

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

Ratio: TypeAlias = tuple[Floats, Floats]
"""What is summed over items above and below the line, each of shape (items,)."""

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


def ratio(
    of: Ratio,
    groups: Sequence[str],
    less: Ratio | None = None,
    seed: int = 0,
    least: float = -math.inf,
    most: float = math.inf,
) -> Estimate:
    """Sum by sum, such as likes by votes; with `less`, the difference to another ratio of the same items. `groups`
    names each item's dialog or person.

    The interval is a bootstrap-t (Efron & Tibshirani 1993, chapter 12.5): in each resample the figure's distance from
    the whole one's is divided by its own standard error, which the sums tell as well. In a world where the truth is
    known, with 50 dialogs, it held the truth 95 times in 100 where plain percentiles held it 92 times. It ends at
    `least` and `most`, and has no ends (nan) where all groups are alike.
    """
    _, places = np.unique(np.asarray(groups), return_inverse=True)
    count = int(places.max()) + 1 if len(places) else 0
    sums = np.stack([np.bincount(places, column, count) for column in (*of, *(less or ()))], axis=1)
    squares = (sums[:, :, None] * sums[:, None, :]).reshape(count, -1)
    value, error = _ratio(sums.sum(0), squares.sum(0))
    if not error > 1e-9 * abs(value):  # what rounding leaves
        return Estimate(float(value), math.nan, math.nan)
    draw = np.random.default_rng(seed)
    distances = []
    for _ in range(RESAMPLES // AT_ONCE):
        times = [np.bincount(draw.integers(count, size=count), minlength=count) for _ in range(AT_ONCE)]
        drawn = np.stack(times).astype(np.float64)
        again, spread = _ratio(drawn @ sums, drawn @ squares)
        with np.errstate(divide="ignore", invalid="ignore"):
            distances.append(np.where(spread > 0, (again - value) / spread, math.nan))
    low, high = np.nanpercentile(np.concatenate(distances), [2.5, 97.5])
    ends = np.clip([value - high * error, value - low * error], least, most)
    return Estimate(float(value), float(ends[0]), float(ends[1]))


def _ratio(sums: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """The figure, and its standard error to first order, from the sums over groups of columns, shape (..., columns),
    and of their products, shape (..., columns²)."""
    pairs = sums.reshape(*sums.shape[:-1], -1, 2)
    signs = np.array([1.0, -1.0])[: pairs.shape[-2]]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = pairs[..., 0] / pairs[..., 1]
        slopes = np.stack([signs / pairs[..., 1], -signs * shares / pairs[..., 1]], axis=-1).reshape(sums.shape)
    products = squares.reshape(*sums.shape, sums.shape[-1])
    variance = np.einsum("...i,...ij,...j", slopes, products, slopes)
    return shares @ signs, np.sqrt(np.maximum(0.0, variance))


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
