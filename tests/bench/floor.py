"""The least time in which this machine could do the decode work: the prompt's operations at its measured peak, and for
each new token the larger of the operations at that peak and the bytes (all weights once, the cache of each row) at its
measured bandwidth."""

import torch

from bench.gpt2 import LAYERS, WIDTH, weights
from bench.machine import LARGE, bandwidth, has_bf16, peak
from bench.timing import Json


def measured_peaks() -> Json:
    """Billions of bytes and of operations a second. The weights are read from a cache where one holds them."""
    number = 2 if has_bf16() else 4
    found: Json = {
        "bytes a number": number,
        "GB a second from memory": bandwidth(LARGE),
        "GB a second, as much as the weights": bandwidth(weights() * number),
        "G operations a second, float32": peak(torch.float32),
    }
    if has_bf16():
        found["G operations a second, bfloat16"] = peak(torch.bfloat16)
    return found


def floor_seconds(peaks: Json, chats: int, rows: int, prompt: int, new: int) -> float:
    """Of `chats` prompts that are read once, and `rows` replies of `new` tokens that are written side by side."""
    number = int(peaks["bytes a number"])
    operations = 1e9 * fastest(peaks, "G operations")
    moved = 1e9 * fastest(peaks, "GB")
    seconds = chats * prompt * operations_of_token(prompt / 2) / operations
    for length in range(prompt, prompt + new):
        cache = rows * 2 * LAYERS * WIDTH * length
        seconds += max(rows * operations_of_token(length) / operations, (weights() + cache) * number / moved)
    return seconds


def fastest(peaks: Json, kind: str) -> float:
    """The best of the measured rates of a kind."""
    return max(float(rate.median) for name, rate in peaks.items() if name.startswith(kind))


def operations_of_token(length: float) -> float:
    """Two for each weight, four for each number of the cache's half that it attends to."""
    return 2 * weights() + 4 * LAYERS * WIDTH * length
