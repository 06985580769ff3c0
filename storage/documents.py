"""Dialogs as documents: all that the log keeps of them, nested, fit for JSON. Only the front end's own ids of messages
are left out, which would name people.

Times are ISO 8601. One that is not there is "", not null: `datasets` takes a JSON column that begins with nulls for a
column of nulls.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, select
from sqlalchemy.orm import InstrumentedAttribute

from storage.files import Columns, Record
from storage.schema import AfterTalkRow, CandidateRow, DialogRow, MessageRow, TurnRow, VoteEventRow, VoteRow
from storage.streaming import Edit

VOTE: Columns = {
    "person_id": "string",
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
    "person_id": "string",
    "text": "string",
    "at": "string",
    "edited_at": "string",
    "turns": [TURN],
}
AFTER_TALK: Columns = {
    "id": "string",
    "person_id": "string",
    "feeling": "string",
    "at": "string",
    "answered_at": "string",
}
DOCUMENT: Columns = {
    "id": "string",
    "chat": "string",
    "at": "string",
    "active_at": "string",
    "people": ["string"],
    "messages": [MESSAGE],
    "after_talk": [AFTER_TALK],
}
"""Keys are called as the columns of storage/schema.py. Candidates come by rank, all else in the order of time."""


@dataclass(frozen=True, slots=True)
class Disguise:
    """How people appear in an export."""

    name: Callable[[str], str]
    """A person's id or a chat's key in, the name that it has in the export out."""
    text: Edit
    """A text as it was written in, as it is exported out."""


def read_documents(connection: Connection, dialog_ids: Sequence[str], disguise: Disguise) -> Iterator[Record]:
    """The documents of dialogs, in the order of the ids."""
    read = partial(_by_parent, connection, disguise)
    message_ids = select(MessageRow.id).where(MessageRow.dialog_id.in_(dialog_ids))
    turn_ids = select(TurnRow.id).where(TurnRow.message_id.in_(message_ids))
    dialogs = read(DOCUMENT, DialogRow.id, dialog_ids, DialogRow.at)
    messages = read(MESSAGE, MessageRow.dialog_id, dialog_ids, MessageRow.id)
    turns = read(TURN, TurnRow.message_id, message_ids, TurnRow.at)
    candidates = read(CANDIDATE, CandidateRow.turn_id, turn_ids, CandidateRow.rank)
    votes = read(VOTE, VoteRow.turn_id, turn_ids, VoteRow.at)
    history = read(VOTE, VoteEventRow.turn_id, turn_ids, VoteEventRow.id)
    after = read(AFTER_TALK, AfterTalkRow.dialog_id, dialog_ids, AfterTalkRow.at)
    for dialog_id in dialog_ids:
        for message in messages[dialog_id]:
            message["turns"] = turns[message["id"]]
            for turn in message["turns"]:
                turn["candidates"] = candidates[turn["id"]]
                turn["votes"] = votes[turn["id"]]
                turn["vote_history"] = history[turn["id"]]
        people = list(dict.fromkeys(message["person_id"] for message in messages[dialog_id]))
        told = {"messages": messages[dialog_id], "after_talk": after[dialog_id]}
        yield {**dialogs[dialog_id][0], "people": people, **told}


def _by_parent(
    connection: Connection,
    disguise: Disguise,
    shape: Columns,
    parent: InstrumentedAttribute[Any],
    parents: Sequence[str] | Select[Any],
    order: InstrumentedAttribute[Any],
) -> defaultdict[Any, list[Record]]:
    """The rows of a table as documents, under the id of what they belong to."""
    columns = parent.class_.__table__.c
    keys = [key for key in shape if key in columns]
    plain = {
        "at": datetime.isoformat,
        "active_at": datetime.isoformat,
        "edited_at": lambda time: time.isoformat() if time else "",
        "answered_at": lambda time: time.isoformat() if time else "",
        "person_id": disguise.name,
        "chat": disguise.name,
        "text": disguise.text,
        "reply": disguise.text,
    }
    converted = [(key, plain[key]) for key in keys if key in plain]
    found = select(parent, *(columns[key] for key in keys)).where(parent.in_(parents))
    documents: defaultdict[Any, list[Record]] = defaultdict(list)
    for parent_id, *values in connection.execute(found.order_by(order)):
        document = dict(zip(keys, values, strict=True))
        for key, convert in converted:
            document[key] = convert(document[key])
        documents[parent_id].append(document)
    return documents
