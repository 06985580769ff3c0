"""A BERT that reads context and reply together and gives each pair one number: for training and for serving.

Those that we train add two things to the usual head on the first token, each by a learnt weight: the likeness, which is
the cosine of the context's mean to the reply's mean in the last layer, and the relevance, which is what the retriever
makes of the pair. So training begins with what the retriever knows, and adds what only reading both together can tell
(docs/experiments.md).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ranking.delta import has_delta, origin, with_delta
from ranking.pretrained import ModelError
from ranking.slices import in_slices
from ranking.text import CUT_SIDE, PAIR_TOKENS


class CrossEncoder(nn.Module):
    """Pairs of texts to log-odds."""

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, mix: Sequence[float] | None = None
    ) -> None:
        """`mix`: the weights of likeness and relevance; None for a model that was trained without them."""
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.mix = None if mix is None else nn.Parameter(torch.tensor(mix))
        self.tokenizer.truncation_side = CUT_SIDE

    def forward(self, pairs: Sequence[tuple[str, str]], relevance: torch.Tensor | None = None) -> torch.Tensor:
        """One number a pair, shape (pairs,). `relevance`, of the same shape, is needed by a model with a `mix`."""
        if not pairs:
            return torch.zeros(0)
        read = self.tokenizer(
            [context for context, _ in pairs],
            [reply for _, reply in pairs],
            truncation=True,
            max_length=PAIR_TOKENS,
            return_token_type_ids=None if self.mix is None else True,  # some BERTs' tokenizers leave them out
        )
        rows = [{name: read[name][i] for name in read} for i in range(len(pairs))]
        logits = in_slices(rows, self.tokenizer, self._logits, self.model.device)
        if self.mix is None:
            return logits
        assert relevance is not None
        return logits + self.mix[1] * relevance.to(logits.device)

    def _logits(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        if self.mix is None:
            logits: torch.Tensor = self.model(**batch).logits
            return logits.float().squeeze(-1)
        read = self.model.base_model(**batch)
        head: torch.Tensor = getattr(self.model, HEAD)(read.pooler_output)
        return head.float().squeeze(-1) + self.mix[0] * cosines(read.last_hidden_state.float(), batch)

    @torch.no_grad()
    def rescale(self, slope: float, shift: float) -> None:
        """Makes every number x into slope * x + shift."""
        head = getattr(self.model, HEAD)
        head.weight.mul_(slope)
        head.bias.mul_(slope).add_(shift)
        if self.mix is not None:
            self.mix.mul_(slope)

    def state(self) -> dict[str, torch.Tensor]:
        """All weights, the BERT's under the names that they have in it alone."""
        head = {f"{HEAD}.{name}": value for name, value in getattr(self.model, HEAD).state_dict().items()}
        mix = {} if self.mix is None else {MIX: self.mix.detach()}
        return {**self.model.base_model.state_dict(), **head, **mix}


def cosines(hidden: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The cosine of the first text's mean to the second's, shape (pairs,), of hidden states (pairs, tokens, width)."""
    means = []
    for segment in (0, 1):
        there = ((batch["token_type_ids"] == segment) & (batch["attention_mask"] == 1)).unsqueeze(-1).float()
        means.append((hidden * there).sum(1) / there.sum(1).clamp(min=1))
    return functional.cosine_similarity(means[0], means[1])


HEAD = "classifier"
MIX = "mix"
FIRST_MIX = (4.0, 16.0)
"""What likeness and relevance count before training: cosines of true and random replies are some tenths apart, and the
retriever knows better than a cross-encoder that has not been trained yet."""


def load_cross_encoder(name: str, new: bool = False) -> CrossEncoder:
    """A cross-encoder with one output by folder or hub id: one that `kith train ranker` wrote, or any other. With `new`
    a BERT or a trained retriever will do as well ("": the packaged BERT), and gets a head that knows nothing. Raises
    ModelError, OSError, ValueError or RuntimeError when it cannot be had."""
    base = origin(name)
    settings = {"num_labels": 1} if new or has_delta(name) else {}
    model, report = AutoModelForSequenceClassification.from_pretrained(
        base,
        dtype=torch.float32,
        output_loading_info=True,
        use_safetensors=True,
        trust_remote_code=False,
        **settings,
    )
    if new and model.config.model_type != "bert":
        raise ModelError(f"{base} is a {model.config.model_type}: a ranker starts from a BERT.")
    state = with_delta(name, model.base_model.state_dict()) if has_delta(name) else {}
    head = {key.removeprefix(f"{HEAD}."): state.pop(key) for key in list(state) if key.startswith(f"{HEAD}.")}
    for of_retriever in ("lags", "likeness", "listening"):
        state.pop(of_retriever, None)
    mix: Sequence[float] | None = state.pop(MIX).tolist() if MIX in state else None
    if state:
        model.base_model.load_state_dict(state)
    if head:
        getattr(model, HEAD).load_state_dict(head)
    elif new:
        if f"{HEAD}.weight" in report["missing_keys"]:
            fresh_pooler(model)
            mix = FIRST_MIX
    elif has_delta(name):
        raise ModelError(f"{Path(name).name} is a retriever: `kith train ranker` makes a ranker.")
    elif report["missing_keys"]:  # such a weight would be a random one
        raise ModelError(f"{name} is no cross-encoder: it has no {min(report['missing_keys'])}.")
    if model.config.num_labels != 1:
        raise ModelError(f"The ranker {Path(name).name} has {model.config.num_labels} outputs: one is needed.")
    return CrossEncoder(model, AutoTokenizer.from_pretrained(base, trust_remote_code=False), mix).eval()


def fresh_pooler(model: PreTrainedModel) -> None:
    """Gives a BERT whose pooler was never trained for a head one to begin with. MiniLM's has a standard deviation of
    0.009, through which hardly any gradient passes."""
    pooler = getattr(model.base_model, "pooler", None)
    if pooler is not None:
        nn.init.normal_(pooler.dense.weight, std=float(pooler.dense.in_features) ** -0.5)
        nn.init.zeros_(pooler.dense.bias)
