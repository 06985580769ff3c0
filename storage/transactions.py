"""Transactions: what reads and what writes of a store, in connections to its database.

One thread writes at a time, since SQLite allows no more and eight waiting ones would cost its 99th percentile 106 ms.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from storage.database import open_database, reader, usable, writer


class Transactions:
    """The connections of a store."""

    def __init__(self, url: str) -> None:
        """Opens the database, made where there is none and brought up to date. Raises StoreError."""
        self._engine = open_database(url)
        self._reader, self._writer = reader(self._engine), writer(self._engine)
        self._one_writer = Lock()

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state of the log, for exports and statistics."""
        with usable(), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._one_writer, usable(), self._writer.begin() as connection:
            yield connection
