"""Files with secrets that other accounts of this machine can read: their owner is warned, in one sentence.

It is no reason not to start: most editors make `.env` readable by all, and a bot that is silent helps nobody.
"""

import os
import shlex
import tomllib
from pathlib import Path

from dotenv import dotenv_values

from bot.settings import SECRETS, Settings, env_name


def warning(settings: Settings) -> str:
    """What to do about such files; "" when there are none."""
    files = [str(file) for file in (*files_with_settings(), *files_of_data(settings)) if others_read(file)]
    if not files:
        return ""
    return (
        f"Other accounts of this machine can read {' and '.join(files)}, where there are secrets or private talk: type "
        f"chmod 600 {shlex.join(files)}."
    )


def files_with_settings() -> list[Path]:
    """The files of settings, if there is a secret in them."""
    names = {env_name(field) for field in SECRETS}
    dotenv, toml = Path(".env"), Path("kith.toml")
    found = []
    if any(value and name.upper() in names for name, value in dotenv_values(dotenv).items()):
        found.append(dotenv)
    if toml.is_file() and set(SECRETS) & set(tomllib.loads(toml.read_text(encoding="utf-8"))):
        found.append(toml)
    return found


def files_of_data(settings: Settings) -> list[Path]:
    """The salt of pseudonyms, and the database where it is a file."""
    scheme, _, path = settings.database.partition("://")
    database = [Path(path.partition("/")[2].partition("?")[0])] if scheme.startswith("sqlite") else []
    return [file for file in (settings.data_dir / "salt", *database) if file.is_file()]


def others_read(file: Path) -> bool:
    """Whether the group or everybody may read a file, and enter its folder."""
    if os.name == "nt":  # where a mode says nothing
        return False
    return bool(file.stat().st_mode >> 2 & file.absolute().parent.stat().st_mode & 0o011)
