"""Deltas: what comes back of the weights, whose base they name, and that a file is whole or not there."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from ranking import delta
from ranking.delta import (
    FILE,
    fingerprint,
    has_delta,
    origin,
    save_delta,
    save_facts,
    starter_version,
    stored_names,
    with_delta,
)
from ranking.pretrained import HUB_ID, ModelError, packaged_minilm

Weights = dict[str, torch.Tensor]


def weights(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


BEFORE: Weights = {"layer.weight": weights(5, 7), "layer.bias": weights(5, seed=1)}
AFTER: Weights = {name: weight + 0.01 * weights(*weight.shape, seed=2) for name, weight in BEFORE.items()}


def base_in(folder: Path) -> str:
    """The base that the file names."""
    with safe_open(folder / FILE, framework="pt") as stored:
        return str(stored.metadata()["base"])


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    sizes=st.lists(st.sampled_from([0.0, 1e-6, 1e-2, 3.0]), min_size=1, max_size=5),
    seed=st.integers(0, 99),
)
def test_weights_come_back_within_1_127th_of_the_largest_change_of_their_row(
    tmp_path_factory: pytest.TempPathFactory, shape: list[int], sizes: list[float], seed: int
) -> None:
    before = weights(*shape, seed=seed)
    change = weights(*shape, seed=seed + 100)
    for row in range(shape[0]):
        change[row] *= sizes[row % len(sizes)]
    after = before + change
    folder = tmp_path_factory.mktemp("delta")
    save_delta(folder, "a/base", {"w": before}, {"w": after})
    restored = with_delta(folder, {"w": before})["w"]
    for row in range(shape[0]):
        largest = (after[row] - before[row]).abs().max()
        assert (restored[row] - after[row]).abs().max() <= largest / 127 + 1e-6
        if largest == 0:
            assert torch.equal(restored[row], before[row])


def test_a_change_takes_a_byte_and_what_did_not_change_takes_nothing(tmp_path: Path) -> None:
    before = {"changed": weights(300, 400), "same": weights(300, 400, seed=1)}
    save_delta(tmp_path, "a/base", before, {**before, "changed": before["changed"] + 0.1 * weights(300, 400, seed=2)})
    assert (tmp_path / FILE).stat().st_size < 1.05 * 300 * 400
    assert torch.equal(with_delta(tmp_path, before)["same"], before["same"])


def test_tensors_that_the_base_has_not_are_kept(tmp_path: Path) -> None:
    """Also those that the base has in another shape."""
    after = {**AFTER, "lags": weights(2, 3, 3), "layer.bias": weights(9)}
    save_delta(tmp_path, "a/base", BEFORE, after)
    restored = with_delta(tmp_path, BEFORE)
    assert restored.keys() == after.keys()
    for name in ("lags", "layer.bias"):
        assert restored[name].dtype == torch.float32
        assert torch.allclose(restored[name], after[name], rtol=1e-3)


def test_neither_base_nor_trained_weights_are_touched(tmp_path: Path) -> None:
    before = {name: weight.clone() for name, weight in BEFORE.items()}
    after = {name: torch.nn.Parameter(weight.clone()) for name, weight in AFTER.items()}
    save_delta(tmp_path, "a/base", before, after)
    restored = with_delta(tmp_path, before)
    for name in BEFORE:
        restored[name] += 1
        assert torch.equal(before[name], BEFORE[name])
        assert torch.equal(after[name], AFTER[name])


def test_the_packaged_base_is_named_as_the_world_knows_it(tmp_path: Path) -> None:
    """A path of this machine is none on another."""
    save_delta(tmp_path, origin(""), BEFORE, AFTER)
    assert base_in(tmp_path) == HUB_ID
    assert str(packaged_minilm()).encode() not in (tmp_path / FILE).read_bytes()
    assert origin(str(tmp_path)) == str(packaged_minilm())


def test_a_model_goes_back_to_the_base_that_its_delta_names_and_any_other_to_itself(tmp_path: Path) -> None:
    save_delta(tmp_path, "somebody/bert", BEFORE, AFTER)
    assert has_delta(tmp_path)
    assert origin(str(tmp_path)) == "somebody/bert"
    assert origin("somebody/bert") == "somebody/bert"
    assert origin("") == origin(HUB_ID) == str(packaged_minilm())


def test_the_folder_in_which_kith_runs_is_not_the_packaged_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_delta(tmp_path, "somebody/bert", BEFORE, AFTER)
    monkeypatch.chdir(tmp_path)
    assert not has_delta("")
    assert origin("") == str(packaged_minilm())


@pytest.mark.parametrize(
    "other",
    [
        {"layer.weight": weights(5, 8), "layer.bias": weights(5)},
        {"layer.weight": weights(5, 7)},
        {"encoder.weight": weights(5, 7), "encoder.bias": weights(5)},
    ],
)
def test_a_delta_of_another_base_is_refused(tmp_path: Path, other: Weights) -> None:
    save_delta(tmp_path, "a/base", BEFORE, AFTER)
    with pytest.raises(ModelError, match=r"^\S+delta.safetensors does not fit its base: layer\.(weight|bias)\.$"):
        with_delta(tmp_path, other)


@pytest.mark.parametrize("content", [b"", b"not a file of tensors at all"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ModelError, match=r"delta.safetensors cannot be read"):
        origin(str(tmp_path))


def test_a_file_of_tensors_that_names_no_base_is_none_of_ours(tmp_path: Path) -> None:
    save_file(AFTER, tmp_path / FILE)
    with pytest.raises(ModelError, match=r"delta.safetensors cannot be read"):
        origin(str(tmp_path))


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "new" / "model"
    save_delta(folder, "a/base", BEFORE, AFTER)
    first = (folder / FILE).read_bytes()

    def cut_off(tensors: Any, file: Path, metadata: Any) -> None:
        file.write_bytes(first[:40])
        raise OSError("the disk is full")

    monkeypatch.setattr(delta, "save_file", cut_off)
    with pytest.raises(OSError, match="the disk is full"):
        save_delta(folder, "a/base", BEFORE, AFTER)
    assert [(file.name, file.read_bytes()) for file in folder.iterdir()] == [(FILE, first)]


def test_what_was_trained_differently_has_another_fingerprint(tmp_path: Path) -> None:
    for name, after in (("one", AFTER), ("same", AFTER), ("other", BEFORE)):
        save_delta(tmp_path / name, "a/base", BEFORE, after)
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "same") != fingerprint(tmp_path / "other")


def test_the_names_in_a_file_are_those_of_what_changed(tmp_path: Path) -> None:
    save_delta(tmp_path, "a/base", BEFORE, {**BEFORE, "layer.bias": AFTER["layer.bias"], "lags": weights(2, 2)})
    assert stored_names(tmp_path) == {"layer.bias", "layer.bias.scale", "lags"}


def test_the_version_of_a_shipped_model_is_the_day_it_was_made_and_its_fingerprint(tmp_path: Path) -> None:
    save_delta(tmp_path, "a/base", BEFORE, AFTER)
    with pytest.raises(ModelError, match="is not whole"):
        starter_version(tmp_path)
    save_facts(tmp_path, {"made": "2026-11-20T10:00:00+00:00", "loss": 0.5})
    assert starter_version(tmp_path) == f"starter 2026-11-20 {fingerprint(tmp_path)}"
    assert json.loads((tmp_path / "training.json").read_text())["loss"] == 0.5


def test_facts_that_cannot_be_written_leave_the_old_ones(tmp_path: Path) -> None:
    save_facts(tmp_path, {"made": "2026-11-20"})
    with pytest.raises(TypeError):
        save_facts(tmp_path, {"made": object(), "loss": math.nan})
    assert json.loads((tmp_path / "training.json").read_text()) == {"made": "2026-11-20"}
    assert [file.name for file in tmp_path.iterdir()] == ["training.json"]
