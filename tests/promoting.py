"""A bot whose shipped models are tiny, and versions to promote: `pytest_plugins = ("tiny", "promoting")`."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from fixed_answers import empty_log
from safetensors.torch import load_file, save_file

from bot.settings import Settings
from bot.versions import add_version, new_version
from ranking.encoders import encoder_version, load_encoder
from ranking.taste import Network, Taste
from storage.dialog import PoolEntry
from storage.store import SqlDialogStore
from storage.versions import Promotion, Version

POOL = [
    PoolEntry("food/1", "Pizza!", ("what shall we eat",), "curated"),
    PoolEntry("jokes/1", "The cat sleeps, that is the joke.", ("tell me a joke please",), "curated"),
    PoolEntry("hello/1", "Good morning to you. How are you?", ("hello there",), "curated"),
]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose bot it is: makes versions, promotes them and rolls back."""

    settings: Settings
    store: SqlDialogStore
    folders: Mapping[str, str]
    """By kind, the folder of a model that is copied."""

    def version(self, kind: str, change: Callable[[Path], object] = lambda folder: None, **card: Any) -> str:
        """A new version, with something changed in its folder; its name."""
        folder = new_version(self.settings, kind)
        shutil.copytree(self.folders[kind], folder, dirs_exist_ok=True)
        change(folder)
        add_version(self.settings, self.store, Version(folder.name, kind, card=card))
        return folder.name

    def policy(self, **weights: float) -> str:
        """A new policy with these weights."""
        return self.version("policy", lambda folder: write_policy(folder / "policy.json", **weights))

    def promote(self, *names: str) -> None:
        """Promotes without asking the gate."""
        self.store.promote([Promotion(name.partition("-")[0], name, "a test") for name in names])

    def roll_back(self, kind: str) -> None:
        """Goes back to what served before."""
        before = self.store.served_before(kind)
        assert before is not None
        self.store.promote([Promotion(kind, before, "a test", back=True)])

    def state(self, name: str) -> str:
        """What became of a version."""
        version = self.store.version(name)
        assert version
        return version.state


def write_policy(file: Path, **weights: float) -> None:
    """A policy's file."""
    file.write_text(json.dumps({"version": "by hand", "weights": weights, "vetoes": {"repetition": 0.75}}))


def spoil(folder: Path) -> None:
    """Cuts a model's weights in half."""
    file = folder / "delta.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def confuse(folder: Path) -> None:
    """Makes a model's numbers none."""
    file = folder / "delta.safetensors"
    tensors = load_file(file)
    save_file({k: v * torch.nan if v.is_floating_point() else v for k, v in tensors.items()}, file, base_of(file))


def shift(folder: Path) -> None:
    """Makes another model of it that works as well."""
    file = folder / "delta.safetensors"
    tensors = load_file(file)
    save_file({k: v * 1.5 if v.is_floating_point() else v for k, v in tensors.items()}, file, base_of(file))


def base_of(file: Path) -> dict[str, str]:
    """What a delta says of its base."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as stored:
        return dict(stored.metadata())


@pytest.fixture
def owner(
    retriever_folder: str,
    ranker_folder: str,
    generator_folder: str,
    quick_toxicity: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Owner:
    """Of a bot whose shipped models are tiny, and which looks all the time for what is promoted."""
    monkeypatch.chdir(tmp_path)
    shipped = {"retriever": retriever_folder, "ranker": ranker_folder}
    for kind, folder in shipped.items():
        starter = tmp_path / "shipped" / kind
        shutil.copytree(folder, starter)
        (starter / "training.json").write_text('{"made": "2026-11-21T12:00:00"}')
        module = "ranking.encoders" if kind == "retriever" else "ranking.ranker"
        monkeypatch.setattr(f"{module}.STARTER", starter)
    taste = tmp_path / "shipped" / "taste"
    make_taste(taste, "")
    monkeypatch.setattr("bot.assemble.TASTE", taste / "taste.safetensors")
    write_policy(tmp_path / "shipped" / "policy.json", similarity=1.0)
    monkeypatch.setattr("ranking.policy.SHIPPED", tmp_path / "shipped" / "policy.json")
    monkeypatch.setattr("bot.assemble.curated", lambda: POOL)
    monkeypatch.setattr("ranking.toxicity.curated", lambda: POOL * 50)
    monkeypatch.setattr("bot.watch.LOOK_SECONDS", 0.01)
    (tmp_path / "empty").mkdir()
    folders = shipped | {"taste": str(taste), "policy": str(tmp_path / "empty"), "generator": generator_folder}
    settings = Settings(_env_file=None, data_dir=tmp_path, candidates=0, exploration=0, threads=1)
    return Owner(settings, empty_log(tmp_path), folders)


def make_taste(folder: Path, retriever: str) -> None:
    """A taste of random weights on the vectors of a retriever."""
    torch.manual_seed(0)
    encoder = load_encoder(retriever)
    Taste(encoder, [Network(encoder.width)]).save(folder / "taste.safetensors", {"version": "random"})


def version_of(retriever: str) -> str:
    """What a card names a retriever."""
    return encoder_version(retriever)
