"""Text for the generator: a weighted mixture of dialogs, a tokenizer made from it, and rows of packed token ids."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from generation.prompt import END, ROLE_TEMPLATE, SPECIAL_TOKENS, as_chat, render
from storage.corpora import CorpusDialog
from storage.dialog import Message

MIXTURE = {
    "voice": 5.0,
    "curated": 2.0,
    "self_dialogue": 1.0,
    "synthetic_persona_chat": 2.0,
    "topical_chat": 0.7,
    "convai2017": 1.0,
    "chatterbot": 1.0,
    "ms_personality_chat": 0.3,
    "accentor_sgd": 0.02,
    "taskmaster4": 0.0,
    "koziev_jokes": 0.0,
    "rusdracor": 0.0,
    "convai2018": 0.0,
}
"""How many times a dialog of a source is seen in one epoch. Chit-chat first; booking dialogs at a low rate, or it books
restaurants; the curated pool, short and ours, is what it should sound like; ms_personality_chat has 284 answers in
10,000 pairs; convai2018 has no licence file. Sources that are not named (an owner's own log) count once."""

FIXED_SIDES = ("accentor_sgd", "ms_personality_chat", "chatterbot", "curated", "voice", "kith")
"""Sources whose second side is the assistant; "kith" is what our own exports are called. In the others both are
people, so either may be learnt."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Packed conversations. `ids` and `labels` are int32 of shape (rows, length); a label of -100 carries no loss."""

    ids: NDArray[np.int32]
    labels: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, NDArray[np.int64]]:
        return {"input_ids": self.ids[index].astype(np.int64), "labels": self.labels[index].astype(np.int64)}


def mix(
    dialogs: Iterable[CorpusDialog],
    weights: Mapping[str, float],
    lang: str,
    seed: int,
    personas: Mapping[str, tuple[str, ...]] | None = None,
) -> list[CorpusDialog]:
    """A sample of one epoch in random order. A weight of 2.3 takes each dialog twice and three in ten a third time; in
    every second copy of a dialog between two people the sides are swapped. Of the dialogs of the assistant without
    facts, those that name one of `personas` are given its facts, and every second of the others those of any."""
    facts = dict(personas or {})
    draw = random.Random(seed)
    sample: list[CorpusDialog] = []
    for dialog in dialogs:
        if dialog.lang not in ("", lang):
            continue
        weight = weights.get(dialog.source, 1.0)
        for _ in range(int(weight) + (draw.random() < weight % 1)):
            swap = dialog.source not in FIXED_SIDES and draw.random() < 0.5
            taken = swap_sides(dialog) if swap else dialog
            if taken.persona in facts:
                taken = replace(taken, personas=((), facts[taken.persona]))
            elif facts and dialog.source in FIXED_SIDES and not taken.personas[1] and draw.random() < 0.5:
                taken = replace(taken, personas=((), draw.choice(list(facts.values()))))
            sample.append(taken)
    draw.shuffle(sample)
    return sample


def swap_sides(dialog: CorpusDialog) -> CorpusDialog:
    """The same dialog with the assistant in the other chair."""
    messages = tuple(Message("assistant" if m.role == "user" else "user", m.text) for m in dialog.messages)
    return replace(dialog, messages=messages, personas=(dialog.personas[1], dialog.personas[0]))


def make_tokenizer(texts: Iterable[str], vocab_size: int, length: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer (GPT-2's kind) with our role tokens and chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token="<|pad|>",  # nosec B106  # a token of a vocabulary
        additional_special_tokens=list(SPECIAL_TOKENS[2:]),
        model_max_length=length,
        chat_template=ROLE_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def pack(
    dialogs: Sequence[CorpusDialog],
    tokenizer: PreTrainedTokenizerBase,
    length: int,
    loss_on: str = "both",
    title: str = "packing",
) -> Rows:
    """Dialogs one after the other, cut into rows of `length`; the last, unfilled row is dropped unless it is the only
    one. `loss_on` is "both" (all tokens) or "assistant" (only what it says)."""
    ids: list[NDArray[np.int32]] = []
    labels: list[NDArray[np.int32]] = []
    for dialog in tqdm(dialogs, title, mininterval=2, disable=None):
        rendered = render(tokenizer, as_chat(dialog.messages, " ".join(dialog.personas[1])), prompt=False)
        row = np.asarray(rendered.ids, dtype=np.int32)
        ids.append(row)
        labels.append(row if loss_on == "both" else np.where(rendered.spoken, row, -100).astype(np.int32))
    flat, flat_labels = (np.concatenate(part) if part else np.empty(0, np.int32) for part in (ids, labels))
    if len(flat) < length:
        pad = int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id)
        flat_labels = np.pad(flat_labels, (0, length - len(flat)), constant_values=-100)
        flat = np.pad(flat, (0, length - len(flat)), constant_values=pad)
    rows = len(flat) // length
    return Rows(flat[: rows * length].reshape(rows, length), flat_labels[: rows * length].reshape(rows, length))
