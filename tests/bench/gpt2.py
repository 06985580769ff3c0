"""A GPT-2 with random weights, of the size of the starter: what every engine can run. It never ends a reply by itself,
so that each engine writes the same number of tokens."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from generation.generator import STARTER

LAYERS, WIDTH, HEADS, POSITIONS = 6, 384, 6, 512
SHIFT, AGAINST = 100.0, 0.5
"""The last hidden state is shifted along one direction, by more than the norm that it has (the root of WIDTH, 20), and
the tokens that must not come point against it: their logits are about -40 or less, all others' near 0."""


def save_gpt2(folder: Path) -> None:
    """Model and tokenizer, the starter's, as transformers keeps them."""
    tokenizer = AutoTokenizer.from_pretrained(STARTER)
    tokenizer.bos_token = tokenizer.unk_token = tokenizer.eos_token  # CTranslate2 wants both named; neither is used
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=POSITIONS, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS,
        bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    direction = torch.nn.functional.normalize(torch.randn(WIDTH), dim=0)
    with torch.no_grad():
        model.transformer.ln_f.bias.copy_(SHIFT * direction)
        model.transformer.wte.weight[tokenizer.all_special_ids] = -AGAINST * direction
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def weights() -> int:
    """Numbers that are read for each token: layers, and the word vectors as they are used at the end."""
    return LAYERS * 12 * WIDTH**2 + len(AutoTokenizer.from_pretrained(STARTER)) * WIDTH
