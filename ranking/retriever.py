"""The retriever: a bi-encoder that finds, in the pool, replies to messages like this one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.pool import distinct, normal
from ranking.vectors import Encoder, Vectors, unit
from storage.dialog import Candidate, Context, PoolEntry

NEAREST = 3
"""How many of an entry's contexts count, on average: those that are nearest. Likes of 855 replies retrieved at 120
places are told with an AUC of 0.709 by the nearest one to the message, 0.740 by the mean of the nearest three (two
0.736, five 0.726), 0.754 by that of the three nearest to what is halfway between message and whole context."""

CONTEXT_WEIGHT = 0.9
"""How much the likeness to those counts against that of the context to the reply, which tells the replies of a
situation apart. Those likes are told with an AUC of 0.648, 0.720, 0.739, 0.749, 0.754 with 0.5, 0.7, 0.8, 0.9, 1."""

OF_ONE_SITUATION = 3
"""Proposals that may share their contexts, so that a message misunderstood by one situation is left another."""

DANGER = "danger."
"""What the names of situations begin with in which only their own replies may be said: a life may hang on it."""

GRIEF = ("grief.", "heart.grief", "heart.remembering")
SMILES = ("listening.smile", "listening.laugh")
"""What is not said to somebody who mourns: the listener takes a fond memory for a happy one."""

GRAVE = 0.5
"""Likeness of the last message to such a situation from which on it is taken for one. Of 42 contexts of theirs, each
with itself left out, 83 % reach it, of 1,500 others 1.2 % (0.45: 95 and 3.8 %, 0.55: 74 and 0.6 %)."""

ABSTAIN_BELOW = 0.35
"""Similarity under which nothing is proposed. At it something was found for all of that pool's own contexts and for
56 % of 600 messages out of public dialogs. Of replies retrieved between 0.4 and 0.55 13 % of 231 were liked, of the
starter generator's 2 of 238: abstaining early helps nobody, and `similarity` has a weight."""


@dataclass(frozen=True, slots=True)
class Index:
    """What is searched, never changed once made. `replies` has shape (entries, dimensions), `contexts` that of `texts`,
    mapped by the encoder's likeness. Entries with the same contexts are one situation: `situation` has its number for
    each entry, `members` (situations, most contexts) the numbers of its contexts, and after them that of none,
    `len(contexts)`."""

    entries: tuple[PoolEntry, ...]
    keys: tuple[str, ...]
    replies: NDArray[np.float32]
    texts: tuple[str, ...]
    contexts: NDArray[np.float32]
    situation: NDArray[np.intp]
    members: NDArray[np.intp]
    danger: NDArray[np.bool_]
    """Of each situation, whether its name begins with DANGER."""
    grief: NDArray[np.bool_]
    """Of each situation, whether its name begins with one of GRIEF."""


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
        dialog by either side or sent back, none below the threshold, and few (OF_ONE_SITUATION) of one situation."""
        index = self.index
        if not index.entries or not contexts:
            return [[] for _ in contexts]
        scores = similarity(index, self.encoder, contexts)
        scores[np.ix_(grave(index, self.encoder, contexts), ~index.danger[index.situation])] = -np.inf
        return [self._best(index, row, context) for row, context in zip(scores, contexts, strict=True)]

    def careless(self, batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        """A scorer: 1 for what was not written for it where somebody is in danger, and for a smile where one of the
        last messages was about a death, else 0."""
        contexts = [context for context, _ in batch]
        serious, sad = grave(self.index, self.encoder, contexts), mourning(self.index, self.encoder, contexts)
        return [
            [
                float((danger and not c.origin.startswith(DANGER)) or (grief and c.origin.startswith(SMILES)))
                for c in candidates
            ]
            for danger, grief, (_, candidates) in zip(serious, sad, batch, strict=True)
        ]

    def _best(self, index: Index, scores: NDArray[np.float32], context: Context) -> list[Candidate]:
        said = {normal(text) for text in (*(m.text for m in context.messages), *context.rejected)}
        found: list[Candidate] = []
        taken: Counter[int] = Counter()
        for entry in np.argsort(-scores, kind="stable"):
            if scores[entry] < self.threshold or len(found) == self.top_k:
                break
            pooled = index.entries[entry]
            situation = int(index.situation[entry])
            if index.keys[entry] in said or (pooled.contexts and taken[situation] == OF_ONE_SITUATION):
                continue
            taken[situation] += 1
            found.append(Candidate(pooled.reply, "retrieval", float(scores[entry]), pooled.id))
        return found


def build_index(entries: Sequence[PoolEntry], encoder: Encoder) -> Index:
    """The index of a pool; equal replies become one."""
    kept = tuple(distinct(entries))
    texts = list(dict.fromkeys(context for entry in kept for context in entry.contexts))
    place = {text: number for number, text in enumerate(texts)}
    situations = {contexts: number for number, contexts in enumerate(dict.fromkeys(entry.contexts for entry in kept))}
    members = np.full((len(situations), max(map(len, situations), default=0)), len(texts), np.intp)
    for contexts, number in situations.items():
        members[number, : len(contexts)] = [place[context] for context in contexts]
    situation = np.array([situations[entry.contexts] for entry in kept], np.intp)
    danger, grief = (
        np.isin(np.arange(len(situations)), situation[[entry.id.startswith(names) for entry in kept]])
        for names in (DANGER, GRIEF)
    )
    return Index(
        kept,
        tuple(normal(entry.reply) for entry in kept),
        encoder.answering(encoder.remembered([entry.reply for entry in kept])),
        tuple(texts),
        encoder.liken(encoder.remembered(texts)),
        situation,
        members,
        danger,
        grief,
    )


def halfway(last: Vectors, whole: Vectors) -> Vectors:
    """Unit vectors between those of last messages and of whole contexts."""
    return unit(last + whole)


def grave(index: Index, encoder: Encoder, contexts: Sequence[Context]) -> NDArray[np.bool_]:
    """Shape (contexts,): whether the last message is near to a situation of danger."""
    return near_to(index, encoder, [context.last for context in contexts], index.danger)


def mourning(index: Index, encoder: Encoder, contexts: Sequence[Context]) -> NDArray[np.bool_]:
    """Shape (contexts,): whether one of the person's last three messages is near to a situation of grief."""
    recent = [(number, text) for number, context in enumerate(contexts) for text in context.said("user")[-3:]]
    near = near_to(index, encoder, [text for _, text in recent], index.grief)
    sad = {number for (number, _), told in zip(recent, near, strict=True) if told}
    return np.array([number in sad for number in range(len(contexts))], bool)


def near_to(index: Index, encoder: Encoder, texts: Sequence[str], some: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Shape (texts,): whether each is like the messages of one of `some` situations."""
    if not some.any() or not texts:
        return np.zeros(len(texts), bool)
    likeness = encoder.liken(encoder.encode(texts)) @ index.contexts.T
    cosines = np.pad(likeness, ((0, 0), (0, 1)), constant_values=-np.inf)
    return np.array([nearest(row[index.members[some]])[0].max() >= GRAVE for row in cosines], bool)


def nearest(cosines: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Of cosines of shape (situations, contexts) the mean of the NEAREST in each row, and whether there are any; -inf
    stands for none."""
    best = -np.partition(-cosines, NEAREST - 1, axis=1)[:, :NEAREST] if cosines.shape[1] > NEAREST else cosines
    counted = np.isfinite(best)
    mean: NDArray[np.float32] = np.where(counted, best, 0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
    known: NDArray[np.bool_] = np.asarray(counted.any(axis=1))
    return mean, known


def similarity(index: Index, encoder: Encoder, contexts: Sequence[Context], left_out: int | None = None) -> Vectors:
    """Shape (contexts, entries): the mean cosine of NEAREST of an entry's contexts to what is halfway between the last
    message and the whole context, both mapped by the encoder's likeness, and the cosine of the whole context to the
    reply, weighted. An entry without contexts, or none but the one `left_out`, is judged by its reply alone."""
    last, whole = encoder.contexts(contexts)
    to_reply: Vectors = encoder.asked(contexts) @ index.replies.T
    cosines = encoder.liken(halfway(last, whole)) @ index.contexts.T
    likeness = np.pad(cosines, ((0, 0), (0, 1)), constant_values=-np.inf)
    if left_out is not None:
        likeness[:, left_out] = -np.inf
    scores = to_reply.copy()
    for row, like in enumerate(likeness):  # one at a time: many situations of many contexts are a big matrix
        near, known = nearest(like[index.members])
        weight = np.where(known, CONTEXT_WEIGHT, 0.0)[index.situation]
        scores[row] = weight * near[index.situation] + (1 - weight) * to_reply[row]
    return scores
