"""Exports of a log, for tests."""

import gzip
import json
from pathlib import Path
from typing import Any

from turn_values import turn_for

from storage.dialog import Turn, Vote, VoteValue
from storage.export import FORMATS, Filters, export
from storage.store import SqlDialogStore

SALT = b"a salt of these tests"


def exported(store: SqlDialogStore, format: str, file: Path, filters: Filters | None = None) -> list[dict[str, Any]]:
    """The records, by way of a file of JSON lines."""
    file = file if file.suffix else file / "export.jsonl"
    written = export(store, format, file, filters or Filters(), SALT)
    with gzip.open(file, "rt", encoding="utf-8") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    assert written == len(records)
    assert all(list(record) == list(FORMATS[format].columns) for record in records)
    return records


def vote(store: SqlDialogStore, turn: Turn, value: VoteValue, reason: str = "") -> None:
    store.add_vote(Vote(turn.id, turn.asked.person_id, value, "button", reason), store.chat_of(turn.id) or "")


def retry(store: SqlDialogStore, turn: Turn, *replies: str, source: str = "generation") -> Turn:
    """Sends a reply back and answers the same message with another one."""
    again = turn_for(store.ask_again(turn.id, turn.asked.person_id), *replies, message=turn.message, source=source)
    store.add_turn(again)
    return again


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def texts(records: list[dict[str, Any]]) -> list[str]:
    """What the records of `votes` judge."""
    return [record["completion"][0]["content"] for record in records]
