"""What the log says about how Kith does: counts, approval with its uncertainty, and how long replies take."""

import json
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, func, select

from storage.dialog import FEELINGS, Glance
from storage.estimates import Estimate, share
from storage.schema import AfterTalkRow, CandidateRow, MessageRow, PersonRow, TurnRow, VoteRow


@dataclass(frozen=True, slots=True)
class Approval:
    """How a group of turns was liked."""

    name: str
    turns: int
    likes: int
    dislikes: int
    share: float | None
    """Likes among the votes; None without votes."""
    low: float
    """Lower end of the share's 95 % Wilson interval."""
    high: float


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a stage takes, in seconds."""

    stage: str
    turns: int
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class AfterTalks:
    """How people felt after talks."""

    asked: int
    answers: dict[str, int]
    """How often each of "better", "same" and "worse" was said."""
    better: Estimate | None
    """Its share of the answers with Wilson's interval; None without answers."""
    worse: Estimate | None


@dataclass(frozen=True, slots=True)
class Stats:
    """The whole log in numbers."""

    people: int
    dialogs: int
    """Those in which something was said."""
    messages: int
    """User messages."""
    turns: int
    rejected: int
    """Replies that were sent back by /retry."""
    fallbacks: int
    approval: Approval
    reasons: dict[str, int]
    """What was wrong with disliked replies, the most frequent first."""
    after_talk: AfterTalks
    by_source: tuple[Approval, ...]
    """By the source of the reply, "fallback" among them; the most turns first."""
    by_version: tuple[Approval, ...]
    """By each model and its version, as "name version"; the most turns first."""
    latency: tuple[Latency, ...]
    """By stage, and the "total" of a turn's stages; the slowest first."""


def read_stats(connection: Connection) -> Stats:
    """Counts everything. Memory is constant but for the seconds: 8 bytes a turn and stage."""
    by_source = _by_source(connection)
    likes, dislikes = sum(group.likes for group in by_source), sum(group.dislikes for group in by_source)
    turns = _scalar(connection, func.count(TurnRow.id))
    return Stats(
        people=_scalar(connection, func.count(PersonRow.id)),
        dialogs=_scalar(connection, func.count(MessageRow.dialog_id.distinct())),
        messages=_scalar(connection, func.count(MessageRow.id)),
        turns=turns,
        rejected=_scalar(connection, func.count(TurnRow.id).filter(TurnRow.rejected)),
        fallbacks=_scalar(connection, func.count(TurnRow.id).filter(TurnRow.reason == "fallback")),
        approval=approval("all", turns, likes, dislikes),
        reasons=_reasons(connection),
        after_talk=_after_talks(connection),
        by_source=by_source,
        by_version=_by_version(connection),
        latency=read_latency(connection),
    )


def read_glance(connection: Connection, since: datetime) -> Glance:
    """What an owner asks for between two talks: little enough for a chat."""
    said = connection.execute(
        select(func.count(), func.count(MessageRow.person_id.distinct())).where(MessageRow.at >= since)
    ).one()
    replied = connection.execute(
        select(func.count(), func.count().filter(TurnRow.reason == "fallback")).where(TurnRow.at >= since)
    ).one()
    return Glance(
        people=said[1],
        messages=said[0],
        turns=replied[0],
        fallbacks=replied[1],
        by_source={group.name: (group.turns, group.likes, group.dislikes) for group in _by_source(connection)},
    )


def read_latency(connection: Connection, since: datetime | None = None) -> tuple[Latency, ...]:
    """By stage, and the "total" of a turn's stages, of the replies since then; the slowest first."""
    by_stage: defaultdict[str, array[float]] = defaultdict(lambda: array("d"))
    turns = select(TurnRow.seconds) if since is None else select(TurnRow.seconds).where(TurnRow.at >= since)
    for seconds in connection.scalars(turns.execution_options(yield_per=2000)):
        for stage, value in {**seconds, "total": sum(seconds.values())}.items():
            by_stage[stage].append(value)
    latencies = []
    for stage, values in by_stage.items():
        ordered = sorted(values)
        latencies.append(Latency(stage, len(ordered), percentile(ordered, 0.5), percentile(ordered, 0.95)))
    return tuple(sorted(latencies, key=lambda latency: -latency.p50))


def approval(name: str, turns: int, likes: int, dislikes: int) -> Approval:
    """The share of likes with its Wilson interval, which holds for few votes and near 0 and 1 as well."""
    votes = likes + dislikes
    if votes == 0:
        return Approval(name, turns, likes, dislikes, share=None, low=0.0, high=1.0)
    liked = share(likes, votes)
    return Approval(name, turns, likes, dislikes, liked.value, liked.low, liked.high)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the values, which are in order, that at least this share of them does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _scalar(connection: Connection, number: ColumnElement[int]) -> int:
    return connection.execute(select(number)).scalar_one()


def _counts(group: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    """The group with its turns, likes and dislikes."""
    likes, dislikes = (func.count(VoteRow.turn_id).filter(VoteRow.value == value) for value in (1, -1))
    return group, func.count(TurnRow.id.distinct()), likes, dislikes


def _reasons(connection: Connection) -> dict[str, int]:
    given = func.count(VoteRow.turn_id)
    counted = select(VoteRow.reason, given).where(VoteRow.reason != "").group_by(VoteRow.reason)
    rows = connection.execute(counted.order_by(given.desc(), VoteRow.reason))
    return {row.reason: row[1] for row in rows}


def _after_talks(connection: Connection) -> AfterTalks:
    asked = select(AfterTalkRow.feeling, func.count()).group_by(AfterTalkRow.feeling)
    counts = {row[0]: row[1] for row in connection.execute(asked)}
    answers = {str(feeling): counts.get(feeling, 0) for feeling in FEELINGS}
    of = sum(answers.values())
    better, worse = (share(answers[feeling], of) if of else None for feeling in ("better", "worse"))
    return AfterTalks(sum(counts.values()), answers, better, worse)


def _by_source(connection: Connection) -> tuple[Approval, ...]:
    """Turns are counted on an index of what was said, and votes from their own side: a log has few of them."""
    source = func.coalesce(CandidateRow.source, "fallback")
    said = select(CandidateRow.source, func.count()).where(CandidateRow.chosen).group_by(CandidateRow.source)
    turns = Counter({row[0]: row[1] for row in connection.execute(said)})
    turns["fallback"] += _scalar(connection, func.count(TurnRow.id)) - turns.total()
    likes, dislikes = (func.count().filter(VoteRow.value == value) for value in (1, -1))
    chosen = and_(CandidateRow.turn_id == VoteRow.turn_id, CandidateRow.chosen)
    rows = connection.execute(
        select(source, likes, dislikes).select_from(VoteRow).outerjoin(CandidateRow, chosen).group_by(source)
    )
    votes = {row[0]: (row[1], row[2]) for row in rows}
    return _largest_first(approval(name, count, *votes.get(name, (0, 0))) for name, count in turns.items() if count)


def _by_version(connection: Connection) -> tuple[Approval, ...]:
    versions = cast(TurnRow.versions, Text)
    turns = select(*_counts(versions)).select_from(TurnRow).outerjoin(VoteRow).group_by(versions)
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text, count, likes, dislikes in connection.execute(turns):
        for name, version in json.loads(text).items():
            sums[f"{name} {version}"].update(turns=count, likes=likes, dislikes=dislikes)
    return _largest_first(approval(name, **counts) for name, counts in sums.items())


def _largest_first(groups: Iterable[Approval]) -> tuple[Approval, ...]:
    return tuple(sorted(groups, key=lambda group: (-group.turns, group.name)))
