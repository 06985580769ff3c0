"""What the log says about experiments: each variant's figures with 95 % intervals over people, and which is better.

People are assigned to variants, so people are the unit of every interval. The verdict on approval may be looked at
every day (storage/sequential.py); the other figures have intervals of the usual kind, for one look.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from sqlalchemy import Connection, Text, cast, select

from storage.estimates import NONE, RESAMPLES, Estimate, Floats, interval, ratio
from storage.schema import AfterTalkRow, MessageRow, TurnRow, VoteRow
from storage.sequential import Verdict, compare

FEWEST = 10
"""People, under whom a figure is shown without an interval."""


@dataclass(frozen=True, slots=True)
class VariantFigures:
    """How people in one variant fared. An interval that cannot be told has nan for its ends."""

    name: str
    people: int
    """Who got a reply."""
    dialogs: int
    turns: int
    likes: int
    dislikes: int
    approval: Estimate
    """Likes by votes."""
    dialogs_a_person: Estimate
    turns_a_dialog: Estimate
    """Without replies that were sent back."""
    sent_back: Estimate
    """The share of replies after which somebody asked for another one."""
    answers: int
    """How often somebody said how they feel after a talk with this variant."""
    felt_better: Estimate
    """The share of these answers that say "better"."""
    felt_worse: Estimate
    seconds_median: Estimate
    seconds_95: Estimate
    """The stages of a turn together, which 95 % of the turns do not exceed."""
    verdict: Verdict | None
    """On the approval against the first variant; None for that one itself."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """An experiment in the log."""

    name: str
    variants: tuple[VariantFigures, ...]
    """The first is the one that the others are compared with."""


Feelings: TypeAlias = defaultdict[str, Counter[str]]
"""By person, how often they said each of `storage.dialog.FEELINGS`."""


@dataclass(frozen=True, slots=True)
class _Reply:
    person: str
    dialog: str
    sent_back: bool
    seconds: float
    likes: int
    votes: int


def read_experiments(connection: Connection, order: Sequence[str] = ()) -> list[Experiment]:
    """All experiments in the log, by name. Variants come in this `order`, others after them by name."""
    replies: defaultdict[str, defaultdict[str, list[_Reply]]] = defaultdict(lambda: defaultdict(list))
    for experiment, variant, reply in _replies(connection):
        replies[experiment][variant].append(reply)
    felt = _felt(connection)
    place = {name: number for number, name in enumerate(order)}
    experiments = []
    for experiment, by_variant in sorted(replies.items()):
        names = sorted(by_variant, key=lambda name: (place.get(name, len(place)), name))
        feelings = {name: felt[experiment, name] for name in names}
        experiments.append(Experiment(experiment, _variants({name: by_variant[name] for name in names}, feelings)))
    return experiments


def _replies(connection: Connection) -> Iterator[tuple[str, str, _Reply]]:
    """Experiment, variant and reply of each turn that is in one."""
    likes: Counter[str] = Counter()
    votes: Counter[str] = Counter()
    for turn_id, value in connection.execute(select(VoteRow.turn_id, VoteRow.value)):
        votes[turn_id] += 1
        likes[turn_id] += value > 0
    turns = (
        select(TurnRow.id, TurnRow.versions, TurnRow.seconds, TurnRow.rejected)
        .add_columns(MessageRow.person_id, MessageRow.dialog_id)
        .join(MessageRow)
        .where(cast(TurnRow.versions, Text).contains('"variant":'))
    )
    for row in connection.execute(turns, execution_options={"yield_per": 2000}):
        versions, seconds = row.versions, sum(row.seconds.values())
        reply = _Reply(row.person_id, row.dialog_id, row.rejected, seconds, likes[row.id], votes[row.id])
        yield str(versions.get("experiment", "")), str(versions["variant"]), reply


def _felt(connection: Connection) -> defaultdict[tuple[str, str], Feelings]:
    """By experiment and variant, what each person answered: that of the last turn of the talk before the question."""
    last = (
        select(TurnRow.id)
        .join(MessageRow)
        .where(MessageRow.dialog_id == AfterTalkRow.dialog_id, TurnRow.at <= AfterTalkRow.at)
        .order_by(TurnRow.at.desc())
        .limit(1)
        .correlate(AfterTalkRow)
        .scalar_subquery()
    )
    answers = select(AfterTalkRow.person_id, AfterTalkRow.feeling, TurnRow.versions).join(TurnRow, TurnRow.id == last)
    felt: defaultdict[tuple[str, str], Feelings] = defaultdict(lambda: defaultdict(Counter))
    for person, feeling, versions in connection.execute(answers.where(AfterTalkRow.feeling != "")):
        if "variant" in versions:
            felt[str(versions.get("experiment", "")), str(versions["variant"])][person][feeling] += 1
    return felt


def _variants(by_name: dict[str, list[_Reply]], felt: dict[str, Feelings]) -> tuple[VariantFigures, ...]:
    people = {name: _by_person(replies, felt[name]) for name, replies in by_name.items()}
    first, *others = by_name
    verdicts: dict[str, Verdict | None] = {first: None}
    for name in others:
        mine, theirs = people[name], people[first]
        verdicts[name] = compare(mine["likes"], mine["votes"], theirs["likes"], theirs["votes"], len(others))
    return tuple(_figures(name, by_name[name], people[name], verdicts[name]) for name in by_name)


def _by_person(replies: Sequence[_Reply], felt: Feelings) -> dict[str, Floats]:
    """Sums for each person, shape (people,) each."""
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    dialogs: defaultdict[str, set[str]] = defaultdict(set)
    for reply in replies:
        counts = {"turns": 1, "kept": not reply.sent_back, "sent back": reply.sent_back}
        sums[reply.person].update(counts, likes=reply.likes, votes=reply.votes)
        dialogs[reply.person].add(reply.dialog)
    for person, counted in sums.items():
        counted.update(felt[person], answers=felt[person].total())
    names = ("turns", "kept", "sent back", "likes", "votes", "answers", "better", "worse")
    columns = {name: np.array([float(counts[name]) for counts in sums.values()]) for name in names}
    return {**columns, "dialogs": np.array([float(len(dialogs[person])) for person in sums])}


def _figures(
    name: str, replies: Sequence[_Reply], people: dict[str, Floats], verdict: Verdict | None
) -> VariantFigures:
    one = np.ones(len(people["turns"]))
    median, slow = _seconds(replies)
    likes, votes = int(people["likes"].sum()), int(people["votes"].sum())
    return VariantFigures(
        name=name,
        people=len(one),
        dialogs=len({reply.dialog for reply in replies}),
        turns=len(replies),
        likes=likes,
        dislikes=votes - likes,
        approval=over_people(people["likes"], people["votes"], most=1.0),
        dialogs_a_person=over_people(people["dialogs"], one),
        turns_a_dialog=over_people(people["kept"], people["dialogs"]),
        sent_back=over_people(people["sent back"], people["turns"], most=1.0),
        answers=int(people["answers"].sum()),
        felt_better=over_people(people["better"], people["answers"], most=1.0),
        felt_worse=over_people(people["worse"], people["answers"], most=1.0),
        seconds_median=median,
        seconds_95=slow,
        verdict=verdict,
    )


def over_people(tops: Floats, bottoms: Floats, most: float = math.inf) -> Estimate:
    """A ratio of sums over people, such as likes by votes, with an interval if at least FEWEST people are below the
    line. Both arrays have a number for each person."""
    if not bottoms.any():
        return NONE
    people = bottoms > 0
    if people.sum() < FEWEST:
        return Estimate(float(tops.sum() / bottoms.sum()), math.nan, math.nan)
    return ratio((tops, bottoms), [str(number) for number in range(len(tops))], least=0.0, most=most)


def _seconds(replies: Sequence[_Reply], shares: tuple[float, float] = (0.5, 0.95)) -> list[Estimate]:
    """Quantiles of the turns' seconds; in a resample of people each turn counts as often as its person was drawn."""
    ordered = sorted(replies, key=lambda reply: reply.seconds)
    _, people = np.unique([reply.person for reply in ordered], return_inverse=True)
    count = int(people.max()) + 1
    draw = np.random.default_rng(0)
    drawn: list[list[float]] = []
    for again in range(RESAMPLES + 1 if count >= FEWEST else 1):
        times = np.bincount(draw.integers(count, size=count), minlength=count) if again else np.ones(count, np.intp)
        passed = times[people].cumsum()
        drawn.append([ordered[int(np.searchsorted(passed, share * passed[-1]))].seconds for share in shares])
    if len(drawn) == 1:
        return [Estimate(value, math.nan, math.nan) for value in drawn[0]]
    return [interval(values[0], values[1:]) for values in zip(*drawn, strict=True)]
