"""Tests of bot/cli/backup.py: `kith backup` and `kith restore` as they are typed."""

import json
import os
from pathlib import Path

import pytest
from fixed_answers import empty_log
from turn_values import talk

from bot.cli import main
from bot.settings import Settings, env_name
from storage.pseudonyms import load_salt
from storage.store import SqlDialogStore

TOKEN = "123456:not-to-be-kept"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a log and its salt, and a token."""
    for name in {env_name(field) for field in Settings.model_fields} & set(os.environ):
        monkeypatch.delenv(name)
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("KITH_DATA_DIR", str(data))
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    with empty_log(data) as store:
        talk(store, "hello there", "Hi!")
    load_salt(data)
    return tmp_path


def turns(capsys: pytest.CaptureFixture[str]) -> int:
    """How many turns the log has."""
    capsys.readouterr()
    assert main(["stats", "--json"]) == 0
    return int(json.loads(capsys.readouterr().out)["turns"])


def test_a_backup_and_the_way_back(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", "kith.backup", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": "kith.backup", "bytes": Path("kith.backup").stat().st_size}
    with SqlDialogStore(f"sqlite:///{place / 'data' / 'kith.db'}") as store:
        talk(store, "said since", "Yes.")
    assert turns(capsys) == 2
    assert main(["restore", "kith.backup", "--json"]) == 0
    replaced = json.loads(capsys.readouterr().out)["replaced"]
    assert Path(replaced).name.startswith("kith.db.before-restore-")
    assert turns(capsys) == 1


def test_salt_and_token_are_not_in_a_backup_which_is_said(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", "kith.backup"]) == 0
    assert "does not hold: the salt, tokens and keys" in capsys.readouterr().err
    content = Path("kith.backup").read_bytes()
    assert b"hello there" in content
    salt = (place / "data" / "salt").read_bytes()
    assert salt not in content and salt.hex().encode() not in content and TOKEN.encode() not in content


def test_who_restores_is_told_where_the_old_log_is_and_who_is_back(capsys: pytest.CaptureFixture[str]) -> None:
    main(["backup", "kith.backup"])
    assert main(["restore", "kith.backup"]) == 0
    err = capsys.readouterr().err
    assert "kept in" in err and "before-restore-" in err and "`kith forget`" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["backup", "there"], "add --force"),
        (["backup", "no/such/folder/file"], "cannot be written"),
        (["backup", "data"], "is a folder"),
        (["restore", "nowhere"], "There is no file nowhere"),
        (["restore", "there"], "there is no backup of Kith"),
        (["restore", "data"], "There is no file data"),
    ],
)
def test_a_mistake_is_one_sentence_and_changes_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (place / "there").write_text("a diary " * 1000)
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert says in err
    assert (place / "there").read_text() == "a diary " * 1000
    assert turns(capsys) == 1


@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_postgresql_is_told_its_own_program(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KITH_DATABASE_URL", "postgresql://kith:hush-hush@127.0.0.1/kith")
    assert main([verb, "kith.dump"]) == 2
    err = capsys.readouterr().err
    assert ("pg_dump" if verb == "backup" else "pg_restore") in err
    assert "hush" not in err
