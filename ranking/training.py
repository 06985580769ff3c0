"""What trainings have in common: checkpoints, arguments of the Trainer, learning rate, limit of time."""

import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments


def checkpoints_of(out: Path) -> Path:
    """Where a run that writes a model keeps its checkpoints: beside the model, whose folder may hold nothing that can
    run code, as what optimizers remember can (bot/model_folders.py)."""
    return out.with_name(f"{out.name}.checkpoints")


def go_on(trainer: Trainer, out: Path) -> None:
    """Trains, from the last checkpoint of an earlier start where there is one."""
    known = sorted(checkpoints_of(out).glob("checkpoint-[0-9]*"), key=lambda folder: int(folder.name.split("-")[1]))
    whole = [str(folder) for folder in known if is_whole(folder)]
    trainer.train(resume_from_checkpoint=whole[-1] if whole else None)


def is_whole(checkpoint: Path) -> bool:
    """Whether no kill came while it was written: trainer_state.json is the last file that the Trainer writes."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True


def end(out: Path, finished: bool) -> None:
    """Once the model is written: a run that came to its end needs no checkpoints any more."""
    if finished:
        shutil.rmtree(checkpoints_of(out), ignore_errors=True)


def arguments(out: Path, steps: int, batch: int, seed: int) -> TrainingArguments:
    """Those of `options`, of our own models, whose data are no columns."""
    return TrainingArguments(**options(out, steps, batch, seed), remove_unused_columns=False)


def options(out: Path, steps: int, batch: int, seed: int) -> dict[str, Any]:
    """For so many steps with a checkpoint every 200, in bf16 where the hardware computes in it."""
    gpu = torch.cuda.is_available()
    bf16 = gpu or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    return {
        "output_dir": str(checkpoints_of(out)),
        "max_steps": steps,
        "per_device_train_batch_size": batch,
        "bf16": bf16,
        "use_cpu": bf16 and not gpu,
        "dataloader_pin_memory": False,
        "logging_steps": 25,
        "save_steps": 200,
        "save_total_limit": 1,
        "report_to": "none",
        "seed": seed,
    }


def rise_and_fall(step: int, steps: int) -> float:
    """The learning rate's factor: up over 5 % of the steps, then down to nothing in a line."""
    warm = max(1, steps // 20)
    return min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))


class Deadline(TrainerCallback):
    """Stops a run after so many minutes (0: never), with a checkpoint, so that the next one goes on from there. Of
    several processes the first one's clock counts: they stop at the same step or wait for each other for ever."""

    def __init__(self, minutes: float) -> None:
        self.ends = time.monotonic() + minutes * 60 if minutes else math.inf

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        over = int(time.monotonic() > self.ends)
        if args.world_size > 1 and self.ends < math.inf:
            told = torch.tensor(over, device=args.device)
            torch.distributed.broadcast(told, src=0)
            over = int(told)
        if over:
            control.should_save = control.should_training_stop = True
        return control
