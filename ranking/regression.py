"""The regression set: places written by hand, each with replies that are good there and replies that are bad. A new
version must order the good ones above the bad ones about as often as the one that it is to follow."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from storage.dialog import Candidate, Context, Message
from storage.estimates import Floats

REGRESSION = Path(__file__).parent / "regression.toml"

Totals: TypeAlias = Callable[[Sequence[tuple[Context, Sequence[Candidate]]]], Sequence[Sequence[float]]]
"""Contexts with candidates in, for each candidate a number out, the higher the better; -inf for what is never said."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reply is asked for, with some that are good there and some that are bad."""

    kind: str
    context: Context
    good: tuple[str, ...]
    bad: tuple[str, ...]


def places(file: Path = REGRESSION) -> list[Place]:
    """The places of a file, by default the shipped ones."""
    read = tomllib.loads(file.read_text(encoding="utf-8"))["place"]
    return [Place(each["kind"], _context(each["said"]), tuple(each["good"]), tuple(each["bad"])) for each in read]


def ordered(totals: Totals, found: Sequence[Place]) -> Floats:
    """Shape (places,): of the pairs of a good and a bad reply, the share in which the good one has more; ties count by
    half, and what is not a number counts as beaten."""
    batch = [(place.context, [Candidate(text, "", 0.0) for text in (*place.good, *place.bad)]) for place in found]
    shares = []
    for place, row in zip(found, totals(batch), strict=True):
        numbers = np.nan_to_num(np.array(row), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
        good, bad = numbers[: len(place.good), None], numbers[None, len(place.good) :]
        shares.append(float(np.mean((good > bad) + 0.5 * (good == bad))))
    return np.array(shares)


def _context(said: Sequence[str]) -> Context:
    """Texts by turns; the last one is the person's."""
    first = len(said) % 2
    return Context(tuple(Message("user" if n % 2 != first else "assistant", text) for n, text in enumerate(said)))
