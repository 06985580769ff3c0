"""Inverted lists of vectors, 8 bits a number, by faiss (the extra `index`): what finds the nearest of many
without a look at each. They know each vector by a digest, so that what comes and goes is added and removed, and a file
of them is brought up to date instead of being made again."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from ranking.vector_files import Digests, write_table
from ranking.vectors import Vectors

LISTS_PER_ROOT = 2.0
"""Lists there are for the square root of the vectors."""
TRAINED_ON = 30
"""Vectors for each list that its centre is learnt from, and ROUNDS of learning."""
ROUNDS = 6
SEARCHED = 0.1
"""The share of the lists that a search looks through."""
OUTGROWN = 4
"""From as many times the vectors that the centres were learnt from, they are learnt again."""
MANY = 0.05
"""The share of new vectors from which on they are written; fewer are added again at the next start."""
PART = 50_000
"""Vectors that are looked up at once."""

INSTALL = "pip install -c constraints.txt -e '.[index]'"


def installed() -> bool:
    """Whether faiss is."""
    return importlib.util.find_spec("faiss") is not None


class InvertedLists:
    """An index of faiss. Any thread may search while another one adds or removes."""

    def __init__(self, index: Any, version: str, trained: int) -> None:
        """`version`: of what made the vectors; `trained`: how many there were when the centres were learnt."""
        self.index, self.version, self.trained = index, version, trained
        self.lock = Lock()
        self.changed = False
        """Whether so much came that a file of them is worth writing again."""
        self.digests = self._read_digests()

    @classmethod
    def build(cls, digests: Digests, look_up: Callable[[Digests], Vectors], version: str) -> "InvertedLists":
        """Lists of these vectors; `look_up` gives them by digest."""
        import faiss

        count = max(1, int(LISTS_PER_ROOT * len(digests) ** 0.5))
        drawn = np.random.default_rng(0).permutation(len(digests))[: TRAINED_ON * count]
        sample = look_up(digests[np.sort(drawn)])
        index = faiss.IndexIVFScalarQuantizer(
            faiss.IndexFlatIP(sample.shape[1]), sample.shape[1], count,
            faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT,
        )  # fmt: skip
        index.cp.niter = ROUNDS
        index.train(sample)
        made = cls(index, version, len(digests))
        made.add(digests, look_up)
        made.changed = True
        return made

    def __len__(self) -> int:
        return len(self.digests)

    def search(self, asked: Vectors, count: int) -> list[Digests]:
        """For each of the vectors asked, shape (asked, width), the digests of the nearest `count`; fewer where the
        lists that were looked through hold fewer."""
        with self.lock:
            self.index.nprobe = max(1, round(SEARCHED * self.index.nlist))
            # one at a time: a batch is spread over threads, which cost more than they spare where others want the cores
            found = [self.index.search(row[None], count)[1][0] for row in np.ascontiguousarray(asked)]
        return [row[row != -1].view(np.uint64) for row in found]

    def add(self, digests: Digests, look_up: Callable[[Digests], Vectors]) -> int:
        """Adds those that are new; how many."""
        new = np.setdiff1d(digests, self.digests)
        for start in range(0, len(new), PART):
            part = new[start : start + PART]
            vectors = look_up(part)
            with self.lock:
                self.index.add_with_ids(vectors, part.view(np.int64))
        self.changed |= len(new) > MANY * len(self.digests)
        self.digests = np.union1d(self.digests, new)
        return len(new)

    def keep(self, digests: Digests) -> bool:
        """Removes all but these; whether there were others.

        What is removed is in no list, and in no file saved later.
        """
        gone = np.setdiff1d(self.digests, digests)
        if not len(gone):
            return False
        with self.lock:
            self.index.remove_ids(gone.view(np.int64))
        self.digests = np.intersect1d(self.digests, digests)
        return True

    def outgrown(self, count: int) -> bool:
        """Whether the centres were learnt from far fewer vectors than these."""
        return count > OUTGROWN * self.trained

    def save(self, file: Path) -> None:
        """Writes them, whole or not at all."""
        import faiss

        with self.lock:
            data = faiss.serialize_index(self.index)
        write_table(file, {"faiss": data}, {"version": self.version, "trained": str(self.trained)})
        self.changed = False

    def _read_digests(self) -> Digests:
        lists = self.index.invlists
        parts = [lists.list_size(number) for number in range(self.index.nlist)]
        import faiss

        found = [faiss.rev_swig_ptr(lists.get_ids(number), size).copy() for number, size in enumerate(parts) if size]
        return np.unique(np.concatenate(found).view(np.uint64)) if found else np.zeros(0, np.uint64)


def load_lists(file: Path, version: str | None = None) -> InvertedLists | None:
    """Lists out of a file; None when it is missing, broken, or, with a version, of another one."""
    import faiss

    try:
        with safe_open(file, framework="numpy") as stored:
            facts = stored.metadata() or {}
            if version not in (None, facts["version"]):
                return None
            return InvertedLists(
                faiss.deserialize_index(stored.get_tensor("faiss")), facts["version"], int(facts["trained"])
            )
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError):
        return None


def trim_lists(file: Path, digests: Digests) -> None:
    """Leaves in a file only the vectors of these; one that cannot be read is removed, and is made again."""
    if not file.exists():
        return
    lists = load_lists(file) if installed() else None
    if lists is None:
        file.unlink(missing_ok=True)
    elif lists.keep(digests):
        lists.save(file)
