"""Tests of storage/backups.py and storage/copies.py: copies of a log in use, and the way back, with nothing lost."""

import shlex
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from fixed_answers import empty_log
from small_disk import no_room
from turn_values import CHAT, PERSON, ask, talk

from storage import backups
from storage.backups import backup, restore
from storage.database import StoreError, engine_for
from storage.dialog import Vote, now
from storage.files import ExportError
from storage.retention import Expiry
from storage.store import SqlDialogStore


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A log with a turn and a vote, which no one uses."""
    folder = tmp_path / "data"
    folder.mkdir()
    with empty_log(folder) as store:
        turn = talk(store, "hello there", "Hi!")
        store.add_vote(Vote(turn.id, PERSON, 1, "button"), CHAT)
    return f"sqlite:///{folder / 'kith.db'}"


def said(url: str) -> list[str]:
    """What is said in a log."""
    with SqlDialogStore(url) as store:
        dialogs = store.personal_data(PERSON)["dialogs"]
    return [message["text"] for dialog in dialogs for message in dialog["messages"]]


def beside(url: str) -> list[str]:
    """The files beside a database."""
    return sorted(path.name for path in Path(url.removeprefix("sqlite:///")).parent.iterdir())


def test_a_backup_holds_all_of_the_log_in_one_file_for_its_owner_alone(url: str, tmp_path: Path) -> None:
    file = tmp_path / "kith.backup"
    backup(url, file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "kith.backup"]
    with sqlite3.connect(file) as found, SqlDialogStore(url) as store, store.reading() as log:
        for (table,) in found.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = [tuple(row) for row in log.exec_driver_sql(f'SELECT * FROM "{table}"')]  # noqa: S608
            assert found.execute(f'SELECT * FROM "{table}"').fetchall() == rows  # noqa: S608


def test_a_backup_of_a_log_in_use_is_one_state_of_it(url: str, tmp_path: Path) -> None:
    file, stop, errors = tmp_path / "kith.backup", threading.Event(), list[Exception]()

    def write() -> None:
        with SqlDialogStore(url) as store:
            while not stop.is_set():
                try:
                    talk(store, "and on we go", "Yes.", "No.")
                except Exception as error:
                    errors.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(10):
            backup(url, file, overwrite=True)
            with sqlite3.connect(file) as found:
                assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert found.execute("PRAGMA foreign_key_check").fetchall() == []
                turns, candidates = (
                    found.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
                    for table in ("turn", "candidate")
                )
                assert candidates == 2 * turns - 1  # the first turn has one, the others two
    finally:
        stop.set()
        writer.join()
    assert errors == []


def test_a_file_that_is_there_is_overwritten_only_when_asked(url: str, tmp_path: Path) -> None:
    file = tmp_path / "diary"
    file.write_text("dear diary")
    with pytest.raises(ExportError, match=r"there already: name another file, or add --force"):
        backup(url, file)
    assert file.read_text() == "dear diary"
    backup(url, file, overwrite=True)
    assert file.read_bytes().startswith(b"SQLite format 3")
    for itself in (backup, restore):
        with pytest.raises((ExportError, StoreError), match="the database itself"):
            itself(url, Path(url.removeprefix("sqlite:///")))


def test_a_damaged_log_makes_no_backup_and_spoils_none(url: str, tmp_path: Path) -> None:
    file = tmp_path / "kith.backup"
    backup(url, file)
    good = file.read_bytes()
    database = Path(url.removeprefix("sqlite:///"))
    damaged = bytearray(database.read_bytes())
    damaged[8192:16384] = b"\xaa" * 8192
    database.write_bytes(damaged)
    with pytest.raises((ExportError, StoreError)):
        backup(url, file, overwrite=True)
    assert file.read_bytes() == good
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "kith.backup"]


def test_without_room_there_is_no_backup_and_no_restore_and_all_is_as_it_was(url: str, tmp_path: Path) -> None:
    file = tmp_path / "kith.backup"
    backup(url, file)
    good = file.read_bytes()
    for act in (partial(backup, url, file, overwrite=True), partial(restore, url, file)):
        with no_room(), pytest.raises((ExportError, StoreError)) as error:
            act()
        assert "\n" not in str(error.value)
    assert file.read_bytes() == good
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "kith.backup"]
    assert beside(url) == ["kith.db"]
    assert said(url) == ["hello there"]


def test_no_log_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"There is no database .*KITH_DATA_DIR"):
        backup(f"sqlite:///{tmp_path / 'nowhere.db'}", tmp_path / "kith.backup")
    assert list(tmp_path.iterdir()) == []


def test_a_restored_log_is_as_it_was_and_the_replaced_one_is_kept(url: str, tmp_path: Path) -> None:
    file = tmp_path / "kith.backup"
    backup(url, file)
    with SqlDialogStore(url) as store:
        ask(store, "said since")
    kept = restore(url, file)
    assert said(url) == ["hello there"]
    assert kept is not None and kept.name.startswith("kith.db.before-restore-")
    assert said(f"sqlite:///{kept}") == ["hello there", "said since"]
    assert file.is_file()
    assert Path(url.removeprefix("sqlite:///")).stat().st_mode & 0o777 == 0o600


def test_a_log_can_be_restored_where_there_is_none(url: str, tmp_path: Path) -> None:
    file, elsewhere = tmp_path / "kith.backup", f"sqlite:///{tmp_path / 'new' / 'kith.db'}"
    backup(url, file)
    assert restore(elsewhere, file) is None
    assert said(elsewhere) == ["hello there"]


def test_while_a_bot_uses_the_log_nothing_is_restored(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backups, "IN_USE_SECONDS", 0.05)
    file = tmp_path / "kith.backup"
    backup(url, file)
    with SqlDialogStore(url) as store:
        ask(store, "said since")  # its connection stays open, as a bot's do
        with pytest.raises(StoreError, match="in use: stop the bot"):
            restore(url, file)
        ask(store, "and more")
    assert said(url) == ["hello there", "said since", "and more"]
    assert beside(url) == ["kith.db"]


def test_a_damaged_log_can_be_replaced_and_is_kept_with_what_lies_beside_it(url: str, tmp_path: Path) -> None:
    file, database = tmp_path / "kith.backup", Path(url.removeprefix("sqlite:///"))
    backup(url, file)
    database.write_bytes(b"no database at all" * 300)
    database.with_name("kith.db-wal").write_bytes(b"what was written last")
    kept = restore(url, file)
    assert kept is not None
    assert kept.read_bytes().startswith(b"no database")
    assert kept.with_name(f"{kept.name}-wal").read_bytes() == b"what was written last"
    assert said(url) == ["hello there"]


@pytest.mark.parametrize("content", [b"", b"a diary, not a database" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_what_is_no_backup_replaces_nothing(url: str, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "kith.backup"
    file.write_bytes(content)
    with pytest.raises((StoreError, ExportError)) as error:
        restore(url, file)
    assert "\n" not in str(error.value)
    assert said(url) == ["hello there"]
    assert beside(url) == ["kith.db"]


def test_a_backup_cut_short_or_of_a_newer_kith_replaces_nothing(url: str, tmp_path: Path) -> None:
    file = tmp_path / "kith.backup"
    backup(url, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises((StoreError, ExportError)):
        restore(url, file)
    file.write_bytes(whole)
    with sqlite3.connect(file) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match=r"kith\.backup was written by a newer Kith"):
        restore(url, file)
    assert said(url) == ["hello there"]
    assert beside(url) == ["kith.db"]


@pytest.mark.parametrize(
    "delete",
    [
        lambda store: store.forget(PERSON),
        lambda store: store.prune(Expiry(before=now())),
        lambda store: store.scrub(rebuild=True),
    ],
    ids=["forget", "prune", "rebuild"],
)
def test_when_words_are_deleted_the_copies_beside_the_log_go_too(
    delete: Callable[[SqlDialogStore], object], url: str, tmp_path: Path
) -> None:
    file = tmp_path / "kith.backup"
    backup(url, file)
    restore(url, file)
    with SqlDialogStore(url) as store:
        store.prune(Expiry(before=now() - timedelta(days=1)))
        assert len([name for name in beside(url) if ".before-" in name]) == 1  # nothing was deleted
        delete(store)
    assert beside(url) == ["kith.db"]


@pytest.mark.parametrize("act", [backup, restore])
def test_postgresql_s_own_programs_are_named_without_the_password(
    act: Callable[[str, Path], object], tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="pg_dump" if act is backup else "pg_restore") as error:
        act("postgresql://kith:hush@127.0.0.1/kith", tmp_path / "kith.dump")
    assert "hush" not in str(error.value)


@pytest.mark.postgres
def test_what_is_to_be_typed_for_postgresql_makes_a_backup_and_brings_it_back(
    postgres_server: str, postgres_programs: Path, tmp_path: Path
) -> None:
    import psycopg

    if not (postgres_programs / "pg_dump").exists():
        pytest.skip("PostgreSQL's client programs are not installed")
    with psycopg.connect(f"{postgres_server}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE kith_backup")
    url, file = f"{postgres_server}/kith_backup", tmp_path / "a dump"

    def typed(act: Callable[[str, Path], object]) -> None:
        with pytest.raises(StoreError) as error:
            act(url, file)
        command = shlex.split(str(error.value).partition("type: ")[2])
        subprocess.run([postgres_programs / command[0], *command[1:]], check=True)

    with SqlDialogStore(url) as store:
        talk(store, "hello there", "Hi!")
        typed(backup)
        talk(store, "said since", "Yes.")
    typed(restore)
    assert said(url) == ["hello there"]


def test_an_address_is_shown_without_any_password() -> None:
    from storage.database import shown

    assert "hush" not in shown("postgresql://kith:hu/hush@127.0.0.1/kith?password=hush&sslmode=require")
    assert "sslmode=require" in shown("postgresql://kith@127.0.0.1/kith?sslmode=require")
    assert engine_for("postgresql://kith@127.0.0.1/kith").driver == "psycopg"
