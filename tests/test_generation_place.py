"""Where a model runs: how many cores it takes, a number format that this machine computes in, and what is said of
it."""

from threading import Thread

import pytest
import torch

from generation import place as module
from generation.place import cores_for, one_core, place, tried


def test_this_machine_has_a_place_for_a_model() -> None:
    device, dtype = place()
    assert torch.zeros(1, device=device, dtype=dtype).dtype in (torch.float32, torch.bfloat16, torch.float16)


@pytest.mark.parametrize(("emulated", "fine"), [(0.3, True), (1.6, False)])
def test_a_number_format_that_is_only_emulated_is_told(
    monkeypatch: pytest.MonkeyPatch, emulated: float, fine: bool
) -> None:
    took = {torch.bfloat16: emulated, torch.float32: 0.8}
    monkeypatch.setattr(module, "place", lambda: ("cpu", torch.bfloat16))
    monkeypatch.setattr(module, "milliseconds_of_product", lambda device, dtype: took[dtype])
    said, good = tried()
    assert said.endswith(f"on one a product of 64 x 384 x 1536 takes {emulated:.2f} ms in bfloat16, 0.80 ms in float32")
    assert good is fine


def test_it_is_really_tried() -> None:
    said, _ = tried()
    assert "threads; on one a product of" in said
    assert " 0.00 ms in float32" not in said


def test_what_keeps_to_one_core_leaves_the_others_to_what_runs_beside_it() -> None:
    used: list[int] = []

    def decode() -> None:
        with pytest.raises(RuntimeError), one_core():
            used.append(torch.get_num_threads())
            raise RuntimeError("out of memory")

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for work in (decode, decode, lambda: used.append(torch.get_num_threads())):
            thread = Thread(target=work)
            thread.start()
            thread.join()
        assert used == [1, 1, 2]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("turns", "used"), [(1, 2), (4, 2), (5, 3)])
def test_few_turns_leave_a_core_to_the_generator_and_many_take_all(turns: int, used: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with cores_for(turns):
            assert torch.get_num_threads() == used
        assert torch.get_num_threads() == 3
        torch.set_num_threads(1)
        with cores_for(turns):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
