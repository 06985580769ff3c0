"""The pool: the replies that retrieval may say. Curated ones, written for Kith, are the TOML files in `curated/`;
liked and imported ones come from the store."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from storage.corpora import held_back
from storage.dialog import PoolEntry

CURATED = Path(__file__).parent / "curated"


class PoolError(ValueError):
    """A pool file that cannot be read; the message names it and what is wrong."""


def curated(folder: Path = CURATED) -> list[PoolEntry]:
    """All curated replies. Entries of one situation share their contexts; an id is `<situation>/<number>`, as in
    "greetings.morning/3". Raises PoolError on a broken file."""
    entries: list[PoolEntry] = []
    for file in sorted(folder.glob("*.toml")):
        try:
            situations = tomllib.loads(file.read_text(encoding="utf-8"))["situation"]
            for situation in situations:
                contexts = tuple(situation["contexts"])
                entries += (
                    PoolEntry(f"{situation['name']}/{number}", reply, contexts, "curated")
                    for number, reply in enumerate(situation["replies"], 1)
                )
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise PoolError(f"{file} is not a pool file ({error}): it needs [[situation]] tables.") from error
    return entries


def texts_of(entries: Iterable[PoolEntry]) -> set[str]:
    """All texts of entries, replies and contexts."""
    return {text for entry in entries for text in (entry.reply, *entry.contexts)}


def kept_out(context: str) -> bool:
    """Whether a context of the pool is never trained on: one in five, so that it can be seen what was learnt."""
    return held_back(context, 0.2)


def normal(text: str) -> str:
    """A text's words in lower case, without punctuation: what makes two replies the same."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def distinct(entries: Iterable[PoolEntry]) -> list[PoolEntry]:
    """The entries without those whose reply, and empty replies, came before; contexts of equal replies are joined."""
    kept: dict[str, PoolEntry] = {}
    for entry in entries:
        key = normal(entry.reply)
        if not key:
            continue
        before = kept.get(key)
        if before is None:
            kept[key] = entry
        elif set(entry.contexts) - set(before.contexts):
            contexts = tuple(dict.fromkeys(before.contexts + entry.contexts))
            kept[key] = PoolEntry(before.id, before.reply, contexts, before.origin)
    return list(kept.values())
