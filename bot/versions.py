"""Versions of models: their folders, their rows in the log, and which of them serves.

A version is a folder in the models folder of the data folder, with a card that says how it came to be, and a row of the
same name. What serves a kind is what the owner's setting names, else the version that was promoted last, else the
shipped model.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypedDict

from bot.model_folders import UnfitFolder, check_model
from bot.settings import Settings, UserError
from storage.files import written_whole
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
    """What serves a kind: what the owner's setting names, else a version, else the shipped model."""

    kind: str
    by: Literal["setting", "promotion", "shipped"]
    model: str = ""
    """As the setting of the kind names it: a folder, a file, a hub's id; "" for the shipped model. The folder of a
    version may be broken or gone: `filled_in` looks."""
    version: Version | None = None

    def __str__(self) -> str:
        return f"the {self.kind} {name}" if (name := self.name) else f"the shipped {self.kind}"

    @property
    def name(self) -> str:
        """Of the version or of what the setting names, "" for the shipped model."""
        return self.version.name if self.version else self.model


@dataclass(frozen=True, slots=True)
class Misfit:
    """Two parts that do not fit: the version that came later, and what is wrong."""

    name: str
    reason: str


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
    with written_whole(folder / CARD) as card:
        card.write_text(text + "\n", encoding="utf-8")
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
    """What serves a kind. Raises UserError for one that there is not."""
    _check_kind(kind)
    return all_served(settings, store)[kind]


def all_served(settings: Settings, store: SqlDialogStore) -> dict[str, Served]:
    """What serves each kind."""
    promoted = store.promoted()
    return {kind: served_by(settings, store, kind, promoted.get(kind, "")) for kind in KINDS}


def served_by(settings: Settings, store: SqlDialogStore, kind: str, promoted: str) -> Served:
    """What serves a kind when this version of it is promoted, "" being none."""
    if named := named_by_owner(settings, kind):
        return Served(kind, "setting", named)
    version = store.version(promoted) if promoted else None
    return of_version(settings, version) if version else Served(kind, "shipped")


def of_version(settings: Settings, version: Version) -> Served:
    """What serves when a version does."""
    folder = models_folder(settings) / version.name
    return Served(version.kind, "promotion", str(folder / FILES.get(version.kind, "")), version)


def serving(settings: Settings, store: SqlDialogStore, kind: str) -> Version | None:
    """The version that serves a kind; None when a setting or the shipped model does. Raises UserError."""
    return served(settings, store, kind).version


def with_promoted(settings: Settings, store: SqlDialogStore) -> Settings:
    """The settings with what was promoted filled in. Raises UserError when a promoted version's folder is not there."""
    return filled_in(settings, all_served(settings, store).values())


def filled_in(settings: Settings, serve: Iterable[Served]) -> Settings:
    """The settings with the versions that serve filled in. Raises UserError when the folder of one is not there."""
    models = {each.kind: model_of(settings, each.version) for each in serve if each.version}
    return settings.model_copy(update={k: Path(model) if k in FILES else model for k, model in models.items()})


def misfit(settings: Settings, serve: Mapping[str, Served]) -> Misfit | None:
    """What stands on another retriever than the one that is to serve, if something does. What an owner's setting names
    is the owner's own affair."""
    from ranking.encoders import encoder_version

    retriever = serve["retriever"]
    for kind in ("ranker", "taste"):
        each = serve[kind]
        if each.by == "setting" or (each.by == "shipped" and retriever.by != "promotion"):
            continue
        stands_on = str(each.version.card.get("retriever", "")) if each.version else encoder_version()
        serves = encoder_version(filled_in(settings, [retriever]).retriever)
        if stands_on and stands_on != serves:
            versions = [found.version for found in (each, retriever) if found.version]
            newer = max(versions, key=lambda version: version.at)
            return Misfit(newer.name, f"{each} stands on the retriever {stands_on}, not on {serves}")
    return None


def named_by_owner(settings: Settings, kind: str) -> str:
    """What a setting names for a kind, "" when none does: it goes before any promotion."""
    if kind == "generator" and settings.remote_url:
        return settings.remote_url
    return str(getattr(settings, kind) or "")


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise UserError(f"There are no versions of a {kind!r}: the kinds are {', '.join(KINDS)}.")
