"""A test that may be looked at every day: the difference of two approval rates with a confidence sequence.

An interval of the usual kind holds for one look; who looks every day and stops at the first that pleases is wrong far
more often than 1 time in 20. A confidence sequence holds at all looks at once. This is the normal mixture one (Robbins
1970; Howard, Ramdas, McAuliffe & Sekhon 2021; for estimates that are only nearly normal, Waudby-Smith, Arbour, Sinha,
Kennedy & Ramdas 2024), as it is used for experiments by Johari, Koomen, Pekelis & Walsh (2022):

    difference ± se √((1 + se²/τ²) (ln(1 + τ²/se²) + 2 ln(1/α)))

People are assigned to variants, so people are the unit: se is that of a ratio of sums over people. Somebody's votes are
alike, so what comes later depends on what came before more than independent votes would. That makes the test
careful, not bold: a Gaussian process with the same variances and larger correlations crosses a boundary less often
(Slepian's lemma).
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from storage.estimates import NONE, Estimate, Floats

ALPHA = 0.05
"""How often it may say that variants differ which do not, over all looks and all variants together."""

EFFECT = 0.1
"""τ: differences of about this size, 10 points of approval, are told soonest; any other size is told as well."""

FEWEST = 20
"""People with a vote in each variant, from whom on the variance is known well enough."""

Word: TypeAlias = Literal["better", "worse", "not enough yet"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A variant against another one, as of now."""

    difference: Estimate
    """Of the approval rates, with the confidence sequence's interval; NONE while there are too few people."""
    word: Word


def compare(likes: Floats, votes: Floats, other_likes: Floats, other_votes: Floats, comparisons: int = 1) -> Verdict:
    """A variant's approval less another one's. The arrays have a number for each person; people without votes count
    for nothing. `comparisons`: how many variants are compared to that other one; each gets its share of ALPHA."""
    if min(np.count_nonzero(votes), np.count_nonzero(other_votes)) < FEWEST:
        return Verdict(NONE, "not enough yet")
    rate, variance = _rate(likes, votes)
    other_rate, other_variance = _rate(other_likes, other_votes)
    half = radius(math.sqrt(variance + other_variance), ALPHA / comparisons)
    value = rate - other_rate
    word: Word = "better" if value > half else "worse" if value < -half else "not enough yet"
    return Verdict(Estimate(value, max(-1.0, value - half), min(1.0, value + half)), word)


def radius(error: float, alpha: float = ALPHA) -> float:
    """Half the width of the confidence sequence where the standard error is `error`, which is over 0."""
    weight = (EFFECT / error) ** 2
    return error * math.sqrt((1 + 1 / weight) * (math.log1p(weight) + 2 * math.log(1 / alpha)))


def _rate(likes: Floats, votes: Floats) -> tuple[float, float]:
    """A rate and its variance over people, with the jackknife's correction (HC3, MacKinnon & White 1985): somebody with
    most of the votes makes the rate their own, and would seem to agree with it. Two people more, of whom one liked
    what the other did not, keep the variance over 0 where all agree (as Agresti & Coull do for one share)."""
    likes, votes = np.append(likes, [1.0, 0.0]), np.append(votes, [1.0, 1.0])
    rate = float(likes.sum() / votes.sum())
    shares = votes / votes.sum()
    spread = ((likes / votes.sum() - rate * shares) / (1 - shares)) ** 2
    return rate, float(spread.sum())
