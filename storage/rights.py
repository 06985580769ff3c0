"""What a person may ask for: all that is kept about them, and that it be deleted for good."""

from collections import defaultdict
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, delete, exists, func, or_, select

from storage.pool_rows import forget_in_pool
from storage.schema import (
    Base,
    CandidateRow,
    ChatRow,
    DeliveryRow,
    DialogRow,
    MessageRow,
    PersonRow,
    PoolEntryTurnRow,
    TurnRow,
    VoteEventRow,
    VoteRow,
)
from storage.updates import forget_received

Document: TypeAlias = dict[str, Any]


def personal_data(connection: Connection, person_id: str) -> Document:
    """Everything kept about a person, fit for JSON; times are ISO 8601. `person` is null when they are unknown.

    Of a group there are their own messages and the replies to these. Updates that are in hand at this moment are not
    among it: they are deleted when they are done, and what they say is in the log by then.
    """
    rows = {row: _documents(connection, row, mine) for row, mine in _kept_about(person_id).items()}
    for name, row in {
        "candidates": CandidateRow,
        "votes": VoteRow,
        "vote_history": VoteEventRow,
        "shown_as": DeliveryRow,
        "in_pool": PoolEntryTurnRow,
    }.items():
        _nest(rows[row], "turn_id", rows[TurnRow], name)
    _nest(rows[TurnRow], "message_id", rows[MessageRow], "replies")
    _nest(rows[MessageRow], "dialog_id", rows[DialogRow], "messages")
    return {"person": next(iter(rows[PersonRow]), None), "chats": rows[ChatRow], "dialogs": rows[DialogRow]}


def forget(connection: Connection, person_id: str) -> dict[str, int]:
    """Deletes a person with their messages, the turns that answered these, their votes and their private chat.

    Returns how many rows of each kind that were. Other people's rows in a group stay.
    """
    mine = _kept_about(person_id)
    kinds = MessageRow, TurnRow, CandidateRow, VoteRow, VoteEventRow, PersonRow
    counts = {row.__tablename__: _count(connection, row, mine[row]) for row in kinds}
    counts["pool_entry"] = forget_in_pool(connection, person_id)
    forget_received(connection, person_id)
    chats = list(connection.scalars(select(ChatRow.key).where(mine[ChatRow]).with_for_update()))
    connection.execute(delete(PersonRow).where(PersonRow.id == person_id))  # messages, turns and votes go with it
    silent = DialogRow.chat.in_(chats), ~exists().where(MessageRow.dialog_id == DialogRow.id)
    counts["dialog"] = connection.execute(delete(DialogRow).where(*silent)).rowcount
    empty = ChatRow.key.in_(chats), ~exists().where(DialogRow.chat == ChatRow.key)
    counts["chat"] = connection.execute(delete(ChatRow).where(*empty)).rowcount
    return counts


def _kept_about(person_id: str) -> dict[type[Base], ColumnElement[bool]]:
    """For each kind of row: which ones are about a person. A private chat is called as the person is."""
    messages = MessageRow.person_id == person_id
    turns = TurnRow.message_id.in_(select(MessageRow.id).where(messages))
    turn_ids = select(TurnRow.id).where(turns)
    dialogs = DialogRow.id.in_(select(MessageRow.dialog_id).where(messages))
    return {
        PersonRow: PersonRow.id == person_id,
        ChatRow: or_(ChatRow.key == person_id, ChatRow.key.in_(select(DialogRow.chat).where(dialogs))),
        DialogRow: dialogs,
        MessageRow: messages,
        TurnRow: turns,
        CandidateRow: CandidateRow.turn_id.in_(turn_ids),
        VoteRow: VoteRow.person_id == person_id,
        VoteEventRow: VoteEventRow.person_id == person_id,
        DeliveryRow: DeliveryRow.turn_id.in_(turn_ids),
        PoolEntryTurnRow: PoolEntryTurnRow.turn_id.in_(turn_ids),
    }


def _documents(connection: Connection, row: type[Base], which: ColumnElement[bool]) -> list[Document]:
    table = row.__table__
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
