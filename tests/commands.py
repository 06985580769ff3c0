"""Commands on an empty log in an empty folder: `pytest_plugins = ("commands",)`."""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from fixed_answers import empty_log

from bot.cli import ENVIRONMENT, main
from bot.settings import Settings, env_name

Kith: TypeAlias = Callable[..., tuple[int, str, str]]
"""A command's arguments, and what is `typed` then, in; exit code, standard output and standard error out."""


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run, with no setting but that of the data folder, which it is."""
    for name in {env_name(field) for field in Settings.model_fields} & set(os.environ):
        monkeypatch.delenv(name)
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, os.environ.get(name, ""))  # so that what `main` sets is taken back
    monkeypatch.setenv("KITH_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    empty_log(tmp_path).close()
    return tmp_path


@pytest.fixture
def kith(empty_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Kith:
    """Runs a command there, with nobody at the keyboard."""

    def kith(*arguments: object, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = main([str(argument) for argument in arguments])
        return code, *capsys.readouterr()

    return kith


def parsed(answer: tuple[int, str, str]) -> Any:
    """The JSON that a command printed."""
    code, out, error = answer
    assert code == 0, error
    return json.loads(out)
