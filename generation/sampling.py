"""How replies are drawn from a model, and how what it wrote is made fit to be shown."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from storage.dialog import Candidate

SENTENCE = re.compile(r"[.!?…]+[\"')\]]*(?=\s|$)")


class GeneratorError(Exception):
    """A model that cannot be loaded or cannot chat; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are drawn."""

    candidates: int = 4
    max_new_tokens: int = 40
    temperature: float = 0.8
    top_p: float = 0.9


@dataclass(frozen=True, slots=True)
class Sample:
    """What was drawn for a context."""

    text: str
    """As it would be shown: "" when it was cut off before any sentence ended."""
    score: float
    """The mean log-probability of its tokens."""
    finished: bool
    """Whether it came to its end before the tokens ran out."""


def distinct(samples: Sequence[Sample], version: str) -> list[Candidate]:
    """The samples that have something to show, each text once with the best of its scores."""
    best: dict[str, float] = {}
    for sample in samples:
        if sample.text:
            best[sample.text] = max(sample.score, best.get(sample.text, sample.score))
    return [Candidate(text, "generation", score, version) for text, score in best.items()]


def tidy(text: str, finished: bool) -> str:
    """One line without stray spaces, control characters, and halves of characters, which servers that cut an emoji in
    two send and no front end can. A text that was cut off keeps its whole sentences; "" when it has none."""
    kept = (c for c in text if c != "\ufffd" and unicodedata.category(c) != "Cs")
    text = " ".join("".join(" " if unicodedata.category(c) == "Cc" else c for c in kept).split())
    if finished:
        return text
    ends = [match.end() for match in SENTENCE.finditer(text)]
    return text[: ends[-1]] if ends else ""
