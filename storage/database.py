"""Opening a database: its URL is checked, the connections are set up, and the tables are brought up to date.

SQLite and PostgreSQL (by psycopg 3) are served. What a person can mend is a StoreError of one sentence.
"""

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase

BUSY_SECONDS = 30
"""How long SQLite waits for another process that writes."""

MIGRATION_LOCK = 0x4B697468
"""PostgreSQL's advisory lock for migrations: any number that is ours ("Kith")."""

PRAGMAS = (
    "journal_mode=WAL",  # readers and the one writer do not wait for each other
    "synchronous=FULL",  # what was committed survives a power cut; NORMAL would save 0.5 ms a turn
    "foreign_keys=ON",
    "secure_delete=ON",  # what is edited or deleted is overwritten
)


class StoreError(Exception):
    """A database that cannot be used: one sentence that says why and what to do."""


def open_database(url: str) -> Engine:
    """A database ready for use, made where there is none. Raises StoreError."""
    address = _address(url)
    shown = address.render_as_string(hide_password=True)
    engine = _sqlite_engine(address) if address.get_backend_name() == "sqlite" else _postgres_engine(address)
    try:
        if engine.dialect.name == "sqlite":  # 0700: a log of private talk is nobody else's
            Path(str(address.database)).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with writer(engine).begin() as connection:
            _migrate(connection, shown)
    except (DBAPIError, OSError) as error:
        engine.dispose()
        reason = str(error.orig if isinstance(error, DBAPIError) else error).strip().partition("\n")[0]
        raise StoreError(f"The database {shown} cannot be opened ({reason}): check KITH_DATABASE_URL.") from error
    except StoreError:
        engine.dispose()
        raise
    return engine


def reader(engine: Engine) -> Engine:
    """The same engine for transactions that see one state of the log throughout, as all of SQLite's do."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ")


def writer(engine: Engine) -> Engine:
    """The same engine for transactions that write. SQLite takes the lock at once, instead of failing half-way."""
    return engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")


def insert_new(connection: Connection, row: type[DeclarativeBase], **values: Any) -> bool:
    """Inserts a row unless one with its key is there already; whether it did."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(row).values(**values).on_conflict_do_nothing()
    return connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount == 1


def scrub(engine: Engine) -> bool:
    """Rebuilds SQLite's file from the rows that live, and cuts its log. False: not now, others use the database.

    Without it rows that are gone can be read in the file: secure_delete overwrites them where they are, but not the
    copies that stay behind when SQLite moves rows from page to page.
    """
    if engine.dialect.name != "sqlite":
        return True
    pooled = engine.raw_connection()
    try:
        cursor = pooled.cursor()
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        row = cursor.fetchone()
    except sqlite3.OperationalError:
        return False
    finally:
        pooled.close()
    return row is not None and row[0] == 0


@contextmanager
def usable() -> Iterator[None]:
    """Turns a fault of the database (locked, full, away ...) into a StoreError; what was wrong may be right later."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        orig = error.orig if isinstance(error, DBAPIError) else error
        reason = str(orig).strip().partition("\n")[0]
        raise StoreError(f"The database cannot be used ({reason}): see to it, and try again.") from error


def _address(url: str) -> URL:
    try:
        address = make_url(url.replace("postgres://", "postgresql://", 1))
    except ArgumentError:
        raise StoreError(
            "The database URL cannot be read: it looks like sqlite:////folder/kith.db or postgresql://user@host/name."
        ) from None
    if address.get_backend_name() == "postgresql":
        return address.set(drivername="postgresql+psycopg")
    if address.get_backend_name() != "sqlite":
        raise StoreError(f"Kith keeps its log in SQLite or PostgreSQL, not in {address.drivername}: change the URL.")
    if address.database in (None, "", ":memory:"):
        raise StoreError("The log needs a file: give the database URL a path, such as sqlite:////folder/kith.db.")
    return address.set(drivername="sqlite")


def _sqlite_engine(address: URL) -> Engine:
    engine = create_engine(address, json_serializer=_json, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})

    # The driver begins transactions too late and not around DDL, so it is told not to, and we do.
    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, record: object) -> None:
        connection.isolation_level = None
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))

    return engine


def _postgres_engine(address: URL) -> Engine:
    try:
        # pre_ping: a server that was restarted costs no message.
        return create_engine(address, json_serializer=_json, hide_parameters=True, pool_pre_ping=True)
    except ModuleNotFoundError:
        raise StoreError("PostgreSQL needs its driver: pip install kith[postgres].") from None


_json = partial(json.dumps, allow_nan=False)  # PostgreSQL takes none; the same error everywhere


def _migrate(connection: Connection, shown: str) -> None:
    """Brings the tables up to date. The transaction holds a lock, so that of two processes one waits for the other."""
    logging.getLogger("alembic").setLevel(logging.WARNING)  # before the import, which talks at INFO itself
    from alembic import command
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    current = MigrationContext.configure(connection).get_current_revision()
    if current == script.get_current_head():
        return
    if current is not None and current not in {version.revision for version in script.walk_revisions()}:
        raise StoreError(f"The database {shown} was written by a newer Kith (version {current}): update Kith.")
    command.upgrade(config, "head")
