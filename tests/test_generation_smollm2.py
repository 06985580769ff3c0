"""SmolLM2 with Kith's voice: an adapter merged into a model, and a folder that is whole or not there."""

import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from generation import smollm2
from generation.generator import GptGenerator
from generation.sampling import GeneratorError, Sampling
from storage.dialog import Context, Message

pytest_plugins = ("tiny",)

UNPACKED = smollm2.unpacked


def base(folder: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def adapter(chat_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An adapter of the tiny chat model, with cards, in the place of the shipped one."""
    torch.manual_seed(0)
    model = get_peft_model(base(chat_folder)[0], LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    for name, weight in model.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(weight, std=0.1)
    folder = tmp_path / "adapter"
    model.save_pretrained(folder)
    template = AutoTokenizer.from_pretrained(chat_folder).chat_template
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    (folder / "training.json").write_text(json.dumps({"settings": {}, "parent": "tiny", "made": "2026-11-22"}))
    (folder / "README.md").write_text("A card.")
    monkeypatch.setattr(smollm2, "ADAPTER", folder)
    monkeypatch.setattr(smollm2, "packaged", lambda: Path("packaged"))
    monkeypatch.setattr(smollm2, "unpacked", lambda file: base(chat_folder))
    return folder


def test_an_adapter_is_merged_as_peft_does_it(adapter: Path, chat_folder: str) -> None:
    ours = base(chat_folder)[0]
    smollm2.merge_adapter(ours, adapter)
    theirs = get_peft_model(base(chat_folder)[0], LoraConfig.from_pretrained(str(adapter)))
    theirs.load_adapter(str(adapter), "default")
    merged = theirs.merge_and_unload()
    for (name, own), (_, other) in zip(ours.named_parameters(), merged.named_parameters(), strict=True):
        assert torch.allclose(own, other, atol=1e-6), name
    plain = base(chat_folder)[0]
    assert any(not torch.equal(a, b) for a, b in zip(ours.parameters(), plain.parameters(), strict=True))


def test_an_adapter_of_another_model_is_refused_with_a_sentence(adapter: Path, plain_folder: str) -> None:
    with pytest.raises(GeneratorError, match="does not fit"):
        smollm2.merge_adapter(base(plain_folder)[0], adapter)


def test_the_folder_serves_and_is_shown_no_examples(adapter: Path, tmp_path: Path) -> None:
    out = tmp_path / "models" / "smollm2"
    assert smollm2.main([str(out)]) == 0
    (out / "old").write_text("of an earlier make")
    assert smollm2.main([str(out)]) == 0
    assert sorted(file.name for file in out.parent.iterdir()) == ["smollm2"]
    assert {"model.safetensors", "config.json", "training.json", "README.md"} <= {f.name for f in out.iterdir()}
    assert not (out / "old").exists()
    generator = GptGenerator(str(out), Sampling(2, 8), examples=2)
    assert generator.rendering.examples.text == ""
    assert len(generator.sample([Context((Message("user", "hello there"),))])[0]) == 2


def test_what_cannot_be_made_is_one_sentence_and_leaves_what_was_there(
    adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert smollm2.main([str(out)]) == 0
    (out / "old").write_text("of an earlier make")
    (adapter / "README.md").unlink()
    assert smollm2.main([str(out)]) == 2
    assert "README.md" in capsys.readouterr().err
    assert (out / "old").exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["adapter", "out"]


def test_a_file_that_is_torn_is_one_sentence(tmp_path: Path, adapter: Path) -> None:
    (tmp_path / "torn.gguf").write_bytes(b"GGUF and then nothing")
    with pytest.raises(GeneratorError, match="cannot be unpacked"):
        UNPACKED(tmp_path / "torn.gguf")
    (adapter / "adapter_model.safetensors").write_bytes(b"torn")
    assert smollm2.main([str(tmp_path / "out")]) == 2


def test_no_folder_of_somebody_is_replaced(adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diary = tmp_path / "home" / "diary.txt"
    diary.parent.mkdir()
    diary.write_text("dear diary")
    assert smollm2.main([str(diary.parent)]) == 2
    assert "name another folder" in capsys.readouterr().err
    assert diary.read_text() == "dear diary"


def test_the_shipped_adapter_is_whole() -> None:
    card, config = (
        json.loads((smollm2.ADAPTER / name).read_text()) for name in ("training.json", "adapter_config.json")
    )
    tensors = load_file(smollm2.ADAPTER / "adapter_model.safetensors")
    assert len(tensors) == 2 * 7 * 30  # two matrices for each linear layer
    assert {min(weight.shape) for weight in tensors.values()} == {config["r"]} == {card["settings"]["rank_shipped"]}
    assert all((smollm2.ADAPTER / name).is_file() for name in (*smollm2.CARDS, "chat_template.jinja"))


def test_without_the_package_one_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(smollm2, "files", missing)
    assert smollm2.main(["anywhere"]) == 2
    with pytest.raises(GeneratorError, match="make smollm2"):
        smollm2.packaged()


def test_a_file_that_is_another_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Listed:
        name = smollm2.FILE

        def locate(self) -> Path:
            return tmp_path / self.name

    (tmp_path / smollm2.FILE).write_bytes(b"something else")
    monkeypatch.setattr(smollm2, "files", lambda name: [Listed()])
    with pytest.raises(GeneratorError, match="reinstall"):
        smollm2.packaged()
