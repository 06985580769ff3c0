"""Tests of bot/exposure.py: who is warned of which file, and that it stays a warning."""

import os
from pathlib import Path

import pytest

from bot.cli import main
from bot.doctor import check, secrets
from bot.exposure import warning
from bot.settings import Settings, env_name, load_settings
from storage.pseudonyms import load_salt
from storage.store import SqlDialogStore


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that everybody may enter, in which everything is, and no settings."""
    for name in {env_name(field) for field in Settings.model_fields} & set(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KITH_DATA_DIR", str(tmp_path / "data"))
    tmp_path.chmod(0o755)
    return tmp_path


def written(file: Path, text: str, mode: int) -> None:
    file.write_text(text)
    file.chmod(mode)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "TELEGRAM_BOT_TOKEN=1:hush-hush\n"),
        (".env", "kith_remote_key=hush-hush\n"),
        ("kith.toml", 'webhook_secret = "hush-hush"\n'),
        ("kith.toml", 'database_url = "postgresql://kith:hush-hush@127.0.0.1/kith"\n'),
    ],
)
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o600])
def test_a_file_of_settings_with_a_secret_is_for_its_owner_alone(place: Path, name: str, text: str, mode: int) -> None:
    written(place / name, text, mode)
    sentence = warning(load_settings())
    if mode == 0o600:
        assert sentence == ""
    else:
        assert sentence.endswith(f"chmod 600 {name}.") and sentence.count(". ") == 0
        assert "hush" not in sentence


def test_without_a_secret_in_it_anybody_may_read_it(place: Path) -> None:
    written(place / ".env", "KITH_CANDIDATES=0\nTELEGRAM_BOT_TOKEN=\n", 0o644)
    written(place / "kith.toml", "retrieved = 0\n", 0o644)
    assert warning(load_settings()) == ""


def test_what_kith_makes_itself_is_for_its_owner_alone(place: Path) -> None:
    before = os.umask(0)
    try:
        settings = load_settings()
        SqlDialogStore(settings.database).close()
        load_salt(settings.data_dir)
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (place / "data", *(place / "data").iterdir())}
    finally:
        os.umask(before)
    assert modes == {"data": "0o700", "kith.db": "0o600", "salt": "0o600"}
    (place / "data").chmod(0o755)
    assert warning(settings) == ""


def test_salt_and_database_are_looked_at_unless_their_folder_is_closed(place: Path) -> None:
    settings = load_settings()
    SqlDialogStore(settings.database).close()
    load_salt(settings.data_dir)
    for name in ("salt", "kith.db"):
        (place / "data" / name).chmod(0o644)
    assert warning(settings) == ""
    (place / "data").chmod(0o755)
    sentence = warning(settings)
    assert f"chmod 600 {place / 'data' / 'salt'} {place / 'data' / 'kith.db'}." in sentence


def test_doctor_shows_it_and_a_chat_goes_on_with_a_warning(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(place / ".env", "TELEGRAM_BOT_TOKEN=1:hush-hush\n", 0o644)
    found = check("secrets", secrets, load_settings(), "Do this.")
    assert not found.fine and "chmod 600 .env" in found.found
    written(place / ".env", "KITH_REMOTE_KEY=hush-hush\nKITH_DATABASE_URL=mysql://x\n", 0o644)
    assert main(["chat"]) == 2  # for the database
    err = capsys.readouterr().err
    assert "kith: Other accounts of this machine can read .env" in err and "not in mysql" in err
    assert "hush" not in err
