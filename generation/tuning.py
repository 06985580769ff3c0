"""Fine-tuning a generator on votes: `kith train generator --method sft|dpo|kto`.

Ours and any causal model that speaks by a chat template alike: a LoRA adapter is trained by TRL on prompts as they are
served, the loss on the reply alone, and merged into a whole model, so that serving needs nothing new. SFT learns what
was said (`kith export messages`), DPO which of two replies was liked better (`preferences`), KTO what was liked and
what was not (`votes`).
"""

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from transformers import PreTrainedModel, PreTrainedTokenizerBase, Trainer, set_seed

from generation.examples import VOICE
from generation.gain import Scale, compare, read
from generation.generator import STARTER
from generation.preferences import Judged, held_judged, sample
from generation.rendering import Rendering, examples_of
from generation.sampling import Sampling
from generation.train import load_base
from generation.trl_trainers import make_trainer
from generation.tuning_data import Record, TuningRows, in_order, read_records, steps_of, tuning_rows
from ranking.training import Deadline, checkpoints_of, end, go_on
from storage.corpora import CorpusDialog, Preference, RatedReply, read_dialogs

log = logging.getLogger(__name__)

LEARNING_RATES: Mapping[str, float] = {"sft": 5e-4, "dpo": 4e-4, "kto": 1.5e-4}

HELD_SEED = 0
"""Draws what is measured on, the same for runs of any seed, so that they compare."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What a run is made of."""

    method: str
    """sft, dpo or kto."""
    data: tuple[Path, ...]
    out: Path
    base: str = ""
    """Folder or hub id; "" for the starter."""
    votes: tuple[Path, ...] = ()
    """Votes to measure on, beside those of `data`; of all files the held-back dialogs only."""
    preferences: tuple[Path, ...] = ()
    """Preferences likewise."""
    adapter: Path | None = None
    """A folder for the adapter by itself, for servers that load such."""
    persona: str = ""
    """What the assistant is told about itself where a record does not say so."""
    examples: int = 0
    """Dialogs of Kith's voice that a model not trained here is shown, as when it is served."""
    rank: int = 16
    alpha: int = 32
    epochs: float = 1.0
    steps: int = 0
    learning_rate: float = 0.0
    """0: the method's own, of LEARNING_RATES."""
    beta: float = 0.1
    """How much DPO and KTO keep to the base."""
    length: int = 512
    batch_rows: int = 4
    accumulate: int = 2
    most: int = 300
    """Votes, pairs and dialogs to measure on, at the most of each."""
    minutes: float = 0.0
    seed: int = 0


def tune(run: Tuning) -> dict[str, Any]:
    """Trains, merges, measures before and after on held-back dialogs, and writes a model folder with its card.

    Returns the card's `measured`. A run that was cut off goes on from its last checkpoint when started again with the
    same arguments. Raises CorpusError on records of another shape or none, GeneratorError when there is no such
    base."""
    started = time.monotonic()
    set_seed(run.seed)
    run = replace(run, examples=examples_of(run.base or str(STARTER), run.examples))
    records = read_records(run.method, run.data)
    held = _held(run, records)  # a mistake is told before anything is trained
    model, tokenizer = load_base(run.base or str(STARTER))
    positions = min(run.length, int(getattr(model.config, "max_position_embeddings", run.length)))
    rendering = Rendering(tokenizer, positions - Sampling().max_new_tokens, run.examples)
    data = tuning_rows(records, rendering, run.persona, positions)
    steps = run.steps or steps_of(data.weights, run.epochs, run.batch_rows * run.accumulate)
    trainer = _trainer(run, model, tokenizer, data, steps)
    log.info("%d rows of %d dialogs, %d steps", len(data.rows), data.dialogs, steps)
    go_on(trainer, run.out)
    adapted: PeftModel = trainer.model
    adapted.get_base_model().__dict__.pop("forward", None)  # what TRL put there, for training alone
    scale = Scale(rendering, *held, run.persona, positions)
    with adapted.disable_adapter():
        before = read(adapted.get_base_model(), scale, "before")
    if run.adapter:
        adapted.save_pretrained(run.adapter)
    merged = adapted.merge_and_unload()
    merged.to(torch.bfloat16).save_pretrained(run.out)
    tokenizer.save_pretrained(run.out)
    found = compare(before, read(merged.float(), scale, "after"), scale, run.seed)
    card = _card(run, data, trainer, steps, found) | {"seconds": round(time.monotonic() - started)}
    (run.out / "training.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    end(run.out, trainer.state.global_step >= steps)
    return found


def _held(run: Tuning, records: list[Record]) -> tuple[Judged, list[CorpusDialog]]:
    """What is measured on: replies that were judged, and text."""
    judged = held_judged(
        _of(RatedReply, [*records, *read_records("kto", run.votes)]),
        _of(Preference, [*records, *read_records("dpo", run.preferences)]),
        run.most,
        HELD_SEED,
    )
    text = [*_of(CorpusDialog, records), *read_dialogs(VOICE)]
    return judged, sample([dialog for dialog in text if dialog.split == "valid"], run.most, HELD_SEED)


def _of(kind: type[Any], records: Iterable[Record]) -> list[Any]:
    return [record for record in records if isinstance(record, kind)]


def _trainer(
    run: Tuning, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, data: TuningRows, steps: int
) -> Trainer:
    gpu = torch.cuda.is_available()
    bf16 = gpu or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    order = in_order(data.weights, steps * run.batch_rows * run.accumulate, run.seed)
    return make_trainer(
        run.method,
        model,
        tokenizer,
        [data.rows[place] for place in order],
        LoraConfig(r=run.rank, lora_alpha=run.alpha, target_modules="all-linear", task_type="CAUSAL_LM"),
        [Deadline(run.minutes)],
        run.beta,
        output_dir=str(checkpoints_of(run.out)),
        max_steps=steps,
        per_device_train_batch_size=run.batch_rows,
        gradient_accumulation_steps=run.accumulate,
        learning_rate=run.learning_rate or LEARNING_RATES[run.method],
        warmup_steps=max(1, steps // 20),
        max_grad_norm=1.0,
        bf16=bf16,
        use_cpu=not gpu,
        gradient_checkpointing=gpu,
        dataloader_pin_memory=gpu,
        logging_steps=min(10, max(1, steps // 20)),
        save_steps=min(100, max(5, steps // 10)),
        save_total_limit=1,
        report_to="none",
        seed=run.seed,
    )


def _card(run: Tuning, data: TuningRows, trainer: Trainer, steps: int, found: dict[str, Any]) -> dict[str, Any]:
    settings = {k: v for k, v in asdict(run).items() if k not in ("out", "adapter")}
    settings |= {key: [file.name for file in getattr(run, key)] for key in ("data", "votes", "preferences")}
    return {
        "settings": settings | {"base": Path(run.base).name or "starter"},
        "parent": Path(run.base).name or "starter",
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": {file.name: _sha256(file) for path in run.data for file in _files(path)},
        "dialogs": data.dialogs,
        "rows": len(data.rows),
        "too_long": data.too_long,
        "steps": f"{trainer.state.global_step} of {steps}",
        "finished": trainer.state.global_step >= steps,
        "torch": torch.__version__,
        "measured": found,
    }


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
