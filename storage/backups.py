"""`kith backup` and `kith restore`: a SQLite log into a file of the owner's, and back. PostgreSQL has its own programs.

Only the log is in it: neither the salt of pseudonyms nor any token or key.
"""

import os
import shutil
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Any

from sqlalchemy import Engine

from storage.copies import BEFORE, check, copy_database, file_of, unlock
from storage.database import StoreError, engine_for, explained, shown, writer
from storage.files import ExportError, whole_file
from storage.migrating import migrate, revision

DUMP = "pg_dump --format=custom --file={file} --dbname={url}"
RESTORE = "pg_restore --clean --if-exists --single-transaction --dbname={url} {file}"
"""What to type for PostgreSQL, by programs that come with the server in its version."""

IN_USE_SECONDS = 1
"""How long a restore waits for a command that is about to end; a bot holds its connections for as long as it runs."""


def backup(url: str, file: Path, overwrite: bool = False) -> None:
    """Copies the log of a bot, which may be running, into a file. Raises StoreError, ExportError."""
    engine = _sqlite(url, DUMP, file)
    if not file_of(engine).is_file():
        raise StoreError(f"There is no database {shown(engine.url)}: check KITH_DATABASE_URL and KITH_DATA_DIR.")
    if file.resolve() == file_of(engine):
        raise ExportError(f"{file} is the database itself: name another file.")
    if file.exists() and not (overwrite or file.is_dir()):  # a folder is told of as one
        raise ExportError(f"{file} is there already: name another file, or add --force.")
    try:
        with explained(engine):
            copy_database(engine, file)
    finally:
        engine.dispose()


def restore(url: str, file: Path) -> Path | None:
    """Puts a backup in the place of the log, and returns where the replaced one is kept; None: there was none.

    The backup is checked and brought up to date before anything is replaced, and itself stays as it is. Raises
    StoreError, ExportError.
    """
    engine = _sqlite(url, RESTORE, file)
    database = file_of(engine)
    if not file.is_file():
        raise StoreError(f"There is no file {file}.")
    if file.resolve() == database:
        raise StoreError(f"{file} is the database itself: name a backup.")
    database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    driver: Any = engine.dialect.loaded_dbapi
    try:
        with whole_file(database) as part:
            _copy_backup(file, Path(part.name), engine)
            _bring_up_to_date(Path(part.name), engine, file)
            replaced = _set_aside(database, engine) if database.exists() else None
    except driver.Error as error:
        raise StoreError(f"{file} cannot be restored ({error}).") from error
    return replaced


def _sqlite(url: str, instead: str, file: Path) -> Engine:
    engine = engine_for(url)
    if engine.dialect.name != "sqlite":
        address = shown(engine.url.set(drivername="postgresql")).replace(":***@", "@")  # it asks for the password
        command = instead.format(file=quote(str(file)), url=quote(address))
        raise StoreError(f"PostgreSQL has its own programs for backups; type: {command}")
    return engine


def _copy_backup(file: Path, part: Path, engine: Engine) -> None:
    """Copies a backup, checked. One that was made without a key is encrypted on the way, where there is one now."""
    driver: Any = engine.dialect.loaded_dbapi
    try:
        _copy_with(engine, file, part)
        return
    except driver.DatabaseError as error:
        if str(error) != "file is not a database":  # as one under another key, or under none, seems to be
            raise
    if not engine.url.password:
        raise StoreError(f"{file} is no backup of Kith, or an encrypted one: then set KITH_DATABASE_KEY.")
    part.write_bytes(b"")
    copy = driver.connect(str(part), isolation_level=None)
    try:
        unlock(copy, engine)
        copy.execute("ATTACH DATABASE ? AS plain KEY ''", (str(file),))
        copy.execute("SELECT sqlcipher_export('main', 'plain')")
        copy.execute("DETACH DATABASE plain")
        check(copy)
    except driver.DatabaseError:
        raise StoreError(f"{file} is no backup of Kith, or one of another KITH_DATABASE_KEY.") from None
    finally:
        copy.close()


def _copy_with(engine: Engine, file: Path, part: Path) -> None:
    driver: Any = engine.dialect.loaded_dbapi
    backup = driver.connect(str(file))
    copy = driver.connect(str(part))
    try:
        unlock(backup, engine)
        unlock(copy, engine)
        backup.backup(copy)
        check(copy)
    finally:
        backup.close()
        copy.close()


def _bring_up_to_date(part: Path, engine: Engine, file: Path) -> None:
    """Raises StoreError for a database of something else, or of a newer Kith."""
    copy = engine_for(engine.url.set(database=str(part)).render_as_string(hide_password=False))
    with explained(copy):
        with writer(copy).begin() as connection:
            if revision(connection) is None:
                raise StoreError(f"{file} is no backup of Kith: it has none of its tables.")
            migrate(connection, str(file), copy_first=False)
        pooled = copy.raw_connection()
        pooled.cursor().execute("PRAGMA journal_mode=DELETE")  # all of it in the one file that takes the name
        pooled.close()
    copy.dispose()


def _set_aside(database: Path, engine: Engine) -> Path:
    """Gives the database that is replaced a second name, so that there is one under the first at any moment."""
    kept = database.with_name(f"{database.name}{BEFORE}restore-{datetime.now():%Y%m%d-%H%M%S}")
    log, kept_log = (path.with_name(f"{path.name}-wal") for path in (database, kept))
    _name_twice(database, kept)
    if log.exists():
        _name_twice(log, kept_log)
    try:
        folded = _fold_in(database, engine)
    except StoreError:
        kept.unlink()
        kept_log.unlink(missing_ok=True)
        raise
    if folded:
        kept_log.unlink(missing_ok=True)
    for ending in ("-wal", "-shm"):  # of a damaged database: they must not meet the new one
        database.with_name(database.name + ending).unlink(missing_ok=True)
    return kept


def _name_twice(file: Path, name: Path) -> None:
    try:
        os.link(file, name)
    except OSError:  # a file system without links
        shutil.copy2(file, name)


def _fold_in(database: Path, engine: Engine) -> bool:
    """Lets a database take in its write-ahead log, which no one who uses it allows; whether it could: a damaged one
    cannot. Raises StoreError when it is in use."""
    driver: Any = engine.dialect.loaded_dbapi
    connection = driver.connect(str(database), timeout=IN_USE_SECONDS)
    try:
        unlock(connection, engine)
        connection.execute("PRAGMA journal_mode=DELETE")
    except driver.DatabaseError as error:
        if "locked" in str(error):
            raise StoreError(f"The database {shown(engine.url)} is in use: stop the bot, then restore.") from None
        return False  # or one of another key: it is to be replaced, and no bot can be using it
    finally:
        connection.close()
    return True
