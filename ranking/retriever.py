"""The retriever: a bi-encoder that finds, in the pool, replies to messages like this one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.pool import distinct, normal
from ranking.vectors import Encoder, Vectors
from storage.dialog import Candidate, Context, PoolEntry

CONTEXT_WEIGHT = 0.8
"""How much the likeness of the message to a context counts against that of the context to the reply: a reply should
answer the message, not resemble it. Measured on a pool of 298 situations: of its own contexts, each asked with itself
left out, 0.60, 0.61, 0.62, 0.60 and 0.59 find their situation with 0.5, 0.65, 0.8, 0.9 and 1; likes of 595 replies
retrieved from it are told with an AUC of 0.66, 0.70, 0.72, 0.72 and 0.72."""

ABSTAIN_BELOW = 0.35
"""Similarity under which nothing is proposed. At it something was found for all of that pool's own contexts and for
56 % of 600 messages out of public dialogs. Of replies retrieved between 0.4 and 0.55 13 % of 231 were liked, of the
starter generator's 2 of 238: abstaining early helps nobody, and `similarity` has a weight."""


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

    def propose(self, contexts: Sequence[Context]) -> list[list[Candidate]]:
        """For each context up to `top_k` candidates, best first, with their similarity; none that was said in this
        dialog by either side or sent back, and none below the threshold."""
        index = self.index
        if not index.entries or not contexts:
            return [[] for _ in contexts]
        scores = similarity(index, *self.encoder.contexts(contexts))
        return [self._best(index, row, context) for row, context in zip(scores, contexts, strict=True)]

    def _best(self, index: Index, scores: NDArray[np.float32], context: Context) -> list[Candidate]:
        said = {normal(text) for text in (*(m.text for m in context.messages), *context.rejected)}
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


def similarity(index: Index, last: Vectors, whole: Vectors) -> Vectors:
    """Shape (contexts, entries): cosine of the last message to the nearest of an entry's contexts, and of the whole
    context to its reply, weighted. An entry without contexts is judged by its reply alone."""
    to_reply: Vectors = whole @ index.replies.T
    if not len(index.owner):
        return to_reply
    likeness = (last @ index.contexts.T)[:, index.of]
    owners, starts = np.unique(index.owner, return_index=True)
    weighted = to_reply.copy()
    weighted[:, owners] *= 1 - CONTEXT_WEIGHT
    weighted[:, owners] += CONTEXT_WEIGHT * np.maximum.reduceat(likeness, starts, axis=1)
    return weighted
