"""How good a generator is, in numbers: the bits that unseen text costs it, and what can be wrong with its replies.

Bits are those of what a reader sees: of each message the tokens that its text falls into and the one that ends it.
Roles and other markup are read by the model but not counted, and characters are those of the messages' text, so that
models with different tokenizers and templates compare.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from generation.ngram import KneserNey
from generation.prompt import PLAIN_TEMPLATE, as_chat
from storage.corpora import CorpusDialog
from storage.dialog import Context, Message
from storage.estimates import Floats

LOGITS = 1 << 25
"""How many numbers a batch puts out at the most: eight rows of 512 ids for a vocabulary of 8192, 128 MiB."""

TAKEN = 0.75
"""Share of trigrams from which on a reply counts as taken from another text. The policy's vetoes have the same one."""

COPIED_FROM = 3
"""How many of the user's last messages a reply may copy; those of the feature `echo`."""

MARKS = ("\ue000", "\ue001")
"""What is put around a message's text to find it among the markup: private characters of Unicode."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The beginning of a dialog as a model reads it. Both arrays have shape (ids,)."""

    ids: NDArray[np.int64]
    counted: NDArray[np.bool_]
    """Whether an id is of a message's text or ends one. The very first never is: nothing comes before it."""
    characters: int
    """Of the messages' text."""


def readings(readers: Sequence[tuple[PreTrainedTokenizerBase, int]], messages: Sequence[Message]) -> list[Reading]:
    """The same messages as each reader, a tokenizer with the number of ids that its model can take, reads them: the
    first ones of a dialog, as many as all readers have room for. Empty when that is not even one."""
    kept = list(messages)
    while kept:
        found = [read(tokenizer, kept) for tokenizer, _ in readers]
        if all(len(reading.ids) <= room for reading, (_, room) in zip(found, readers, strict=True)):
            return found
        kept.pop()
    return []


def read(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> Reading:
    """Messages, each as one line, through the template of a fast tokenizer, without a persona."""
    opened, closed = MARKS
    chat = [{**said, "content": " ".join(said["content"].split())} for said in as_chat(messages)]
    marked = tokenizer.apply_chat_template(
        [{**said, "content": f"{opened}{said['content']}{closed}"} for said in chat],
        chat_template=None if tokenizer.chat_template else PLAIN_TEMPLATE,
        tokenize=False,
    )
    text, spans = "", []
    for markup, said in re.findall(f"([^{opened}]*)(?:{opened}([^{closed}]*){closed})?", marked):
        spans.append((len(text) + len(markup), len(text) + len(markup) + len(said)))
        text += markup + said
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    starts, ends = np.array(encoded["offset_mapping"]).T
    counted = np.zeros(len(starts), np.bool_)
    for start, end in spans:
        counted |= (starts <= end) & (ends > start)  # the character at `end` is the first of what ends the message
    counted[:1] = False
    return Reading(np.array(encoded["input_ids"]), counted, sum(len(said["content"]) for said in chat))


@torch.inference_mode()
def bits(model: PreTrainedModel, rows: Sequence[Reading], title: str = "") -> Floats:
    """What each row costs a causal language model, in bits: shape (rows,). Rows of like length are read together."""
    costs: Floats = np.zeros(len(rows))
    vocabulary = model.get_input_embeddings().weight.shape[0]
    order = sorted(range(len(rows)), key=lambda place: -len(rows[place].ids))
    model.eval()
    with tqdm(total=len(rows), desc=title or "bits", mininterval=2, disable=None) as bar:
        while order:
            width = len(rows[order[0]].ids)
            size = max(1, LOGITS // (width * vocabulary))
            chosen, order = order[:size], order[size:]
            costs[chosen] = _batch_bits(model, [rows[place] for place in chosen], width)
            bar.update(len(chosen))
    return costs


def _batch_bits(model: PreTrainedModel, rows: Sequence[Reading], width: int) -> Floats:
    """Padded on the right, so that what is read stands where it would stand alone."""
    ids, real, counted = (torch.zeros(len(rows), width, dtype=t) for t in (torch.int64, torch.int64, torch.bool))
    for number, row in enumerate(rows):
        length = len(row.ids)
        ids[number, :length], real[number, :length] = torch.from_numpy(row.ids), 1
        counted[number, :length] = torch.from_numpy(row.counted)
    ids, counted = ids.to(model.device), counted.to(model.device)
    logits = model(input_ids=ids, attention_mask=real.to(model.device)).logits
    foretold = counted[:, 1:]
    losses = functional.cross_entropy(logits[:, :-1][foretold].float(), ids[:, 1:][foretold], reduction="none")
    costs = np.zeros(len(rows))
    np.add.at(costs, foretold.nonzero()[:, 0].cpu().numpy(), losses.cpu().double().numpy() / math.log(2))
    return costs


def ngram_bits(model: KneserNey, rows: Sequence[Reading]) -> Floats:
    """What each row costs a model of its tokens, in bits: shape (rows,)."""
    found = model.probabilities([row.ids for row in rows])
    return np.array([-np.log2(p[row.counted]).sum() for p, row in zip(found, rows, strict=True)])


def per_character(columns: Floats) -> float:
    """Bits for each character; `columns` has shape (dialogs, 2): bits, characters."""
    return float(columns[:, 0].sum() / columns[:, 1].sum())


def bits_per_character(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dialogs: Iterable[CorpusDialog],
    lang: str,
    length: int,
    most: int = 60,
) -> dict[str, float]:
    """Bits for each character by source, over the first `most` dialogs of each that are in the language, of which the
    model reads whole messages up to `length` ids. A source without a single character has no figure."""
    rows: dict[str, list[Reading]] = {}
    for dialog in dialogs:
        if dialog.lang in ("", lang) and len(rows.setdefault(dialog.source, [])) < most:
            rows[dialog.source] += readings([(tokenizer, length)], dialog.messages)
    every = [row for source in rows for row in rows[source]]
    columns = np.stack([bits(model, every), [row.characters for row in every]], axis=1)
    sources = np.array([source for source in rows for _ in rows[source]])
    parts = {source: columns[sources == source] for source in sorted(rows)}
    return {source: round(per_character(part), 4) for source, part in parts.items() if part[:, 1].any()}


def normal(text: str) -> str:
    """A text's words in lower case, without punctuation."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def trigrams(text: str) -> list[str]:
    """The word trigrams of a normalised text, in order; one of under three words is its own only one."""
    words = text.split()
    return [" ".join(words[i : i + 3]) for i in range(len(words) - 2)] if len(words) > 2 else [text] if text else []


def taken(reply: str, texts: Iterable[str]) -> bool:
    """Whether at least TAKEN of a reply's word trigrams, or the whole reply when it is shorter, are out of one text."""
    own = set(trigrams(normal(reply)))
    return any(len(own & set(trigrams(normal(text)))) >= TAKEN * len(own) for text in texts) if own else False


def copies_user(context: Context, reply: str) -> bool:
    """Whether a reply gives the user one of their last messages back."""
    return taken(reply, context.said("user")[-COPIED_FROM:])


def repeats_earlier(context: Context, reply: str) -> bool:
    """Whether a reply says what the assistant has said before in the dialog."""
    return taken(reply, context.said("assistant"))


def repeats_itself(context: Context, reply: str) -> bool:
    """Whether a reply has one of its own word trigrams twice."""
    own = trigrams(normal(reply))
    return len(set(own)) < len(own)


def word_ngrams(texts: Iterable[str], longest: int = 3) -> list[NDArray[np.int64]]:
    """Of each text an array of shape (longest, words): the number of the n-gram, for n = 1 to `longest`, that ends at
    each of its words; -1 where none does. Equal n-grams have equal numbers."""
    known: dict[tuple[str, ...], int] = {}
    found = []
    for text in texts:
        words = normal(text).split()
        rows = np.full((longest, len(words)), -1, np.int64)
        for n in range(1, longest + 1):
            for end in range(n, len(words) + 1):
                rows[n - 1, end - 1] = known.setdefault(tuple(words[end - n : end]), len(known))
        found.append(rows)
    return found


def distinct(replies: Sequence[NDArray[np.int64]], words: int) -> Floats:
    """Distinct-1, -2 ... of the first `words` words of replies that `word_ngrams` made: the number of different n-grams
    by that of words (Li et al. 2016, "A diversity-promoting objective function for neural conversation models")."""
    joined = np.concatenate(replies, axis=1)[:, :words]
    return np.array([len(np.unique(row[row >= 0])) / words for row in joined])
