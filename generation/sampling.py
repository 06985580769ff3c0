"""How replies are drawn from a model, and how what it wrote is made fit to be shown."""

import re
from dataclasses import dataclass

SENTENCE = re.compile(r"[.!?…]+[\"')\]]*(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are drawn."""

    candidates: int = 4
    max_new_tokens: int = 40
    temperature: float = 0.8
    top_p: float = 0.9


def tidy(text: str, finished: bool) -> str:
    """One line without stray spaces. A text that was cut off keeps its whole sentences; "" when it has none."""
    text = " ".join(text.replace("\ufffd", "").split())
    if finished:
        return text
    ends = [match.end() for match in SENTENCE.finditer(text)]
    return text[: ends[-1]] if ends else ""
