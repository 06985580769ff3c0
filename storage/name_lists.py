"""What is written down about names: names.txt has those that are hardly ever anything else, names.toml the doubtful
ones and the words around names."""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from enum import IntEnum
from functools import cache
from pathlib import Path

LONGEST_CUE = 4
"""Words, as in "my full name is"."""
GAP = ".,:—–-"
"""What may stand between a cue and a name, besides a space."""
QUOTES = "\"'«“(—–-"


class Need(IntEnum):
    """What a word needs to be a name: nothing, a capital letter inside a sentence or company that only people have, or
    a cue."""

    NOTHING, COMPANY, CUE = range(3)


def plain(words: str) -> str:
    """As words are in the lists, in as many characters."""
    return words.lower().replace("ё", "е").replace("’", "'") if len(words.lower()) == len(words) else words


@cache
def listed(language: str, key: str) -> frozenset[str]:
    """A list of names.toml; phrases are parted by commas, words by spaces."""
    text: str = _lists()[language][key]
    return frozenset(filter(None, re.split(r",\s*|\n" if "," in text else r"\s+", text)))


@cache
def sure() -> frozenset[str]:
    return frozenset(Path(__file__).with_name("names.txt").read_text(encoding="utf-8").split())


def strictest(needs: Iterable[Need | None]) -> Need | None:
    """What a double name needs, of what its parts do: "anna-maria"."""
    known = list(needs)
    return None if None in known else max(need for need in known if need is not None)


@cache
def _lists() -> dict[str, dict[str, str]]:
    return tomllib.loads(Path(__file__).with_name("names.toml").read_text(encoding="utf-8"))


@cache
def _cues() -> dict[str, list[str]]:
    """Phrases, each with the kinds of cues that it is."""
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for language in ("english", "russian"):
        for kind in ("title", "naming", "introduction", "relation", "person"):
            for phrase in listed(language, kind) if kind in _lists()[language] else ():
                kinds[phrase].append(kind)
    return kinds


def cues_before(before: str) -> set[str]:
    """Which kinds of cues a text ends with."""
    if not before[-1:].isspace():
        return set()
    head = before.rstrip().rstrip(GAP)
    words = plain(head).split()[-LONGEST_CUE:]
    phrases = [" ".join(words[start:]).lstrip(QUOTES) for start in range(len(words))]
    cues = {kind for phrase in phrases for kind in _cues().get(phrase, ())}
    if head.endswith("Miss"):  # in small letters it is a verb
        cues.add("title")
    return cues & {"title"} if before.rstrip().endswith(".") else cues  # "Mr. Smith", but not "my boss. Monday"
