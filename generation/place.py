"""Where a model runs, and in which number format."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ranking.serving import serving_dtype

ROWS, INNER, OUTER = 64, 384, 1536
"""A matrix product as Kith's models have many."""


def place() -> tuple[str, torch.dtype]:
    """Device and number format of this machine."""
    if torch.cuda.is_available():
        return "cuda", torch.bfloat16
    if torch.backends.mps.is_available():
        return "mps", torch.float16
    return "cpu", serving_dtype()


@contextmanager
def one_core() -> Iterator[None]:
    """Leaves the other cores to what runs on other threads: the products of decoding are so small that a second core
    gains nothing (4 rows: 75 µs on one, 111 on two). It holds for this thread, and for those that begin to compute
    before its end."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def milliseconds_of_product(device: str, dtype: torch.dtype) -> float:
    """How long such a product takes: the fastest of twenty."""
    tokens = torch.ones(ROWS, INNER, device=device, dtype=dtype)
    weights = torch.ones(OUTER, INNER, device=device, dtype=dtype)
    seconds = []
    for _ in range(20):
        started = time.perf_counter()
        float((tokens @ weights.T)[0, 0])  # waits for the device
        seconds.append(time.perf_counter() - started)
    return 1e3 * min(seconds)


def tried() -> tuple[str, bool]:
    """Says how fast this machine is in the number format of its place and in float32, and whether the first is not much
    slower."""
    device, chosen = place()
    took = {dtype: milliseconds_of_product(device, dtype) for dtype in (chosen, torch.float32)}
    speeds = ", ".join(f"{ms:.2f} ms in {name_of(dtype)}" for dtype, ms in took.items())
    threads = f"{torch.get_num_threads()} threads"
    said = f"{device}, {name_of(chosen)}, {threads}; a product of {ROWS} x {INNER} x {OUTER} takes {speeds}"
    return said, took[chosen] <= 1.5 * took[torch.float32]


def name_of(dtype: torch.dtype) -> str:
    """Such as bfloat16."""
    return str(dtype).removeprefix("torch.")
