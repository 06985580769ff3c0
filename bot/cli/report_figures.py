"""All that the page of `kith report` shows: what the log tells, how right the ranker was, and what serves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.settings import Settings
    from bot.versions import Served
    from ranking.metrics import Bin
    from storage.estimates import Estimate
    from storage.judged import Expected
    from storage.report import Report
    from storage.store import SqlDialogStore
    from storage.versions import Promotion, Version

FEWEST_VOTES = 50
"""Votes, under which bins of probabilities say nothing."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The ranker's probability of a 👍 for replies that were said, against the votes on them."""

    votes: int
    bins: "Sequence[Bin]"
    error: "Estimate"
    """ECE, interval over people."""
    floor: float
    """What it would be if the probabilities were true."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a page is made of."""

    made: datetime
    log: "Report"
    calibration: Calibration | None
    """None: fewer than FEWEST_VOTES votes on replies that a ranker had judged."""
    serving: "Mapping[str, Served]"
    promotions: "Sequence[Promotion]"
    """Of that time, newest first."""
    versions: "Sequence[Version]"
    """Made in that time, newest first."""


def gather(settings: "Settings", store: "SqlDialogStore", since: datetime | None, made: datetime) -> Figures:
    """Reads one state of the log."""
    from bot.versions import all_served
    from storage.report import read_report

    with store.reading() as connection:
        log = read_report(connection, since, [variant.name for variant in settings.variants])
    return Figures(
        made,
        log,
        calibrated(log.judged.expected),
        all_served(settings, store),
        [each for each in reversed(store.promotions()) if since is None or each.at >= since],
        [each for each in store.versions() if since is None or each.at >= since],
    )


def calibrated(expected: "Sequence[Expected]") -> Calibration | None:
    """How right the ranker was; None with too few votes."""
    import numpy as np

    from ranking.metrics import calibration_bins, calibration_error, calibration_floor
    from storage.estimates import estimate

    if len(expected) < FEWEST_VOTES:
        return None
    odds = np.array([each.odds for each in expected])
    likely = 1 / (1 + np.exp(-odds))
    columns = np.stack([likely, np.array([float(each.liked) for each in expected])], axis=1)
    error = estimate(columns, [each.person for each in expected], calibration_error)
    return Calibration(len(expected), calibration_bins(columns), error, calibration_floor(likely))
