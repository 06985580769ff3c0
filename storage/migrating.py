"""Bringing the tables of a database up to date, by Alembic. A SQLite database is copied first, beside itself."""

import logging
from pathlib import Path

from sqlalchemy import Connection, func, select

from storage.copies import copy_before
from storage.files import ExportError

MIGRATION_LOCK = 0x4B697468
"""PostgreSQL's advisory lock for migrations: any number that is ours ("Kith")."""

log = logging.getLogger(__name__)


class StoreError(Exception):
    """A database that cannot be used: one sentence that says why and what to do."""


class StoreOutOfReach(StoreError):
    """A server that does not answer now, and may do so later. The program ends with its code."""

    code = 75  # EX_TEMPFAIL of sysexits.h


def migrate(connection: Connection, shown: str, copy_first: bool = True) -> None:
    """Brings the tables up to date, within the connection's transaction, so that all of it happens or nothing.

    The transaction holds a lock, so that of two processes one waits for the other. `shown` is what the database is
    called in a StoreError.
    """
    logging.getLogger("alembic").setLevel(logging.WARNING)  # before the import, which talks at INFO itself
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    current, head = revision(connection), script.get_current_head()
    if current == head:
        return
    if current is None:
        # Once in a database's life. A mistyped address makes a database too, and this is how its owner learns of it.
        log.warning("a new log begins in %s", shown)
    elif current not in {version.revision for version in script.walk_revisions()}:
        raise StoreError(f"The database {shown} was written by a newer Kith (version {current}): update Kith.")
    elif copy_first and connection.dialect.name == "sqlite":
        try:
            copy = copy_before(connection.engine, str(head))
        except ExportError as error:
            raise StoreError(f"The database {shown} is not brought up to date without a copy: {error}") from error
        log.info(
            "the log is brought up to date from version %s to %s; as it was, it is kept in %s", current, head, copy
        )
    command.upgrade(config, "head")


def revision(connection: Connection) -> str | None:
    """The version of a database's tables; None when it has none of ours."""
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()
