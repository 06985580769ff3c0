"""How replies were taken, by where they came from, by what decided, and over time: counts, and shares with 95 %
intervals over people, since the votes of one person are alike."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, and_, func, select, true

from storage.estimates import Estimate
from storage.experiments import over_people
from storage.schema import CandidateRow, MessageRow, TurnRow, VoteRow
from storage.streaming import FALLBACK

PERIODS = (1, 7, 28)
"""Days of a period; the shortest is taken that gives at most MOST_PERIODS."""

MOST_PERIODS = 31

IN_EXPERIMENTS = ("experiment", "variant")
"""What `versions` of a turn has besides models."""

Sums: TypeAlias = defaultdict[str, Counter[str]]
"""For each person, how many replies, likes, votes and replies sent back."""


@dataclass(frozen=True, slots=True)
class Group:
    """How a group of replies was taken. An interval that cannot be told has nan for its ends."""

    name: str
    people: int
    turns: int
    likes: int
    dislikes: int
    approval: Estimate
    """Likes by votes."""
    sent_back: Estimate
    """The share of replies after which somebody asked for another one."""


@dataclass(frozen=True, slots=True)
class Period:
    """Votes on the replies of some days."""

    start: date
    days: int
    turns: int
    likes: int
    dislikes: int
    approval: Estimate


@dataclass(frozen=True, slots=True)
class Replied:
    """All replies, and the same by where they came from, by the versions of each model, and over time."""

    all: Group
    by_source: tuple[Group, ...]
    """ "fallback" and "moderation" among them; the most replies first."""
    by_version: Mapping[str, tuple[Group, ...]]
    """By model; the most replies first."""
    periods: tuple[Period, ...]
    experiments: tuple[str, ...]
    """Those that replies are of."""


@dataclass(slots=True)
class _Taken:
    """What is counted as replies come by."""

    groups: defaultdict[tuple[str, str], Sums] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Counter))
    )
    days: defaultdict[date, Sums] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Counter)))
    experiments: set[str] = field(default_factory=set)

    def add(self, row: Row[Any]) -> None:
        counts = {
            "turns": 1,
            "likes": row.value == 1,
            "votes": row.value is not None,
            "sent back": row.rejected,
        }
        models = {name: version for name, version in row.versions.items() if name not in IN_EXPERIMENTS}
        names = [("", "all"), ("source", row.source), *models.items()]
        for kind, name in names:
            # The retriever's version ends in the size of the pool, which changes with each liked reply.
            known = str(name).partition(", ")[0] if kind == "retrieval" else str(name)
            self.groups[kind, known][row.person_id].update(counts)
        self.days[row.at.date()][row.person_id].update(counts)
        if "variant" in row.versions:
            self.experiments.add(str(row.versions.get("experiment", "")))


def read_replied(connection: Connection, since: datetime | None = None) -> Replied:
    """Of the replies since then. Memory grows with people, times the groups that they were in."""
    taken = _Taken()
    for row in connection.execute(_replies(since), execution_options={"yield_per": 2000}):
        taken.add(row)
    by_kind: defaultdict[str, list[Group]] = defaultdict(list)
    for (kind, name), people in taken.groups.items():
        by_kind[kind].append(_group(name, people))
    ordered = {kind: _most_first(groups) for kind, groups in by_kind.items()}
    everything = ordered.pop("", (_group("all", {}),))[0]
    by_source = ordered.pop("source", ())
    return Replied(
        everything, by_source, dict(sorted(ordered.items())), _periods(taken.days), tuple(sorted(taken.experiments))
    )


def said_since(since: datetime | None) -> ColumnElement[bool]:
    """Which turns are meant."""
    return true() if since is None else TurnRow.at >= since


def _replies(since: datetime | None) -> Any:
    source = func.coalesce(CandidateRow.source, FALLBACK).label("source")
    return (
        select(TurnRow.versions, TurnRow.rejected, TurnRow.at, MessageRow.person_id, source, VoteRow.value)
        .join(MessageRow, TurnRow.message_id == MessageRow.id)
        .outerjoin(CandidateRow, and_(CandidateRow.turn_id == TurnRow.id, CandidateRow.chosen))
        .outerjoin(VoteRow, and_(VoteRow.turn_id == TurnRow.id, VoteRow.person_id == MessageRow.person_id))
        .where(said_since(since))
    )


def _group(name: str, people: Mapping[str, Counter[str]]) -> Group:
    sums = {key: np.array([float(counts[key]) for counts in people.values()]) for key in ("turns", "likes", "votes")}
    back = np.array([float(counts["sent back"]) for counts in people.values()])
    likes, votes = int(sums["likes"].sum()), int(sums["votes"].sum())
    return Group(
        name,
        len(people),
        int(sums["turns"].sum()),
        likes,
        votes - likes,
        approval=over_people(sums["likes"], sums["votes"], most=1.0),
        sent_back=over_people(back, sums["turns"], most=1.0),
    )


def _periods(days: Mapping[date, Sums]) -> tuple[Period, ...]:
    """Periods from the first to the last day, those without replies among them; they end with the last day."""
    if not days:
        return ()
    first, last = min(days), max(days)
    whole = (last - first).days + 1
    length = next((length for length in PERIODS if math.ceil(whole / length) <= MOST_PERIODS), PERIODS[-1])
    made = []
    for number in reversed(range(math.ceil(whole / length))):
        start = last - timedelta(days=(number + 1) * length - 1)
        people: Sums = defaultdict(Counter)
        for day in (start + timedelta(days=more) for more in range(length)):
            for person, counts in days.get(day, {}).items():
                people[person].update(counts)
        group = _group("", people)
        made.append(Period(start, length, group.turns, group.likes, group.dislikes, group.approval))
    return tuple(made)


def _most_first(groups: Iterable[Group]) -> tuple[Group, ...]:
    return tuple(sorted(groups, key=lambda group: (-group.turns, group.name)))
