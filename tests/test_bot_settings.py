"""Tests of bot/settings.py: where settings come from, which one wins, and what is said about a wrong one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from bot.settings import Settings, UserError, env_name, load_settings


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in, and no settings in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.upper() in {env_name(field) for field in Settings.model_fields}:
            monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize("given", ["42,-100  telegram:7", '["42", -100, "telegram:7"]'])
def test_ids_are_listed_in_the_environment_and_in_a_file(
    place: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    if given.startswith("["):
        (place / "kith.toml").write_text(f"allowed = {given}\nadmins = [1]\nminute_quota = 5\n")
    else:
        monkeypatch.setenv("KITH_ALLOWED", given)
        (place / ".env").write_text("KITH_ADMINS=1\nKITH_MINUTE_QUOTA=5\n")
    rules = load_settings().rules
    assert rules.allowed == {"telegram:42", "telegram:-100", "telegram:7"}
    assert (list(rules.admins), list(rules.blocked), rules.a_minute) == (["telegram:1"], [], 5)


def test_everything_has_a_default() -> None:
    settings = load_settings()
    assert settings.telegram_bot_token is None
    assert settings.telegram_api_url == "https://api.telegram.org"
    assert settings.data_dir.name == "kith"
    assert settings.database == f"sqlite:///{settings.data_dir / 'kith.db'}"


def test_each_source_can_set_and_the_nearer_one_wins(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "kith.toml").write_text('candidates = 1\nretrieved = 1\npersona = "wit"\n')
    (place / ".env").write_text("KITH_CANDIDATES=2\nKITH_RETRIEVED=2\n")
    monkeypatch.setenv("KITH_CANDIDATES", "3")
    settings = load_settings()
    assert (settings.candidates, settings.retrieved, settings.persona) == (3, 2, "wit")


@pytest.mark.parametrize("source", ["environment", ".env", "kith.toml"])
def test_the_token_is_spelt_as_telegrams_own_world_does(
    place: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    match source:
        case "environment":
            monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "1:secret")
        case ".env":
            (place / ".env").write_text("TELEGRAM_BOT_TOKEN=1:secret\n")
        case _:
            (place / "kith.toml").write_text('telegram_bot_token = "1:secret"\n')
    assert load_settings().telegram_bot_token == SecretStr("1:secret")


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TELEGRAM_BOT_TOKEN", "KITH_WEBHOOK_SECRET", "KITH_REMOTE_KEY", "KITH_DATABASE_KEY"):
        monkeypatch.setenv(name, "1:hush")
    assert "hush" not in repr(load_settings())
    assert "hush" not in load_settings().model_dump_json()
    monkeypatch.delenv("KITH_DATABASE_KEY")
    monkeypatch.setenv("KITH_DATABASE_URL", "postgresql://kith:hu%2Fsh@127.0.0.1/kith?password=hush")
    assert "hush" not in repr(load_settings()) and "hu%2Fsh" not in repr(load_settings())
    assert sorted(load_settings().secrets) == ["1:hush", "1:hush", "1:hush", "hu%2Fsh", "hu/sh", "hush", "hush"]


def test_nor_in_the_traceback_of_a_fault_of_ours(tmp_path: Path) -> None:
    script = (
        "import bot.cli.log, sys; from bot.settings import load_settings\n"
        "def fault():\n    settings = load_settings()\n    raise RuntimeError(f'{settings!r} {settings.__dict__}')\n"
        "bot.cli.log.open_log = fault; from bot.cli import main; main(['stats'])"
    )
    names = ("TELEGRAM_BOT_TOKEN", "KITH_WEBHOOK_SECRET", "KITH_REMOTE_KEY", "KITH_DATABASE_KEY")
    environment = {**os.environ, **dict.fromkeys(names, "1:hush"), "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert "RuntimeError" in done.stderr and "telegram_bot_token=SecretStr" in done.stderr
    assert "hush" not in done.stderr + done.stdout


@pytest.mark.parametrize("source", ["environment", ".env"])
def test_a_misspelt_name_does_not_go_unnoticed(place: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    if source == ".env":
        (place / ".env").write_text("KITH_CANDIDATE=2\n")
    else:
        monkeypatch.setenv("KITH_CANDIDATE", "2")
    with pytest.raises(UserError, match="KITH_CANDIDATE is not a setting"):
        load_settings()


def test_so_does_one_in_kith_toml(place: Path) -> None:
    (place / "kith.toml").write_text("candidate = 2\n")
    with pytest.raises(UserError, match=r"^candidate is not a setting of Kith: .*without KITH_"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KITH_CANDIDATES", "many"),
        ("KITH_CANDIDATES", "33"),
        ("KITH_EXPLORATION", "-0.1"),
        ("KITH_SAMPLING_TEMPERATURE", "0"),
        ("KITH_WEBHOOK_PORT", "70000"),
        ("KITH_REMOTE_URL", "localhost:8000"),
        ("KITH_LOG_LEVEL", "LOUD"),
        ("KITH_ADMINS", "@ann"),
        ("KITH_BLOCKED", "42 nobody"),
        ("KITH_DAY_QUOTA", "-1"),
        ("TELEGRAM_API_URL", "ftp://example.org"),
        ("KITH_RANKER", "/no/such/folder"),
        ("KITH_GENERATOR", "./nowhere"),
        ("KITH_RETRIEVER", "~/no such folder"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_it(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"The setting {name} is wrong") as error:
        load_settings()
    assert "\n" not in str(error.value)


def test_a_wrong_secret_is_not_repeated(place: Path) -> None:
    (place / "kith.toml").write_text('telegram_bot_token = ["1:hush"]\n')
    with pytest.raises(UserError, match="TELEGRAM_BOT_TOKEN") as error:
        load_settings()
    assert "hush" not in str(error.value)


@pytest.mark.parametrize("broken", [b"candidates = \n", b"\xff\xfe", b"= 1"])
def test_a_broken_file_is_one_sentence(place: Path, broken: bytes) -> None:
    (place / "kith.toml").write_bytes(broken)
    with pytest.raises(UserError, match="cannot be read"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "field", "zero"), [("KITH_CANDIDATES", "candidates", 0), ("KITH_EXPLORATION", "exploration", 0.0)]
)
def test_zero_is_a_value(monkeypatch: pytest.MonkeyPatch, name: str, field: str, zero: Any) -> None:
    monkeypatch.setenv(name, "0")
    assert getattr(load_settings(), field) == zero


def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "")
    monkeypatch.setenv("KITH_CANDIDATES", "")
    settings = load_settings()
    assert settings.telegram_bot_token is None
    assert settings.candidates == 4


@pytest.mark.parametrize("name", ["KITH_DATA_DIR", "KITH_PERSONAS_DIR", "KITH_POLICY"])
def test_the_home_folder_may_be_a_tilde(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "~/kith")
    assert getattr(load_settings(), name.removeprefix("KITH_").lower()) == Path.home() / "kith"


def test_a_database_url_takes_the_place_of_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_DATABASE_URL", "postgresql://kith@localhost/kith")
    assert load_settings().database == "postgresql://kith@localhost/kith"


def test_of_a_mistyped_path_no_folder_is_made(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_DATABASE_URL", f"sqlite:///{place}/mistypde/kith.db?timeout=5")
    with pytest.raises(UserError, match=rf"KITH_DATABASE_URL is wrong: .*there is no folder {place}/mistypde"):
        load_settings()
    assert list(place.iterdir()) == []
    monkeypatch.setenv("KITH_DATABASE_URL", "sqlite:///kith.db")
    assert load_settings().database == "sqlite:///kith.db"


@pytest.mark.parametrize("url", ["", "sqlite:///kith.db", "postgresql://kith@localhost/kith"])
def test_a_key_goes_into_the_url_of_sqlite_and_is_refused_for_postgresql(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("KITH_DATABASE_URL", url)
    monkeypatch.setenv("KITH_DATABASE_KEY", "a/b @c")
    if url.startswith("postgresql"):
        with pytest.raises(UserError, match=r"KITH_DATABASE_KEY is wrong: .*only SQLite takes a key"):
            load_settings()
    else:
        assert load_settings().database.startswith("sqlite://:a%2Fb%20%40c@/")


def test_settings_do_not_change_while_the_bot_runs() -> None:
    with pytest.raises(ValidationError):
        load_settings().candidates = 1  # type: ignore[misc]  # that it is frozen is what is tested


def test_every_setting_says_what_it_is_for() -> None:
    assert not [name for name, field in Settings.model_fields.items() if not field.description]
