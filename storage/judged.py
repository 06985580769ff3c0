"""What people voted on, one by one: the wordings that they liked and disliked most, why they disliked, and what the
ranker had expected of each reply."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, and_, func, select

from storage.estimates import Estimate
from storage.experiments import over_people
from storage.redaction import redact
from storage.replied import said_since
from storage.schema import WITHOUT_CONSENT, CandidateRow, MessageRow, TurnRow, VoteRow
from storage.streaming import FALLBACK, MODERATION

MOST_WORDINGS = 10

PRIOR_VOTES = 2.0
"""So many average votes each wording has beside its own: one vote says less than ten that agree."""

NO_REASON = ""
"""Of a 👎 without one."""


@dataclass(frozen=True, slots=True)
class Wording:
    """A reply, in the same words, to whomever it was said. Each person counts once, by their latest vote on it."""

    text: str
    """Redacted as exports are."""
    source: str
    likes: int
    dislikes: int
    reason: str
    """The one that most people gave who disliked it, or ""."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why replies were disliked."""

    name: str
    """One of storage.dialog.REASONS, or NO_REASON."""
    dislikes: int
    share: Estimate
    """Of all dislikes, over people."""
    by_source: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Expected:
    """What the ranker of its day expected of a reply, in log-odds of a 👍, and what came of it."""

    person: str
    odds: float
    liked: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """What is known of single votes."""

    best: tuple[Wording, ...]
    """Those that more people liked than disliked, from dialogs of people who all said that Kith may learn from them.
    First is the one whose share of likes is highest when PRIOR_VOTES of the average are added."""
    worst: tuple[Wording, ...]
    """Likewise."""
    reasons: tuple[Reason, ...]
    """The most frequent first."""
    expected: tuple[Expected, ...] = field(repr=False)


def read_judged(connection: Connection, since: datetime | None = None) -> Judged:
    """Of the votes on replies since then. Memory grows with the votes."""
    wordings: defaultdict[str, dict[str, Row[Any]]] = defaultdict(dict)
    dislikes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    by_source: defaultdict[str, Counter[str]] = defaultdict(Counter)
    expected: list[Expected] = []
    for row in connection.execute(_votes(since), execution_options={"yield_per": 2000}):
        if row.may_be_shown and row.source != MODERATION:
            wordings[" ".join(row.reply.split())][row.person_id] = row
        if row.value < 0:
            dislikes[row.person_id][row.reason] += 1
            by_source[row.reason][row.source] += 1
        odds = (row.features or {}).get("ranker")
        if odds is not None:
            expected.append(Expected(row.person_id, float(odds), row.value > 0))
    found = [_wording(text, votes.values()) for text, votes in wordings.items()]
    return Judged(*_extremes(found), _reasons(dislikes, by_source), tuple(expected))


def _votes(since: datetime | None) -> Any:
    """Oldest first. Fallbacks have no features."""
    return (
        select(TurnRow.reply, MessageRow.person_id, VoteRow.value, VoteRow.reason)
        .add_columns(func.coalesce(CandidateRow.source, FALLBACK).label("source"), CandidateRow.features)
        .add_columns(MessageRow.dialog_id.not_in(WITHOUT_CONSENT).label("may_be_shown"))
        .select_from(VoteRow)
        .join(TurnRow, VoteRow.turn_id == TurnRow.id)
        .join(MessageRow, and_(TurnRow.message_id == MessageRow.id, VoteRow.person_id == MessageRow.person_id))
        .outerjoin(CandidateRow, and_(CandidateRow.turn_id == TurnRow.id, CandidateRow.chosen))
        .where(said_since(since))
        .order_by(VoteRow.at)
    )


def _wording(text: str, votes: Iterable[Row[Any]]) -> Wording:
    rows = list(votes)
    reasons = Counter(row.reason for row in rows if row.value < 0 and row.reason)
    likes = sum(row.value > 0 for row in rows)
    return Wording(text, rows[-1].source, likes, len(rows) - likes, max(reasons, key=reasons.__getitem__, default=""))


def _extremes(found: Sequence[Wording]) -> tuple[tuple[Wording, ...], tuple[Wording, ...]]:
    """The best and the worst, redacted."""
    likes, dislikes = sum(each.likes for each in found), sum(each.dislikes for each in found)
    added = PRIOR_VOTES * likes / max(1, likes + dislikes)

    def share_of(each: Wording) -> tuple[float, str]:
        return (each.likes + added) / (each.likes + each.dislikes + PRIOR_VOTES), each.text

    best = sorted((each for each in found if each.likes > each.dislikes), key=share_of, reverse=True)
    worst = sorted((each for each in found if each.dislikes > each.likes), key=share_of)
    return _redacted(best), _redacted(worst)


def _redacted(wordings: Iterable[Wording]) -> tuple[Wording, ...]:
    return tuple(replace(each, text=redact(each.text)) for each in islice(wordings, MOST_WORDINGS))


def _reasons(dislikes: Mapping[str, Counter[str]], by_source: Mapping[str, Counter[str]]) -> tuple[Reason, ...]:
    whole = np.array([float(counts.total()) for counts in dislikes.values()])
    made = []
    for name, sources in by_source.items():
        of_this = np.array([float(counts[name]) for counts in dislikes.values()])
        made.append(Reason(name, sources.total(), over_people(of_this, whole, most=1.0), dict(sources.most_common())))
    return tuple(sorted(made, key=lambda reason: (-reason.dislikes, reason.name)))
