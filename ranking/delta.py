"""What training changed in a pretrained model, as a small file: each weight's difference from the base in 8 bits, with
one scale a row. MiniLM's layers come to 11 MB instead of 43; tensors that the base has not are kept in 16 bits. Beside
it, training.json says how it was made."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ranking.pretrained import HUB_ID, ModelError, minilm_or, packaged_minilm
from storage.files import written_whole

FILE = "delta.safetensors"
SCALE = ".scale"


def save_delta(folder: Path, base: str, before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> None:
    """Writes `after` minus `before`, whole or not at all. `base` is the name under which the base can be had again;
    the packaged MiniLM goes by its public name."""
    tensors: dict[str, torch.Tensor] = {}
    for name, value in after.items():
        known = before.get(name)
        if known is None or known.shape != value.shape:
            tensors[name] = value.detach().to(torch.float16).contiguous()
        elif not torch.equal(known, value):
            change = (value.detach().float() - known.float()).reshape(len(value), -1)
            scale = change.abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
            tensors[name] = (change / scale).round().to(torch.int8).reshape(value.shape).contiguous()
            tensors[name + SCALE] = scale.squeeze(1)
    name = HUB_ID if base == str(packaged_minilm()) else base
    with written_whole(folder / FILE) as made:
        save_file(tensors, made, {"base": name})


def has_delta(folder: str | Path) -> bool:
    """Whether a folder holds such a file."""
    return bool(str(folder)) and (Path(folder) / FILE).is_file()


def stored_names(folder: str | Path) -> set[str]:
    """The names of the tensors in a folder's delta, each with SCALE after it where it has one."""
    with safe_open(Path(folder) / FILE, framework="pt") as stored:
        return set(stored.keys())


def fingerprint(folder: str | Path) -> str:
    """Eight hex digits that differ for what was trained differently."""
    with (Path(folder) / FILE).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:8]


def origin(name: str) -> str:
    """The folder or hub id of the pretrained model that one by this name goes back to: of a folder with a delta its
    base, else itself, "" and the hub's name of it being the packaged MiniLM. Raises ModelError."""
    if not has_delta(name):
        return minilm_or(name)
    try:
        with safe_open(Path(name) / FILE, framework="pt") as stored:
            return minilm_or(str((stored.metadata() or {})["base"]))
    except (OSError, SafetensorError, KeyError) as error:
        raise ModelError(f"{Path(name) / FILE} cannot be read: {error}") from error


def with_delta(folder: str | Path, before: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state after training: the base's, changed, and what is new. Raises ModelError for another base's delta."""
    after = {name: value.clone() for name, value in before.items()}
    with safe_open(Path(folder) / FILE, framework="pt") as stored:
        for name in stored.keys():  # noqa: SIM118 - not a mapping
            if name.endswith(SCALE):
                continue
            value = stored.get_tensor(name)
            if value.dtype != torch.int8:
                after[name] = value.float()
                continue
            if name not in after or after[name].shape != value.shape:
                raise ModelError(f"{Path(folder) / FILE} does not fit its base: {name}.")
            scale = stored.get_tensor(name + SCALE).reshape(-1, *[1] * (value.ndim - 1))
            after[name] = after[name].float() + value.float() * scale
    return after


def save_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Writes `training.json`, whole or not at all."""
    with written_whole(folder / "training.json") as made:
        made.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def trained_version(name: str) -> str:
    """The version of a model that we trained: a folder that is trained into again is another under the same name."""
    return f"{Path(name).name} {fingerprint(name)}"


def starter_version(folder: Path) -> str:
    """A shipped model's version: the day it was made and its fingerprint. Raises ModelError when a file is missing."""
    try:
        made = json.loads((folder / "training.json").read_text(encoding="utf-8"))["made"][:10]
        return f"starter {made} {fingerprint(folder)}"
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise ModelError(f"The shipped model in {folder} is not whole: {error}") from error
