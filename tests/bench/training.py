"""Training: tokens a second of `kith train generator`'s steps on a model of the starter's size, in float32 and in
bfloat16, against the best of the machine's measured peaks."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from bench.machine import has_bf16, peak
from bench.sizes import Sizes
from bench.timing import Json, Spread, spread
from generation.generator import STARTER
from generation.train import GeneratorTraining, MuonAndAdamW, arguments

WARM = 1
"""Steps that are not counted."""


class Clock(TrainerCallback):
    """Notes when each step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.ends.append(time.perf_counter())


def measure(sizes: Sizes, folder: Path) -> Json:
    """Tokens a second, and the share of the peak that its operations are (MFU)."""
    torch.manual_seed(0)
    run = GeneratorTraining((), folder)
    formats = {"float32": False, **({"bfloat16": True} if has_bf16() or torch.cuda.is_available() else {})}
    peaks = {name: peak(getattr(torch, name)) for name in formats}
    best = max(each.median for each in peaks.values())
    result: Json = {"peak, G operations a second": peaks, "formats": {}}
    for name, bf16 in formats.items():
        rate, operations = tokens_a_second(run, bf16, sizes.train_steps)
        scale = operations / (best * 1e9)
        share = Spread(rate.median * scale, rate.low * scale, rate.high * scale, rate.repeats)
        result["formats"][name] = {"tokens a second": rate, "share of the best peak": share}
    return result


def tokens_a_second(run: GeneratorTraining, bf16: bool, steps: int) -> tuple[Spread, float]:
    """Of so many steps after the first, and the operations of a token, both ways through the model."""
    model = AutoModelForCausalLM.from_pretrained(STARTER, dtype=torch.float32)
    rows = [
        row_of(model.config.vocab_size, run.length) for _ in range(run.batch_rows * run.accumulate * (steps + WARM))
    ]
    optimizer, clock = MuonAndAdamW(model, run.muon_lr, run.adamw_lr, run.weight_decay), Clock()
    trainer = Trainer(
        model=model,
        args=replace(
            arguments(run, steps + WARM), bf16=bf16, save_strategy="no", disable_tqdm=True, logging_steps=1000
        ),
        train_dataset=rows,
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)),
        callbacks=[clock],
    )
    trainer.train()
    tokens = run.batch_rows * run.accumulate * run.length
    ends = clock.ends
    rates = [tokens / (end - begin) for begin, end in zip(ends[WARM - 1 :], ends[WARM:], strict=False)]
    return spread(rates), operations_of_token(model, run.length)


def operations_of_token(model: PreTrainedModel, length: int) -> float:
    """Six for each weight of a matrix (two forward, four back), and attention over half of a row, on average."""
    config = model.config
    tables = {id(p) for m in model.modules() if isinstance(m, torch.nn.Embedding) for p in m.parameters()}
    inside = sum(p.numel() for p in model.parameters() if id(p) not in tables)
    head = config.vocab_size * config.hidden_size
    return float(6 * (inside + head) + 12 * config.num_hidden_layers * config.hidden_size * length / 2)


def row_of(words: int, length: int) -> dict[str, torch.Tensor]:
    """A packed row, of words drawn by chance: what they are changes no time."""
    ids = torch.randint(8, words, (length,))
    return {"input_ids": ids, "labels": ids.clone()}
