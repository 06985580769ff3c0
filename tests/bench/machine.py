"""The machine under test: what it is, and its measured peaks."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from bench.timing import Json, Spread, spread
from bot.cli.run_file import versions

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
SIDE = 2048
"""Of the square matrices that are multiplied."""
LARGE = 512 * 2**20
"""Bytes that no cache holds."""


def described() -> Json:
    """Name, cores, instruction sets, memory, and how busy it was with other things."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    facts: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    return {
        "cpu": facts.get("model name", "unknown"),
        "cores": os.cpu_count(),
        "flags": [flag for flag in FLAGS if flag in facts.get("flags", "").split()],
        "memory GiB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load average": os.getloadavg()[0],
        "threads": torch.get_num_threads(),
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "not set"),
    }


def libraries() -> Json:
    """Versions of what figures depend on."""
    found = dict(versions())
    with suppress(PackageNotFoundError):
        found["ctranslate2"] = version("ctranslate2")
    return found


def has_bf16() -> bool:
    """Whether the processor computes in it; emulated it is slower than float32."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16"))


def repeated(work: Callable[[], object], amount: float, repeats: int = 7) -> Spread:
    """Thousands of millions of `amount` a second, of something that is done again and again."""
    work()
    rates = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        rates.append(amount / 1e9 / (time.perf_counter() - started))
    return spread(rates)


def peak(dtype: torch.dtype) -> Spread:
    """Billions of operations a second of a large matrix product."""
    left, right = torch.randn(SIDE, SIDE).to(dtype), torch.randn(SIDE, SIDE).to(dtype)
    return repeated(lambda: left @ right, 2 * SIDE**3)


def bandwidth(size: int) -> Spread:
    """GB a second that are read of `size` bytes, again and again: from a cache that holds them, or from memory."""
    values = torch.ones(size // 4)
    times = max(1, LARGE // size)

    def read() -> None:
        for _ in range(times):
            values.sum()

    return repeated(read, times * size)
