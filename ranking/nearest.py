"""Which vectors are nearest to one that is asked: by the product with all of them, or by inverted lists."""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ranking.inverted import InvertedLists
from ranking.vector_files import Digests
from ranking.vectors import Vectors

Rows: TypeAlias = NDArray[np.intp]

PROBED = 128
"""Rows that inverted lists are asked for."""


class Likeness(Protocol):
    """Of vectors that were asked, in a batch, how like they are to all others."""

    def best(self, asked: int, count: int) -> Rows:
        """The rows nearest to one of them, in any order; inverted lists give PROBED at the most."""
        ...

    def of(self, asked: int, rows: Rows) -> Vectors:
        """Its cosines to these rows, in their shape."""
        ...


class Nearest(Protocol):
    """Unit vectors that can be searched."""

    def __len__(self) -> int: ...

    def vectors(self, rows: Rows) -> Vectors:
        """These rows, shape (rows, width)."""
        ...

    def likeness(self, asked: Vectors) -> Likeness:
        """Of unit vectors, shape (asked, width)."""
        ...


class Exact:
    """A matrix of unit vectors, shape (rows, width): the fastest while it fits the processor's cache."""

    def __init__(self, matrix: Vectors) -> None:
        self.matrix = matrix

    def __len__(self) -> int:
        return len(self.matrix)

    def vectors(self, rows: Rows) -> Vectors:
        """As Nearest says."""
        found: Vectors = self.matrix[rows]
        return found

    def likeness(self, asked: Vectors) -> "ExactLikeness":
        """As Nearest says: of shape (asked, rows) in memory."""
        return ExactLikeness(asked @ self.matrix.T)


class ExactLikeness:
    """All cosines, shape (asked, rows)."""

    def __init__(self, cosines: Vectors) -> None:
        self.cosines = cosines

    def best(self, asked: int, count: int) -> Rows:
        """As Likeness says."""
        row = self.cosines[asked]
        return np.argpartition(-row, count)[:count] if count < len(row) else np.arange(len(row))

    def of(self, asked: int, rows: Rows) -> Vectors:
        """As Likeness says."""
        found: Vectors = self.cosines[asked][rows]
        return found


class Approximate:
    """The rows of a pool, found by inverted lists that know them by their digests and may know others too. The cosines
    are those of the vectors themselves."""

    def __init__(self, digests: Digests, lists: InvertedLists, look_up: Callable[[Digests], Vectors]) -> None:
        """`look_up`: unit vectors by digest."""
        self.digests, self.lists, self.look_up = digests, lists, look_up
        self.order = np.argsort(digests, kind="stable")
        self.sorted = digests[self.order]

    def __len__(self) -> int:
        return len(self.digests)

    def vectors(self, rows: Rows) -> Vectors:
        """As Nearest says."""
        return self.look_up(self.digests[rows])

    def likeness(self, asked: Vectors) -> "ApproximateLikeness":
        """As Nearest says."""
        return ApproximateLikeness(self, asked)

    def rows(self, digests: Digests) -> Rows:
        """The rows of those that are of this pool."""
        place = np.searchsorted(self.sorted, digests)
        place[place == len(self.sorted)] = 0
        found: Rows = self.order[place[self.sorted[place] == digests]]
        return found

    def settle(self) -> bool:
        """Takes out of the lists what is not of this pool, for good, and says whether there was any: for when nothing
        that knows more searches them any longer."""
        return self.lists.keep(self.sorted)


class ApproximateLikeness:
    """What the lists found for each of a batch."""

    def __init__(self, nearest: Approximate, asked: Vectors) -> None:
        self.nearest, self.asked = nearest, asked
        self.found = [nearest.rows(row) for row in nearest.lists.search(asked, PROBED)]
        self.rows = np.unique(np.concatenate([np.zeros(0, np.intp), *self.found]))
        self.vectors = nearest.vectors(self.rows)  # of all at once: to map the vectors costs more than to find them

    def best(self, asked: int, count: int) -> Rows:
        """As Likeness says."""
        return self.found[asked]

    def of(self, asked: int, rows: Rows) -> Vectors:
        """As Likeness says."""
        place = np.searchsorted(self.rows, rows)
        place[place == len(self.rows)] = 0
        found = self.rows[place] == rows if len(self.rows) else np.zeros(rows.shape, bool)
        cosines = np.empty(rows.shape, np.float32)
        cosines[found] = self.vectors[place[found]] @ self.asked[asked]
        if not found.all():
            cosines[~found] = self.nearest.vectors(rows[~found]) @ self.asked[asked]
        return cosines
