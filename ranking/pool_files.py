"""What is kept of a pool beside the log, so that the next start is quick: the vectors of its texts, and inverted lists.
What leaves the pool leaves these files."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from ranking.inverted import InvertedLists, installed, load_lists, trim_lists
from ranking.pool import texts_of
from ranking.pool_index import Index
from ranking.vector_files import digests_of, trim
from ranking.vectors import Encoder

LISTS = ("contexts", "replies")
"""The names of Index.approximate."""

FEW = 0.05
"""The share of new vectors up to which they go into a file of their own, and the big one is left as it is."""


def vector_files(file: Path) -> tuple[Path, Path]:
    """The file of vectors and the one of those that came later."""
    return file, file.with_name(f"{file.stem}_new{file.suffix}")


def lists_file(file: Path, name: str) -> Path:
    """Where the inverted lists of this name are, beside the file of vectors."""
    return file.with_name(f"{file.stem}_{name}.lists")


def stored_lists(file: Path, version: str) -> dict[str, InvertedLists]:
    """The lists that are kept, of this version of the encoder."""
    if not installed():
        return {}
    found = {name: load_lists(lists_file(file, name), version) for name in LISTS}
    return {name: lists for name, lists in found.items() if lists is not None}


def keep(index: Index, encoder: Encoder, file: Path) -> None:
    """Brings the files up to date with the index that is searched from now on."""
    approximate = index.approximate()
    for name in LISTS:
        if name not in approximate:
            lists_file(file, name).unlink(missing_ok=True)
        elif approximate[name].settle() or approximate[name].lists.changed:
            approximate[name].lists.save(lists_file(file, name))
    keep_vectors(index, encoder, file)


def keep_vectors(index: Index, encoder: Encoder, file: Path) -> None:
    """Writes what was made for the pool, and takes out what left it."""
    known, (big, small) = encoder.known, vector_files(file)
    wanted = digests_of(texts_of(index.entries))
    for path, other in tuple(known.files.items()):
        if path not in (big, small):
            wanted = wanted[other.find(wanted) < 0]
    own = {path: known.files[path].digests for path in (big, small) if path in known.files}
    gone = any(not np.isin(digests, wanted).all() for digests in own.values())
    stored = np.concatenate([np.zeros(0, np.uint64), *own.values()])
    new = np.setdiff1d(wanted, stored)
    if not gone and not len(new):
        return
    later = np.setdiff1d(wanted, own[big]) if big in own else wanted
    if gone or big not in own or len(later) > FEW * len(own[big]):
        known.save(big, wanted)
        small.unlink(missing_ok=True)
        known.remap(small)
    else:
        known.save(small, later)


def trim_pool(file: Path, texts: Collection[str]) -> None:
    """Takes out of the files what is of other texts, whoever uses them: a bot that runs takes it up with the pool."""
    for each in vector_files(file):
        trim(each, texts)
    for name in LISTS:
        trim_lists(lists_file(file, name), digests_of(texts))
