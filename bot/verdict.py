"""What the gate says of a version, and by which rules: a value that is printed, and kept with a promotion.

A version must be better at what people voted on, by an interval that excludes zero, and must not be worse at what
votes hardly tell of: a difference is tolerated up to a margin, and its interval must lie within.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from storage.estimates import Estimate

FEWEST_DIALOGS = 30
"""Held-out dialogs under which nothing is decided: a bootstrap over fewer has intervals that are too narrow."""

FEWEST_EACH = 10
"""Held-out likes, and dislikes, likewise."""

MARGINS = {"safety hits": 0.005, "echoes": 0.03, "repetitions": 0.03}
"""By how much a share may be larger, the upper end of its interval counting. Repeating and echoing are matters of
degree and of taste, and are vetoed from three quarters on; what is unfit to be said is not."""

SPOKEN_MARGIN = 0.05
"""The same for what a generator writes on the regression set, where there are fewer replies and all else still filters
them."""

BITS_MARGIN = 0.02
"""Share by which a generator's bits per character may grow."""

REGRESSION_SHARE = 0.95
"""A version orders good above bad on the regression set at least as often as this share of what the current one
does."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured of both. `gain` is candidate minus current; `rule` says what is asked of it, "" when
    nothing is, and `refusal` why it is not enough, "" when it is."""

    name: str
    current: Estimate
    candidate: Estimate
    gain: Estimate
    rule: str = ""
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether versions may follow those that serve."""

    candidates: dict[str, str]
    """By kind, the versions."""
    current: dict[str, str]
    """By the same kinds, what serves now; "" for the shipped model."""
    votes: int
    """Held-out ones that were compared on, in how many dialogs."""
    dialogs: int
    discounted: int
    """People who gave these and whose votes count less than half; a generator is compared on votes that all count
    alike."""
    figures: tuple[Figure, ...]
    refusals: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.refusals

    def as_json(self) -> dict[str, Any]:
        """For the promotion's row, and for programs; figures that are none are null."""
        return {"passed": self.passed, **_without_nan(asdict(self))}


def must_be_better(name: str, current: Estimate, candidate: Estimate, gain: Estimate) -> Figure:
    """The figure that a version is promoted for."""
    refusal = f"{name} is not better: {gain}, which does not exclude zero" if not gain.low > 0 else ""
    return Figure(name, current, candidate, gain, "gain over 0", refusal)


def no_more(name: str, current: Estimate, candidate: Estimate, gain: Estimate, margin: float) -> Figure:
    """A share of which more is worse."""
    refusal = f"there may be more {name}: {gain}, and {margin:g} are tolerated" if not gain.high <= margin else ""
    return Figure(name, current, candidate, gain, f"at most {margin:g} more", refusal)


def about_as_often(name: str, current: Estimate, candidate: Estimate, gain: Estimate) -> Figure:
    """The order on the regression set; the places are all that there are, so the shares themselves are compared."""
    least = REGRESSION_SHARE * current.value
    worse = not candidate.value >= least
    refusal = f"{name}: only {candidate.value:.3f} are, of which at least {least:.3f} are needed" if worse else ""
    return Figure(name, current, candidate, gain, f"at least {REGRESSION_SHARE:.0%} of before", refusal)


def too_few(likes: int, dislikes: int, dialogs: int, trained_on: int) -> str:
    """Why held-out votes are not enough to decide, or ""."""
    if likes >= FEWEST_EACH and dislikes >= FEWEST_EACH and dialogs >= FEWEST_DIALOGS:
        return ""
    left_out = f" ({trained_on} more may have been trained on)" if trained_on else ""
    return (
        f"not enough yet: {likes} 👍 and {dislikes} 👎 in {dialogs} dialogs are held out{left_out}, and "
        f"{FEWEST_EACH} of each in {FEWEST_DIALOGS} dialogs are needed"
    )


def no_dearer(name: str, current: Estimate, candidate: Estimate, growth: Estimate) -> Figure:
    """What text costs a generator; `growth` is a share of what it cost before."""
    refusal = f"{name} may grow by more than {BITS_MARGIN:.0%}: {growth}" if not growth.high <= BITS_MARGIN else ""
    return Figure(name, current, candidate, growth, f"at most {BITS_MARGIN:.0%} more", refusal)


def refusals_of(figures: Sequence[Figure]) -> tuple[str, ...]:
    """What speaks against a version."""
    return tuple(figure.refusal for figure in figures if figure.refusal)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and value != value else value
