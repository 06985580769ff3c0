"""What the log knows of who may talk: whom an admin shut out, and how much somebody asked for lately."""

from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from storage.database import insert_new
from storage.dialog import now
from storage.schema import BlockRow, MessageRow, TurnRow


def blocked(connection: Connection) -> frozenset[str]:
    """The persons and chats that are shut out."""
    return frozenset(connection.scalars(select(BlockRow.id)))


def block(connection: Connection, name: str) -> bool:
    """Shuts a person or chat out; False when they were already."""
    return insert_new(connection, BlockRow, id=name, at=now())


def unblock(connection: Connection, name: str) -> bool:
    """Lets them in again; False when they were not shut out."""
    return connection.execute(delete(BlockRow).where(BlockRow.id == name)).rowcount > 0


def asked_since(connection: Connection, person_id: str, since: datetime, message_id: int | None = None) -> int:
    """How many replies somebody asked for: their messages, and those that they had answered again.

    Only the latest reply can be asked for again, so of messages from before it is enough to look at `message_id`.
    """
    mine, recent = MessageRow.person_id == person_id, MessageRow.at >= since
    messages = select(func.count()).select_from(MessageRow).where(mine, recent)
    again = (
        select(func.count()).select_from(TurnRow).join(MessageRow).where(TurnRow.retry_of != "", TurnRow.at >= since)
    )
    old = MessageRow.id == message_id, mine, ~recent  # asked for by itself: an OR would read all that they ever said
    return sum(connection.execute(n).scalar_one() for n in (messages, again.where(mine, recent), again.where(*old)))
