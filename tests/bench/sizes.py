"""How much of everything is measured: all of it in under a quarter of an hour, or a look in three minutes."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Seconds are those of one run, repeats those of each arm."""

    peers: Mapping[int, int]
    """People who wait at once, and repeats."""
    decode: Mapping[int, int]
    """The same for the decode work alone."""
    crowds: tuple[int, ...]
    closed_seconds: float
    closed_repeats: int
    open_seconds: float
    open_steps: int
    pools: tuple[int, ...]
    """Imported replies besides the shipped ones."""
    lengths: tuple[int, ...]
    """Messages of the person in a dialog."""
    rows: tuple[int, ...]
    """People who have left a log, each of some 14 turns."""
    growth_repeats: int
    train_steps: int
    sustained_minutes: float = 0
    """Of the open loop at 80 % of the capacity; 0: there is none."""


WHOLE = Sizes(
    peers={1: 15, 4: 5, 16: 4},
    decode={1: 10, 4: 6, 16: 4},
    crowds=(1, 4, 16, 64),
    closed_seconds=12,
    closed_repeats=3,
    open_seconds=25,
    open_steps=5,
    pools=(0, 10_000, 100_000),
    lengths=(1, 5, 20, 80),
    rows=(0, 1_000, 5_000),
    growth_repeats=15,
    train_steps=6,
)

QUICK = Sizes(
    peers={1: 5, 4: 2},
    decode={1: 3, 4: 2},
    crowds=(1, 16),
    closed_seconds=6,
    closed_repeats=1,
    open_seconds=8,
    open_steps=2,
    pools=(0, 10_000),
    lengths=(1, 20),
    rows=(0, 1_000),
    growth_repeats=4,
    train_steps=2,
)
