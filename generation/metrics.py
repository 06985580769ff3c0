"""How good a language model of dialog is, in numbers that do not depend on its tokenizer."""

import math
from collections.abc import Iterable

import torch
from torch.nn import functional
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from generation.prompt import as_chat, render
from storage.corpora import CorpusDialog


@torch.inference_mode()
def bits_per_character(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dialogs: Iterable[CorpusDialog],
    lang: str,
    length: int,
    most: int = 60,
) -> dict[str, float]:
    """Bits for each character of the held-back messages, by source, over at most `most` dialogs of each. The model
    reads a dialog from its start, `length` ids at the most; the cost of the markup between messages is included."""
    bits: dict[str, float] = {}
    characters: dict[str, int] = {}
    counts: dict[str, int] = {}
    model.eval()
    for dialog in dialogs:
        if dialog.lang not in ("", lang) or counts.get(dialog.source, 0) >= most:
            continue
        counts[dialog.source] = counts.get(dialog.source, 0) + 1
        messages = list(dialog.messages)
        while messages:
            ids = render(tokenizer, as_chat(messages), prompt=False).ids
            if len(ids) <= length:
                break
            messages.pop()
        if not messages:
            continue
        tokens = torch.tensor([ids], device=model.device)
        logits = model(input_ids=tokens).logits[0, :-1].float()
        loss = functional.cross_entropy(logits, tokens[0, 1:], reduction="sum").item()
        bits[dialog.source] = bits.get(dialog.source, 0.0) + loss / math.log(2)
        characters[dialog.source] = characters.get(dialog.source, 0) + sum(len(m.text) for m in messages)
    return {source: round(bits[source] / characters[source], 4) for source in sorted(bits) if characters[source]}
