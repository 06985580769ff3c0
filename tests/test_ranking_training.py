"""What both trainings use: a limit of time that stops a run with a checkpoint, and the learning rate."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import TrainerControl, TrainerState, TrainingArguments

from ranking import training
from ranking.training import Deadline, rise_and_fall


@pytest.mark.parametrize(
    ("minutes", "seconds", "stops"), [(1.0, 59, False), (1.0, 61, True), (0.0, 1e9, False), (1e-9, 1, True)]
)
def test_after_so_many_minutes_a_run_stops_with_a_checkpoint(
    monkeypatch: pytest.MonkeyPatch, minutes: float, seconds: float, stops: bool
) -> None:
    clock = 1000.0
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: clock))
    limit = Deadline(minutes)
    clock += seconds
    control = limit.on_step_end(TrainingArguments(use_cpu=True), TrainerState(), TrainerControl())
    assert (control.should_training_stop, control.should_save) == (stops, stops)


@pytest.mark.parametrize(("minutes", "first", "stops"), [(1.0, 1, True), (1e-9, 0, False)])
def test_of_several_processes_the_first_ones_clock_stops_all(
    monkeypatch: pytest.MonkeyPatch, minutes: float, first: int, stops: bool
) -> None:
    monkeypatch.setattr(torch.distributed, "broadcast", lambda told, src: told.fill_(first))
    args = SimpleNamespace(world_size=2, device="cpu")
    control = Deadline(minutes).on_step_end(args, TrainerState(), TrainerControl())
    assert (control.should_training_stop, control.should_save) == (stops, stops)


@given(st.integers(1, 5000), st.data())
def test_the_learning_rate_rises_and_falls_to_nothing(steps: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < rise_and_fall(step, steps) <= 1
    assert rise_and_fall(steps, steps) == 0
    if steps >= 100:
        assert rise_and_fall(0, steps) < rise_and_fall(steps // 20, steps) == 1
        assert rise_and_fall(steps - 1, steps) < 0.02
