"""Dialogs out of the log in batches: a million messages take as little memory as a thousand.

Only dialogs of people who all said that theirs may be used are read (/privacy), and what was said in them as `edit`
makes it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, Row, and_, func, select

from storage.schema import WITHOUT_CONSENT, CandidateRow, DialogRow, MessageRow, TurnRow, VoteRow

BATCH_MESSAGES = 1000
"""A batch has this many messages, or one longer dialog. Each message may bring a dozen candidates of 1 KiB."""

Edit: TypeAlias = Callable[[str], str]
"""A text as it was written in, as it leaves the log out."""

FALLBACK = "fallback"
"""The source of a reply that was none of the candidates."""

MODERATION = "moderation"
"""The source of replies that no model may learn to say: they belong to grave moments, with help lines."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One turn's answer to a message."""

    text: str
    source: str
    rejected: bool
    """Whether it was sent back by /retry."""
    vote: int
    """Over 0: liked; under 0: disliked; 0: no vote stands."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a person said, and every reply to it, oldest first."""

    text: str
    at: datetime
    replies: tuple[Reply, ...]


@dataclass(frozen=True, slots=True)
class SpokenDialog:
    """The words of a dialog, oldest first."""

    id: str
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class Filters:
    """What is wanted of the log. The default is everything.

    `since` (inclusive) and `until` (exclusive) are aware times of messages, `chat` is a chat's key, `source` one of
    "retrieval", "listening", "generation", "moderation", "fallback". `liked` and `disliked` together mean any reply
    with a vote. `limit` counts records. `dialogs` are ids, None for all. Raises ValueError for a time without a zone
    and for a limit under 0.
    """

    since: datetime | None = None
    until: datetime | None = None
    chat: str | None = None
    liked: bool = False
    disliked: bool = False
    source: str | None = None
    limit: int | None = None
    dialogs: frozenset[str] | None = None

    def __post_init__(self) -> None:
        for time in (self.since, self.until):
            if time is not None and time.tzinfo is None:
                raise ValueError(f"{time} has no time zone.")
        if self.limit is not None and self.limit < 0:
            raise ValueError(f"{self.limit} is no number of records.")

    @property
    def of_replies(self) -> bool:
        """Whether anything is asked of replies."""
        return self.liked or self.disliked or self.source is not None

    def in_time(self, exchange: Exchange) -> bool:
        """Whether the message came in the wanted time."""
        after = self.since is None or exchange.at >= self.since
        return after and (self.until is None or exchange.at < self.until)

    def take(self, reply: Reply) -> bool:
        """Whether this is a wanted reply."""
        voted = (self.liked and reply.vote > 0) or (self.disliked and reply.vote < 0)
        return (voted or not (self.liked or self.disliked)) and self.source in (None, reply.source)


def count_dialogs(connection: Connection, filters: Filters) -> int:
    """How many dialogs `dialog_batches` will read."""
    return connection.execute(select(func.count()).select_from(DialogRow).where(_wanted(filters))).scalar_one()


def dialog_batches(connection: Connection, filters: Filters, edit: Edit = str) -> Iterator[list[SpokenDialog]]:
    """The dialogs with a message in the wanted chat and time, whole ones, the one that began first comes first."""
    for dialog_ids in id_batches(connection, filters):
        by_id = {dialog.id: dialog for dialog in _read(connection, dialog_ids, edit)}
        yield [by_id[dialog_id] for dialog_id in dialog_ids]


def id_batches(connection: Connection, filters: Filters) -> Iterator[list[str]]:
    """The ids of these dialogs, as many at a time as have BATCH_MESSAGES."""
    lengths = select(func.count()).where(MessageRow.dialog_id == DialogRow.id).scalar_subquery()
    dialogs = select(DialogRow.id, lengths).where(_wanted(filters)).order_by(DialogRow.at, DialogRow.id)
    batch: list[str] = []
    messages = 0
    with connection.execute(dialogs, execution_options={"yield_per": 1000}) as rows:
        for partition in rows.partitions():
            for dialog_id, length in partition:
                if filters.dialogs is not None and dialog_id not in filters.dialogs:
                    continue
                if batch and messages + length > BATCH_MESSAGES:
                    yield batch
                    batch, messages = [], 0
                batch.append(dialog_id)
                messages += length
    if batch:
        yield batch


def _wanted(filters: Filters) -> ColumnElement[bool]:
    messages = select(MessageRow.dialog_id)
    if filters.since is not None:
        messages = messages.where(MessageRow.at >= filters.since)
    if filters.until is not None:
        messages = messages.where(MessageRow.at < filters.until)
    wanted = and_(DialogRow.id.not_in(WITHOUT_CONSENT), messages.where(MessageRow.dialog_id == DialogRow.id).exists())
    return wanted if filters.chat is None else and_(wanted, DialogRow.chat == filters.chat)


def _read(connection: Connection, dialog_ids: Sequence[str], edit: Edit) -> Iterator[SpokenDialog]:
    vote = select(func.coalesce(func.sum(VoteRow.value), 0)).where(VoteRow.turn_id == TurnRow.id).scalar_subquery()
    source = func.coalesce(CandidateRow.source, FALLBACK)
    rows = (
        select(MessageRow.dialog_id, MessageRow.id, MessageRow.text, MessageRow.at)
        .add_columns(TurnRow.reply, source.label("source"), TurnRow.rejected, vote.label("vote"))
        .outerjoin(TurnRow, TurnRow.message_id == MessageRow.id)
        .outerjoin(CandidateRow, and_(CandidateRow.turn_id == TurnRow.id, CandidateRow.chosen))
        .where(MessageRow.dialog_id.in_(dialog_ids))
        .order_by(MessageRow.dialog_id, MessageRow.id, TurnRow.at)
    )
    for dialog_id, of_dialog in groupby(connection.execute(rows), attrgetter("dialog_id")):
        exchanges = tuple(_exchange(list(of_message), edit) for _, of_message in groupby(of_dialog, attrgetter("id")))
        yield SpokenDialog(dialog_id, exchanges)


def _exchange(rows: Sequence[Row[Any]], edit: Edit) -> Exchange:
    """From one row for each reply, or one for a message without any."""
    replies = (Reply(edit(row.reply), row.source, row.rejected, row.vote) for row in rows if row.reply is not None)
    return Exchange(edit(rows[0].text), rows[0].at, tuple(replies))
