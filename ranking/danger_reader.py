"""Danger by what an English message means, besides how it is spelt: a BERT that was fine-tuned on lines of danger.

It starts from the shipped retriever's, and is kept as the difference from the packaged MiniLM (ranking/delta.py).
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from transformers import AutoTokenizer, BertModel, PreTrainedTokenizerBase

from ranking.delta import has_delta, origin, stored_names, with_delta
from ranking.dialog_encoder import is_bert
from ranking.pretrained import ModelError, loading
from ranking.serving import pack, serving_dtype
from ranking.slices import in_slices

TOKENS = 80
"""Of a text that are read; the longest lines that it is fitted to have as many."""

DROPOUT = 0.2

RECENT = 4096
"""Texts whose log-odds are kept: a turn asks for those of the last messages several times."""

HANGS = 5.0
"""Seconds after which a text is not waited for: sixty-four at once take less than one."""

HEAD = "head."
"""What begins the names of the weights that are not the BERT's."""


class DangerReader(nn.Module):
    """English texts to the log-odds of danger."""

    def __init__(self, bert: BertModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.bert, self.tokenizer = bert, tokenizer
        self.head = nn.Linear(bert.config.hidden_size, 1)
        self.known: OrderedDict[str, float] = OrderedDict()
        self.lock = Lock()  # a tokenizer bears one thread at a time

    def forward(self, texts: Sequence[str]) -> torch.Tensor:
        """Shape (texts,). There must be a text."""
        rows = [{"input_ids": self.tokenizer.encode(t, truncation=True, max_length=TOKENS)} for t in texts]
        return in_slices(rows, self.tokenizer, self._odds, self.head.weight.device)

    @torch.inference_mode()
    def odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """The same as numbers, also of no text, of a model that is not trained any more. Raises TimeoutError where
        another thread has been reading for HANGS seconds."""
        if not self.lock.acquire(timeout=HANGS):
            raise TimeoutError
        try:
            new = [text for text in dict.fromkeys(texts) if text not in self.known]
            found = dict(zip(new, self(new).tolist() if new else (), strict=True))
            odds = np.array([found[text] if text in found else self.known[text] for text in texts])
            self.known.update(found)
            while len(self.known) > RECENT:
                self.known.popitem(last=False)
        finally:
            self.lock.release()
        return odds

    def state(self) -> dict[str, torch.Tensor]:
        """All weights, the BERT's under the names that they have in it alone."""
        own = {name: value for name, value in self.state_dict().items() if name.startswith(HEAD)}
        return {**self.bert.state_dict(), **own}

    def _odds(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        hidden = self.bert(**batch).last_hidden_state.float()
        there = batch["attention_mask"].unsqueeze(-1).float()
        mean = (hidden * there).sum(1) / there.sum(1)
        odds: torch.Tensor = self.head(functional.dropout(mean, DROPOUT, self.training)).squeeze(1)
        return odds


def begin_reader(name: str) -> DangerReader:
    """One on a BERT by folder or hub id, or on that of a model that we trained; its head is fresh unless that was one
    of these. Raises ModelError, OSError, ValueError or RuntimeError when it cannot be had."""
    base = origin(name)
    if not is_bert(base):
        raise ModelError(f"{base} is no BERT: a reader of danger starts from one.")
    bert = BertModel.from_pretrained(base, add_pooling_layer=False, dtype=torch.float32, use_safetensors=True)
    model = DangerReader(bert, AutoTokenizer.from_pretrained(base, trust_remote_code=False))
    if has_delta(name):
        state = with_delta(name, bert.state_dict())
        bert.load_state_dict({key: state[key] for key in bert.state_dict()}, assign=True)
        model.load_state_dict(
            {**model.state_dict(), **{k: v for k, v in state.items() if k.startswith(HEAD)}}, assign=True
        )
    return model


@cache
def load_reader(folder: Path) -> DangerReader:
    """The one in a folder that `kith train danger` wrote, in the number format of this machine, read once. Raises
    ModelError."""
    with loading(f"The reader of danger {folder}"):
        if not has_delta(folder) or HEAD + "weight" not in stored_names(folder):
            raise ModelError(f"There is no reader of danger in {folder}: `kith train danger` makes one.")
        model = begin_reader(str(folder))
        model.bert.to(serving_dtype())
        pack(model.bert)
    return model.eval()
