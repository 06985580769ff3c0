"""The ranker: a BERT cross-encoder that reads context and reply together and says how likely a 👍 is."""

from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import TypeAlias

import torch

from ranking.cross_encoder import CrossEncoder, OtherCrossEncoder, load_cross_encoder
from ranking.data import OWN, head_of
from ranking.delta import has_delta, starter_version, trained_version
from ranking.pretrained import loading
from ranking.text import as_pair, as_read
from ranking.vectors import Encoder
from storage.dialog import Candidate, Context

STARTER = Path(__file__).parent / "starter" / "ranker"

Asked: TypeAlias = Sequence[tuple[Context, Sequence[Candidate]]]


class CrossEncoderRanker:
    """Scores candidates by the log-odds of P(👍 | context, reply)."""

    def __init__(self, name: str, encoder: Encoder) -> None:
        """`name`: "" for the shipped ranker, a folder made by `kith train ranker`, or a folder or hub id of any
        cross-encoder with one output. `encoder`: the retriever's, on whose vectors a ranker of ours stands; best the
        one that it was trained with. Raises ModelError when it cannot be loaded."""
        with loading(f"The ranker {name or STARTER}"):
            own = trained_version(name) if has_delta(name) else Path(name).name
            self.version = own if name else starter_version(STARTER)
            self.model = load_cross_encoder(name or str(STARTER))
            self.encoder = seen_by(self.model, encoder)

    @torch.inference_mode()
    def score(self, batch: Asked, source: str = OWN) -> list[list[float]]:
        """The log-odds of a 👍 for each candidate of each context, in one pass; equal candidates are computed once.
        `source`: whose votes they are about; one's own people's unless said otherwise, or not known."""
        distinct: dict[Context, dict[str, None]] = {}
        for context, candidates in batch:
            distinct.setdefault(context, {}).update(dict.fromkeys(c.text for c in candidates))
        asked = [(context, list(replies)) for context, replies in distinct.items()]
        column = self.model.column(head_of(source)) if isinstance(self.model, CrossEncoder) else 0
        scores = iter(log_odds(self.model, self.encoder, asked)[:, column].tolist())
        value = {(context, reply): next(scores) for context, replies in asked for reply in replies}
        return [[value[context, c.text] for c in candidates] for context, candidates in batch]

    def choose(self, batch: Asked) -> list[list[float]]:
        """How well each candidate answers, whether people like such replies or not: for one of ours the cosine to what
        it expects there, for others their score."""
        if isinstance(self.model, OtherCrossEncoder):
            return self.score(batch)
        return self.encoder.relevance([(context, [c.text for c in candidates]) for context, candidates in batch])


def seen_by(model: CrossEncoder | OtherCrossEncoder, encoder: Encoder) -> Encoder:
    """The encoder, with the vectors that it has, as one whose relevance is the model's own. Raises ValueError for
    vectors of another width."""
    seen = copy(encoder)
    if isinstance(model, CrossEncoder) and model.expected is not None:
        if model.expected.reply.in_features != encoder.width:
            raise ValueError("it was trained with a retriever whose vectors are of another width: name that one.")
        seen.expected = model.expected
    return seen


def log_odds(
    model: CrossEncoder | OtherCrossEncoder, encoder: Encoder, batch: Sequence[tuple[Context, Sequence[str]]]
) -> torch.Tensor:
    """The model's numbers for each reply of each context, one after another, shape (replies, heads): for training and
    for serving. `encoder` is one that `seen_by` gave."""
    if isinstance(model, OtherCrossEncoder):
        numbers: torch.Tensor = model([as_pair(context, reply) for context, replies in batch for reply in replies])
        return numbers
    relevance = torch.tensor([value for row in encoder.relevance(batch) for value in row])
    return model.forward([as_read(context, replies) for context, replies in batch], relevance)
