"""What Kith does not go along with, in English and Russian: sexual talk with or about minors, being a person, playing
doctor or lawyer. Seen in messages (`limit`), which a moderated reply answers, and in candidates (features with vetoes).

Regular expressions, limits.toml, over `ranking.danger_rules.plain`.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from ranking.danger_rules import LONGEST, compiled, plain
from storage.dialog import Candidate, Context

LIMITS = Path(__file__).parent / "limits.toml"

GENERATED = "generation"
"""The source whose candidates nobody has read before: only these are looked at for instructions."""


def limit(context: Context) -> str:
    """Why the last message wants a moderated reply: "minor" (sexual talk, and a child is spoken of or writes), "doctor"
    or "lawyer" (asked what these should be); "" for all other messages."""
    asked = words(context.last)
    if seen("sexual", asked) and (seen("child", asked) or is_minor(context)):
        return "minor"
    return next((who for who in ("doctor", "lawyer") if seen(f"asks_{who}", asked)), "")


def asks_who_writes(text: str) -> bool:
    """Whether a message asks if a person or a program writes."""
    return seen("asks_human", words(text)) or seen("asks_program", words(text))


def is_minor(context: Context) -> bool:
    """Whether the person has said in this dialog that they are under 18."""
    return any(seen("minor", words(said)) for said in context.said("user"))


def claims_human(context: Context, candidate: Candidate) -> float:
    """1 for a reply that says it is a person, and, where somebody asks that, for one that has a body or agrees."""
    reply, asked = words(candidate.text), words(context.last)
    if seen("human", reply):
        return 1.0
    human, program = seen("asks_human", asked), seen("asks_program", asked)
    if not (human or program):
        return 0.0
    embodied = seen("body", reply) and not seen("bodiless", reply)
    agrees = (human and not program and seen("yes", reply)) or (program and not human and seen("no", reply))
    return float(embodied or agrees)


def instructs(context: Context, candidate: Candidate) -> float:
    """1 for a generated reply that gives a dose, a diagnosis or a ruling, else 0."""
    return float(candidate.source == GENERATED and seen("instructs", words(candidate.text)))


def with_minor(context: Context, candidate: Candidate) -> float:
    """1 for a reply that is sexual about a child, or sexual or an advance to somebody under 18, else 0."""
    reply = words(candidate.text)
    sexual = seen("sexual", reply)
    if sexual and seen("child", reply):
        return 1.0
    return float((sexual or seen("advances", reply)) and candidate.source == GENERATED and is_minor(context))


def words(text: str) -> str:
    """A text as the expressions read it: of what is longer than any message, the end."""
    return plain(text[-LONGEST:])


def seen(name: str, text: str) -> bool:
    """Whether one of the expressions of that name is found."""
    return expressions()[name].search(text) is not None


@cache
def expressions() -> Mapping[str, re.Pattern[str]]:
    """The expressions by name, read once."""
    return {name: compiled(list_of, {}) for name, list_of in tomllib.loads(LIMITS.read_text(encoding="utf-8")).items()}
