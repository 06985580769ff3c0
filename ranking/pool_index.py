"""The pool, ready to be searched: which replies belong to which situation, and which contexts tell it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ranking.inverted import INSTALL, InvertedLists, installed
from ranking.nearest import Approximate, Exact, Nearest, Rows
from ranking.pool import distinct
from ranking.vector_files import Digests, digests_of
from ranking.vectors import Encoder, Vectors
from storage.dialog import PoolEntry

LookUp: TypeAlias = Callable[[Digests], Vectors]
"""Vectors by digest, shape (digests, width)."""

log = logging.getLogger(__name__)

APPROXIMATE_FROM = 50_000
"""Vectors from which on inverted lists find the nearest, if faiss is installed."""

DANGER = "danger."
"""What the names of situations begin with in which only their own replies may be said: a life may hang on it."""

GRIEF = ("grief.", "heart.grief", "heart.remembering")


class Groups:
    """Numbers in groups: which contexts a situation has, which replies, and the other way round."""

    def __init__(self, groups: Rows, numbers: Rows, count: int) -> None:
        """`numbers` belong to `groups`, both of one length; there are `count` groups."""
        self.numbers = numbers[np.argsort(groups, kind="stable")]
        self.starts = np.concatenate([[0], np.cumsum(np.bincount(groups, minlength=count))])

    def __len__(self) -> int:
        return len(self.starts) - 1

    def of(self, groups: Rows) -> tuple[Rows, Rows]:
        """The numbers of some groups, one after the other, and for each the place of its group among them."""
        sizes = self.starts[groups + 1] - self.starts[groups]
        place = np.repeat(np.arange(len(groups)), sizes)
        within = np.arange(len(place)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return self.numbers[self.starts[groups][place] + within], place

    def padded(self, groups: Rows, filling: int) -> Rows:
        """The same as a table, shape (groups, most numbers), filled up by `filling`."""
        numbers, _ = self.of(groups)
        sizes = self.starts[groups + 1] - self.starts[groups]
        table = np.full((len(groups), sizes.max(initial=0)), filling, np.intp)
        table[np.arange(table.shape[1]) < sizes[:, None]] = numbers
        return table


@dataclass(frozen=True, slots=True)
class Index:
    """What is searched, never changed once made. Entries with the same contexts are one situation; those without any
    are `loose`, and found by their reply."""

    entries: tuple[PoolEntry, ...]
    texts: tuple[str, ...]
    """All contexts, by their numbers."""
    contexts: Nearest
    """Their vectors, mapped by the encoder's likeness, in the same order."""
    replies: Callable[[Rows], Vectors]
    """Of entries the replies' vectors as they are compared with what is asked, shape (entries, width)."""
    loose: Rows
    """The numbers of entries without contexts."""
    loose_replies: Nearest
    """Their replies' vectors."""
    situation: Rows
    """Of each entry the number of its situation, shape (entries,)."""
    contexts_of: Groups
    """Of each situation its contexts."""
    entries_of: Groups
    """Of each situation its entries."""
    situations_of: Groups
    """Of each context the situations that have it."""
    danger: Rows
    """The situations whose names begin with DANGER."""
    danger_told: "Told"
    grief_told: "Told"
    """Of those whose names begin with one of GRIEF."""

    def approximate(self) -> Mapping[str, Approximate]:
        """What is found by inverted lists, by name."""
        both = {"contexts": self.contexts, "replies": self.loose_replies}
        return {name: each for name, each in both.items() if isinstance(each, Approximate)}


@dataclass(frozen=True, slots=True)
class Told:
    """The contexts of a few situations."""

    table: Rows
    """Their places in `vectors`, shape (situations, most contexts), filled up by the number of `vectors`."""
    vectors: Vectors
    """Shape (contexts, width)."""


def told_by(contexts_of: Groups, situations: Rows, contexts: Nearest) -> Told:
    """The contexts of some situations."""
    numbers, _ = contexts_of.of(situations)
    table = contexts_of.padded(situations, -1)
    table[table >= 0] = np.arange(len(numbers))
    table[table < 0] = len(numbers)
    return Told(table, contexts.vectors(numbers))


def build_index(
    entries: Sequence[PoolEntry], encoder: Encoder, lists: Mapping[str, InvertedLists] | None = None
) -> Index:
    """The index of a pool; equal replies become one. `lists`: those of an index before or out of a file, by the names
    of `Index.approximate`, to which what is new is added; what left the pool stays until Approximate.settle."""
    kept = tuple(distinct(entries))
    texts = tuple(dict.fromkeys(context for entry in kept for context in entry.contexts))
    place = {text: number for number, text in enumerate(texts)}
    situations = {contexts: number for number, contexts in enumerate(dict.fromkeys(entry.contexts for entry in kept))}
    situation = np.fromiter((situations[entry.contexts] for entry in kept), np.intp, len(kept))
    owners = np.repeat(np.arange(len(situations)), [len(contexts) for contexts in situations])
    members = np.array([place[context] for contexts in situations for context in contexts], np.intp)
    replies = [entry.reply for entry in kept]
    encoder.learn([*replies, *texts])
    loose = np.array([number for number, entry in enumerate(kept) if not entry.contexts], np.intp)

    def answering(digests: Digests) -> Vectors:
        return encoder.answering(encoder.look_up(digests))

    def likened(digests: Digests) -> Vectors:
        return encoder.liken(encoder.look_up(digests))

    of_replies, lists = digests_of(replies), lists or {}
    if max(len(texts), len(kept)) >= APPROXIMATE_FROM and not installed():
        log.warning("The pool has %d contexts: after `%s` they are found faster, in less memory.", len(texts), INSTALL)
    contexts = nearest(digests_of(texts), likened, encoder.version, lists.get("contexts"))
    contexts_of = Groups(owners, members, len(situations))
    danger, grief = (named(kept, situation, names) for names in (DANGER, GRIEF))
    return Index(
        entries=kept,
        texts=texts,
        contexts=contexts,
        replies=rows_of(of_replies, answering),
        loose=loose,
        loose_replies=nearest(of_replies[loose], answering, encoder.version, lists.get("replies")),
        situation=situation,
        contexts_of=contexts_of,
        entries_of=Groups(situation, np.arange(len(kept)), len(situations)),
        situations_of=Groups(members, owners, len(texts)),
        danger=danger,
        danger_told=told_by(contexts_of, danger, contexts),
        grief_told=told_by(contexts_of, grief, contexts),
    )


def nearest(digests: Digests, look_up: LookUp, version: str, lists: InvertedLists | None) -> Nearest:
    """Some vectors, to be searched in the way that is best for so many; what is missing in the lists is added."""
    if len(digests) < APPROXIMATE_FROM or not installed():
        return Exact(look_up(digests))
    if lists is None or lists.version != version or lists.outgrown(len(digests)):
        lists = InvertedLists.build(digests, look_up, version)
    lists.add(digests, look_up)
    return Approximate(digests, lists, look_up)


def rows_of(digests: Digests, look_up: LookUp) -> Callable[[Rows], Vectors]:
    """The vectors by their rows: of a big pool they are mapped when they are wanted."""
    if len(digests) >= APPROXIMATE_FROM:
        return lambda rows: look_up(digests[rows])
    matrix = look_up(digests)
    return lambda rows: matrix[rows]


def named(entries: Sequence[PoolEntry], situation: Rows, names: str | tuple[str, ...]) -> Rows:
    """The situations of entries whose names begin so."""
    so = np.fromiter((entry.id.startswith(names) for entry in entries), bool, len(entries))
    return np.unique(situation[so])
