"""Texts and contexts as vectors. Those of the pool are kept in files, so that a bot starts without embedding thousands
of texts again."""

import hashlib
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from threading import Lock
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from storage.dialog import Context

Vectors: TypeAlias = NDArray[np.float32]

Embed: TypeAlias = Callable[[Sequence[str]], Vectors]
"""Texts in, unit vectors of shape (texts, dimensions) out."""


class Expected(Protocol):
    """What ranking/expected.py learnt: all unit vectors, shape (rows, dimensions)."""

    def asked(self, messages: Vectors) -> Vectors:
        """Of contexts, given as (contexts, lags, dimensions), the newest message first and zeros at the end."""
        ...

    def answering(self, replies: Vectors) -> Vectors:
        """Of replies, as they are compared with those."""
        ...


RECENT = 4096
"""Messages whose vectors are kept in memory: those of the dialogs that are going on need no second pass."""


class Encoder:
    """Texts and contexts to unit vectors, by a bi-encoder, through a cache of files. `version` names the model."""

    def __init__(
        self,
        embed: Embed,
        lags: Vectors,
        version: str,
        caches: Sequence[Path] = (),
        likeness: Vectors | None = None,
        listening: Vectors | None = None,
        expected: Expected | None = None,
    ) -> None:
        """`lags`: what each message of a context counts, the newest first; `likeness`, `listening` and `expected`: what
        the files of these names fitted to its vectors.
        `caches`: files that `save` wrote; those of another model, and broken ones, are passed over."""
        self.embed, self.lags, self.version = embed, lags, version
        self.likeness, self.listening, self.expected = likeness, listening, expected
        self.width = embed([""]).shape[1]
        self.known: dict[bytes, NDArray[np.float16]] = {}
        self.recent: OrderedDict[bytes, NDArray[np.float16]] = OrderedDict()
        self.lock = Lock()  # a pool is embedded beside the turns, and a tokenizer bears one thread at a time
        for cache in caches:
            self.known.update(load(cache, version))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (texts, dimensions): from the caches where they have them, else made and kept for a
        while."""
        with self.lock:
            keys = [digest(text) for text in texts]
            known = {key: self.known[key] if key in self.known else self.recent.get(key) for key in keys}
            missing = {key: text for key, text in zip(keys, texts, strict=True) if known[key] is None}
            made = self._embed(missing)
            self.recent.update(made)
            while len(self.recent) > RECENT:
                self.recent.popitem(last=False)
        found = {**{key: vector for key, vector in known.items() if vector is not None}, **made}
        return self._stacked([found[key] for key in keys])

    def remembered(self, texts: Sequence[str]) -> Vectors:
        """The same, and new ones are remembered for good: for the pool, not for what people write."""
        keys = [digest(text) for text in texts]
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in self.known}
        with self.lock:
            self.known.update(self._embed(missing))
        return self._stacked([self.known[key] for key in keys])

    def contexts(self, contexts: Sequence[Context]) -> tuple[Vectors, Vectors]:
        """Unit vectors of the last messages, and of the contexts: each (contexts, dimensions). A context's is the sum
        of its newest messages' vectors, weighted by the lags."""
        messages = self._newest(contexts)
        return messages[:, 0], unit(np.einsum("cld,l->cd", messages, self.lags))

    def asked(self, contexts: Sequence[Context]) -> Vectors:
        """Unit vectors of contexts that replies are compared with: (contexts, dimensions)."""
        return self.contexts(contexts)[1] if self.expected is None else self.expected.asked(self._newest(contexts))

    def answering(self, replies: Vectors) -> Vectors:
        """The vectors of replies as they are compared with those of `asked`."""
        return replies if self.expected is None or not len(replies) else self.expected.answering(replies)

    def _newest(self, contexts: Sequence[Context]) -> Vectors:
        newest = [[m.text for m in reversed(context.messages[-len(self.lags) :])] for context in contexts]
        vectors = self.encode([text for texts in newest for text in texts])
        messages = np.zeros((len(contexts), len(self.lags), self.width), np.float32)
        lengths = np.array([len(texts) for texts in newest], int)
        messages[np.arange(len(self.lags)) < lengths[:, None]] = vectors
        return messages

    def liken(self, vectors: Vectors) -> Vectors:
        """Unit vectors as they are compared with those of the pool's contexts."""
        if self.likeness is None:
            return vectors
        return unit(vectors @ self.likeness.T)

    def relevance(self, batch: Sequence[tuple[Context, Sequence[str]]]) -> list[list[float]]:
        """For each context, how near each reply is to what is expected there: a cosine."""
        asked = self.asked([context for context, _ in batch])
        vectors = iter(self.answering(self.encode([reply for _, replies in batch for reply in replies])))
        return [[float(row @ next(vectors)) for _ in replies] for row, (_, replies) in zip(asked, batch, strict=True)]

    def _embed(self, missing: dict[bytes, str]) -> dict[bytes, NDArray[np.float16]]:
        if not missing:
            return {}
        return dict(zip(missing, self.embed(list(missing.values())).astype(np.float16), strict=True))

    def _stacked(self, vectors: Sequence[NDArray[np.float16]]) -> Vectors:
        if not vectors:
            return np.zeros((0, self.width), np.float32)
        return np.stack(vectors).astype(np.float32)

    def save(self, file: Path, texts: Sequence[str]) -> None:
        """Writes the vectors of the texts as a cache, whole or not at all."""
        write(file, [digest(text) for text in texts], self.remembered(texts).astype(np.float16), self.version)


def write(file: Path, keys: Sequence[bytes], vectors: NDArray[np.float16], version: str) -> None:
    """A cache file with a vector for each digest, whole or not at all."""
    table = {"keys": np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 8), "vectors": vectors}
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        save_file(table, Path(folder) / file.name, {"version": version})
        (Path(folder) / file.name).replace(file)


def trim(file: Path, texts: Collection[str]) -> None:
    """Leaves in a cache file only the vectors of these texts; one that cannot be read is removed."""
    if not file.exists():
        return
    kept = {digest(text) for text in texts}
    try:
        with safe_open(file, framework="numpy") as tensors:
            version = (tensors.metadata() or {})["version"]
            keys, vectors = [key.tobytes() for key in tensors.get_tensor("keys")], tensors.get_tensor("vectors")
    except (OSError, SafetensorError, KeyError):
        file.unlink(missing_ok=True)
        return
    rows = [row for row, key in enumerate(keys) if key in kept]
    if len(rows) < len(keys):
        write(file, [keys[row] for row in rows], vectors[rows], version)


def unit(vectors: Vectors) -> Vectors:
    """Rows of length 1; those of zeros stay."""
    scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return scaled


def load(file: Path, version: str) -> dict[bytes, NDArray[np.float16]]:
    """The vectors of a cache file by the text's digest; nothing when it is missing, broken or of another model."""
    try:
        with safe_open(file, framework="numpy") as tensors:
            if (tensors.metadata() or {}).get("version") != version:
                return {}
            keys, vectors = tensors.get_tensor("keys"), tensors.get_tensor("vectors")
            return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}
    except (OSError, SafetensorError, ValueError):
        return {}


def digest(text: str) -> bytes:
    """Eight bytes that stand for a text (a million texts collide with a chance of 3 in 100 million)."""
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
