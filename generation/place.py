"""Where a model runs, and in which number format."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch

from ranking.serving import serving_dtype

ROWS, INNER, OUTER = 64, 384, 1536
"""A matrix product as Kith's models have many."""

ROUNDS = 20

FEW = 4
"""Turns at once. Of one the ranker reads some 270 tokens beside the generator."""


def place() -> tuple[str, torch.dtype]:
    """Device and number format of this machine."""
    if torch.cuda.is_available():
        return "cuda", torch.bfloat16
    if torch.backends.mps.is_available():
        return "mps", torch.float16
    return "cpu", serving_dtype()


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Computes on so many cores: in this thread, and in those that begin to compute before its end."""
    threads = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def one_core() -> AbstractContextManager[None]:
    """Leaves the other cores to what runs on other threads: the products of decoding are so small that a second core
    gains nothing (4 rows: 75 µs on one, 111 on two)."""
    return on_cores(1)


def cores_for(turns: int) -> AbstractContextManager[None]:
    """For what is computed beside the generator: all cores where there is much to do, else all but its own. To wake a
    thread for each product takes longer than that does: to encode 1, 8, 32 and 128 texts takes 10, 26, 85 and 307 ms on
    one core, on two 19, 38, 91 and 266."""
    threads = torch.get_num_threads()
    return on_cores(threads if turns > FEW else max(1, threads - 1))


def milliseconds_of_product(device: str, dtype: torch.dtype) -> float:
    """How long such a product takes, once."""
    tokens = torch.ones(ROWS, INNER, device=device, dtype=dtype)
    weights = torch.ones(OUTER, INNER, device=device, dtype=dtype)
    started = time.perf_counter()
    float((tokens @ weights.T)[0, 0])  # waits for the device
    return 1e3 * (time.perf_counter() - started)


def tried() -> tuple[str, bool]:
    """Says how fast one core of this machine is in the number format of its place and in float32, and whether the first
    is not much slower. The fastest of twenty each, taken in turns: what else runs here slows both."""
    device, chosen = place()
    formats = (chosen, torch.float32)
    with one_core():
        rounds = [[milliseconds_of_product(device, dtype) for dtype in formats] for _ in range(ROUNDS)]
    took = dict(zip(formats, map(min, zip(*rounds, strict=True)), strict=True))
    speeds = ", ".join(f"{ms:.2f} ms in {name_of(dtype)}" for dtype, ms in took.items())
    threads = f"{torch.get_num_threads()} threads"
    said = f"{device}, {name_of(chosen)}, {threads}; on one a product of {ROWS} x {INNER} x {OUTER} takes {speeds}"
    return said, took[chosen] <= 1.5 * took[torch.float32]


def name_of(dtype: torch.dtype) -> str:
    """Such as bfloat16."""
    return str(dtype).removeprefix("torch.")
