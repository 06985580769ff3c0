"""README.md tells the truth: about settings, commands and files."""

import re
from pathlib import Path

import pytest
import typer

from bot.cli import app
from bot.settings import Settings, env_name

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAP = README.split("## The map")[1].split("```")[1]


def test_the_table_of_settings_is_the_class() -> None:
    told = dict(re.findall(r"^\| `([A-Z_]+)` \|[^|]*\| (.*) \|$", README, re.MULTILINE))
    assert told == {env_name(name): field.description for name, field in Settings.model_fields.items()}


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_the_table_of_settings_tells_defaults(name: str) -> None:
    default = Settings.model_fields[name].default
    if isinstance(default, str | int | float) and default != "":
        assert f"| `{env_name(name)}` | `{default}` |" in README


@pytest.mark.parametrize("package", ["bot", "ranking", "generation", "storage"])
def test_the_map_names_every_file(package: str) -> None:
    section = re.split(rf"^{package}/", MAP, flags=re.MULTILINE)[1]
    section = re.split(r"^\w+/", section, flags=re.MULTILINE)[0]
    files = [
        path for path in (ROOT / package).rglob("*.py") if path.name != "__init__.py" and "migrations" not in path.parts
    ]
    assert files
    assert [path.name for path in files if path.name not in section] == []


def test_the_map_names_nothing_else() -> None:
    folders = [ROOT / name for name in ("bot", "ranking", "generation", "storage", "tests", "docs")]
    there = {path.name for folder in folders for path in (folder, *folder.rglob("*"))}
    for name in re.findall(r"[\w/]+\.(?:py|txt|toml|md)|\w+/", MAP):
        assert name.startswith("test_") or Path(name).name in there, name


def test_every_command_that_it_names_exists() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, typer.core.TyperGroup)
    for words in re.findall(r"`kith ([a-z]+(?: [a-z][a-z-]+)?)", README):
        verb, *sub = words.split()
        command = group.commands[verb]
        if sub and isinstance(command, typer.core.TyperGroup):
            assert sub[0] in command.commands
