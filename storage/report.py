"""What `kith report` tells of the log: how people took the replies of some time, why, and who stays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, true

from storage.estimates import NONE, Estimate, share
from storage.experiments import Experiment, read_experiments
from storage.judged import Judged, read_judged
from storage.replied import Replied, read_replied
from storage.schema import MessageRow, PersonRow, VoteEventRow
from storage.stats import Latency, read_latency

MANY_MESSAGES = 5
"""Who wrote as many has seen what Kith is like."""


@dataclass(frozen=True, slots=True)
class Step:
    """People who came so far."""

    name: str
    people: int
    share: Estimate
    """Of those who started."""


@dataclass(frozen=True, slots=True)
class Report:
    """The log of some time."""

    since: datetime | None
    """None: from its beginning."""
    people: int
    """Who wrote."""
    dialogs: int
    replied: Replied
    judged: Judged
    funnel: tuple[Step, ...]
    """Of people who came in that time; the first step is all of them."""
    latency: tuple[Latency, ...]
    experiments: tuple[Experiment, ...]
    """Those with a reply in that time, each from its own beginning: the sequential test counts from there."""


def read_report(connection: Connection, since: datetime | None = None, variants: Sequence[str] = ()) -> Report:
    """Reads everything. Memory grows with people and votes, not with messages, but for the seconds: 8 bytes a turn and
    stage. `variants`: in which order to show them."""
    written = true() if since is None else MessageRow.at >= since
    counted = select(func.count(MessageRow.person_id.distinct()), func.count(MessageRow.dialog_id.distinct()))
    people, dialogs = connection.execute(counted.where(written)).one()
    replied = read_replied(connection, since)
    found = read_experiments(connection, variants) if replied.experiments else []
    return Report(
        since,
        people,
        dialogs,
        replied,
        read_judged(connection, since),
        _funnel(connection, since),
        read_latency(connection, since),
        tuple(each for each in found if each.name in replied.experiments),
    )


def _funnel(connection: Connection, since: datetime | None) -> tuple[Step, ...]:
    """Days are those of UTC."""
    came = true() if since is None else PersonRow.at >= since
    steps = dict.fromkeys(("started", "said yes to learning", f"wrote {MANY_MESSAGES} messages", "voted"), 0)
    steps["came back another day"] = 0
    first, last = func.min(MessageRow.at).label("first"), func.max(MessageRow.at).label("last")
    wrote = select(MessageRow.person_id, func.count().label("messages"), first, last).group_by(MessageRow.person_id)
    said = wrote.subquery()
    voters = select(VoteEventRow.person_id).where(VoteEventRow.value != 0)
    people = (
        select(PersonRow.consent, said.c.messages, said.c.first, said.c.last, PersonRow.id.in_(voters).label("voted"))
        .outerjoin(said, said.c.person_id == PersonRow.id)
        .where(came)
    )
    for row in connection.execute(people, execution_options={"yield_per": 2000}):
        back = row.first is not None and row.first.date() != row.last.date()
        passed = (True, row.consent, (row.messages or 0) >= MANY_MESSAGES, row.voted, back)
        for name, here in zip(steps, passed, strict=True):
            steps[name] += bool(here)
    started = steps.pop("started")
    all_of_them = Step("started", started, Estimate(1.0, math.nan, math.nan) if started else NONE)
    return (all_of_them, *(Step(name, count, share(count, started)) for name, count in steps.items()))
