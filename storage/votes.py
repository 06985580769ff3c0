"""Votes in the log: one that stands for each person and turn, and the history of how it came to be."""

from dataclasses import replace
from typing import cast

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, select

from storage.dialog import Vote, VoteKind, VoteValue
from storage.schema import DialogRow, MessageRow, TurnRow, VoteEventRow, VoteRow
from storage.turns import NotAddressed, UnknownTurn


def add_vote(connection: Connection, vote: Vote, chat: str) -> Vote:
    """Makes a vote the one that stands, and returns that one; the same vote again changes nothing.

    Raises UnknownTurn when the turn is not of this chat, NotAddressed when it answered somebody else.
    """
    answered = select(MessageRow.person_id, DialogRow.chat).select_from(TurnRow).join(MessageRow).join(DialogRow)
    row = connection.execute(answered.where(TurnRow.id == vote.turn_id)).one_or_none()
    if row is None or row.chat != chat:
        raise UnknownTurn(f"chat {chat} has no turn {vote.turn_id}")
    if row.person_id != vote.person_id:
        raise NotAddressed(f"turn {vote.turn_id} answered somebody else")
    old = vote_of(connection, vote.turn_id, vote.person_id) or replace(vote, value=0, reason="")
    new = _merged(old, vote)
    if (new.value, new.reason) == (old.value, old.reason):
        return old
    values = {
        "turn_id": new.turn_id,
        "person_id": new.person_id,
        "value": new.value,
        "kind": new.kind,
        "reason": new.reason,
        "at": new.at,
    }
    connection.execute(insert(VoteEventRow), values)
    connection.execute(delete(VoteRow).where(VoteRow.turn_id == new.turn_id, VoteRow.person_id == new.person_id))
    if new.value != 0:
        connection.execute(insert(VoteRow), values)
    return new


def vote_of(connection: Connection, turn_id: str, person_id: str) -> Vote | None:
    """The vote that stands; None when there was none, or it was taken back."""
    which = and_(VoteRow.turn_id == turn_id, VoteRow.person_id == person_id)
    return next(iter(read_votes(connection, which)), None)


def read_votes(connection: Connection, which: ColumnElement[bool]) -> list[Vote]:
    """The votes that stand and for which a condition on their columns holds, oldest first."""
    columns = VoteRow.turn_id, VoteRow.person_id, VoteRow.value, VoteRow.kind, VoteRow.reason, VoteRow.at
    rows = connection.execute(select(*columns).where(which).order_by(VoteRow.at))
    return [
        Vote(row.turn_id, row.person_id, cast(VoteValue, row.value), cast(VoteKind, row.kind), row.reason, row.at)
        for row in rows
    ]


def _merged(old: Vote, new: Vote) -> Vote:
    """A reason alone (value 0) goes to the 👎 that stands; the same value again keeps the reason; a 👍 has none."""
    if new.value == 0 and new.reason:
        return replace(new, value=-1) if old.value == -1 else old
    if new.value != -1:
        return replace(new, reason="")
    return replace(new, reason=new.reason or (old.reason if old.value == -1 else ""))
