"""What a person may ask for: all that is kept about them, and that it be deleted for good."""

from collections import defaultdict
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, FromClause, delete, exists, func, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from storage.pool_rows import forget_in_pool
from storage.schema import (
    AfterTalkRow,
    Base,
    BlockRow,
    CandidateRow,
    ChatRow,
    DeliveryRow,
    DialogRow,
    MessageRow,
    PersonRow,
    PoolEntryRow,
    PoolEntryTurnRow,
    ReceivedRow,
    TurnRow,
    VoteEventRow,
    VoteRow,
)
from storage.updates import forget_received

Document: TypeAlias = dict[str, Any]

BESIDE: dict[str, InstrumentedAttribute[str]] = {"received": ReceivedRow.person_id, "blocked": BlockRow.id}
"""Tables that belong to no dialog, by their name in the document: the column with the person's id. A line here puts a
table into /export; what /forget does with its rows is said in `forget`."""

NESTED: dict[str, tuple[type[Base], str, type[Base]]] = {
    "candidates": (CandidateRow, "turn_id", TurnRow),
    "votes": (VoteRow, "turn_id", TurnRow),
    "vote_history": (VoteEventRow, "turn_id", TurnRow),
    "shown_as": (DeliveryRow, "turn_id", TurnRow),
    "in_pool": (PoolEntryTurnRow, "turn_id", TurnRow),
    "replies": (TurnRow, "message_id", MessageRow),
    "messages": (MessageRow, "dialog_id", DialogRow),
    "after_talk": (AfterTalkRow, "dialog_id", DialogRow),
}
"""By their name in the document: rows, the column that names what they belong to, and what that is."""


def personal_data(connection: Connection, person_id: str) -> Document:
    """Everything kept about a person, fit for JSON; times are ISO 8601. `person` is null when they are unknown.

    Of a group there are their own messages and the replies to these; of an entry of the pool, their own words.
    """
    rows = {row: _documents(connection, row.__table__, mine) for row, mine in _kept_about(person_id).items()}
    for name, (row, key, parent) in NESTED.items():
        _nest(rows[row], key, rows[parent], name)
    said = {message["text"].strip() for message in rows[MessageRow]}
    for entry in rows[PoolEntryRow]:
        entry["contexts"] = [context for context in entry["contexts"] if context in said]
    document = {"person": next(iter(rows[PersonRow]), None), "chats": rows[ChatRow], "dialogs": rows[DialogRow]}
    document["pool"] = rows[PoolEntryRow]
    for name, column in BESIDE.items():
        document[name] = _documents(connection, column.class_.__table__, column == person_id)
    return document


def forget(connection: Connection, person_id: str) -> dict[str, int]:
    """Deletes a person with their messages, the turns that answered these, their votes and their private chat.

    Returns how many rows of each kind that were. Other people's rows in a group stay, and so does it that an admin shut
    the person out. Of updates in hand the keys stay: else these would come again.
    """
    mine = _kept_about(person_id)
    kinds = MessageRow, TurnRow, CandidateRow, VoteRow, VoteEventRow, AfterTalkRow, PersonRow
    counts = {row.__tablename__: _count(connection, row, mine[row]) for row in kinds}
    counts["pool_entry"] = forget_in_pool(connection, MessageRow.person_id == person_id)
    counts["received"] = forget_received(connection, ReceivedRow.person_id == person_id)
    chats = list(connection.scalars(select(ChatRow.key).where(mine[ChatRow]).with_for_update()))
    connection.execute(delete(PersonRow).where(PersonRow.id == person_id))  # messages, turns and votes go with it
    silent = DialogRow.chat.in_(chats), ~exists().where(MessageRow.dialog_id == DialogRow.id)
    counts["dialog"] = connection.execute(delete(DialogRow).where(*silent)).rowcount
    empty = ChatRow.key.in_(chats), ~exists().where(DialogRow.chat == ChatRow.key)
    counts["chat"] = connection.execute(delete(ChatRow).where(*empty)).rowcount
    return counts


def _kept_about(person_id: str) -> dict[type[Base], ColumnElement[bool]]:
    """For each kind of row: which ones are about a person. A private chat is called as the person is, its topics begin
    so."""
    messages = MessageRow.person_id == person_id
    turns = TurnRow.message_id.in_(select(MessageRow.id).where(messages))
    turn_ids = select(TurnRow.id).where(turns)
    private = or_(ChatRow.key == person_id, ChatRow.key.startswith(f"{person_id}:", autoescape=True))
    private_chats = select(ChatRow.key).where(private)
    dialogs = or_(DialogRow.id.in_(select(MessageRow.dialog_id).where(messages)), DialogRow.chat.in_(private_chats))
    in_pool = PoolEntryTurnRow.turn_id.in_(turn_ids)
    return {
        PersonRow: PersonRow.id == person_id,
        ChatRow: or_(private, ChatRow.key.in_(select(DialogRow.chat).where(dialogs))),
        DialogRow: dialogs,
        MessageRow: messages,
        TurnRow: turns,
        CandidateRow: CandidateRow.turn_id.in_(turn_ids),
        VoteRow: VoteRow.person_id == person_id,
        VoteEventRow: VoteEventRow.person_id == person_id,
        AfterTalkRow: AfterTalkRow.person_id == person_id,
        DeliveryRow: DeliveryRow.turn_id.in_(turn_ids),
        PoolEntryTurnRow: in_pool,
        PoolEntryRow: PoolEntryRow.id.in_(select(PoolEntryTurnRow.entry_id).where(in_pool)),
    }


def _documents(connection: Connection, table: FromClause, which: ColumnElement[bool]) -> list[Document]:
    order = [table.c.at] if "at" in table.c else list(table.primary_key)
    found = connection.execute(select(table).where(which).order_by(*order)).mappings()
    return [
        {name: value.isoformat() if isinstance(value, datetime) else value for name, value in document.items()}
        for document in found
    ]


def _nest(children: list[Document], key: str, parents: list[Document], name: str) -> None:
    by_parent: defaultdict[Any, list[Document]] = defaultdict(list)
    for child in children:
        by_parent[child[key]].append(child)
    for parent in parents:
        parent[name] = by_parent[parent["id"]]


def _count(connection: Connection, row: type[Base], which: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(row).where(which)).scalar_one()
