"""How long words are kept: old ones go, and dialogs of people who did not say yes to learning soon after their end.

What goes is messages with all that answered them, in batches, so that a bot that runs on the same log waits for none of
it for long. Pool entries lose the words that they have of them (storage/pool_rows.py). Settings of people stay.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, false, func, or_, select

from storage.dialog import now
from storage.pool_rows import forget_in_pool
from storage.schema import (
    WITHOUT_CONSENT,
    AfterTalkRow,
    CandidateRow,
    ChatRow,
    DialogRow,
    MessageRow,
    ReceivedRow,
    TurnRow,
    VoteRow,
)
from storage.updates import forget_received

BATCH = 100
"""Messages that are deleted in one transaction, with their turns and some 1,000 candidates: 0.05 s in SQLite when the
machine is busy."""


@dataclass(frozen=True, slots=True)
class Expiry:
    """What is kept no longer."""

    before: datetime | None = None
    """Messages from before then."""
    without_consent: datetime | None = None
    """Dialogs with somebody who did not consent in which nothing was said since then."""

    def conditions(self) -> list[ColumnElement[bool]]:
        """Which messages are to go, for each of the reasons."""
        old = [] if self.before is None else [MessageRow.at < self.before]
        if self.without_consent is not None:
            silent = and_(DialogRow.active_at < self.without_consent, DialogRow.id.in_(WITHOUT_CONSENT))
            old.append(MessageRow.dialog_id.in_(select(DialogRow.id).where(silent)))
        return old


def expiry(keep_days: float, opted_out_hours: float) -> Expiry:
    """What is kept no longer at this moment; `keep_days` 0 keeps for ever."""
    at = now()
    before = at - timedelta(days=keep_days) if keep_days else None
    return Expiry(before, at - timedelta(hours=opted_out_hours))


def prune(connection: Connection, expiry: Expiry, limit: int = BATCH) -> int:
    """Deletes so many of the messages that are to go, and dialogs that are empty then; how many messages. What updates
    say that are still in hand goes by its age as well, and how people felt after talks, before their dialog does."""
    if expiry.before is not None:
        forget_received(connection, ReceivedRow.at < expiry.before)
        connection.execute(delete(AfterTalkRow).where(AfterTalkRow.at < expiry.before))
    for gone in expiry.conditions():  # one after the other: together they would have SQLite read all messages
        if count := _prune(connection, gone, limit):
            return count
    return 0


def _prune(connection: Connection, which: ColumnElement[bool], limit: int) -> int:
    oldest = (
        select(MessageRow.id, MessageRow.dialog_id).where(which).order_by(MessageRow.at, MessageRow.id).limit(limit)
    )
    dialogs = {row.dialog_id for row in connection.execute(oldest)}
    if not dialogs:
        return 0
    # Whoever writes in these chats meanwhile waits, or has written: then what they wrote in is no longer silent.
    chats = select(DialogRow.chat).where(DialogRow.id.in_(dialogs))
    connection.execute(select(ChatRow.key).where(ChatRow.key.in_(chats)).order_by(ChatRow.key).with_for_update())
    ids = list(connection.scalars(oldest.where(MessageRow.dialog_id.in_(dialogs)).with_only_columns(MessageRow.id)))
    gone = MessageRow.id.in_(ids)
    forget_in_pool(connection, gone)
    connection.execute(delete(MessageRow).where(gone))  # turns, candidates, votes and deliveries go with them
    silent = DialogRow.id.in_(dialogs), ~exists().where(MessageRow.dialog_id == DialogRow.id)
    connection.execute(delete(DialogRow).where(*silent))
    return len(ids)


def count_expired(connection: Connection, expiry: Expiry) -> dict[str, int]:
    """How many rows of each kind would go."""
    which = or_(false(), *expiry.conditions())
    counted = {
        "message": select(func.count()).select_from(MessageRow),
        "turn": select(func.count()).select_from(TurnRow).join(MessageRow),
        "candidate": select(func.count()).select_from(CandidateRow).join(TurnRow).join(MessageRow),
        "vote": select(func.count()).select_from(VoteRow).join(TurnRow).join(MessageRow),
    }
    return {name: _number(connection, rows.where(which)) for name, rows in counted.items()}


def _number(connection: Connection, query: Select[int]) -> int:
    return connection.execute(query).scalar_one()
