"""Likeness: a linear map of the encoder's vectors in which messages that want the same replies lie near each other.

The encoder knows what a message is about. What kind of thing it does (tells where it hurts, changes its mind, waits for
news) is also in its vectors, but outweighed: the map learns to weigh it from the pool, where such messages stand
together, and from votes on replies of the pool. It takes a minute, and the vectors themselves stay as they are, so
that response selection does not suffer (training the encoder on situations cost 0.035 of R@1, docs/experiments.md).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm

from ranking.pool import kept_out, normal
from ranking.pool_index import Index
from ranking.similarity import NEAREST, halfway
from ranking.vectors import Encoder, Vectors
from storage.corpora import RatedReply
from storage.dialog import Context

STEPS = 300
SITUATIONS = 384
"""Pairs a step, each of another situation."""
VOTES = 512
"""Votes a step."""
VOTES_WEIGHT = 1.5
"""Their loss against that of the pairs. With 4,639 votes, AUC of the similarity on 960 others: 0.627 without a map,
0.662 without votes, 0.683 with 1.5, 0.682 with 5, 0.674 by votes alone."""
DROPOUT = 0.3
RIDGE = 1e-3
"""Of the squared distance to the identity."""


def fit_likeness(index: Index, encoder: Encoder, votes: Sequence[RatedReply], seed: int = 0) -> Vectors:
    """A map of shape (width, width) for an index made without one. Contexts that are kept out are not learnt from, nor
    are votes on replies that are not in the pool. The identity when there is nothing to learn from."""
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    contexts = torch.from_numpy(index.contexts.vectors(np.arange(len(index.texts))))
    pairs = learnable(index)
    rated = Rated.of(index, encoder, votes)
    identity = torch.eye(encoder.width)
    if len(pairs) < 2 and rated is None:
        return identity.numpy()
    likeness = identity.clone().requires_grad_(True)
    log_scale, slope, shift = (torch.tensor(value, requires_grad=True) for value in (3.0, 8.0, -5.0))
    groups: list[dict[str, Any]] = [{"params": [likeness]}, {"params": [log_scale, slope, shift], "lr": 3e-2}]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, weight_decay=0.0)
    for _ in tqdm(range(STEPS), desc="likeness", mininterval=2, disable=None):
        loss = RIDGE * ((likeness - identity) ** 2).sum()
        if len(pairs) > 1:
            of = [pairs[number] for number in draw.permutation(len(pairs))[:SITUATIONS]]
            both = np.array([draw.choice(members, 2, replace=False) for members in of])
            first, second = (unit(functional.dropout(contexts[side], DROPOUT) @ likeness.T) for side in both.T)
            scores, true = first @ second.T * log_scale.exp(), torch.arange(len(of))
            loss = loss + (functional.cross_entropy(scores, true) + functional.cross_entropy(scores.T, true)) / 2
        if rated is not None:
            some = torch.from_numpy(draw.permutation(len(rated.liked))[:VOTES])
            logits = slope * rated.similarity(contexts, likeness, some) + shift
            losses = functional.binary_cross_entropy_with_logits(logits, rated.liked[some], rated.weights[some])
            loss = loss + VOTES_WEIGHT * losses
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found: Vectors = likeness.detach().numpy()
    return found


def learnable(index: Index) -> list[NDArray[np.intp]]:
    """Of each situation the numbers of the contexts that may be learnt from, where there are at least two."""
    texts = index.texts
    groups = (index.contexts_of.of(np.array([number]))[0] for number in range(len(index.contexts_of)))
    known = (np.array([c for c in row if not kept_out(texts[c])], np.intp) for row in groups)
    return [row for row in known if len(row) > 1]


class Rated:
    """Votes on replies of the pool: where they were given, the contexts of the reply, and whether they were likes."""

    def __init__(
        self, asked: Vectors, members: NDArray[np.intp], liked: Sequence[bool], weights: Sequence[float]
    ) -> None:
        self.asked = torch.from_numpy(asked)
        self.members = torch.from_numpy(members)
        self.liked = torch.tensor(liked, dtype=torch.float32)
        self.weights = torch.tensor(weights, dtype=torch.float32)

    @classmethod
    def of(cls, index: Index, encoder: Encoder, votes: Sequence[RatedReply]) -> "Rated | None":
        """Those that the pool knows; None when there are none, or all are of one kind."""
        place = {normal(entry.reply): number for number, entry in enumerate(index.entries)}
        known = [(vote, place[normal(vote.reply)]) for vote in votes if normal(vote.reply) in place]
        known = [(vote, entry) for vote, entry in known if index.entries[entry].contexts]
        if len({vote.liked for vote, _ in known}) < 2:
            return None
        asked = halfway(*encoder.contexts([Context(vote.messages) for vote, _ in known]))
        members = index.contexts_of.padded(index.situation[[entry for _, entry in known]], len(index.texts))
        return cls(asked, members, [vote.liked for vote, _ in known], [vote.weight for vote, _ in known])

    def similarity(self, contexts: torch.Tensor, likeness: torch.Tensor, some: torch.Tensor) -> torch.Tensor:
        """What the retriever will say of some of them, shape (some,)."""
        there = unit(torch.cat([contexts, contexts.new_zeros(1, contexts.shape[1])]) @ likeness.T)
        members = self.members[some]
        cosines = (there[members] * unit(self.asked[some] @ likeness.T).unsqueeze(1)).sum(-1)
        cosines = cosines.masked_fill(members == len(contexts), -torch.inf)
        nearest = cosines.topk(min(NEAREST, cosines.shape[1]), dim=1).values
        counted = nearest.isfinite()
        return nearest.masked_fill(~counted, 0).sum(1) / counted.sum(1)


def unit(vectors: torch.Tensor) -> torch.Tensor:
    """Rows of length one; those of nothing stay so."""
    return functional.normalize(vectors, dim=-1)
