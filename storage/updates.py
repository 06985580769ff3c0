"""Updates of a front end: kept as they came until they are done, so that a crash loses none.

Of one that is done only its key stays, for as long as it may come again: what it said is in the log, under the log's
rules.
"""

from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, and_, delete, func, or_, select, update

from storage.database import insert_new
from storage.dialog import Asked, Received, now
from storage.schema import ReceivedRow
from storage.turns import find_turn

KEYS_KEPT = timedelta(days=3)
"""Telegram offers an update again for 24 hours, and may begin its numbers anew after a week of silence."""

BODIES_KEPT = timedelta(days=30)
"""Of updates that nobody finishes: those of a bot whose token is used no more."""

PRUNED = 4
"""The most old rows that go with each new one: with more than one the table shrinks to what KEYS_KEPT asks for."""


def receive(connection: Connection, received: Received) -> bool:
    """Keeps an update; False when it came before."""
    _prune(connection)
    return insert_new(
        connection,
        ReceivedRow,
        key=received.key,
        person_id=received.person_id,
        body=received.body,
        sent_back="",
        tries=0,
        at=received.at,
    )


def unfinished(connection: Connection, prefix: str) -> list[Received]:
    """The updates that were never done and whose keys begin with `prefix`, as they came; each is tried once more."""
    mine = and_(ReceivedRow.body.is_not(None), ReceivedRow.key.startswith(prefix, autoescape=True))
    connection.execute(update(ReceivedRow).where(mine).values(tries=ReceivedRow.tries + 1))
    rows = connection.execute(select(ReceivedRow.__table__).where(mine).order_by(ReceivedRow.id))
    return [Received(row.key, row.person_id, row.body, row.tries, row.at) for row in rows]


def in_hand(connection: Connection) -> int:
    """How many updates are not done yet."""
    return connection.execute(select(func.count()).where(ReceivedRow.body.is_not(None))).scalar_one()


def finish(connection: Connection, key: str) -> None:
    """Marks an update as done and deletes what it said."""
    _empty(connection, ReceivedRow.key == key)


def forget_received(connection: Connection, which: ColumnElement[bool]) -> int:
    """Deletes what some updates say, although they are not done; how many."""
    return _empty(connection, and_(ReceivedRow.body.is_not(None), which))


def note_sent_back(connection: Connection, key: str, turn_id: str) -> None:
    """Keeps which turn an update sent back, so that it sends back no other one when it is tried again."""
    connection.execute(update(ReceivedRow).where(ReceivedRow.key == key).values(sent_back=turn_id))


def asked_again(connection: Connection, key: str) -> Asked | None:
    """What an update asked again before it was tried once more; None when it did not come so far."""
    turn_id = connection.scalar(select(ReceivedRow.sent_back).where(ReceivedRow.key == key))
    turn = find_turn(connection, turn_id) if turn_id else None
    return turn.asked_again() if turn else None


def _empty(connection: Connection, which: ColumnElement[bool]) -> int:
    return connection.execute(update(ReceivedRow).where(which).values(body=None, person_id="", sent_back="")).rowcount


def _prune(connection: Connection) -> None:
    """Deletes rows that are too old, a few at a time: the oldest have the smallest ids."""
    oldest = select(ReceivedRow.id).order_by(ReceivedRow.id).limit(PRUNED).scalar_subquery()
    at = now()
    old = or_(and_(ReceivedRow.body.is_(None), ReceivedRow.at < at - KEYS_KEPT), ReceivedRow.at < at - BODIES_KEPT)
    connection.execute(delete(ReceivedRow).where(ReceivedRow.id.in_(oldest), old))
