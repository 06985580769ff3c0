"""The bi-encoder of the retriever: each message becomes a unit vector by itself; a context is the weighted sum of its
messages' vectors, the weights by how far back they lie.

So a turn costs one new message only, and a dialog of n messages gives n - 1 training examples for n passes through
BERT. That a context is a sum follows ConveRT (Henderson et al. 2020, arXiv 1911.03688).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoConfig, AutoTokenizer, BertModel, PreTrainedTokenizerBase

from ranking.delta import has_delta, origin, stored_names, with_delta
from ranking.expected import ExpectedReply, expected_of, state_of
from ranking.pretrained import ModelError
from ranking.slices import in_slices

LAGS = 8
"""How many messages back a context reaches."""
DECAY = 0.5
"""What each message further back counts before training. R@1 of plain MiniLM on 995 held-back contexts, 1 in 20: 0.426
by the last message alone, 0.478 with 0.5, 0.457 with 0.85."""
MESSAGE_TOKENS = 64


class DialogEncoder(nn.Module):
    """Texts to vectors, and vectors of messages to vectors of contexts."""

    def __init__(self, bert: BertModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.bert, self.tokenizer = bert, tokenizer
        self.lags = nn.Parameter(torch.tensor([DECAY**lag for lag in range(LAGS)]))
        self.likeness: torch.Tensor | None = None
        """The map of ranking/likeness.py, shape (width, width), once there is one."""
        self.listening: torch.Tensor | None = None
        """The weights of ranking/listener.py, shape (replies, width + 1), once there are some."""
        self.expected: ExpectedReply | None = None
        """The network of ranking/expected.py, once there is one."""

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """Unit vectors, shape (texts, width): the mean of the last layer over a text's tokens."""
        if not texts:
            return self.lags.new_zeros(0, self.bert.config.hidden_size)
        rows = [{"input_ids": self.tokenizer.encode(t, truncation=True, max_length=MESSAGE_TOKENS)} for t in texts]
        return in_slices(rows, self.tokenizer, self._pooled, self.lags.device)

    def _pooled(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        hidden = self.bert(**batch).last_hidden_state.float()
        weights = batch["attention_mask"].unsqueeze(-1).float()
        return functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)

    def contexts(self, vectors: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Unit vectors of contexts, shape (contexts, width). `before` has shape (contexts, lags): which rows of
        `vectors` are the messages of each, the newest first, -1 where there are no more."""
        padded = torch.cat([vectors, vectors.new_zeros(1, vectors.shape[1])])
        summed = sum(self.lags[lag] * padded[before[:, lag]] for lag in range(before.shape[1]))
        assert isinstance(summed, torch.Tensor)
        return functional.normalize(summed, dim=-1)

    def state(self) -> dict[str, torch.Tensor]:
        """All weights, the BERT's under the names that they have in it alone."""
        fitted = {"likeness": self.likeness, "listening": self.listening}
        return {
            **self.bert.state_dict(),
            "lags": self.lags.detach(),
            **{name: values for name, values in fitted.items() if values is not None},
            **({} if self.expected is None else state_of(self.expected)),
        }


def is_bert(name: str) -> bool:
    """Whether a model by folder or hub id, or what it was trained from, is one. Raises what its library does when it is
    not there."""
    return bool(AutoConfig.from_pretrained(origin(name), trust_remote_code=False).model_type == "bert")


def load_dialog_encoder(name: str = "") -> DialogEncoder:
    """A dialog encoder out of a folder that `kith train retriever` wrote, or a fresh one on a BERT by folder or hub id,
    "" for the packaged MiniLM. Raises ModelError, OSError, ValueError or RuntimeError when it cannot be had."""
    base = origin(name)
    if has_delta(name) and "lags" not in stored_names(name):
        raise ModelError(f"{Path(name).name} is a ranker: `kith train retriever` makes a retriever.")
    if not is_bert(base):  # transformers would take what it can of its weights, and random ones for the rest
        raise ModelError(f"{base} is no BERT: a retriever of ours starts from one.")
    bert = BertModel.from_pretrained(base, add_pooling_layer=False, dtype=torch.float32, use_safetensors=True)
    model = DialogEncoder(bert, AutoTokenizer.from_pretrained(base, trust_remote_code=False))
    if has_delta(name):
        state = with_delta(name, bert.state_dict())
        model.lags.data = state.pop("lags")
        model.likeness, model.listening = state.pop("likeness", None), state.pop("listening", None)
        model.expected = expected_of(state)
        bert.load_state_dict(state, assign=True)
    return model.eval()
