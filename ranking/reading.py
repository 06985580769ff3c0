"""How our cross-encoder reads: each context once, and each reply to it with the context before it.

A context cannot see the replies, so what the BERT made of it (the keys and values of its layers) serves all of them. A
turn with 18 candidates of 14 tokens and a context of 54 costs 306 tokens, where pairs cost 1,224. The idea is PreTTR's
(MacAvaney et al. 2020, arXiv 2004.14255), there for documents read in advance.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch.nn import functional
from transformers import BertModel, PreTrainedTokenizerBase
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

from ranking.text import CONTEXT_TOKENS, REPLY_TOKENS

CONTEXTS, REPLIES = 32, 64
"""In one pass, those of like length together: little of it is padding, and what it makes stays in the caches of a
core."""


@dataclass(frozen=True, slots=True)
class Read:
    """What was read of some replies. `numbers`: their places among all; the means of the last layer over each one's
    context and over itself, and what it made of the mark that closes the reply, (replies, width) each."""

    numbers: list[int]
    context: torch.Tensor
    reply: torch.Tensor
    end: torch.Tensor


@dataclass(frozen=True, slots=True)
class Tokens:
    """A context, or a reply, as ids. `number`: its place among all."""

    number: int
    ids: list[int]


@dataclass(frozen=True, slots=True)
class ReadContext:
    """A context as it was read: for each layer keys and values, (heads, tokens, width), and the mean of the last one,
    (width,)."""

    layers: list[tuple[torch.Tensor, torch.Tensor]]
    mean: torch.Tensor


Known: TypeAlias = dict[tuple[int, ...], ReadContext]
"""By the ids of contexts, what was read of them."""


def read(
    bert: BertModel, tokenizer: PreTrainedTokenizerBase, batch: Sequence[tuple[str, Sequence[str]]], known: Known
) -> Iterator[Read]:
    """All replies of a batch, in no order. A long context loses its oldest tokens, a long reply its last ones. Contexts
    that are `known` are not read again; what was read is added."""
    contexts = [
        Tokens(number, tokenizer.encode(context, truncation=True, max_length=CONTEXT_TOKENS))
        for number, (context, replies) in enumerate(batch)
        if replies
    ]
    close, number, replies = tokenizer.sep_token_id, 0, []
    for _, texts in batch:
        said = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
        replies.append([Tokens(number + i, [*ids[: REPLY_TOKENS - 1], close]) for i, ids in enumerate(said)])
        number += len(said)
    for gone in known.keys() - {tuple(context.ids) for context in contexts}:
        del known[gone]
    fresh = [context for context in contexts if tuple(context.ids) not in known]
    seen = [context for context in contexts if tuple(context.ids) in known]
    groups = [(half is seen, some) for half in (fresh, seen) for some in of_like_length(half, CONTEXTS)]
    for again, some in groups:
        ids, there = filled(some, bert.device)
        if again:  # not whether it is known by now: the same context may stand in two groups of fresh ones
            cache, means = joined([known[tuple(context.ids)] for context in some], ids.shape[1])
        else:
            cache = DynamicCache()
            last = bert(input_ids=ids, attention_mask=there, past_key_values=cache).last_hidden_state.float()
            means = mean_of(last, there)
            known.update(parted(some, cache, means))
        rows = {reply.number: row for row, context in enumerate(some) for reply in replies[context.number]}
        for own in of_like_length([reply for context in some for reply in replies[context.number]], REPLIES):
            of = torch.tensor([rows[reply.number] for reply in own], device=bert.device)
            yield Read([reply.number for reply in own], means[of], *read_replies(bert, own, cache, there, of))


def parted(contexts: Sequence[Tokens], cache: DynamicCache, means: torch.Tensor) -> Known:
    """What was read of each, out of what was read of all."""
    return {
        tuple(context.ids): ReadContext(
            [
                (layer.keys[row, :, : len(context.ids)], layer.values[row, :, : len(context.ids)])
                for layer in cache.layers
            ],
            means[row],
        )
        for row, context in enumerate(contexts)
    }


def joined(contexts: Sequence[ReadContext], longest: int) -> tuple[DynamicCache, torch.Tensor]:
    """What was read of some contexts, side by side in `longest` places, and their means."""
    cache = DynamicCache()
    for number in range(len(contexts[0].layers)):
        pairs = [context.layers[number] for context in contexts]
        keys, values = (
            torch.stack([functional.pad(each, (0, 0, 0, longest - each.shape[1])) for each in side])
            for side in zip(*pairs, strict=True)
        )
        cache.update(keys, values, number)
    return cache, torch.stack([context.mean for context in contexts])


class Behind(CacheLayerMixin):
    """What replies see in one layer: each its own context, and itself after it. It is put together when the layer asks
    and not kept: for 64 replies behind contexts of 60 tokens that is 6 MiB, all layers at once would be 34."""

    is_sliding = False

    def __init__(self, contexts: CacheLayerMixin, of: torch.Tensor) -> None:
        super().__init__()
        self.contexts, self.of = contexts, of

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing is kept."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What each reply sees, (replies, heads, tokens, width) both."""
        keys, values = self.contexts.keys, self.contexts.values
        assert keys is not None and values is not None
        return (
            torch.cat([keys.index_select(0, self.of), key_states], dim=2),
            torch.cat([values.index_select(0, self.of), value_states], dim=2),
        )

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many keys there are, and where they begin."""
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        """How many tokens of contexts there are."""
        return int(self.contexts.get_seq_length())

    def get_max_length(self) -> int:
        """-1: there is no maximum."""
        return -1


def read_replies(
    bert: BertModel, replies: Sequence[Tokens], contexts: DynamicCache, there: torch.Tensor, of: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The means of replies and their closing marks, (replies, width) each. `contexts` is what was made of contexts,
    `there` where they have tokens, (contexts, tokens), and `of` which one each reply answers."""
    ids, own = filled(replies, bert.device)
    seen = torch.cat([there[of], own], dim=1)
    last = bert(
        input_ids=ids,
        token_type_ids=torch.ones_like(ids),
        position_ids=there[of].sum(1, keepdim=True) + torch.arange(ids.shape[1], device=bert.device),
        attention_mask=seen[:, None, None, :].expand(-1, 1, ids.shape[1], -1),
        past_key_values=Cache(layers=[Behind(layer, of) for layer in contexts.layers]),
    ).last_hidden_state.float()
    return mean_of(last, own), last[torch.arange(len(last)), own.sum(1) - 1]


def of_like_length(texts: Sequence[Tokens], most: int) -> Iterator[list[Tokens]]:
    """All of them, the shortest first, so many at a time."""
    order = sorted(texts, key=lambda text: len(text.ids))
    yield from (order[start : start + most] for start in range(0, len(order), most))


def filled(texts: Sequence[Tokens], device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Their ids, and where there are any: (texts, tokens) both."""
    longest = max(len(text.ids) for text in texts)
    ids = torch.tensor([text.ids + [0] * (longest - len(text.ids)) for text in texts], device=device)
    lengths = torch.tensor([len(text.ids) for text in texts], device=device)
    return ids, torch.arange(longest, device=device) < lengths[:, None]


def mean_of(last: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """The mean direction of hidden states (texts, tokens, width) where there are tokens: (texts, width), of length
    1."""
    return functional.normalize((last * there.unsqueeze(-1)).sum(1), dim=-1)
