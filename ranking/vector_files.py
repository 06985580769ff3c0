"""Files of vectors, found by a digest of each text. They are mapped into memory, not read: a million texts cost the
system's file cache, which several processes share, and no time at the start."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from storage.files import written_whole

Halves: TypeAlias = NDArray[np.float16]
Digests: TypeAlias = NDArray[np.uint64]


def digest(text: str) -> bytes:
    """Eight bytes that stand for a text (a million texts collide with a chance of 3 in 100 million)."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()


def as_numbers(digests: Iterable[bytes]) -> Digests:
    """Digests as numbers, shape (digests,)."""
    return np.frombuffer(b"".join(digests), np.uint64)


def digests_of(texts: Iterable[str]) -> Digests:
    """The digests of texts, shape (texts,)."""
    return as_numbers(map(digest, texts))


@dataclass(frozen=True, slots=True)
class VectorFile:
    """A file, mapped: `digests`, sorted, and of each the row of `vectors`, of shape (rows, width)."""

    digests: Digests
    rows: NDArray[np.intp]
    vectors: Halves

    def find(self, digests: Digests) -> NDArray[np.intp]:
        """The row of each, -1 for those that it does not have; shape (digests,)."""
        place = np.searchsorted(self.digests, digests)
        place[place == len(self.digests)] = 0
        if not len(self.digests):
            return np.full(len(digests), -1)
        return np.where(self.digests[place] == digests, self.rows[place], -1)


class Known:
    """All vectors that are kept: those of files, and those made since, by digest."""

    def __init__(self, files: Sequence[Path], version: str, width: int) -> None:
        """Files of another version, and broken ones, are passed over."""
        self.version, self.width = version, width
        self.made: dict[bytes, Halves] = {}
        found = {file: load(file, version) for file in files}
        self.files = {file: each for file, each in found.items() if each is not None and each.vectors.shape[1] == width}

    def __contains__(self, key: object) -> bool:
        return isinstance(key, bytes) and bool(self.has([key])[0])

    def __len__(self) -> int:
        """Of all texts; one that two files have counts twice."""
        return len(self.made) + sum(len(file.digests) for file in self.files.values())

    def has(self, keys: Sequence[bytes]) -> NDArray[np.bool_]:
        """Whether there is one of each; shape (keys,)."""
        numbers = as_numbers(keys)
        there = np.fromiter((key in self.made for key in keys), bool, len(keys))
        for file in tuple(self.files.values()):
            there |= file.find(numbers) >= 0
        return there

    def vectors(self, numbers: Digests) -> tuple[Halves, NDArray[np.bool_]]:
        """The vectors of digests, shape (digests, width), and which of them are there; zeros for the others."""
        vectors, there = np.zeros((len(numbers), self.width), np.float16), np.zeros(len(numbers), bool)
        for file in tuple(self.files.values()):
            rows = file.find(numbers)
            here = (rows >= 0) & ~there
            if here.any():
                vectors[here] = file.vectors[rows[here]]
                there |= here
        if self.made:
            for place in np.flatnonzero(~there):
                made = self.made.get(numbers[place].tobytes())
                if made is not None:
                    vectors[place], there[place] = made, True
        return vectors, there

    def add(self, made: Mapping[bytes, Halves]) -> None:
        """Keeps vectors in memory until they are saved."""
        self.made.update(made)

    def save(self, file: Path, digests: Digests) -> None:
        """Writes those of these digests into a file, whole or not at all, and maps it. Raises KeyError for one that
        has none."""
        digests = np.unique(digests)
        vectors, there = self.vectors(digests)
        if not there.all():
            raise KeyError(f"{(~there).sum()} texts have no vectors")
        write(file, [digests.tobytes()], vectors, self.version)
        self.remap(file)

    def remap(self, file: Path) -> None:
        """Takes up what a file holds now; what was made and is in no file any more is forgotten."""
        mapped = load(file, self.version)
        self.files = {**self.files, file: mapped} if mapped else {f: m for f, m in self.files.items() if f != file}
        self.made = {}


def load(file: Path, version: str) -> VectorFile | None:
    """A file of vectors, mapped; None when it is missing, broken or of another model."""
    try:
        with safe_open(file, framework="pt") as tensors:  # its tensors are parts of the mapped file, numpy's are copies
            if (tensors.metadata() or {}).get("version") != version:
                return None
            keys, vectors = (tensors.get_tensor(name).numpy() for name in ("keys", "vectors"))
    except (OSError, SafetensorError):
        return None
    if keys.shape != (len(vectors), 8) or keys.dtype != np.uint8 or vectors.dtype != np.float16:
        return None
    digests = np.ascontiguousarray(keys).view(np.uint64)[:, 0] if len(keys) else np.zeros(0, np.uint64)
    rows = np.argsort(digests, kind="stable")
    return VectorFile(digests[rows], rows, vectors)


def write(file: Path, keys: Sequence[bytes], vectors: NDArray[Any], version: str) -> None:
    """A file with a vector for each digest, whole or not at all."""
    table = {"keys": np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 8), "vectors": vectors}
    write_table(file, table, {"version": version})


def write_table(file: Path, table: dict[str, NDArray[Any]], facts: dict[str, str]) -> None:
    """A file of safetensors, whole or not at all."""
    with written_whole(file) as made:
        save_file(table, made, facts)


def trim(file: Path, texts: Collection[str]) -> None:
    """Leaves in a file only the vectors of these texts; one that cannot be read is removed."""
    if not file.exists():
        return
    try:
        with safe_open(file, framework="numpy") as tensors:
            version = (tensors.metadata() or {})["version"]
            keys, vectors = tensors.get_tensor("keys"), tensors.get_tensor("vectors")
        kept = np.isin(as_numbers([keys.tobytes()]), digests_of(texts))
    except (OSError, SafetensorError, KeyError, ValueError):
        file.unlink(missing_ok=True)
        return
    if not kept.all():
        write(file, [keys[kept].tobytes()], vectors[kept], version)
