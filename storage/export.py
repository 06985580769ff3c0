"""`kith export`: the log as records for training, in a file or on standard output.

`FORMATS` has the kinds of records, storage/files.py the kinds of files. A kind of record more is an entry of FORMATS.
"""

from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection

from storage.documents import Naming
from storage.files import ExportError, Record, write_records, writer_for
from storage.pseudonyms import load_salt, pseudonym
from storage.records import FORMATS, Format
from storage.store import SqlDialogStore
from storage.streaming import Filters, count_dialogs, dialog_batches

__all__ = ["FORMATS", "ExportError", "Filters", "count", "export", "load_salt", "pseudonym"]


def export(
    store: SqlDialogStore,
    format: str,
    file: Path | None,
    filters: Filters,
    salt: bytes | None,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Writes the records of one state of the log, and returns how many.

    `file` is JSON lines, CSV or Parquet by its ending; None is JSON lines on standard output. `salt` makes pseudonyms
    of people and chats; None keeps their ids. `progress` is told how many dialogs came by since it was last told, of
    `count(store, filters)` in all. Raises ExportError.
    """
    if format not in FORMATS:
        raise ExportError(f"There is no format {format}: use {', '.join(FORMATS)}.")
    if file is not None:
        writer_for(file)  # a wrong ending is told before anything is read
    kind = FORMATS[format]
    name = partial(pseudonym, salt) if salt is not None else str
    with store.reading() as connection, closing(_records(connection, kind, filters, name, progress)) as records:
        return write_records(islice(records, filters.limit), kind.columns, file)


def count(store: SqlDialogStore, filters: Filters) -> int:
    """How many dialogs an export goes through, before `filters.limit`."""
    with store.reading() as connection:
        return count_dialogs(connection, filters)


def _records(
    connection: Connection, kind: Format, filters: Filters, name: Naming, progress: Callable[[int], None] | None
) -> Generator[Record, None, None]:
    for dialogs in dialog_batches(connection, filters):
        yield from kind.records(connection, dialogs, filters, name)
        if progress is not None:
            progress(len(dialogs))
