"""Dialogs in the log, as their owner reads them: `kith dialogs list` and `kith dialogs show`."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, ScalarSelect, func, select

from storage.dialog import Turn, Vote
from storage.schema import DialogRow, MessageRow, TurnRow, VoteRow
from storage.turns import read_turns
from storage.votes import read_votes


@dataclass(frozen=True, slots=True)
class DialogSummary:
    """A line of the list."""

    id: str
    chat: str
    at: datetime
    active_at: datetime
    """When the last message or reply came."""
    messages: int
    """User messages."""
    turns: int
    likes: int
    dislikes: int


@dataclass(frozen=True, slots=True)
class LoggedTurn:
    """A reply, whether it was sent back, and the votes that stand."""

    turn: Turn
    rejected: bool
    votes: tuple[Vote, ...]


@dataclass(frozen=True, slots=True)
class LoggedMessage:
    """What a person said, with the replies to it in their order; all but the last were sent back."""

    id: int
    person_id: str
    text: str
    at: datetime
    edited_at: datetime | None
    turns: tuple[LoggedTurn, ...]


@dataclass(frozen=True, slots=True)
class LoggedDialog:
    """A whole dialog."""

    id: str
    chat: str
    at: datetime
    messages: tuple[LoggedMessage, ...]


def list_dialogs(connection: Connection, limit: int) -> list[DialogSummary]:
    """The dialogs in which something was said, the latest activity first."""
    messages = select(func.count()).where(MessageRow.dialog_id == DialogRow.id).scalar_subquery()
    turns = (
        select(func.count())
        .select_from(TurnRow)
        .join(MessageRow)
        .where(MessageRow.dialog_id == DialogRow.id)
        .scalar_subquery()
    )
    columns = DialogRow.id, DialogRow.chat, DialogRow.at, DialogRow.active_at, messages, turns, _votes(1), _votes(-1)
    newest = select(*columns).where(messages > 0).order_by(DialogRow.active_at.desc()).limit(limit)
    return [DialogSummary(*row) for row in connection.execute(newest)]


def read_dialog(connection: Connection, dialog_id: str) -> LoggedDialog | None:
    """A whole dialog, or None."""
    dialog = select(DialogRow.id, DialogRow.chat, DialogRow.at).where(DialogRow.id == dialog_id)
    row = connection.execute(dialog).one_or_none()
    if row is None:
        return None
    turns = _turns_by_message(connection, dialog_id)
    said = select(MessageRow.id, MessageRow.person_id, MessageRow.text, MessageRow.at, MessageRow.edited_at)
    messages = connection.execute(said.where(MessageRow.dialog_id == dialog_id).order_by(MessageRow.id))
    return LoggedDialog(
        row.id, row.chat, row.at, tuple(LoggedMessage(*message, turns=tuple(turns[message.id])) for message in messages)
    )


def _turns_by_message(connection: Connection, dialog_id: str) -> dict[int, list[LoggedTurn]]:
    of_dialog = MessageRow.dialog_id == dialog_id
    turn_ids = select(TurnRow.id).join(MessageRow).where(of_dialog)
    rejected = set(connection.scalars(turn_ids.where(TurnRow.rejected)))
    votes: defaultdict[str, list[Vote]] = defaultdict(list)
    for vote in read_votes(connection, VoteRow.turn_id.in_(turn_ids)):
        votes[vote.turn_id].append(vote)
    turns: defaultdict[int, list[LoggedTurn]] = defaultdict(list)
    for turn in read_turns(connection, of_dialog):
        logged = LoggedTurn(turn, turn.id in rejected, tuple(votes[turn.id]))
        turns[turn.asked.message_id].append(logged)
    return turns


def _votes(value: int) -> ScalarSelect[int]:
    counted = select(func.count()).select_from(VoteRow).join(TurnRow).join(MessageRow)
    return counted.where(MessageRow.dialog_id == DialogRow.id, VoteRow.value == value).scalar_subquery()
