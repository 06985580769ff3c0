"""BERTs that read context and replies and give each reply numbers: ours, and any other with one output.

Ours reads a context once for all replies to it (ranking/reading.py), others read pairs.

Ours has a head for each kind of votes, since annotators' marks and a contest's thumbs are not the likes of one's own
people; all heads share what was read. It also knows how near the reply is to what is expected there
(ranking/expected.py), by a network of its own that need not keep echoes away.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from ranking.data import OWN
from ranking.delta import has_delta, origin, with_delta
from ranking.expected import SPREAD, ExpectedReply, expected_of, state_of
from ranking.pretrained import ModelError
from ranking.reading import Known, Read, read
from ranking.serving import pack, serving_dtype
from ranking.slices import in_slices
from ranking.text import CUT_SIDE, PAIR_TOKENS

READ = 256
DROPOUT = 0.2


class CrossEncoder(nn.Module):
    """Contexts and replies to the log-odds of a 👍 by each head."""

    def __init__(self, bert: BertModel, tokenizer: PreTrainedTokenizerBase, heads: Sequence[str]) -> None:
        super().__init__()
        width = bert.config.hidden_size
        self.bert, self.tokenizer = bert, tokenizer
        self.tokenizer.truncation_side = CUT_SIDE
        self.read = nn.Linear(5 * width + 1, READ)
        self.heads = nn.ModuleDict({name: nn.Linear(READ, 1) for name in heads})
        self.expected: ExpectedReply | None = None
        """The network whose cosine is the relevance that this one is given; None: that of the retriever."""
        self.known: Known | None = None
        """The contexts of the last batch, where weights stay as they are: some candidates of a turn are scored while
        others are still written."""

    def forward(self, batch: Sequence[tuple[str, Sequence[str]]], relevance: torch.Tensor) -> torch.Tensor:
        """Contexts with their replies in, shape (replies, heads) out, one context's after another's. `relevance`, shape
        (replies,): a cosine for each."""
        parts = list(read(self.bert, self.tokenizer, batch, {} if self.known is None else self.known))
        if not parts:
            return torch.zeros(0, len(self.heads))
        numbers = torch.tensor([number for part in parts for number in part.numbers], device=self.bert.device)
        seen = torch.cat([compared(part) for part in parts])[numbers.argsort()]
        known = torch.cat([seen, relevance.to(seen)[:, None] * SPREAD], dim=1)
        hidden = functional.gelu(self.read(functional.dropout(known, DROPOUT / 2, self.training)))
        hidden = functional.dropout(hidden, DROPOUT, self.training)
        return torch.cat([head(hidden) for head in self.heads.values()], dim=1).float()

    @torch.no_grad()
    def rescale(self, head: str, slope: float, shift: float) -> None:
        """Makes every number x of a head into slope * x + shift."""
        linear = self.heads[head]
        assert isinstance(linear, nn.Linear)
        linear.weight.mul_(slope)
        linear.bias.mul_(slope).add_(shift)

    def column(self, head: str) -> int:
        """Which column a head is; that of OWN, or the first, for one that there is not."""
        names = list(self.heads)
        return next((names.index(name) for name in (head, OWN) if name in names), 0)

    def state(self) -> dict[str, torch.Tensor]:
        """All weights, the BERT's under the names that they have in it alone."""
        own = {name: value for name, value in self.state_dict().items() if name.startswith(PARTS)}
        return {**self.bert.state_dict(), **own, **({} if self.expected is None else state_of(self.expected))}


PARTS = ("read.", "heads.")


class OtherCrossEncoder(nn.Module):
    """A cross-encoder as others train them: one number a pair."""

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.model, self.tokenizer = model, tokenizer
        self.tokenizer.truncation_side = CUT_SIDE

    def forward(self, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
        """Shape (pairs, 1)."""
        if not pairs:
            return torch.zeros(0, 1)
        texts = [context for context, _ in pairs], [reply for _, reply in pairs]
        read = self.tokenizer(*texts, truncation=True, max_length=PAIR_TOKENS)
        rows = [{name: read[name][i] for name in read} for i in range(len(pairs))]
        return in_slices(rows, self.tokenizer, lambda batch: self.model(**batch).logits.float(), self.model.device)


def compared(part: Read) -> torch.Tensor:
    """Both texts' means, their product and difference, and the reply's closing mark, each of length SPREAD before that:
    (replies, 5 x width)."""
    context, reply = part.context * SPREAD, part.reply * SPREAD
    end = functional.normalize(part.end, dim=-1) * SPREAD
    return torch.cat([context, reply, context * reply, (context - reply).abs(), end], dim=1)


def load_cross_encoder(name: str) -> CrossEncoder | OtherCrossEncoder:
    """A cross-encoder by folder or hub id: one that `kith train ranker` wrote, or any other with one output. Raises
    ModelError, OSError, ValueError or RuntimeError when it cannot be had."""
    if has_delta(name):
        model = begin_cross_encoder(name, ())
        model.bert.to(serving_dtype())
        pack(model.bert)
        model.known = {}
        return model
    other, report = AutoModelForSequenceClassification.from_pretrained(
        name, dtype=serving_dtype(), output_loading_info=True, use_safetensors=True, trust_remote_code=False
    )
    if report["missing_keys"]:  # such a weight would be a random one
        raise ModelError(f"{name} is no cross-encoder: it has no {min(report['missing_keys'])}.")
    if other.config.num_labels != 1:
        raise ModelError(f"The ranker {Path(name).name} has {other.config.num_labels} outputs: one is needed.")
    pack(other)
    return OtherCrossEncoder(other, AutoTokenizer.from_pretrained(name, trust_remote_code=False)).eval()


def reads_pairs(name: str) -> bool:
    """Whether a model by folder or hub id is a cross-encoder as others train them. Raises what its library does when it
    is not there."""
    if has_delta(name):
        return False
    kinds = AutoConfig.from_pretrained(origin(name), trust_remote_code=False).architectures or ()
    return any(str(kind).endswith("ForSequenceClassification") for kind in kinds)


def begin_cross_encoder(name: str, heads: Sequence[str]) -> CrossEncoder:
    """One of ours, with the heads that it has and fresh ones for the others of `heads`: a ranker that we trained, or,
    where there are heads to train, a retriever or any BERT ("": the packaged one). Raises as `load_cross_encoder`."""
    base = origin(name)
    if (kind := AutoConfig.from_pretrained(base, trust_remote_code=False).model_type) != "bert":
        raise ModelError(f"{base} is a {kind}: a ranker starts from a BERT.")
    bert = BertModel.from_pretrained(base, add_pooling_layer=False, dtype=torch.float32, use_safetensors=True)
    state = with_delta(name, bert.state_dict()) if has_delta(name) else {}
    if state and "lags" in state and not heads:
        raise ModelError(f"{Path(name).name} is a retriever: `kith train ranker` makes a ranker.")
    known = [key.split(".")[1] for key in state if key.startswith("heads.") and key.endswith(".weight")]
    model = CrossEncoder(bert, AutoTokenizer.from_pretrained(base, trust_remote_code=False), sorted({*known, *heads}))
    expected = expected_of(state)
    model.expected = None if "lags" in state else expected
    own = {key: state.pop(key) for key in list(state) if key.startswith(PARTS)}
    bert.load_state_dict({key: state.get(key, value) for key, value in bert.state_dict().items()}, assign=True)
    model.load_state_dict({**model.state_dict(), **own}, assign=True)
    return model.eval()
