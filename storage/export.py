"""`kith export`: the log as records for training, in a file or on standard output.

`FORMATS` has the kinds of records, storage/files.py the kinds of files. A kind of record more is an entry of FORMATS.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path

from sqlalchemy import Connection

from storage.documents import Disguise, read_documents
from storage.files import ExportError, Record, write_records, writer_for
from storage.pseudonyms import load_salt, pseudonym
from storage.records import FORMATS, Format
from storage.redaction import redact
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
    unredacted: bool = False,
) -> int:
    """Writes the records of one state of the log, and returns how many.

    `file` is JSON lines, CSV or Parquet by its ending; None is JSON lines on standard output. `salt` makes pseudonyms
    of people and chats; None keeps their ids. What tells in a text who somebody is makes way for placeholders, unless
    it is to be `unredacted`. `progress` is told how many dialogs came by since it was last told, of `count(store,
    filters)` in all. Raises ExportError.
    """
    if format not in FORMATS:
        raise ExportError(f"There is no format {format}: use {', '.join(FORMATS)}.")
    if file is not None:
        writer_for(file)  # a wrong ending is told before anything is read
    kind = FORMATS[format]
    disguise = Disguise(partial(pseudonym, salt) if salt is not None else str, str if unredacted else redact)
    with store.reading() as connection, closing(_records(connection, kind, filters, disguise, progress)) as records:
        return write_records(islice(records, filters.limit), kind.columns, file)


def count(store: SqlDialogStore, filters: Filters) -> int:
    """How many dialogs an export goes through, before `filters.limit`."""
    with store.reading() as connection:
        return count_dialogs(connection, filters)


def documents(store: SqlDialogStore) -> Iterator[Record]:
    """The records of `dialogs`, of people who said yes, as they are in the log: for this process, not for a file."""
    with store.reading() as connection:
        for dialogs in dialog_batches(connection, Filters()):
            yield from read_documents(connection, [dialog.id for dialog in dialogs], Disguise(str, str))


def _records(
    connection: Connection, kind: Format, filters: Filters, disguise: Disguise, progress: Callable[[int], None] | None
) -> Generator[Record, None, None]:
    for dialogs in dialog_batches(connection, filters, disguise.text):
        yield from kind.records(connection, dialogs, filters, disguise)
        if progress is not None:
            progress(len(dialogs))
