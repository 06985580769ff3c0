"""User messages in the log, and the dialogs that they fall into.

The statements that every message needs are made once: to put one together takes longer than to run it.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, update

from storage.database import insert_new
from storage.dialog import Asked, new_id, now
from storage.people import ensure_person
from storage.schema import ChatRow, DialogRow, MessageRow, PersonRow

LOCK_CHAT = select(ChatRow.key).where(ChatRow.key == bindparam("chat")).with_for_update()
FIND_UPDATE = select(MessageRow.id).where(MessageRow.update_key == bindparam("update_key"))
CURRENT_DIALOG = select(DialogRow.id, DialogRow.active_at).where(
    DialogRow.chat == bindparam("chat"), DialogRow.ended_at.is_(None)
)
ADD_MESSAGE = insert(MessageRow).returning(MessageRow.id)
CHANGE_DIALOG = update(DialogRow).where(DialogRow.id == bindparam("dialog_id"))


def take(
    connection: Connection,
    chat: str,
    person_id: str,
    text: str,
    update_key: str,
    external_id: str,
    language: str,
    idle: timedelta,
    at: datetime | None = None,
) -> Asked | None:
    """Keeps a message in the chat's current dialog, or a fresh one after `idle`. None: this update was taken before.
    `at`: when it was said, by default now."""
    _lock_chat(connection, chat)
    if connection.scalar(FIND_UPDATE, {"update_key": update_key}) is not None:
        return None
    at = at or now()
    person = ensure_person(connection, person_id, language)
    dialog_id = _current_dialog(connection, chat, at, idle)
    row = {
        "dialog_id": dialog_id,
        "person_id": person_id,
        "text": text,
        "update_key": update_key,
        "external_id": external_id,
        "at": at,
    }
    message_id = connection.execute(ADD_MESSAGE, row).scalar_one()
    connection.execute(CHANGE_DIALOG, {"dialog_id": dialog_id, "active_at": at})
    return Asked(message_id, dialog_id, person_id, person.language)


def taken(connection: Connection, update_key: str) -> Asked | None:
    """A message that was taken before, None when it was not."""
    columns = MessageRow.id, MessageRow.dialog_id, MessageRow.person_id, PersonRow.language
    found = select(*columns).join(PersonRow, MessageRow.person_id == PersonRow.id)
    row = connection.execute(found.where(MessageRow.update_key == update_key)).one_or_none()
    return Asked(*row) if row else None


def edit(connection: Connection, chat: str, external_id: str, text: str) -> bool:
    """Gives a message its new text; False when it is unknown."""
    if not external_id:
        return False
    in_chat = MessageRow.dialog_id.in_(select(DialogRow.id).where(DialogRow.chat == chat))
    edited = update(MessageRow).where(MessageRow.external_id == external_id, in_chat)
    return connection.execute(edited.values(text=text, edited_at=now())).rowcount > 0


def new_dialog(connection: Connection, chat: str, at: datetime | None = None, dialog_id: str = "") -> str:
    """Begins a fresh dialog, whose id is returned."""
    _lock_chat(connection, chat)
    return _begin_dialog(connection, chat, at or now(), dialog_id or new_id())


def _lock_chat(connection: Connection, chat: str) -> None:
    """Makes the chat when it is new, and holds it till the transaction's end (SQLite holds everything anyway)."""
    if connection.scalar(LOCK_CHAT, {"chat": chat}) is None:
        insert_new(connection, ChatRow, key=chat, persona="")
        connection.execute(LOCK_CHAT, {"chat": chat})


def _current_dialog(connection: Connection, chat: str, at: datetime, idle: timedelta) -> str:
    row = connection.execute(CURRENT_DIALOG, {"chat": chat}).one_or_none()
    return row.id if row and at - row.active_at <= idle else _begin_dialog(connection, chat, at, new_id())


def _begin_dialog(connection: Connection, chat: str, at: datetime, dialog_id: str) -> str:
    current = DialogRow.chat == chat, DialogRow.ended_at.is_(None)
    spoken_in = exists().where(MessageRow.dialog_id == DialogRow.id)
    connection.execute(delete(DialogRow).where(*current, ~spoken_in))
    connection.execute(update(DialogRow).where(*current).values(ended_at=at))
    connection.execute(insert(DialogRow), {"id": dialog_id, "chat": chat, "at": at, "active_at": at})
    return dialog_id
