"""What a folder that is named as a model may hold: data that can do nothing but be read, and nothing from elsewhere.

The loaders take safetensors alone and run no code of a model's, so this is the sentence for who names such a folder.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
"""Files that can run code as they are read."""

DEEP = 2
"""Folders in folders: a SentenceTransformer has one for each of its modules."""


class UnfitFolder(ValueError):
    """A folder that is no model for Kith: one sentence that says why and what to do."""


def check_model(name: str) -> None:
    """Raises UnfitFolder for a folder that holds more than a model's data; a hub's id is none."""
    folder = Path(name).expanduser()
    if not name or not folder.is_dir():
        return
    for file in _files(folder, DEEP):
        if file.suffix.lower() in PICKLES:
            raise UnfitFolder(f"{file} can run code when it is read: keep the model's .safetensors, and remove it")
        if file.name == "adapter_config.json":
            raise UnfitFolder(f"{folder} is an adapter to another model: merge the two, and name what comes of it")
        if file.name.endswith(".safetensors.index.json"):
            _check_index(file)
        elif file.name == "config.json":
            _check_config(file)


def home(path: Path) -> Path:
    """With ~ filled in. Raises ValueError for the ~ of somebody who is not there, and for what no path can hold."""
    if "\0" in str(path):
        raise ValueError("a path cannot hold the character NUL")
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from None


def model_name(name: str) -> str:
    """A name that can only be a folder's is one: a hub's client would speak of repositories. Raises ValueError."""
    folder = home(Path(name))
    if name.startswith(("/", "./", "../", "~")) and not folder.is_dir():
        raise ValueError(f"there is no folder {name}")
    check_model(str(folder) if name else "")
    return str(folder) if name.startswith("~") else name


def _files(folder: Path, deep: int) -> Iterator[Path]:
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.is_dir(follow_symlinks=False):
            if deep:
                yield from _files(Path(entry.path), deep - 1)
        else:
            yield Path(entry.path)


def _check_index(file: Path) -> None:
    """The parts of a model lie beside their index."""
    parts = _read(file).get("weight_map")
    for part in set(map(str, parts.values())) if isinstance(parts, dict) else ():
        if Path(part).name != part or not part.endswith(".safetensors"):
            raise UnfitFolder(f"{file} names {part!r}: the parts of a model are .safetensors files in its own folder")


def _check_config(file: Path) -> None:
    """An attention that is named by a hub's id would be fetched from there, as code."""
    for key, value in _read(file).items():
        if key.endswith("_implementation") and "/" in str(value):
            raise UnfitFolder(f"{file} fetches code from {value}: remove its {key}")


def _read(file: Path) -> dict[str, object]:
    """A JSON object; nothing of a file that is none, which its loader complains of."""
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
