"""A limit of time for a training run."""

import math
import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


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
