"""Votes of the log with all that was considered, to compare models on: those of dialogs that began last."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, Row, func, or_, select

from storage.dialog import Context, Turn
from storage.schema import WITHOUT_CONSENT, DialogRow, MessageRow, TurnRow, VoteRow
from storage.turns import context_of, read_turns

TURNS_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Voted:
    """A reply that somebody judged."""

    context: Context
    turn: Turn
    liked: bool
    """False also for one that was sent back by /retry."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The newest votes."""

    votes: tuple[Voted, ...]
    """Of the dialog that began first first."""
    of: int
    """How many votes the log has."""
    trained_on: int
    """How many of the newest ones were left out because somebody may have learnt from them."""


def held_out(connection: Connection, share: float, since: datetime | None, messages: int) -> HeldOut:
    """The newest `share` of the votes by the beginning of their dialogs, whole dialogs, of those without anybody who
    did not consent; fallbacks and what was moderated are nobody's choice. Of dialogs that began before `since`, none.
    `messages`: how far contexts look back."""
    judged = _judged(connection)
    newest: list[Row[tuple[str, datetime, str, int]]] = []
    for row in reversed(judged):
        if len(newest) >= share * len(judged) and row.dialog_id != newest[-1].dialog_id:
            break
        newest.append(row)
    unseen = [row for row in reversed(newest) if since is None or row.begun >= since]
    liked = {row.id: row.vote > 0 for row in unseen}
    found = _turns(connection, list(liked))
    votes = [_voted(connection, found[turn_id], liked[turn_id], messages) for turn_id in liked if turn_id in found]
    return HeldOut(tuple(votes), len(judged), len(newest) - len(unseen))


def _judged(connection: Connection) -> list[Row[tuple[str, datetime, str, int]]]:
    """All replies with a vote, or that were sent back, of the dialog that began first first."""
    vote = select(func.coalesce(func.sum(VoteRow.value), 0)).where(VoteRow.turn_id == TurnRow.id).scalar_subquery()
    rows = (
        select(DialogRow.id.label("dialog_id"), DialogRow.at.label("begun"), TurnRow.id, vote.label("vote"))
        .join(MessageRow, MessageRow.dialog_id == DialogRow.id)
        .join(TurnRow, TurnRow.message_id == MessageRow.id)
        .where(DialogRow.id.not_in(WITHOUT_CONSENT), TurnRow.reason == "policy", or_(vote != 0, TurnRow.rejected))
        .order_by(DialogRow.at, DialogRow.id, TurnRow.at)
    )
    return list(connection.execute(rows))


def _turns(connection: Connection, ids: list[str]) -> Mapping[str, Turn]:
    found: dict[str, Turn] = {}
    for start in range(0, len(ids), TURNS_AT_ONCE):
        some = read_turns(connection, TurnRow.id.in_(ids[start : start + TURNS_AT_ONCE]))
        found.update((turn.id, turn) for turn in some)
    return found


def _voted(connection: Connection, turn: Turn, liked: bool, messages: int) -> Voted:
    """The context is that of the first answer: what was sent back later was not known then."""
    return Voted(replace(context_of(connection, turn.asked, messages), rejected=()), turn, liked)
