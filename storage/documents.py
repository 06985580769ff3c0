"""Dialogs as documents: all that the log keeps of them, nested, fit for JSON. Only the front end's own ids of messages
are left out, which would name people.

Times are ISO 8601. One that is not there is "", not null: `datasets` takes a JSON column that begins with nulls for a
column of nulls.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, select
from sqlalchemy.orm import InstrumentedAttribute

from storage.files import Columns, Record
from storage.schema import CandidateRow, ChatRow, DialogRow, MessageRow, TurnRow, VoteEventRow, VoteRow

VOTE: Columns = {
    "person": "string",
    "value": "int64",
    "kind": "string",
    "reason": "string",
    "at": "string",
}
CANDIDATE: Columns = {
    "text": "string",
    "source": "string",
    "origin": "string",
    "score": "double",
    "features": "json",
    "total": "double",
    "probability": "double",
    "veto": "string",
    "chosen": "bool",
}
TURN: Columns = {
    "id": "string",
    "reply": "string",
    "reason": "string",
    "probability": "double",
    "retry_of": "string",
    "rejected": "bool",
    "at": "string",
    "versions": "json",
    "seconds": "json",
    "candidates": [CANDIDATE],
    "votes": [VOTE],
    "vote_history": [VOTE],
}
MESSAGE: Columns = {
    "id": "int64",
    "person": "string",
    "text": "string",
    "at": "string",
    "edited_at": "string",
    "turns": [TURN],
}
DOCUMENT: Columns = {
    "id": "string",
    "chat": "string",
    "persona": "string",
    "people": ["string"],
    "at": "string",
    "active_at": "string",
    "messages": [MESSAGE],
}
"""Candidates come by rank, all else in the order of time."""

Naming: TypeAlias = Callable[[str], str]
"""A person's id or a chat's key in, the name it has in the export out."""


def read_documents(connection: Connection, dialog_ids: Sequence[str], name: Naming) -> Iterator[Record]:
    """The documents of dialogs, in the order of the ids."""
    in_dialogs = MessageRow.dialog_id.in_(dialog_ids)
    turns = _turns(connection, in_dialogs, name)
    said = select(MessageRow.__table__, MessageRow.person_id.label("person")).where(in_dialogs).order_by(MessageRow.id)
    messages: defaultdict[str, list[Record]] = defaultdict(list)
    for row in connection.execute(said).mappings():
        messages[row["dialog_id"]].append({**_document(row, MESSAGE, name), "turns": turns[row["id"]]})
    columns = DialogRow.id, DialogRow.chat, ChatRow.persona, DialogRow.at, DialogRow.active_at
    dialogs = select(*columns).join(ChatRow).where(DialogRow.id.in_(dialog_ids))
    documents = {row["id"]: _document(row, DOCUMENT, name) for row in connection.execute(dialogs).mappings()}
    for dialog_id in dialog_ids:
        people = list(dict.fromkeys(message["person"] for message in messages[dialog_id]))
        yield {**documents[dialog_id], "people": people, "messages": messages[dialog_id]}


def _turns(connection: Connection, in_dialogs: ColumnElement[bool], name: Naming) -> defaultdict[int, list[Record]]:
    """By message id, its turns."""
    candidates = _by_turn(connection, select(CandidateRow.__table__), CandidateRow.rank, in_dialogs, CANDIDATE, name)
    votes, history = (
        _by_turn(connection, select(row.__table__, row.person_id.label("person")), row.at, in_dialogs, VOTE, name)
        for row in (VoteRow, VoteEventRow)
    )
    turns: defaultdict[int, list[Record]] = defaultdict(list)
    answered = select(TurnRow.__table__).join(MessageRow).where(in_dialogs).order_by(TurnRow.message_id, TurnRow.at)
    for row in connection.execute(answered).mappings():
        of_turn = {"candidates": candidates, "votes": votes, "vote_history": history}
        nested = {kind: rows[row["id"]] for kind, rows in of_turn.items()}
        turns[row["message_id"]].append({**_document(row, TURN, name), **nested})
    return turns


def _by_turn(
    connection: Connection,
    rows: Select[Any],
    order: InstrumentedAttribute[Any],
    in_dialogs: ColumnElement[bool],
    shape: Columns,
    name: Naming,
) -> defaultdict[str, list[Record]]:
    found: defaultdict[str, list[Record]] = defaultdict(list)
    for row in connection.execute(rows.join(TurnRow).join(MessageRow).where(in_dialogs).order_by(order)).mappings():
        found[row["turn_id"]].append(_document(row, shape, name))
    return found


def _document(row: RowMapping, shape: Columns, name: Naming) -> Record:
    """Those columns of a row that its document has too."""
    return {key: name(row[key]) if key in ("person", "chat") else _plain(row[key]) for key in shape if key in row}


def _plain(value: Any) -> Any:
    """A value fit for JSON, which knows neither times nor infinity."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
