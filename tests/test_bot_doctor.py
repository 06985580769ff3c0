"""Tests of bot/doctor.py: what works is shown with its version, what does not with what to do about it."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from bot_api import TOKEN, BotApi
from pydantic import SecretStr

from bot import doctor
from bot.cli import main
from bot.doctor import Check, check, examine, show
from bot.settings import Settings, env_name, load_settings
from ranking.pool import curated

pytest_plugins = ("tiny",)

NO_MODEL = str(Path(__file__).parent)
"""A folder that holds something else."""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and only the setting that names it."""
    for name in {env_name(field) for field in Settings.model_fields} & set(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("KITH_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_all_is_fine_with_models_that_work(
    generator_folder: str,
    bi_encoder_folder: str,
    cross_encoder_folder: str,
    quick_toxicity: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders = {"generator": generator_folder, "retriever": bi_encoder_folder, "ranker": cross_encoder_folder}
    for part, folder in folders.items():
        monkeypatch.setenv(env_name(part), folder)
    monkeypatch.setattr("bot.assemble.curated", lambda: curated()[:100])
    code = main(["doctor", "--json"])
    checks = {found["name"]: found for found in json.loads(capsys.readouterr().out)}
    assert code == 0, checks
    assert all(folder in checks[part]["found"] for part, folder in folders.items())


def test_a_switched_off_source_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(candidates=0, retrieved=0)
    assert "switched off" in doctor.generator(settings)
    assert "switched off" in doctor.retriever(settings)


def test_without_settings_nothing_else_is_looked_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KITH_CANDIDATES", "many")
    assert main(["doctor"]) == 2
    out = capsys.readouterr().out
    assert "✗" in out
    assert "KITH_CANDIDATES" in out
    assert len(list(examine())) == 1


@pytest.mark.parametrize(
    ("setting", "value", "look", "says"),
    [
        ("KITH_DATABASE_URL", "mysql://x", doctor.database, "SQLite or PostgreSQL"),
        ("KITH_PERSONA", "nobody", doctor.personas, "nobody"),
        ("KITH_POLICY", "nowhere.json", doctor.policy, "nowhere.json"),
        ("KITH_GENERATOR", NO_MODEL, doctor.generator, NO_MODEL),
        ("KITH_RETRIEVER", NO_MODEL, doctor.retriever, NO_MODEL),
        ("KITH_RANKER", NO_MODEL, doctor.ranker, NO_MODEL),
        ("KITH_REMOTE_URL", "http://127.0.0.1:9/v1", doctor.generator, "no reply"),
        ("TELEGRAM_API_URL", "http://127.0.0.1:9", doctor.telegram, "cannot be used"),
    ],
)
def test_what_is_wrong_is_shown_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, look: doctor.Look, says: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", TOKEN)
    monkeypatch.setenv(setting, value)
    found = check("part", look, load_settings(), "Do this.")
    assert (found.fine, found.advice) == (False, "Do this.")
    assert says in found.found
    assert TOKEN not in found.found


def test_a_weight_for_a_feature_that_nothing_computes_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"version": "mine", "weights": {"ranker": 1, "lenght": 2}, "vetoes": {}}')
    found = check("policy", doctor.policy, Settings(policy=file), "Correct it.")
    assert not found.fine
    assert "lenght" in found.found
    assert "ranker" not in found.found


def test_the_database_is_shown_without_its_password() -> None:
    url = "postgresql://kith:hush@127.0.0.1:9/kith"
    found = check("database", doctor.database, Settings(database_url=url), "Correct it.")
    assert not found.fine
    assert "hush" not in found.found


def test_a_database_that_cannot_be_opened_is_blamed_on_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_DATABASE_URL", "postgresql://kith:hush-hush@127.0.0.1:9/kith")
    monkeypatch.setenv("KITH_CANDIDATES", "0")
    for name in ("generator", "ranker", "taste", "policy", "telegram"):  # which need no database
        monkeypatch.setattr(doctor, name, lambda settings: "there")
    found = {each.name: each for each in examine()}
    assert not found["database"].fine
    assert (found["retriever"].fine, found["retriever"].advice) == (False, "Mend the database first.")
    assert "not looked at" in found["retriever"].found
    assert [each.name for each in found.values() if not each.fine] == ["database", "versions", "retriever"]


def test_a_secret_in_what_a_part_complains_of_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rejected(settings: Settings) -> str:
        raise ValueError("The key sk-hush-hush is not known.")

    monkeypatch.setenv("KITH_REMOTE_KEY", "sk-hush-hush")
    for name in ("database", "personas", "retriever", "generator", "ranker", "taste", "policy", "telegram"):
        monkeypatch.setattr(doctor, name, rejected)
    for arguments in (["doctor"], ["doctor", "--json"]):
        assert main(arguments) == 2
        shown = "".join(capsys.readouterr())
        assert "is not known" in shown
        assert "hush" not in shown


def test_the_table_marks_each_check(capsys: pytest.CaptureFixture[str]) -> None:
    show([Check("one", True, "there"), Check("two", False, "not there", "put it there")])
    first, second, third = (line.split() for line in capsys.readouterr().out.splitlines() if line.strip())
    assert (first, second) == (["✓", "one", "there"], ["✗", "two", "not", "there"])
    assert third == ["→", "put", "it", "there"]


async def test_the_token_is_tried_on_telegram() -> None:
    async with BotApi() as api:
        settings = Settings(telegram_bot_token=SecretStr(TOKEN), telegram_api_url=api.url)
        assert await asyncio.to_thread(doctor.telegram, settings) == "@kith_bot"
