"""Versions of models: their folders, their rows in the log, and which of them serves.

A version is a folder in the models folder of the data folder, with a card that says how it came to be, and a row of the
same name. What serves a kind is what the owner's setting names, else the version that was promoted last, else the
shipped model.
"""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypedDict

from bot.model_folders import UnfitFolder, check_model
from bot.settings import Settings, UserError
from storage.store import SqlDialogStore
from storage.versions import Version

KINDS = ("retriever", "ranker", "taste", "policy", "generator")
"""What can be trained and promoted. The setting of a kind has its name."""

FILES: Mapping[str, str] = {"taste": "taste.safetensors", "policy": "policy.json"}
"""Kinds that are one file, and its name in the version's folder; of the others the folder is the model."""

CARD = "card.json"

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
"""What a version may be called: never a path."""


class Card(TypedDict, total=False):
    """How a version came to be, in `card.json` and in its row."""

    data: str
    """SHA-256 of the records that it was trained on."""
    filter: Mapping[str, Any]
    """What was taken of the log."""
    until: str
    """ISO time: dialogs of the log that began before it may have been learnt from, later ones were not. "": none of the
    log was, or nobody knows."""
    base: str
    """What it was trained onward from, when that is no version."""
    retriever: str
    """The version of the retriever on whose vectors it stands, as the turns of the log name it without its pool; ""
    for what stands on none."""
    arguments: Mapping[str, Any]
    seeds: list[int]
    metrics: Mapping[str, Any]
    people: int
    """Whose words or votes were learnt from, and in how many dialogs, with how many votes."""
    dialogs: int
    votes: int
    labels: Mapping[str, int]
    """How many labels of each kind the log gave, and how many people counted less (bot/from_log.py)."""


@dataclass(frozen=True, slots=True)
class Served:
    """What serves a kind."""

    kind: str
    by: Literal["setting", "promotion", "shipped"]
    model: str
    """As the setting of the kind names it: a folder, a file, a hub's id; "" for the shipped model."""
    version: Version | None = None


def models_folder(settings: Settings) -> Path:
    """The folder of all versions."""
    return settings.data_dir / "models"


def new_version(settings: Settings, kind: str) -> Path:
    """A new folder for a version, KIND-DATE-NUMBER, which nobody else gets. Raises UserError."""
    _check_kind(kind)
    folder = models_folder(settings)
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = 1
        while True:
            try:
                (made := folder / f"{kind}-{today}-{number}").mkdir(mode=0o700)
                return made
            except FileExistsError:
                number += 1
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}): mend that, or set KITH_DATA_DIR.") from None


def add_version(settings: Settings, store: SqlDialogStore, version: Version) -> None:
    """Writes a version's card into its folder and adds its row. Raises UserError when the folder is no model for Kith,
    and when there is a version of that name."""
    folder = folder_of(settings, version.name)
    _check_kind(version.kind)
    model_of(settings, version)
    text = json.dumps({"name": version.name, "kind": version.kind, "parent": version.parent, **version.card}, indent=2)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        (Path(scratch) / CARD).write_text(text + "\n", encoding="utf-8")
        (Path(scratch) / CARD).replace(folder / CARD)
    if not store.add_version(version):
        raise UserError(f"There is a version {version.name} already: give the new one another name.")


def known_version(store: SqlDialogStore, name: str) -> Version:
    """A version by the name that somebody typed. Raises UserError."""
    found = store.version(name) if NAME.fullmatch(name) else None
    if found is None:
        raise UserError(f"There is no version {name!r}: `kith models list` shows them.")
    return found


def folder_of(settings: Settings, name: str) -> Path:
    """The folder of a version. Raises UserError for a name that is none, and for one that leads elsewhere."""
    folder = models_folder(settings) / name
    if not NAME.fullmatch(name):
        raise UserError(f"{name!r} is no name of a version: they are made of a-z, 0-9, dots, - and _.")
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"The version {name} has no folder {folder}: put it back, or promote another version.")
    return folder


def model_of(settings: Settings, version: Version) -> str:
    """The model of a version as the setting of its kind would name it. Raises UserError when it is not there, or when
    the folder holds more than a model's data."""
    folder = folder_of(settings, version.name)
    try:
        check_model(str(folder))
    except UnfitFolder as unfit:
        raise UserError(f"{unfit}.") from None
    if version.kind not in FILES:
        return str(folder)
    file = folder / FILES[version.kind]
    if file.is_symlink() or not file.is_file():
        raise UserError(f"The version {version.name} has no file {file}: put it back, or promote another version.")
    return str(file)


def served(settings: Settings, store: SqlDialogStore, kind: str) -> Served:
    """What serves a kind. Raises UserError when a promoted version's folder is not there."""
    _check_kind(kind)
    return _served(settings, store, kind, store.promoted())


def serving(settings: Settings, store: SqlDialogStore, kind: str) -> Version | None:
    """The version that serves a kind; None when a setting or the shipped model does."""
    return served(settings, store, kind).version


def with_promoted(settings: Settings, store: SqlDialogStore) -> Settings:
    """The settings with what was promoted filled in. Raises UserError when a promoted version's folder is not there."""
    promoted = store.promoted()
    return with_models(settings, {kind: _served(settings, store, kind, promoted).model for kind in KINDS})


def with_models(settings: Settings, models: Mapping[str, str]) -> Settings:
    """The settings with other models, by kind."""
    paths = {"taste", "policy"}
    filled = {kind: (Path(model) if model else None) if kind in paths else model for kind, model in models.items()}
    return settings.model_copy(update=filled)


def named_by_owner(settings: Settings, kind: str) -> str:
    """What a setting names for a kind, "" when none does: it goes before any promotion."""
    if kind == "generator" and settings.remote_url:
        return settings.remote_url
    return str(getattr(settings, kind) or "")


def _served(settings: Settings, store: SqlDialogStore, kind: str, promoted: Mapping[str, str]) -> Served:
    if named := named_by_owner(settings, kind):
        return Served(kind, "setting", str(getattr(settings, kind) or "") if kind == "generator" else named)
    version = store.version(promoted[kind]) if kind in promoted else None
    if version is None:
        return Served(kind, "shipped", "")
    return Served(kind, "promotion", model_of(settings, version), version)


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UserError(f"There are no versions of a {kind!r}: the kinds are {', '.join(KINDS)}.")
