"""Texts and contexts as vectors. Those of the pool are kept in files, so that a bot starts without embedding thousands
of texts again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ranking.vector_files import Digests, Known, as_numbers, digest, digests_of
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

PART = 2048
"""Texts of the pool that are embedded in one go."""


class Recent(Mapping[bytes, NDArray[np.float16]]):
    """The vectors of the last texts, by digest, in memory that is there from the start: one by one between the large
    blocks of turns they would keep these from being used again."""

    def __init__(self, most: int, width: int) -> None:
        self.rows = np.zeros((most, width), np.float16)
        self.places: dict[bytes, int] = {}

    def __getitem__(self, key: bytes) -> NDArray[np.float16]:
        vector: NDArray[np.float16] = self.rows[self.places[key]].copy()
        return vector

    def __contains__(self, key: object) -> bool:
        return key in self.places

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def add(self, made: Mapping[bytes, NDArray[np.float16]]) -> None:
        """Keeps them, new ones in the place of the oldest."""
        for key, vector in made.items():
            if key not in self.places:
                full = len(self.places) == len(self.rows)
                self.places[key] = self.places.pop(next(iter(self.places))) if full else len(self.places)
            self.rows[self.places[key]] = vector


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
        self.known = Known(caches, version, self.width)
        self.recent = Recent(RECENT, self.width)
        self.lock = Lock()  # a pool is embedded beside the turns, and a tokenizer bears one thread at a time

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of shape (texts, dimensions): from the caches where they have them, else made and kept for a
        while."""
        if not texts:
            return np.zeros((0, self.width), np.float32)
        with self.lock:
            keys = [digest(text) for text in texts]
            vectors, there = self.known.vectors(as_numbers(keys))
            unknown = np.flatnonzero(~there).tolist()
            missing = {keys[place]: texts[place] for place in unknown if keys[place] not in self.recent}
            made = self._embed(missing)
            for place in unknown:
                key = keys[place]
                vectors[place] = made[key] if key in made else self.recent[key]
            self.recent.add(made)
        return vectors.astype(np.float32)

    def remembered(self, texts: Sequence[str]) -> Vectors:
        """The same, and new ones are remembered for good: for the pool, not for what people write."""
        self.learn(texts)
        return self.look_up(digests_of(texts))

    def look_up(self, digests: Digests) -> Vectors:
        """Vectors that are kept, by digest, shape (digests, dimensions); zeros for those that are not."""
        return self.known.vectors(digests)[0].astype(np.float32)

    def unknown(self, texts: Sequence[str]) -> list[str]:
        """Those whose vectors are not kept, each once."""
        keys = [digest(text) for text in texts]
        there = self.known.has(keys)
        return list({key: text for key, text, known in zip(keys, texts, there, strict=True) if not known}.values())

    def learn(self, texts: Sequence[str]) -> None:
        """Remembers the vectors of texts for good; shows a progress bar where that takes long."""
        missing = self.unknown(texts)
        parts = range(0, len(missing), PART)
        for start in tqdm(parts, desc="new texts of the pool", disable=None if len(parts) > 1 else True):
            part = missing[start : start + PART]
            with self.lock:
                self.known.add(self._embed({digest(text): text for text in part}))

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

    def save(self, file: Path, texts: Sequence[str]) -> None:
        """Writes the vectors of the texts as a cache, whole or not at all, and maps it; others, in no file, are made
        again when they are wanted."""
        self.learn(texts)
        self.known.save(file, digests_of(texts))


def unit(vectors: Vectors) -> Vectors:
    """Rows of length 1; those of zeros stay."""
    scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return scaled
