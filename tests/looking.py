"""Experiments that are looked at every day: people come, vote more or less often, and are alike in their votes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from storage.estimates import Z95, Floats
from storage.sequential import compare


@dataclass(frozen=True, slots=True)
class Experiment:
    """`newcomers` a day for `days`; of their votes `approval` are likes on average, and the less `agreement` (a beta
    distribution's sum) the more people differ; votes a day are lognormal with `busyness`."""

    newcomers: int
    days: int
    approval: float
    agreement: float
    busyness: float


EXPERIMENTS: Mapping[str, Experiment] = {
    "6 people a day, 60 days, who differ a little": Experiment(6, 60, 0.6, 4, 0.8),
    "6 people a day, 60 days, who differ much, a few vote all the time": Experiment(6, 60, 0.6, 1, 1.5),
    "3 people a day, 120 days, who like nearly all": Experiment(3, 120, 0.85, 2, 1.5),
    "40 people a day, 30 days": Experiment(40, 30, 0.6, 2, 1.0),
}
"""By what they are called."""


def looked(kind: Experiment, gain: float, seed: Sequence[int]) -> tuple[int, int]:
    """The day on which the sequential test first said that the variants differ, and the one on which a plain 95 %
    interval over people first did; 0 for never. `gain` is the second variant's."""
    draw = np.random.default_rng(seed)
    came = np.repeat(np.arange(kind.days), kind.newcomers)
    second = draw.integers(2, size=len(came)) == 1
    mean = kind.approval + gain * second
    rate = draw.beta(mean * kind.agreement, (1 - mean) * kind.agreement)
    often = draw.lognormal(-1.2, kind.busyness, len(came))
    likes, votes, told, plain = np.zeros(len(came)), np.zeros(len(came)), 0, 0
    for day in range(kind.days):
        here = day >= came
        today = np.where(here, draw.poisson(often * np.exp(-np.maximum(0, day - came) / 10)), 0)
        likes += draw.binomial(today, rate)
        votes += today
        found = compare(likes[second], votes[second], likes[~second], votes[~second])
        told = told or (day + 1) * (found.word != "not enough yet")
        if not np.isnan(found.difference.value):
            gap = abs(found.difference.value)
            plain = plain or (day + 1) * (gap > Z95 * error(likes, votes, second))
    return told, plain


def error(likes: Floats, votes: Floats, second: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    """The plain standard error of the difference, over people."""
    variance = 0.0
    for group in (second, ~second):
        rest = likes[group] - likes[group].sum() / votes[group].sum() * votes[group]
        variance += float((rest**2).sum() / votes[group].sum() ** 2)
    return float(np.sqrt(variance))
