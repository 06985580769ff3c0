"""What people made known about replies, out of the log: a label for each reply that somebody judged, by a vote, by 🔁,
or by what they did next.

Explicit are votes, and 🔁, by which a reply loses to the one that was kept instead. Implicit is what else tells: that a
reply was kept after another was sent back, that the person went on soon, and that the dialog ended there. Whether the
talk goes on is what Irvine et al. 2023 (arXiv 2303.06135) trained a reward model on, and Pang et al. 2023 (arXiv
2307.14117) found that a reply that is answered is a better one, a little. So implicit labels are marked and weigh less.

Only dialogs of people who all said yes are read (/privacy). Fallbacks and what was moderated teach nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, Row, Select, and_, func, select

from storage.corpora import RatedReply
from storage.dialog import Message
from storage.records import SOURCE
from storage.schema import CandidateRow, DialogRow, MessageRow, TurnRow, VoteRow
from storage.streaming import FALLBACK, MODERATION, Edit, Filters, id_batches

Kind: TypeAlias = Literal["vote", "retry", "kept", "went_on", "ended"]
"""How a label came to be: by 👍 or 👎; a reply was sent back; it was kept where another had been sent back; the person
wrote again soon; the dialog ended with it."""

EXPLICIT: tuple[Kind, ...] = ("vote", "retry")

IMPORTED = "imported"
"""The source of replies that came from a file (storage/importing.py): only what was rated is known of their dialogs, so
what people did next is not."""

SOON = timedelta(minutes=5)
"""An answer within this time is to the reply. Who comes back later in the day may come for anything."""

GOODBYES = ("goodbyes.", "listening.farewell/")
"""What the origins of replies begin with that are there to end a talk."""

CONTEXT = 8
"""Messages of a context that are kept: the ranker reads the last five, the retriever eight."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What a person made known about one reply."""

    rating: RatedReply
    kind: Kind
    reason: str
    """What was wrong with it, after a 👎: one of storage.dialog.REASONS, or ""."""
    began: datetime
    """When the dialog began."""
    features: Mapping[str, float]
    """Those that the reply had when it was chosen."""
    went_on: bool | None
    """Whether the person wrote again soon, or the dialog ended with it; None where that is not known."""


@dataclass(frozen=True, slots=True)
class Disclosed:
    """Under which names people appear, how texts do, and when a dialog has ended: with nothing said for `idle` before
    `now`."""

    name: Callable[[str], str]
    text: Edit
    idle: timedelta
    now: datetime


def read_signals(
    connection: Connection, disclosed: Disclosed, progress: Callable[[int], object] | None = None
) -> Iterator[Signal]:
    """The labels of all dialogs, the one that began first comes first. `progress` is told how many dialogs came by."""
    for dialog_ids in id_batches(connection, Filters()):
        by_id: dict[str, list[Signal]] = {}
        for dialog_id, rows in groupby(connection.execute(_replies(dialog_ids)), attrgetter("dialog_id")):
            by_id[dialog_id] = list(_of_dialog(list(rows), disclosed))
        for dialog_id in dialog_ids:
            yield from by_id.get(dialog_id, ())
        if progress is not None:
            progress(len(dialog_ids))


def newest(signals: Sequence[Signal], share: float) -> tuple[list[Signal], list[Signal], datetime | None]:
    """The signals of the older dialogs and of the newest, and when the first of these began: `share` of the dialogs
    with an explicit label are the newest. None and nothing newer where there are no two such dialogs."""
    starts = sorted({(s.began, s.rating.dialog_id) for s in signals if s.kind in EXPLICIT})
    if len(starts) < 2:
        return list(signals), [], None
    until = starts[min(len(starts) - 1, max(1, round(len(starts) * (1 - share))))][0]
    older = [signal for signal in signals if signal.began < until]
    return older, [signal for signal in signals if signal.began >= until], until


def _replies(dialog_ids: Sequence[str]) -> Select[Any]:
    """A row for each reply, and one for a message without any."""
    source = func.coalesce(CandidateRow.source, FALLBACK)
    own = and_(VoteRow.turn_id == TurnRow.id, VoteRow.person_id == MessageRow.person_id)
    return (
        select(MessageRow.dialog_id, MessageRow.id, MessageRow.text, MessageRow.person_id, MessageRow.at)
        .add_columns(DialogRow.at.label("began"), DialogRow.ended_at, DialogRow.active_at)
        .add_columns(TurnRow.reply, TurnRow.rejected, TurnRow.at.label("answered_at"))
        .add_columns(source.label("source"), CandidateRow.origin, CandidateRow.features)
        .add_columns(VoteRow.value, VoteRow.reason, VoteRow.at.label("voted_at"))
        .join(DialogRow, MessageRow.dialog_id == DialogRow.id)
        .outerjoin(TurnRow, TurnRow.message_id == MessageRow.id)
        .outerjoin(CandidateRow, and_(CandidateRow.turn_id == TurnRow.id, CandidateRow.chosen))
        .outerjoin(VoteRow, own)
        .where(MessageRow.dialog_id.in_(dialog_ids))
        .order_by(MessageRow.dialog_id, MessageRow.id, TurnRow.at)
    )


def _of_dialog(rows: Sequence[Row[Any]], disclosed: Disclosed) -> Iterator[Signal]:
    said: list[Message] = []
    messages = [list(of_message) for _, of_message in groupby(rows, attrgetter("id"))]
    for place, replies in enumerate(messages):
        person, text = replies[0].person_id, disclosed.text(replies[0].text)
        if text:  # an imported bot may speak first
            said.append(Message("user", text))
        following = next((later[0].at for later in messages[place + 1 :] if later[0].person_id == person), None)
        sent_back = False
        for reply in replies:
            if reply.reply is None:
                continue
            went_on = _went_on(reply, following, disclosed)
            if label := _label(reply, went_on, sent_back):
                yield _signal(reply, tuple(said[-CONTEXT:]), *label, went_on, disclosed)
            sent_back = sent_back or reply.rejected
            if not reply.rejected:
                said.append(Message("assistant", disclosed.text(reply.reply)))


def _went_on(row: Row[Any], following: datetime | None, disclosed: Disclosed) -> bool | None:
    """Whether the person did; `following`: when they wrote again."""
    if row.source in (FALLBACK, MODERATION, IMPORTED) or row.rejected:
        return None
    if following is not None:
        return True if following - row.answered_at <= SOON else None
    over = row.ended_at is not None or disclosed.now - row.active_at > disclosed.idle
    return False if over and not row.origin.startswith(GOODBYES) else None


def _label(row: Row[Any], went_on: bool | None, sent_back: bool) -> tuple[Kind, bool] | None:
    """What is known of a reply and whether it speaks for it."""
    if row.source in (FALLBACK, MODERATION):
        return None
    if row.value:
        return "vote", row.value > 0
    if row.rejected:
        return "retry", False
    if row.source == IMPORTED:
        return None
    if sent_back:
        return "kept", True
    if went_on is None:
        return None
    return ("went_on", True) if went_on else ("ended", False)


def _signal(
    row: Row[Any], said: tuple[Message, ...], kind: Kind, liked: bool, went_on: bool | None, disclosed: Disclosed
) -> Signal:
    rating = RatedReply(
        row.dialog_id,
        SOURCE,
        "train",
        said,
        disclosed.text(row.reply),
        liked,
        person=disclosed.name(row.person_id),
        at=row.voted_at or row.answered_at,
        implicit=kind not in EXPLICIT,
    )
    features = {name: value for name, value in row.features.items() if value is not None}
    return Signal(rating, kind, row.reason or "", row.began, features, went_on)
