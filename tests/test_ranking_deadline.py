"""A limit of time: reached, it stops a run with a checkpoint; without one a run goes on for ever."""

from types import SimpleNamespace

import pytest
from transformers import TrainerControl, TrainerState, TrainingArguments

from ranking import deadline
from ranking.deadline import Deadline


@pytest.mark.parametrize(
    ("minutes", "seconds", "stops"), [(1.0, 59, False), (1.0, 61, True), (0.0, 1e9, False), (1e-9, 1, True)]
)
def test_after_so_many_minutes_a_run_stops_with_a_checkpoint(
    monkeypatch: pytest.MonkeyPatch, minutes: float, seconds: float, stops: bool
) -> None:
    clock = 1000.0
    monkeypatch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: clock))
    limit = Deadline(minutes)
    clock += seconds
    control = limit.on_step_end(TrainingArguments(use_cpu=True), TrainerState(), TrainerControl())
    assert (control.should_training_stop, control.should_save) == (stops, stops)
