"""Early decisions: from which total on a reply is said without asking a slow source whether it has a better one.

The bound is learnt from turns that were decided with all sources: of those whose best quick candidate has at least so
high a total, how many did a slow candidate win? Bounds are tried from the highest down, until the upper end of the 95 %
interval of that share goes beyond the risk. Since the first one that fails ends it, nothing has to be corrected for
having tried many (fixed-sequence testing: Angelopoulos, Bates, Candès, Jordan & Lei 2021, "Learn then Test"). Turns of
one dialog count as independent in this.
"""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from storage.dialog import Decision, Scored
from storage.estimates import NONE, Estimate, share

RISK = 0.01
"""Share of all turns that may be decided otherwise than with the slow sources. It takes 381 turns to show so little."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A bound for the total of the best quick candidate, and what it does."""

    total: float
    """Infinite where the turns are too few or too close."""
    turns: int
    """On which it was learnt: those on which a slow source had something to say."""
    early: Estimate
    """The share of turns that need no slow source."""
    otherwise: Estimate
    """The share of turns that are decided otherwise for it."""


def learn_bound(decisions: Iterable[Decision], slow: Collection[str], risk: float = RISK) -> Bound:
    """The lowest bound that keeps the risk, from decisions of the policy that is to use it."""
    pairs = [best_of(decision, slow) for decision in decisions]
    told = [(quick.total if quick else -math.inf, late.total) for quick, late in pairs if late]
    told.sort(key=lambda pair: -pair[0])
    total, early, otherwise, lost = math.inf, 0, 0, 0
    for place, (quick_total, slow_total) in enumerate(told, 1):
        lost += slow_total > quick_total
        if quick_total == -math.inf or share(lost, len(told)).high > risk:
            break
        if place == len(told) or told[place][0] < quick_total:  # equals are early together or not at all
            total, early, otherwise = quick_total, place, lost
    if not told:
        return Bound(total, 0, NONE, NONE)
    return Bound(total, len(told), share(early, len(told)), share(otherwise, len(told)))


def best_of(decision: Decision, slow: Collection[str]) -> tuple[Scored | None, Scored | None]:
    """The best candidate of the quick sources and that of the slow ones, of those without a veto."""
    fit = [scored for scored in decision.ranked if not scored.veto]
    quick = next((scored for scored in fit if scored.candidate.source not in slow), None)
    return quick, next((scored for scored in fit if scored.candidate.source in slow), None)
