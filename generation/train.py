"""Training a generator: `kith train generator --data FOLDER --out FOLDER`.

From scratch (a small Llama with a tokenizer of its own), from the layers of a BERT (`--encoder`), or onward from any
causal model (`--base`). transformers' Trainer runs it: a progress bar, checkpoints, resuming after a kill to the same
result, bf16 where the hardware computes in it. Matrices are trained with Muon (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon; torch's own), all else with AdamW.

Several processes, one for each GPU, or over gloo where there is none, train one model together:

    torchrun --nproc-per-node 2 --no-python kith train generator --data FOLDER --out FOLDER

Each takes `batch_rows` of its own and gradients are averaged (DDP). The first of them alone writes, measures and
speaks. No GPU has run this yet.
"""

import json
import logging
import math
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    set_seed,
)

from generation.data import MIXTURE, make_tokenizer, mix, pack
from generation.from_bert import bert_config, decoder_from_bert
from generation.metrics import bits_per_character
from generation.sampling import GeneratorError
from ranking.training import Deadline, checkpoints_of, end, go_on
from storage.corpora import CorpusDialog, CorpusError, read_dialogs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GeneratorTraining:
    """What a run is made of. The defaults make the starter's 14 million parameters."""

    data: tuple[Path, ...]
    out: Path
    base: str = ""
    encoder: str = ""
    """A BERT by folder or hub id, whose layers and word vectors a new model begins with, in place of `width` and
    `layers`."""
    personas: Path | None = None
    """A folder of persona files. The assistant is told the facts of the one that its dialog names, or those of any in
    every second dialog that has none."""
    vocab_size: int = 8192
    width: int = 384
    layers: int = 6
    length: int = 512
    batch_rows: int = 4
    accumulate: int = 2
    epochs: float = 1.0
    steps: int = 0
    muon_lr: float = 4e-3
    adamw_lr: float = 3e-3
    weight_decay: float = 0.01
    loss_on: str = "both"
    lang: str = "en"
    minutes: float = 0.0
    seed: int = 0


class MuonAndAdamW(torch.optim.Optimizer):
    """Muon for the matrices inside the layers, AdamW for embeddings and norms, as one optimizer for the Trainer."""

    def __init__(self, model: nn.Module, muon_lr: float, adamw_lr: float, weight_decay: float) -> None:
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
        matrices = [p for name, p in named if p.ndim == 2 and id(p) not in tables and "lm_head" not in name]
        chosen = {id(p) for p in matrices}
        rest = [p for _, p in named if id(p) not in chosen]
        self.parts: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=muon_lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(rest, lr=adamw_lr, betas=(0.9, 0.95), weight_decay=0.0),
        )
        super().__init__([p for _, p in named], {})
        self._share_groups()

    def _share_groups(self) -> None:
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()


def trapezoid(step: int, steps: int) -> float:
    """The learning rate's factor: up over 2 % of the steps, level, down to nothing over the last 40 %."""
    warm, down = max(1, steps // 50), max(1, int(steps * 0.4))
    return min(1.0, (step + 1) / warm, max(0.0, (steps - step) / down))


def train_generator(run: GeneratorTraining) -> dict[str, Any]:
    """Trains, measures on the held-back dialogs and writes a folder that any transformers program can load.

    Returns the metrics (bits per character by source); in processes beside the first none, as these leave once all is
    trained. A run that was cut off goes on from its last checkpoint when started again with the same arguments. Raises
    CorpusError on unreadable data or none, GeneratorError when there is no such base or encoder."""
    started = time.monotonic()
    set_seed(run.seed)
    if run.encoder:
        bert_config(run.encoder, run.length)  # a mistake is told before all is read
    dialogs = [dialog for path in run.data for dialog in read_dialogs(path)]
    personas = read_facts(run.personas) if run.personas else {}
    train = mix((d for d in dialogs if d.split == "train"), MIXTURE, run.lang, run.seed, personas)
    if not train:
        raise CorpusError("No dialogs to train on: none of the files has any of the train split in this language.")
    processes = arguments(run, 1)  # under torchrun they meet here, before the number of steps is known
    with processes.main_process_first(local=False):  # the others read the tokenizer that it has made
        model, tokenizer = load_or_make(run, train)
    rows = pack(train, tokenizer, run.length, run.loss_on)
    rows_a_step = processes.train_batch_size * run.accumulate * processes.world_size
    steps = run.steps or max(1, int(run.epochs * len(rows) / rows_a_step))
    log.info("%d rows of %d tokens, %d steps, %d parameters", len(rows), run.length, steps, model.num_parameters())
    optimizer = MuonAndAdamW(model, run.muon_lr, run.adamw_lr, run.weight_decay)
    trainer = Trainer(
        model=model,
        args=arguments(run, steps),
        train_dataset=rows,
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: trapezoid(step, steps))),
        callbacks=[Deadline(run.minutes)],
    )
    go_on(trainer, run.out)
    if not trainer.is_world_process_zero():
        return {}  # the group of processes ends when they do: destroyed while DDP holds it, it hung on Python's lock
    save(run, model, tokenizer)
    valid = [d for d in dialogs if d.split == "valid"]
    metrics = bits_per_character(model.float(), tokenizer, valid, run.lang, run.length)
    settings = {k: v for k, v in asdict(run).items() if k != "out"}
    settings |= {"data": [p.name for p in run.data], "personas": bool(run.personas)}
    settings |= {"base": Path(run.base).name, "encoder": Path(run.encoder).name}
    facts = {
        "settings": settings,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "parameters": model.num_parameters(),
        "processes": processes.world_size,
        "train_tokens_seen": trainer.state.global_step * rows_a_step * run.length,
        "steps": f"{trainer.state.global_step} of {steps}",
        "finished": trainer.state.global_step >= steps,
        "dialogs": count_by_source(train),
        "seconds": round(time.monotonic() - started),
        "torch": torch.__version__,
        "bits_per_character": metrics,
    }
    (run.out / "training.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    end(run.out, bool(facts["finished"]))
    return metrics


def read_facts(folder: Path) -> dict[str, tuple[str, ...]]:
    """The facts of each persona file of a folder, by name. Raises CorpusError when there is none or a broken one."""
    facts = {}
    for file in sorted(folder.glob("*.toml")):
        try:
            facts[file.stem] = tuple(tomllib.loads(file.read_text(encoding="utf-8"))["facts"])
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError, OSError) as error:
            raise CorpusError(f"{file} cannot be read as a persona ({error}).") from error
    if not facts:
        raise CorpusError(f"{folder} holds no persona: a folder of *.toml files is needed.")
    return facts


def load_or_make(
    run: GeneratorTraining, dialogs: Iterable[CorpusDialog]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model in float32 with its tokenizer, or a new one; a cut-off run keeps the tokenizer that it made."""
    if run.base:
        return load_base(run.base)
    if (run.out / "tokenizer.json").exists():
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(run.out, trust_remote_code=False)
    else:
        tokenizer = make_tokenizer((m.text for d in dialogs for m in d.messages), run.vocab_size, run.length)
        tokenizer.save_pretrained(run.out)
    if run.encoder:
        return decoder_from_bert(run.encoder, tokenizer, run.length), tokenizer
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=run.width,
        num_hidden_layers=run.layers,
        num_attention_heads=max(1, run.width // 64),
        intermediate_size=math.ceil(run.width * 8 / 3 / 64) * 64,
        max_position_embeddings=run.length,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config), tokenizer


def load_base(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The causal model of a folder or hub id in float32, with its tokenizer. Raises GeneratorError."""
    try:
        model = AutoModelForCausalLM.from_pretrained(
            name, dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
        return model, AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # as for any model
        raise GeneratorError(f"The base {name} cannot be loaded: {error}") from error


def arguments(run: GeneratorTraining, steps: int) -> TrainingArguments:
    """The Trainer's arguments: bf16 where the hardware computes in it, compilation on a GPU."""
    gpu = torch.cuda.is_available()
    bf16 = gpu or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return TrainingArguments(
        output_dir=str(checkpoints_of(run.out)),
        max_steps=steps,
        per_device_train_batch_size=run.batch_rows,
        gradient_accumulation_steps=run.accumulate,
        max_grad_norm=1.0,
        bf16=bf16,
        use_cpu=not torch.accelerator.is_available(),  # several processes then speak over gloo
        torch_compile=gpu,
        dataloader_num_workers=2 if gpu else 0,
        dataloader_pin_memory=gpu,
        logging_steps=min(25, max(1, steps // 20)),
        save_steps=min(200, max(10, steps // 10)),
        save_total_limit=2,
        report_to="none",
        seed=run.seed,
    )


def count_by_source(dialogs: Iterable[CorpusDialog]) -> dict[str, int]:
    """How many dialogs of each source."""
    counts: dict[str, int] = {}
    for dialog in dialogs:
        counts[dialog.source] = counts.get(dialog.source, 0) + 1
    return dict(sorted(counts.items()))


def save(run: GeneratorTraining, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Weights as bf16 safetensors, and the tokenizer. What is measured afterwards is what was saved."""
    model.to(torch.bfloat16).save_pretrained(run.out)
    tokenizer.save_pretrained(run.out)
