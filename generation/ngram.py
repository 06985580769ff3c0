"""The baseline that a generator has to beat: a 5-gram model of token ids, interpolated modified Kneser-Ney (Chen and
Goodman 1999, "An empirical study of smoothing techniques for language modeling", Computer Speech and Language 13).

An n-gram is known by a number: its place among the sorted keys of its order. Its key is the number of its first n-1 ids
times the base, plus its last id, so that n-grams of any length and any vocabulary are int64 and are found by bisection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from storage.estimates import Floats

Ids: TypeAlias = NDArray[np.int64]
Rows: TypeAlias = Sequence[Sequence[int] | NDArray[Any]]
"""Whole numbers, each row by itself."""

FALLBACK = (0.5, 1.0, 1.5)
"""Discounts of counts of one, two, and more where the text gives none: those of KenLM's --discount_fallback."""


@dataclass(frozen=True, slots=True)
class Level:
    """The n-grams of one order."""

    keys: Ids
    """Sorted, shape (n-grams,)."""
    share: Floats
    """The probability that an n-gram has by itself, without the lower orders' part, shape (n-grams,)."""
    rest: Floats
    """What a context, by its number in the order below, leaves to that order; 1 where nothing followed it."""


@dataclass(frozen=True, slots=True)
class KneserNey:
    """A fitted model over the ids 0 to vocabulary - 1. An id that was never seen has a probability too."""

    vocabulary: int
    levels: tuple[Level, ...]

    def probabilities(self, rows: Rows) -> list[Floats]:
        """Of each id of each row, given the n-1 ids before it; they sum to one over the vocabulary."""
        tokens, real = _joined(rows, self.vocabulary, len(self.levels))
        found: Floats = np.full(len(tokens), 1 / self.vocabulary)
        number = np.zeros(len(tokens), np.int64)
        for level in self.levels:
            context = _before(number)
            keys = context * (self.vocabulary + 1) + tokens
            number = np.minimum(np.searchsorted(level.keys, keys), len(level.keys) - 1)
            number[level.keys[number] != keys] = -1
            found *= np.where(context < 0, 1.0, level.rest[context])
            found += np.where(number < 0, 0.0, level.share[number])
        return np.split(found[real], np.cumsum([len(row) for row in rows])[:-1])


def fit(rows: Rows, vocabulary: int, order: int = 5) -> KneserNey:
    """The model of rows of ids, dialogs say; each begins after n-1 ids that stand for nothing. Of the highest order the
    occurrences count, of the lower ones in how many n-grams of the next order they end. At least one id is needed."""
    tokens, real = _joined(rows, vocabulary, order)
    number = np.zeros(len(tokens), np.int64)
    keys: list[Ids] = []
    counts: list[Ids] = []
    for _ in range(order):
        distinct, first, longer = np.unique(
            _before(number) * (vocabulary + 1) + tokens, return_index=True, return_inverse=True
        )
        if keys:
            counts.append(np.bincount(number[first[real[first]]], minlength=len(keys[-1])))
        keys.append(distinct)
        number = longer
    counts.append(np.bincount(number[real], minlength=len(keys[-1])))
    contexts = (1, *(len(k) for k in keys[:-1]))
    return KneserNey(
        vocabulary,
        tuple(_level(k, c, k // (vocabulary + 1), n) for k, c, n in zip(keys, counts, contexts, strict=True)),
    )


def discounts(counts: Ids) -> Floats:
    """What is taken from a count of 0, 1, 2, and 3 or more, by how many counts there are of 1, 2, 3 and 4."""
    one, two, three, four = (int((counts == k).sum()) for k in (1, 2, 3, 4))
    if not (one and two and three):
        return np.array([0.0, *FALLBACK])
    share = one / (one + 2 * two)
    exact = (1 - 2 * share * two / one, 2 - 3 * share * three / two, 3 - 4 * share * four / three)
    return np.array([0.0, *(d if 0 < d < k else FALLBACK[k - 1] for k, d in enumerate(exact, 1))])


def _level(keys: Ids, counts: Ids, owners: Ids, contexts: int) -> Level:
    """`owners` are the n-grams' contexts, numbers under `contexts`."""
    taken = discounts(counts)[np.minimum(counts, 3)]
    total = np.bincount(owners, counts, contexts)
    rest = np.divide(np.bincount(owners, taken, contexts), total, out=np.ones(contexts), where=total > 0)
    share = np.divide(counts - taken, total[owners], out=np.zeros(len(keys)), where=counts > 0)
    return Level(keys, share, rest)


def _joined(rows: Rows, vocabulary: int, order: int) -> tuple[Ids, NDArray[np.bool_]]:
    """All rows in one, each after order - 1 ids that are none of the vocabulary, and which ids are the rows' own."""
    width = order - 1
    tokens = np.full(sum(len(row) + width for row in rows), vocabulary, np.int64)
    place = 0
    for row in rows:
        tokens[place + width : place + width + len(row)] = row
        place += width + len(row)
    return tokens, tokens != vocabulary


def _before(number: Ids) -> Ids:
    """At each place the number of what ends at the place before."""
    return np.concatenate([np.zeros(1, np.int64), number[:-1]])
