"""How well replies of the pool fit a context, and which of them fit best, without looking at all of them.

The similarity is the mean cosine of NEAREST of an entry's contexts to what is halfway between the last message and the
whole context, both mapped by the encoder's likeness, and the cosine of the reply to what is asked, weighted. An entry
without contexts is judged by its reply alone. Situations come first: no reply is better than its situation's bound.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.nearest import Rows
from ranking.pool_index import Index
from ranking.vectors import Encoder, Vectors, unit
from storage.dialog import Context

NEAREST = 3
"""How many of an entry's contexts count, on average: those that are nearest. Likes of 855 replies retrieved at 120
places are told with an AUC of 0.709 by the nearest one to the message, 0.740 by the mean of the nearest three (two
0.736, five 0.726), 0.754 by that of the three nearest to what is halfway between message and whole context."""

CONTEXT_WEIGHT = 0.9
"""How much the likeness to those counts against that of the context to the reply, which tells the replies of a
situation apart. Those likes are told with an AUC of 0.648, 0.720, 0.739, 0.749, 0.754 with 0.5, 0.7, 0.8, 0.9, 1."""

LOOSE = 256
"""Entries without contexts that are looked at, those whose replies are nearest."""


@dataclass(frozen=True, slots=True)
class Situations:
    """Situations as a context sees them, each of shape (situations,)."""

    numbers: Rows
    near: Vectors
    """The mean cosine of the nearest of their contexts, 0 where there are none."""
    weight: Vectors
    """What it counts against the reply."""

    @property
    def bounds(self) -> Vectors:
        """What no reply of theirs is over."""
        return self.weight * self.near + (1 - self.weight)

    def some(self, which: Rows | NDArray[np.bool_] | slice) -> "Situations":
        """Some of them."""
        return Situations(self.numbers[which], self.near[which], self.weight[which])


class Search:
    """Contexts that are compared with a pool, together."""

    def __init__(
        self, index: Index, encoder: Encoder, contexts: Sequence[Context], left_out: int | None = None
    ) -> None:
        """`left_out`: the number of one of the pool's contexts that does not count."""
        last, whole = encoder.contexts(contexts)
        self.index, self.contexts, self.left_out = index, contexts, left_out
        self.likeness = index.contexts.likeness(encoder.liken(halfway(last, whole)))
        self.asked = encoder.asked(contexts)
        self.loose = index.loose_replies.likeness(self.asked) if len(index.loose) else None

    def nearest(self, asked: int, count: int) -> tuple[Situations, float]:
        """For one of the contexts the situations of those `count` contexts of the pool that are nearest, and what no
        reply of any other situation is over."""
        rows = self.likeness.best(asked, count)
        found = self.situations(asked, np.unique(self.index.situations_of.of(rows)[0]))
        if len(rows) < count or len(rows) == len(self.index.texts):
            return found, -np.inf
        return found, CONTEXT_WEIGHT * float(self.likeness.of(asked, rows).min()) + 1 - CONTEXT_WEIGHT

    def situations(self, asked: int, numbers: Rows) -> Situations:
        """These situations as one of the contexts sees them."""
        table = self.index.contexts_of.padded(numbers, -1)
        cosines = np.full(table.shape, -np.inf, np.float32)
        there = table >= 0 if self.left_out is None else (table >= 0) & (table != self.left_out)
        cosines[there] = self.likeness.of(asked, table[there])
        near, known = mean_of_nearest(cosines)
        return Situations(numbers, near, np.where(known, np.float32(CONTEXT_WEIGHT), np.float32(0)))

    def scored(self, asked: int, situations: Situations) -> tuple[Rows, Vectors]:
        """For one of the contexts the entries of these situations and their similarity."""
        entries, place = self.index.entries_of.of(situations.numbers)
        near, weight = situations.near[place], situations.weight[place]
        return entries, weight * near + (1 - weight) * (self.index.replies(entries) @ self.asked[asked])

    def everything(self, asked: int) -> tuple[Rows, Vectors]:
        """For one of the contexts all entries that have contexts, and their similarity: for measuring."""
        return self.scored(asked, self.nearest(asked, len(self.index.texts))[0])

    def loosely(self, asked: int) -> tuple[Rows, Vectors]:
        """The same of entries without contexts, those that are nearest."""
        if self.loose is None:
            return np.zeros(0, np.intp), np.zeros(0, np.float32)
        rows = self.loose.best(asked, LOOSE)
        return self.index.loose[rows], self.loose.of(asked, rows)


def halfway(last: Vectors, whole: Vectors) -> Vectors:
    """Unit vectors between those of last messages and of whole contexts."""
    return unit(last + whole)


def mean_of_nearest(cosines: Vectors) -> tuple[Vectors, NDArray[np.bool_]]:
    """Of cosines of shape (situations, contexts) the mean of the NEAREST in each row, and whether there are any; -inf
    stands for none."""
    best = -np.partition(-cosines, NEAREST - 1, axis=1)[:, :NEAREST] if cosines.shape[1] > NEAREST else cosines
    counted = np.isfinite(best)
    mean: Vectors = np.where(counted, best, 0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1).astype(np.float32)
    known: NDArray[np.bool_] = np.asarray(counted.any(axis=1))
    return mean, known
