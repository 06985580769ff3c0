"""Copies of a SQLite database that others may be using: one state of it, whole or not at all, for its owner's eyes.

Copies beside the database, `kith.db.before-...`, are those that Kith makes by itself before it changes all of it.
"""

import logging
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from storage.files import ExportError, whole_file

BEFORE = ".before-"

log = logging.getLogger(__name__)


def file_of(engine: Engine) -> Path:
    """The file of a SQLite database."""
    return Path(str(engine.url.database)).resolve()


def copy_before(engine: Engine, event: str) -> Path:
    """Copies a database to `kith.db.before-EVENT`, and returns that name. Raises ExportError."""
    database = file_of(engine)
    copy = database.with_name(f"{database.name}{BEFORE}{event}")
    copy_database(engine, copy)
    return copy


def copy_database(engine: Engine, file: Path) -> None:
    """Copies one state of a database into a file, encrypted if the database is. Raises ExportError."""
    driver: Any = engine.dialect.loaded_dbapi
    pooled = engine.raw_connection()
    try:
        with whole_file(file) as part:
            copy = driver.connect(part.name)
            try:
                unlock(copy, engine)
                source: Any = pooled.driver_connection
                source.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")  # one file, with no log of its own beside it
                check(copy)
            finally:
                copy.close()
    except driver.Error as error:
        raise ExportError(f"{file} cannot be written ({error}).") from error
    finally:
        pooled.close()


def unlock(connection: Any, engine: Engine) -> None:
    """Gives a driver's connection the key of an encrypted database, as the engine gives it to its own."""
    if engine.url.password:
        key = engine.dialect.identifier_preparer.quote_identifier(str(engine.url.password))
        connection.execute(f"PRAGMA key={key}")


def check(connection: Any) -> None:
    """Reads all of a database. Raises ExportError when it is damaged."""
    found = connection.execute("PRAGMA integrity_check").fetchone()
    if found != ("ok",):
        raise ExportError(f"The database is damaged ({found[0]}).")


def remove_copies(engine: Engine) -> None:
    """Removes the copies beside a database: they would go on holding what was deleted from it."""
    if engine.dialect.name != "sqlite":
        return
    database = file_of(engine)
    for copy in database.parent.glob(f"{database.name}{BEFORE}*"):
        copy.unlink(missing_ok=True)
        log.info("%s was removed: what was just deleted may be in it", copy.name)
