"""What the tests of several parts share: a log in SQLite, and one in PostgreSQL, whose server is started here."""

import logging
import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault(
    "OMP_NUM_THREADS", "1"
)  # read when numpy and torch are imported: each core has a worker of its own

import pytest
from hypothesis import HealthCheck, settings
from loopback import free_port
from sqlalchemy import delete

from storage import database
from storage.schema import Base
from storage.store import SqlDialogStore

pytest.register_assert_rewrite("commands", "promoting")  # test modules import names of these plugins first

# The same examples each time, and no clock: what fails in one run fails in all.
settings.register_profile(
    "kith",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.load_profile("kith")

KINDS = ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]

UNSAFE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
"""What a server need not do for data that nobody keeps."""


@pytest.fixture(scope="session", autouse=True)
def shipped_pragmas() -> Iterator[tuple[str, ...]]:
    """What SQLite is set to in earnest. In the tests it waits for no disk, which takes 10 ms a transaction."""
    shipped = database.PRAGMAS
    with pytest.MonkeyPatch.context() as everywhere:
        everywhere.setattr(database, "PRAGMAS", (*shipped, "synchronous=OFF"))
        yield shipped


@pytest.fixture(scope="session", autouse=True)
def no_certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Loopback needs no root certificates, and to read them takes 0.1 s a bot."""
    with pytest.MonkeyPatch.context() as everywhere:
        everywhere.delenv("SSL_CERT_FILE", raising=False)
        everywhere.setenv("SSL_CERT_DIR", str(tmp_path_factory.mktemp("certificates")))
        yield


@pytest.fixture(autouse=True)
def levels_as_they_were() -> Iterator[None]:
    """A command sets how much our loggers tell; the next test begins with what they told before."""
    loggers = [logging.getLogger(package) for package in ("bot", "generation", "ranking", "storage")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """A database that is not there yet."""
    return f"sqlite:///{tmp_path / 'kith.db'}"


@pytest.fixture(scope="session")
def postgres_programs() -> Path:
    """The folder of PostgreSQL's programs."""
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server programs (initdb, pg_ctl) are not installed")
    return programs


@pytest.fixture(scope="session")
def postgres_server(postgres_programs: Path) -> Iterator[str]:
    """The root URL of a PostgreSQL server of our own, on a free loopback port, in a folder that goes with it."""
    programs = postgres_programs
    folder = Path(tempfile.mkdtemp(prefix="kith-postgres-"))  # pytest's own folders are closed to other users
    user = _server_user()
    if user:
        shutil.chown(folder, user)

    def run(program: str, *options: str) -> None:
        command = [str(programs / program), "--pgdata", str(folder / "data"), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=user, cwd=folder)

    try:
        run("initdb", "--username=kith", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        port = free_port()
        settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", **UNSAFE}
        options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
        run("pg_ctl", "start", "--wait", "--log", str(folder / "log"), "--options", options)
        try:
            yield f"postgresql://kith@127.0.0.1:{port}"
        finally:
            run("pg_ctl", "stop", "--mode=immediate")
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty schema on that server, which is there sooner than a database."""
    import psycopg

    name = f"kith_{uuid.uuid4().hex}"
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}".encode())
        yield f"{postgres_server}/postgres?options=-csearch_path%3D{name}"
        connection.execute(f"DROP SCHEMA {name} CASCADE".encode())


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(scope="session", params=KINDS)
def session_store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlDialogStore]:
    """A log in each kind of database, made once."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'kith.db'}"
    else:
        url = f"{request.getfixturevalue('postgres_server')}/postgres"
    with SqlDialogStore(url) as store:
        yield store


@pytest.fixture
def store(session_store: SqlDialogStore) -> SqlDialogStore:
    """An empty log in each kind of database: emptied, which takes a tenth of the time of making one."""
    with session_store.reading() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(delete(table))
    return session_store


def _postgres_programs() -> Path | None:
    """The folder of the newest server: distributions keep it out of PATH, or wrap it there."""
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[-3]))
    found = str(installed[-1]) if installed else shutil.which("pg_ctl")
    return Path(found).parent if found else None


def _server_user() -> str | None:
    """Who runs the server: we ourselves, unless we are root, whom PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    names = {account.pw_name for account in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
