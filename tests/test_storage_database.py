"""Opening a database: set up, brought up to date, refused when it cannot be used."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Engine, insert, select, text
from sqlalchemy.exc import StatementError
from turn_values import CHAT, ask

from storage.database import StoreError, open_database, shown
from storage.schema import Base, ChatRow, PersonRow
from storage.store import SqlDialogStore

TESTS = Path(__file__).parent

TAKE = """
import sys
from storage.store import SqlDialogStore
with SqlDialogStore(sys.argv[1]) as store:
    store.take("telegram:42", "telegram:42", "hi", update_key=sys.argv[2])
"""

TALK_AND_WAIT = """
import sys, time
from storage.store import SqlDialogStore
from turn_values import talk
print(talk(SqlDialogStore(sys.argv[1]), "are you there?", "always").id, flush=True)
time.sleep(60)
"""


def python(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Another process that runs a script with our modules."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [TESTS.parent, TESTS]))}
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_database(database_url)
    yield engine
    engine.dispose()


def test_the_migrations_make_the_tables_of_the_schema(engine: Engine) -> None:
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_what_people_chose_before_they_were_asked_holds(database_url: str) -> None:
    engine = open_database(database_url)
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(TESTS.parent / "storage" / "migrations"))
        Base.metadata.drop_all(connection)
        connection.execute(text("DELETE FROM alembic_version"))
        command.upgrade(config, "0001")
        person = (
            "INSERT INTO person (id, language, buttons, consent, at) VALUES (:id, 'en', true, :consent, '2026-07-01')"
        )
        connection.execute(text(person), [{"id": "a", "consent": True}, {"id": "b", "consent": False}])
    engine.dispose()
    with SqlDialogStore(database_url) as store:
        assert [store.person(name).consent for name in "abc"] == [True, False, None]


def test_a_second_opening_finds_what_the_first_one_kept(database_url: str) -> None:
    with SqlDialogStore(database_url) as store:
        asked = ask(store, "hi")
    with SqlDialogStore(database_url) as store:
        assert store.context(asked).last == "hi"


def test_a_log_that_begins_is_told_once_with_its_place_so_that_a_mistyped_address_is_noticed(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        SqlDialogStore(database_url).close()
        SqlDialogStore(database_url).close()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == f"a new log begins in {shown(database_url)}"


def test_a_new_database_is_for_its_owner_alone_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with SqlDialogStore(f"sqlite:///{tmp_path / 'kith.db'}") as store:
            ask(store, "hi")
            assert {path.name: oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {
                "kith.db": "0o600", "kith.db-wal": "0o600", "kith.db-shm": "0o600",
            }  # fmt: skip
    finally:
        os.umask(before)


@pytest.mark.parametrize("statement, value", [
    ("PRAGMA journal_mode", "wal"),
    ("PRAGMA foreign_keys", 1),
    ("PRAGMA synchronous", 2),
    ("PRAGMA secure_delete", 1),
    ("PRAGMA busy_timeout", 30_000),
])  # fmt: skip
def test_each_sqlite_connection_is_durable_and_strict(
    sqlite_url: str,
    statement: str,
    value: object,
    shipped_pragmas: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("storage.database.PRAGMAS", shipped_pragmas)
    with SqlDialogStore(sqlite_url) as store, store.reading() as first, store.reading() as second:
        assert first.scalar(text(statement)) == second.scalar(text(statement)) == value


def test_only_the_owner_may_enter_a_folder_that_is_made_for_the_database(tmp_path: Path) -> None:
    SqlDialogStore(f"sqlite:///{tmp_path / 'deep' / 'kith' / 'kith.db'}").close()
    assert (tmp_path / "deep" / "kith").stat().st_mode & 0o777 == 0o700


def test_processes_that_open_a_new_database_at_once_wait_for_each_other(database_url: str) -> None:
    processes = [python(TAKE, database_url, str(number)) for number in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    with SqlDialogStore(database_url) as store:
        assert [(dialog.chat, dialog.messages) for dialog in store.dialogs()] == [(CHAT, 2)]


def test_a_turn_survives_kill_9(database_url: str) -> None:
    with python(TALK_AND_WAIT, database_url) as process:
        assert process.stdout
        turn_id = process.stdout.readline().strip()
        process.kill()
    with SqlDialogStore(database_url) as store:
        turn = store.turn(turn_id)
        assert turn and (turn.message, turn.decision.reply) == ("are you there?", "always")


def test_a_database_of_a_newer_kith_is_refused_in_one_sentence(engine: Engine, database_url: str) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreError, match=r"^The database .* was written by a newer Kith \(version 9999\): .*\.$"):
        open_database(database_url)


@pytest.mark.parametrize("url, reason", [
    ("kith.db", "cannot be read"),
    ("mysql://root@localhost/kith", "SQLite or PostgreSQL, not in mysql"),
    ("sqlite://", "needs a file"),
    ("sqlite:///:memory:", "needs a file"),
    ("sqlite:///file:kith.db?uri=true", "needs a file"),
    ("sqlite:////proc/kith/kith.db", "cannot be opened"),
    ("postgresql://kith:secret@127.0.0.1:1/kith", "cannot be opened"),
])  # fmt: skip
def test_a_database_that_cannot_be_used_costs_one_sentence(url: str, reason: str) -> None:
    with pytest.raises(StoreError, match=reason) as caught:
        SqlDialogStore(url)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "kith.db"
    file.write_text("a diary, not a database" * 100)
    with pytest.raises(StoreError, match="not a database"):
        SqlDialogStore(f"sqlite:///{file}")
    assert file.read_text().startswith("a diary")


def test_without_its_driver_postgresql_is_refused_with_the_command_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"pip install -e '\.\[postgres\]'"):
        SqlDialogStore("postgresql://kith@127.0.0.1/kith")


@pytest.mark.postgres
@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg", "postgresql+asyncpg"])
def test_postgresql_is_reached_by_psycopg_however_the_url_begins(postgres_url: str, scheme: str) -> None:
    with SqlDialogStore(postgres_url.replace("postgresql", scheme, 1)) as store, store.reading() as connection:
        assert connection.engine.driver == "psycopg"


def test_times_come_back_aware_and_in_utc_from_any_zone(engine: Engine) -> None:
    noon = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    with engine.begin() as connection:
        connection.execute(
            insert(PersonRow), {"id": "p", "language": "en", "buttons": True, "consent": True, "at": noon}
        )
        kept = connection.execute(select(PersonRow.at)).scalar_one()
    assert kept == noon
    assert kept.utcoffset() == timedelta(0)


def test_a_naive_time_is_refused(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(StatementError, match="has no time zone"):
        connection.execute(select(PersonRow).where(PersonRow.at > datetime(2026, 7, 1)))


@pytest.mark.parametrize("sent, kept", [("a\0b", "ab"), ("broken \ud83d", "broken ?"), ("👍🏽 ёж", "👍🏽 ёж")])
def test_any_text_is_taken(engine: Engine, sent: str, kept: str) -> None:
    with engine.begin() as connection:
        connection.execute(insert(ChatRow), {"key": "c", "persona": sent})
        assert connection.execute(select(ChatRow.persona)).scalar_one() == kept
