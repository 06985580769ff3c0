"""How much a policy explores at a temperature, and how to fit one that explores no more than the one before.

Weights that are fitted to noisy votes are small, so that the softmax at the same temperature is flat, and a policy that
knows better says its best less often. Scaled, it is as sure as what it follows; what is surer already stays as it is.
"""

import numpy as np

from ranking.off_policy import Ints, Log, chances
from ranking.policy import Weights
from storage.estimates import Floats

MOST = 16.0
"""Scale at the most: weights that tell next to nothing are not made to look certain."""
STEPS = 30


def sureness(log: Log, drawn: Floats) -> float:
    """The mean probability of the likeliest candidate of a turn, of probabilities of shape (candidates,)."""
    return float(np.maximum.reduceat(drawn, first_of(log)).mean())


def first_of(log: Log) -> Ints:
    """The first candidate of each turn."""
    return np.flatnonzero(np.diff(log.turn, prepend=-1))


def scale_for(log: Log, weights: Weights, before: Weights, temperature: float) -> float:
    """By what all weights are to be multiplied so that on the log's own candidates they are as sure as `before`, at
    least 1; found by bisection."""
    if not len(log.said) or temperature == 0:
        return 1.0
    aim = sureness(log, chances(log, before, temperature))
    low, high = 1.0, MOST
    if sureness(log, chances(log, weights, temperature)) >= aim:
        return 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        sure = sureness(log, chances(log, weights, temperature / middle))
        low, high = (middle, high) if sure < aim else (low, middle)
    return round(high, 4)
