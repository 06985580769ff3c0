"""Texts of uneven length through a BERT: in slices of like length, so that little of the work is padding."""

from collections.abc import Callable, Mapping, Sequence

import torch
from transformers import PreTrainedTokenizerBase

SLICE = 32
"""Texts in one pass. Of a batch of chat messages as it comes 3 of 4 tokens are padding."""


def in_slices(
    rows: Sequence[Mapping[str, list[int]]],
    tokenizer: PreTrainedTokenizerBase,
    run: Callable[[Mapping[str, torch.Tensor]], torch.Tensor],
    device: torch.device,
) -> torch.Tensor:
    """What `run` makes of each row of token ids, in the order of the rows, shape (rows, ...). There must be a row."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]["input_ids"]))
    parts = []
    for start in range(0, len(order), SLICE):
        batch = tokenizer.pad([dict(rows[i]) for i in order[start : start + SLICE]], return_tensors="pt")
        parts.append(run({name: values.to(device) for name, values in batch.items()}))
    back = torch.tensor(order, device=device).argsort()
    return torch.cat(parts)[back]
