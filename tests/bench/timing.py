"""Clocks and figures: arms that take turns in one run, and medians with quartiles."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from tqdm import tqdm

Json: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of repeats and their quartiles."""

    median: float
    low: float
    high: float
    repeats: int


def spread(values: Sequence[float]) -> Spread:
    """Of one repeat or more."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75])
    return Spread(float(median), float(low), float(high), len(values))


def interleaved(
    arms: Mapping[str, Callable[[int], object]], repeats: int, what: str, warm: int = 1
) -> dict[str, list[float]]:
    """Seconds of each arm in each repeat. An arm is given the number of the repeat, from `-warm` on; negative ones are
    not counted. All arms have each repeat before the next one begins, and who goes first changes: what else the machine
    does meets them alike."""
    names = list(arms)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with tqdm(total=(warm + repeats) * len(names), desc=what, disable=None, leave=False) as bar:
        for repeat in range(-warm, repeats):
            first = repeat % len(names)
            for name in names[first:] + names[:first]:
                started = time.perf_counter()
                arms[name](repeat)
                if repeat >= 0:
                    seconds[name].append(time.perf_counter() - started)
                bar.update()
    return seconds


def ratios(seconds: Mapping[str, Sequence[float]], of: str) -> dict[str, Spread]:
    """How many times as long as `of` each other arm took, repeat by repeat."""
    return {
        name: spread([theirs / ours for theirs, ours in zip(values, seconds[of], strict=True)])
        for name, values in seconds.items()
        if name != of
    }


def spreads(seconds: Mapping[str, Sequence[float]], scale: float = 1.0) -> dict[str, Spread]:
    """A figure for each arm, times `scale`."""
    return {name: spread([value * scale for value in values]) for name, values in seconds.items()}
