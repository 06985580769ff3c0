"""Deleting for good: rows, and what is left of them in SQLite's file, in its log, and in copies beside it."""

import logging
import math

from storage import retention, rights
from storage.copies import remove_copies
from storage.database import SCRUB_BYTES, cut_log, scrub
from storage.retention import Expiry
from storage.transactions import Transactions

log = logging.getLogger(__name__)


class Deleting(Transactions):
    """The part of a store that deletes."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._traces = False  # whether the file may hold some of rows that were forgotten

    def forget(self, person_id: str) -> dict[str, int]:
        """Deletes everything of a person for good; how many rows of each kind.

        SQLite's file is rebuilt without them, unless it is larger than SCRUB_BYTES. What PostgreSQL keeps of deleted
        rows goes with its vacuum; its own logs and backups are for its owner to see to.
        """
        with self._writing() as connection:
            counts = rights.forget(connection, person_id)
        self._traces = True
        remove_copies(self._engine)
        if not self.scrub():
            log.warning("The database is in use or large: traces of forgotten rows stay in its file (docs/privacy.md).")
        return counts

    def prune(self, expiry: Expiry) -> int:
        """Deletes a batch of what is kept no longer, the oldest first; how many messages, 0 when nothing is left."""
        with self._writing() as connection:
            count = retention.prune(connection, expiry)
        if count:
            remove_copies(self._engine)
        return count

    def count_expired(self, expiry: Expiry) -> dict[str, int]:
        """How many rows of each kind `prune` would delete in the end."""
        with self.reading() as connection:
            return retention.count_expired(connection, expiry)

    def scrub(self, rebuild: bool = False) -> bool:
        """Cuts SQLite's log, so that deleted words are not in it, and rebuilds its file when somebody was forgotten
        since that was done last, or, of any size, when it is to `rebuild` it. False when it must wait."""
        with self._one_writer:
            if not (rebuild or self._traces):
                return cut_log(self._engine)
            done = scrub(self._engine, math.inf if rebuild else SCRUB_BYTES)
            remove_copies(self._engine)  # page for page, they have the traces as well
        self._traces = self._traces and not done
        return done
