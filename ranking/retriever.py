"""The retriever: a bi-encoder that finds, in the pool, replies to messages like this one."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from ranking.pool import distinct, normal
from ranking.pretrained import SHA256, ModelError, minilm_or
from ranking.vectors import Encoder
from storage.dialog import Candidate, Context, PoolEntry

SHIPPED_VECTORS = Path(__file__).parent / "starter" / "curated.safetensors"

CONTEXT_WEIGHT = 0.8
"""How much the likeness of the message to a context counts against its likeness to the reply: a reply should answer the
message, not resemble it."""

ABSTAIN_BELOW = 0.4
"""Similarity under which nothing is proposed. At it something is found for 97 % of the pool's own contexts (each asked
with itself left out, `kith evaluate pool`) and for 55 % of 600 messages out of public dialogs. Of replies retrieved
between 0.45 and 0.525, 42 % of 43 were liked, of the starter generator's 3 % of 219: abstaining early helps nobody,
and `similarity` has a weight."""

BEFORE_WEIGHT = 0.5
"""How much of the message before the last goes into the vector that replies are compared with, since "why?" alone asks
nothing. R@1 of 600 training positions, 1 in 20: 0.44 without, 0.48 with 0.3, 0.50 with 0.5."""


@dataclass(frozen=True, slots=True)
class Index:
    """What is searched, never changed once made. `replies` has shape (entries, dimensions), `contexts` (distinct
    contexts, dimensions); entry `owner[i]` is answered to by context `of[i]`, and `owner` is in ascending order."""

    entries: tuple[PoolEntry, ...]
    keys: tuple[str, ...]
    replies: NDArray[np.float32]
    contexts: NDArray[np.float32]
    owner: NDArray[np.intp]
    of: NDArray[np.intp]


class Retriever:
    """Proposes pool replies whose contexts are like the message; abstains when none is."""

    def __init__(
        self, entries: Sequence[PoolEntry], encoder: Encoder, top_k: int = 8, threshold: float = ABSTAIN_BELOW
    ) -> None:
        self.encoder, self.top_k, self.threshold = encoder, top_k, threshold
        self.index = build_index(entries, encoder)

    @property
    def version(self) -> str:
        """The model and the size of the pool."""
        return f"{self.encoder.version}, {len(self.index.entries)} replies"

    def rebuild(self, entries: Sequence[PoolEntry]) -> None:
        """Another pool: the new index is made beside the old one, which serves until the swap."""
        self.index = build_index(entries, self.encoder)

    def propose(self, contexts: Sequence[Context]) -> list[list[Candidate]]:
        """For each context up to `top_k` candidates, best first, with their similarity; none that was said in this
        dialog or sent back, and none below the threshold."""
        index = self.index
        if not index.entries or not contexts:
            return [[] for _ in contexts]
        scores = similarity(index, *context_vectors(self.encoder, contexts))
        return [self._best(index, row, context) for row, context in zip(scores, contexts, strict=True)]

    def relevance(self, batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        """A scorer of any source's candidates: the cosine of the context's vector to the reply's."""
        _, asked = context_vectors(self.encoder, [context for context, _ in batch])
        replies = iter(self.encoder.encode([c.text for _, candidates in batch for c in candidates]))
        return [[float(vector @ next(replies)) for _ in row] for vector, (_, row) in zip(asked, batch, strict=True)]

    def _best(self, index: Index, scores: NDArray[np.float32], context: Context) -> list[Candidate]:
        said = {normal(text) for text in (*context.said("assistant"), *context.rejected)}
        found: list[Candidate] = []
        for entry in np.argsort(-scores, kind="stable"):
            if scores[entry] < self.threshold or len(found) == self.top_k:
                break
            if index.keys[entry] not in said:
                pooled = index.entries[entry]
                found.append(Candidate(pooled.reply, "retrieval", float(scores[entry]), pooled.id))
        return found


def build_index(entries: Sequence[PoolEntry], encoder: Encoder) -> Index:
    """The index of a pool; equal replies become one."""
    kept = tuple(distinct(entries))
    texts = list(dict.fromkeys(context for entry in kept for context in entry.contexts))
    place = {text: number for number, text in enumerate(texts)}
    links = [(number, place[context]) for number, entry in enumerate(kept) for context in entry.contexts]
    owner, of = np.array(links, dtype=np.intp).reshape(-1, 2).T
    replies = encoder.remembered([entry.reply for entry in kept])
    return Index(kept, tuple(normal(e.reply) for e in kept), replies, encoder.remembered(texts), owner, of)


def context_vectors(encoder: Encoder, contexts: Sequence[Context]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Unit vectors of the last messages, and of the last with some of the one before: each (contexts, dimensions)."""
    pairs = [(context.last, context.messages[-2].text if len(context.messages) > 1 else "") for context in contexts]
    last, before = np.split(encoder.encode([text for side in zip(*pairs, strict=True) for text in side]), 2)
    both = last + BEFORE_WEIGHT * before * np.array([bool(text) for _, text in pairs]).reshape(-1, 1)
    return last, (both / np.linalg.norm(both, axis=1, keepdims=True)).astype(np.float32)


def similarity(index: Index, last: NDArray[np.float32], both: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shape (messages, entries): cosine of the last message to the nearest of an entry's contexts, and of `both` (see
    `context_vectors`) to its reply, weighted. An entry without contexts is judged by its reply alone."""
    to_reply: NDArray[np.float32] = both @ index.replies.T
    if not len(index.owner):
        return to_reply
    likeness = (last @ index.contexts.T)[:, index.of]
    owners, starts = np.unique(index.owner, return_index=True)
    weighted = to_reply.copy()
    weighted[:, owners] *= 1 - CONTEXT_WEIGHT
    weighted[:, owners] += CONTEXT_WEIGHT * np.maximum.reduceat(likeness, starts, axis=1)
    return weighted


def load_encoder(name: str, caches: Sequence[Path] = ()) -> Encoder:
    """A bi-encoder by folder or hub id, "" for the packaged MiniLM. Raises ModelError when it cannot be loaded."""
    version = f"all-MiniLM-L6-v2 {SHA256[:8]}" if not name else Path(name).name
    try:
        return Encoder(SentenceTransformer(minilm_or(name)), version, (SHIPPED_VECTORS, *caches))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ModelError(f"The retriever {name} cannot be loaded: {error}") from error
