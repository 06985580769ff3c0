"""Migrations: from every version that ever was, filled with rows, to today's, on both databases, with no row lost."""

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from small_disk import no_room
from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    create_engine,
    select,
)
from sqlalchemy.types import TypeEngine

import storage.migrations
from storage import migrating
from storage.database import StoreError, engine_for, open_database, writer
from storage.migrating import revision

Rows: TypeAlias = dict[str, list[dict[str, Any]]]
"""By table, its rows."""

FOLDER = Path(storage.migrations.__file__).parent
SCRIPT = ScriptDirectory(str(FOLDER))
REVISIONS = [each.revision for each in reversed(list(SCRIPT.walk_revisions()))]
HEAD = REVISIONS[-1]

ROWS = 3
"""In each table; the rows of a table with foreign keys belong to the rows of the others in turn."""

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def upgrade(connection: Connection, target: str) -> None:
    """Brings a database to a version, as the Kith of that day left it."""
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    command.upgrade(config, target)


def tables_of(connection: Connection) -> list[Table]:
    """The tables of a database as they are, parents first."""
    found = MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def value_for(column: Column[Any], number: int) -> Any:
    """What a column holds in a row: no two rows have the same, where that can be."""
    for key in column.foreign_keys:  # the row with this number of another table, or of the same one
        return value_for(key.column, number)
    match column.type:
        case JSON():
            return {"row": number}
        case Boolean():
            return number % 2 == 0
        case DateTime():
            return NOON.replace(day=number + 1)
        case Integer():
            return number
        case Numeric() | Float():
            return number / 4
        case LargeBinary():
            return bytes([number])
    return f"{column.name} {number}: ёж 🦔"


def fill(connection: Connection) -> Rows:
    """Makes rows for every table, and returns them as the database gives them back."""
    made: Rows = {}
    for table in tables_of(connection):
        for number in range(1, ROWS + 1):
            connection.execute(table.insert(), {column.name: value_for(column, number) for column in table.columns})
        made[table.name] = read(connection, table)
    return made


def read(connection: Connection, table: Table) -> list[dict[str, Any]]:
    """A table's rows, in the order of their keys."""
    found = connection.execute(select(table).order_by(*table.primary_key))
    return [dict(row) for row in found.mappings()]


def kinds(connection: Connection) -> dict[str, dict[str, TypeEngine[Any]]]:
    """By table and column, its type."""
    return {table.name: {column.name: column.type for column in table.columns} for table in tables_of(connection)}


@pytest.mark.parametrize("old", REVISIONS)
def test_from_every_version_with_rows_to_today_s_and_none_is_lost(database_url: str, old: str) -> None:
    engine = engine_for(database_url)
    with writer(engine).begin() as connection:
        upgrade(connection, old)
        before, types = fill(connection), kinds(connection)
    engine.dispose()
    assert before and all(len(rows) == ROWS for rows in before.values())
    engine = open_database(database_url)
    with engine.connect() as connection:
        assert revision(connection) == HEAD
        now = kinds(connection)
        for table in tables_of(connection):
            if table.name not in before:
                continue
            # A column that a migration gave another type may hold the same in other words.
            same = {name for name, kind in types[table.name].items() if repr(now[table.name].get(name)) == repr(kind)}
            assert {column.name for column in table.primary_key} <= same
            after = [{name: row[name] for name in same} for row in read(connection, table)]
            was = [{name: row[name] for name in same} for row in before[table.name]]
            assert [row for row in was if row not in after] == [], table.name
        assert set(before) <= set(now)
    engine.dispose()


def comes_a_newer_kith(place: pytest.MonkeyPatch, folder: Path, step: str = "") -> None:
    """From now on this is a Kith whose tables are one version on; its migration adds a column and does `step`."""
    migrations = folder / "newer" / "migrations"
    (migrations / "versions").mkdir(parents=True)
    for file in [FOLDER / "env.py", *(FOLDER / "versions").glob("*.py")]:
        (migrations / file.relative_to(FOLDER)).write_bytes(file.read_bytes())
    (migrations / "versions" / "newer.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\n"
        f"revision, down_revision = 'newer', '{HEAD}'\n"
        f"def upgrade():\n    op.add_column('chat', sa.Column('colour', sa.Text))\n{step}"
    )
    place.setattr(migrating, "__file__", str(folder / "newer" / "migrating.py"))


def filled(url: str) -> Path:
    """A database of today's version with rows."""
    engine = open_database(url)
    with writer(engine).begin() as connection:
        fill(connection)
    engine.dispose()
    return Path(url.removeprefix("sqlite:///"))


def test_a_migration_keeps_the_database_as_it_was_beside_it(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = filled(sqlite_url)
    assert [path.name for path in tmp_path.iterdir()] == ["kith.db"]  # nothing to migrate, nothing to keep
    comes_a_newer_kith(monkeypatch, tmp_path)
    open_database(sqlite_url).dispose()
    copy = database.with_name("kith.db.before-newer")
    assert copy.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(copy) as was, sqlite3.connect(database) as now:
        assert was.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
        assert now.execute("SELECT version_num FROM alembic_version").fetchone() == ("newer",)
        assert [row[:2] for row in now.execute("SELECT * FROM chat")] == was.execute("SELECT * FROM chat").fetchall()
        assert len(was.execute("SELECT * FROM message").fetchall()) == ROWS


def test_without_room_for_that_copy_nothing_is_migrated(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = filled(sqlite_url)
    comes_a_newer_kith(monkeypatch, tmp_path)
    with no_room(), pytest.raises(StoreError, match=r"not brought up to date without a copy: .*before-newer"):
        open_database(sqlite_url)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kith.db", "newer"]
    with sqlite3.connect(database) as found:
        assert found.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
        assert "colour" not in {row[1] for row in found.execute("PRAGMA table_info(chat)")}


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database = filled(sqlite_url)
    comes_a_newer_kith(monkeypatch, tmp_path, "    op.drop_table('nowhere')\n")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_database(sqlite_url)
    with sqlite3.connect(database) as found:
        assert found.execute("SELECT version_num FROM alembic_version").fetchone() == (HEAD,)
        assert "colour" not in {row[1] for row in found.execute("PRAGMA table_info(chat)")}


def test_a_backup_of_an_older_kith_is_brought_up_to_date(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from storage.backups import backup, restore

    database, file = filled(sqlite_url), tmp_path / "kith.backup"
    backup(sqlite_url, file)
    comes_a_newer_kith(monkeypatch, tmp_path)
    assert restore(sqlite_url, file) is not None
    with sqlite3.connect(database) as found:
        assert found.execute("SELECT version_num FROM alembic_version").fetchone() == ("newer",)
        assert len(found.execute("SELECT * FROM message").fetchall()) == ROWS
    assert not list(tmp_path.glob("*.part*"))


def test_rows_are_made_for_every_kind_of_column() -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        upgrade(connection, HEAD)
        for rows in fill(connection).values():
            assert all(value is not None for row in rows for value in row.values()), json.dumps(rows, default=str)
