"""Opening a database: its URL is checked, the connections are set up, and the tables are brought up to date.

SQLite and PostgreSQL (by psycopg 3) are served. What a person can mend is a StoreError of one sentence.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, make_url
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase

from storage.migrating import StoreError, StoreOutOfReach, migrate

__all__ = [
    "StoreError",
    "engine_for",
    "explained",
    "insert_new",
    "open_database",
    "reader",
    "scrub",
    "shown",
    "usable",
    "writer",
]

BUSY_SECONDS = 30
"""How long SQLite waits for another process that writes."""

SCRUB_SECONDS = 2
"""How long a rebuild of SQLite's file waits for those who use it: meanwhile nobody else writes."""

SCRUB_BYTES = 500_000_000
"""A file that is rebuilt after each /forget: 3 s, on a busy machine 9 s, in which nobody else writes."""

PRAGMAS = (
    "journal_mode=WAL",  # readers and the one writer do not wait for each other
    "synchronous=FULL",  # what was committed survives a power cut; NORMAL would save 0.5 ms a turn
    "foreign_keys=ON",
    "secure_delete=ON",  # what is edited or deleted is overwritten
)


UNREADABLE = "The database URL cannot be read: it looks like sqlite:////folder/kith.db or postgresql://user@host/name."


def open_database(url: str) -> Engine:
    """A database ready for use, made where there is none. Raises StoreError."""
    engine = engine_for(url)
    with explained(engine):
        if engine.dialect.name == "sqlite":
            _make_private(Path(str(engine.url.database)))
        _try_options(engine)
        with writer(engine).begin() as connection:
            migrate(connection, shown(engine.url))
    return engine


def engine_for(url: str) -> Engine:
    """The way to a database, which may not be there and is as it was left. Raises StoreError."""
    address = _address(url)
    try:
        return _sqlite_engine(address) if address.get_backend_name() == "sqlite" else _postgres_engine(address)
    except (ArgumentError, TypeError, ValueError):
        raise StoreError(UNREADABLE) from None


def shown(address: URL | str) -> str:
    """An address without password, which may also stand among its options."""
    address = _address(address) if isinstance(address, str) else address
    return address.difference_update_query(["password"]).render_as_string(hide_password=True)


@contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Turns what can go wrong in opening a database into one sentence, and leaves none of its connections open."""
    try:
        yield
    except (DBAPIError, OSError) as error:
        engine.dispose()
        reason = str(error.orig if isinstance(error, DBAPIError) else error).strip().partition("\n")[0]
        setting = "KITH_DATABASE_URL"
        if engine.dialect.name == "sqlite" and reason == "file is not a database":  # so is one under another key
            setting += " and KITH_DATABASE_KEY"
        kind = StoreOutOfReach if is_away(engine, error) else StoreError
        raise kind(f"The database {shown(engine.url)} cannot be opened ({reason}): check {setting}.") from error
    except StoreError:
        engine.dispose()
        raise


def is_away(engine: Engine, error: Exception) -> bool:
    """Whether a server did not answer, or is just starting (57P03), rather than refuse us."""
    refused = getattr(getattr(error, "orig", None), "sqlstate", None)
    return engine.dialect.name != "sqlite" and isinstance(error, OperationalError) and refused in (None, "57P03")


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


def scrub(engine: Engine, largest: float) -> bool:
    """Rebuilds SQLite's file from the rows that live, and cuts its log. False: not now, others use the database, or the
    file has more than `largest` bytes and only its log was cut.

    Without it rows that are gone can be read in the file: secure_delete overwrites them where they are, but not the
    copies that stay behind when SQLite moves rows from page to page.
    """
    if engine.dialect.name != "sqlite":
        return True
    driver: Any = engine.dialect.loaded_dbapi
    with _impatient(engine) as cursor:
        size = cursor.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size").fetchone()[0]
        try:
            if size <= largest:
                cursor.execute("VACUUM")
        except driver.OperationalError:
            return False
    return cut_log(engine) and bool(size <= largest)


def cut_log(engine: Engine) -> bool:
    """Brings all of SQLite's log into its file and empties it: else it holds words that were deleted since. False: not
    now, somebody reads."""
    if engine.dialect.name != "sqlite":
        return True
    with _impatient(engine) as cursor:
        busy: int = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    return busy == 0


@contextmanager
def _impatient(engine: Engine) -> Iterator[DBAPICursor]:
    """A connection to SQLite that waits for others no longer than SCRUB_SECONDS."""
    pooled = engine.raw_connection()
    cursor = pooled.cursor()
    try:
        cursor.execute(f"PRAGMA busy_timeout={min(SCRUB_SECONDS, BUSY_SECONDS) * 1000:.0f}")
        yield cursor
    finally:
        cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000:.0f}")
        pooled.close()


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
    except (ArgumentError, ValueError):  # the latter of a port that is no number
        raise StoreError(UNREADABLE) from None
    if address.get_backend_name() == "postgresql":
        return address.set(drivername="postgresql+psycopg")
    if address.get_backend_name() != "sqlite":
        raise StoreError(f"Kith keeps its log in SQLite or PostgreSQL, not in {address.drivername}: change the URL.")
    if address.database in (None, "", ":memory:") or str(address.database).startswith("file:"):
        raise StoreError("The log needs a file: give the database URL a path, such as sqlite:////folder/kith.db.")
    if "\0" in str(address.database):
        raise StoreError(UNREADABLE)
    return address.set(drivername="sqlite+pysqlcipher" if address.password else "sqlite")


def _make_private(file: Path) -> None:
    """Makes a database's folder and file, if they are not there: a log of private talk is nobody else's."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        file.touch(0o600, exist_ok=False)  # SQLite gives its logs the same mode


def _try_options(engine: Engine) -> None:
    """What stands behind the ? of a URL is read when a connection is made."""
    try:
        engine.connect().close()
    except (ArgumentError, TypeError, ValueError) as error:
        raise StoreError(
            f"The database URL has an option that cannot be ({error}): correct KITH_DATABASE_URL."
        ) from None


def _sqlite_engine(address: URL) -> Engine:
    try:
        engine = create_engine(
            address,
            json_serializer=_json,
            hide_parameters=True,
            poolclass=QueuePool,  # SQLCipher's dialect would close connections that other threads use
            connect_args={"timeout": BUSY_SECONDS},
        )
    except ModuleNotFoundError:
        raise StoreError(
            "KITH_DATABASE_KEY needs SQLCipher: pip install -e '.[encrypted]' where Kith's source is."
        ) from None

    # The driver begins transactions too late and not around DDL, so it is told not to, and we do.
    @event.listens_for(engine, "connect")
    def set_up(connection: Any, record: object) -> None:
        connection.isolation_level = None
        if address.password:
            connection.execute("PRAGMA cipher_log_level=NONE")  # a wrong key is told in our words
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
        raise StoreError("PostgreSQL needs its driver: pip install -e '.[postgres]' where Kith's source is.") from None


_json = partial(json.dumps, allow_nan=False)  # PostgreSQL takes none; the same error everywhere
