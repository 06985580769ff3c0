"""What training the retriever and the ranker has in common: arguments of the Trainer, learning rate, limit of time."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


def arguments(checkpoints: Path, steps: int, batch: int, seed: int) -> TrainingArguments:
    """For so many steps with a checkpoint every 200, in bf16 where the hardware computes in it."""
    gpu = torch.cuda.is_available()
    bf16 = gpu or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return TrainingArguments(
        output_dir=str(checkpoints),
        max_steps=steps,
        per_device_train_batch_size=batch,
        bf16=bf16,
        use_cpu=bf16 and not gpu,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        logging_steps=25,
        save_steps=200,
        save_total_limit=1,
        report_to="none",
        seed=seed,
    )


def rise_and_fall(step: int, steps: int) -> float:
    """The learning rate's factor: up over 5 % of the steps, then down to nothing in a line."""
    warm = max(1, steps // 20)
    return min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))


class Deadline(TrainerCallback):
    """Stops a run after so many minutes (0: never), with a checkpoint, so that the next one goes on from there."""

    def __init__(self, minutes: float) -> None:
        self.ends = time.monotonic() + minutes * 60 if minutes else math.inf

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if time.monotonic() > self.ends:
            control.should_save = control.should_training_stop = True
        return control
