"""Versions of models: their folders, what serves, and names that lead astray."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fixed_answers import empty_log

from bot.cli import main
from bot.settings import Settings, UserError
from bot.versions import (
    Card,
    add_version,
    all_served,
    folder_of,
    known_version,
    model_of,
    new_version,
    serving,
    with_promoted,
)
from storage.store import SqlDialogStore
from storage.versions import Promotion, Version


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return Settings(data_dir=tmp_path)


@pytest.fixture
def log(settings: Settings, tmp_path: Path) -> Iterator[SqlDialogStore]:
    with empty_log(tmp_path) as store:
        yield store


def add(settings: Settings, log: SqlDialogStore, kind: str, file: str = "delta.safetensors") -> Version:
    """A version that was promoted."""
    folder = new_version(settings, kind)
    (folder / file).write_bytes(b"weights")
    version = Version(folder.name, kind, card=Card(votes=7))
    add_version(settings, log, version)
    log.promote([Promotion(kind, version.name)])
    return version


def test_each_new_version_has_a_folder_of_its_own(settings: Settings) -> None:
    first, second, other = (new_version(settings, kind) for kind in ("ranker", "ranker", "policy"))
    assert first.name.startswith("ranker-20")
    assert [folder.name[-2:] for folder in (first, second, other)] == ["-1", "-2", "-1"]
    assert first.parent == settings.data_dir / "models"


def test_the_card_is_in_the_folder_and_in_the_row(settings: Settings, log: SqlDialogStore) -> None:
    version = add(settings, log, "ranker")
    card = json.loads((folder_of(settings, version.name) / "card.json").read_text())
    assert card == {"name": version.name, "kind": "ranker", "parent": "", "votes": 7}
    assert known_version(log, version.name).card == {"votes": 7}
    with pytest.raises(UserError, match="another name"):
        add_version(settings, log, version)


def test_the_shipped_models_serve_until_something_is_promoted(settings: Settings, log: SqlDialogStore) -> None:
    assert {each.by for each in all_served(settings, log).values()} == {"shipped"}
    ranker, policy = add(settings, log, "ranker"), add(settings, log, "policy", "policy.json")
    assert serving(settings, log, "ranker") == known_version(log, ranker.name)
    filled = with_promoted(settings, log)
    assert filled.ranker == str(settings.data_dir / "models" / ranker.name)
    assert filled.policy == settings.data_dir / "models" / policy.name / "policy.json"
    assert (filled.retriever, filled.taste, filled.generator) == ("", None, "")


def test_an_owners_setting_goes_before_what_was_promoted(settings: Settings, log: SqlDialogStore) -> None:
    add(settings, log, "ranker")
    named = settings.model_copy(update={"ranker": "my/ranker", "remote_url": "http://127.0.0.1:1/v1"})
    found = all_served(named, log)
    assert (found["ranker"].by, str(found["ranker"])) == ("setting", "the ranker my/ranker")
    assert serving(named, log, "ranker") is None
    assert found["generator"].by == "setting"
    assert with_promoted(named, log) == named


@pytest.mark.parametrize(
    "name", ["../ranker", "/etc", "..", ".hidden", "a/b", "", "RANKER", "a\0b", "x" * 101, "C:\\x"]
)
def test_a_name_is_never_a_path(settings: Settings, log: SqlDialogStore, name: str) -> None:
    with pytest.raises(UserError, match="is no name of a version"):
        add_version(settings, log, Version(name, "ranker"))
    with pytest.raises(UserError, match="There is no version"):
        known_version(log, name)


def test_a_folder_that_leads_elsewhere_is_no_version(settings: Settings, log: SqlDialogStore, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (settings.data_dir / "models").mkdir()
    (settings.data_dir / "models" / "ranker-x").symlink_to(elsewhere)
    with pytest.raises(UserError, match="has no folder"):
        add_version(settings, log, Version("ranker-x", "ranker"))
    with pytest.raises(UserError, match="has no folder"):
        add_version(settings, log, Version("ranker-y", "ranker"))


def test_a_folder_with_code_in_it_is_no_version(settings: Settings, log: SqlDialogStore) -> None:
    folder = new_version(settings, "ranker")
    (folder / "model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="can run code"):
        add_version(settings, log, Version(folder.name, "ranker"))
    assert log.versions() == []


def test_a_version_that_is_one_file_needs_that_file(settings: Settings, log: SqlDialogStore) -> None:
    folder = new_version(settings, "taste")
    with pytest.raises(UserError, match=r"has no file .*taste\.safetensors"):
        add_version(settings, log, Version(folder.name, "taste"))
    (folder / "taste.safetensors").write_bytes(b"")
    add_version(settings, log, version := Version(folder.name, "taste"))
    assert model_of(settings, version) == str(folder / "taste.safetensors")


def test_a_kind_that_there_is_not(settings: Settings, log: SqlDialogStore) -> None:
    with pytest.raises(UserError, match="the kinds are retriever, ranker"):
        new_version(settings, "safety")
    with pytest.raises(UserError, match="the kinds are"):
        serving(settings, log, "../x")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["show", "../../etc"], "There is no version '../../etc': `kith models list` shows them."),
        (["promote", "ranker-2026-01-01-1"], "There is no version 'ranker-2026-01-01-1'"),
        (["rollback", "ranker"], "Nothing to take back: the shipped ranker serves"),
        (["rollback", "safety"], "There are no versions of a 'safety'"),
    ],
)
def test_a_mistake_at_the_keyboard_is_one_sentence(
    settings: Settings,
    log: SqlDialogStore,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: list[str],
    told: str,
) -> None:
    monkeypatch.setenv("KITH_DATA_DIR", str(settings.data_dir))
    assert main(["models", *command]) == 2
    assert told in capsys.readouterr().err
