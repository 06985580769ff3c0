"""People and chats in the log, and what they chose."""

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from storage.database import insert_new
from storage.dialog import Person, now
from storage.schema import ChatRow, PersonRow

CHOSEN = PersonRow.id, PersonRow.language, PersonRow.buttons, PersonRow.consent, PersonRow.consent_at
FIND_PERSON = select(*CHOSEN).where(PersonRow.id == bindparam("person_id"))


def find_person(connection: Connection, person_id: str) -> Person | None:
    """A person, None when they are unknown."""
    row = connection.execute(FIND_PERSON, {"person_id": person_id}).one_or_none()
    if row is None:
        return None
    return Person(row.id, row.language, row.buttons, row.consent if row.consent_at else None)


def ensure_person(connection: Connection, person_id: str, language: str) -> Person:
    """A person, made with this language when they are new ("" is English)."""
    person = find_person(connection, person_id)
    if person is None:
        person = Person(person_id, language or "en")
        chosen = {"language": person.language, "buttons": person.buttons}
        insert_new(connection, PersonRow, id=person.id, consent=False, at=now(), **chosen)
    return person


def change_person(connection: Connection, person_id: str, changes: dict[str, Any]) -> Person:
    """Sets what a person chose; `changes` holds fields of Person."""
    person = ensure_person(connection, person_id, "")
    if changes:
        answered = {"consent_at": now()} if "consent" in changes else {}
        connection.execute(update(PersonRow).where(PersonRow.id == person_id).values(**changes, **answered))
    return replace(person, **changes)


def persona_of(connection: Connection, chat: str) -> str:
    """The name of the persona that a chat chose, "" when none."""
    return connection.scalar(select(ChatRow.persona).where(ChatRow.key == chat)) or ""


def set_persona(connection: Connection, chat: str, name: str) -> None:
    """Sets the persona of a chat, which is made when it is new."""
    insert_new(connection, ChatRow, key=chat, persona="")
    connection.execute(update(ChatRow).where(ChatRow.key == chat).values(persona=name))
