"""The ranker: a BERT cross-encoder that reads context and reply together and says how likely a 👍 is."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ranking.cross_encoder import CrossEncoder, load_cross_encoder
from ranking.delta import has_delta, starter_version, trained_version
from ranking.pretrained import ModelError
from ranking.text import as_pair
from ranking.vectors import Encoder
from storage.dialog import Candidate, Context

STARTER = Path(__file__).parent / "starter" / "ranker"


class CrossEncoderRanker:
    """Scores candidates by the log-odds of P(👍 | context, reply)."""

    def __init__(self, name: str, encoder: Encoder) -> None:
        """`name`: "" for the shipped ranker, a folder made by `kith train ranker`, or a folder or hub id of any
        cross-encoder with one output. `encoder`: the retriever's, whose relevance a ranker of ours adds; best the one
        that it was trained with. Raises ModelError when it cannot be loaded."""
        self.encoder = encoder
        try:
            own = trained_version(name) if has_delta(name) else Path(name).name
            self.version = own if name else starter_version(STARTER)
            self.model = load_cross_encoder(name or str(STARTER))
        except ModelError:
            raise
        except Exception as error:  # a broken folder makes the libraries raise all kinds, the tokenizers plain ones
            raise ModelError(f"The ranker {name or STARTER} cannot be loaded: {error}") from error

    @torch.inference_mode()
    def score(self, batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        """The log-odds of a 👍 for each candidate of each context, in one pass; equal candidates are computed once."""
        distinct: dict[Context, dict[str, None]] = {}
        for context, candidates in batch:
            distinct.setdefault(context, {}).update(dict.fromkeys(c.text for c in candidates))
        asked = [(context, list(replies)) for context, replies in distinct.items()]
        scores = iter(log_odds(self.model, self.encoder, asked).tolist())
        value = {(context, reply): next(scores) for context, replies in asked for reply in replies}
        return [[value[context, c.text] for c in candidates] for context, candidates in batch]


def log_odds(model: CrossEncoder, encoder: Encoder, batch: Sequence[tuple[Context, Sequence[str]]]) -> torch.Tensor:
    """The model's number for each reply of each context, one after another: for training and for serving."""
    pairs = [as_pair(context, reply) for context, replies in batch for reply in replies]
    relevance = None if model.mix is None else torch.tensor([v for row in encoder.relevance(batch) for v in row])
    logits: torch.Tensor = model(pairs, relevance)
    return logits
