"""Tokens drawn from a causal language model: several replies to each of many prompts, all of them at once.

A prompt is read once for all its replies. They are branches of one row: each step reads the newest token of every
branch, side by side, and the mask lets it see the prompt and its own branch alone. What was read of a prompt is kept
for the next turn of its dialog. Branches that have ended are read no more, and rows without branches are left out.

`generate` of transformers reads a prompt once for each reply of each turn, and copies all keys and values at each step.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache

from generation.cache import Prompts, begin_cache, keep_rows, states_of
from generation.recording import Recording, record
from generation.sampling import Sampling

PROMPT, NOBODY, PADDING = -1, -2, -3
"""Whose a place in a row is that is no branch's: what all see; what none does; who reads for nobody."""

NUCLEUS = 256
"""So many of the likeliest tokens mostly hold the nucleus; where they do not, all are sorted."""

PROMPT_BYTES = 64 << 20
"""Of what was read of prompts and is kept. Of the starter's 227 tokens take 2 MiB: 32 such chats."""

AT_ONCE = 512
"""Tokens of prompts, of all rows together, that a processor reads in one go: what more make falls out of its caches.
Four prompts of 470 take 342 ms and 28 MiB so, in one go 387 and 41; sixteen 1,419 and 97, in one go 1,571 and 159."""

PROMPTS = [[1, 2, 3, 4, 5], [6, 5, 4, 3, 2, 1, 2, 4, 6]]
"""On which a model is tried."""

BRANCHES = (1, 3)
"""Of each of them, when a recording is tried, which was made of two tokens."""

SAME = 0.05
"""How far the numbers of a model may be from those that it gives without branches, relative to these. The starter's are
the same in bf16."""

Runs: TypeAlias = Mapping[tuple[int, ...], Collection[int]]
"""What followed each run of tokens."""


@dataclass(slots=True)
class Branch:
    """A reply on its way. `number`: which of its row; `last`: the tokens before the next one, the prompt's too, and
    `before`: what followed such runs in the prompt; `after`: what followed each `own` tokens less one, here."""

    row: int
    number: int
    last: list[int]
    before: Runs
    own: int
    after: dict[tuple[int, ...], set[int]] = field(default_factory=dict)
    ids: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)

    def banned(self) -> list[int]:
        """Tokens that would make a run come twice."""
        return [*self.before.get(tuple(self.last), ()), *self.after.get(self._own_last(), ())]

    def add(self, token: int, log_probability: float) -> None:
        """The next token."""
        if len(self.ids) >= self.own - 1:
            self.after.setdefault(self._own_last(), set()).add(token)
        self.ids.append(token)
        self.log_probabilities.append(log_probability)
        self.last = [*self.last[1:], token]

    def _own_last(self) -> tuple[int, ...]:
        return tuple(self.ids[1 - self.own :])


class Decoder:
    """Draws replies from one model."""

    def __init__(
        self,
        model: PreTrainedModel,
        sampling: Sampling,
        ends: Collection[int],
        unrepeated: int,
        stopped: Callable[[Sequence[int]], bool] = lambda ids: False,
        own: int | None = None,
    ) -> None:
        """A reply ends with a token of `ends`, when it is `stopped` by what it says, or after
        `sampling.max_new_tokens`. No run of `unrepeated` tokens of the prompt is said again, and none of `own` tokens
        comes twice in a reply: two at least, as many as `unrepeated` unless said otherwise."""
        self.model, self.sampling, self.ends = model, sampling, frozenset(ends)
        self.unrepeated, self.stopped = unrepeated, stopped
        self.own = unrepeated if own is None else own
        self.layers = int(model.config.get_text_config().num_hidden_layers)
        self.prompts = Prompts(PROMPT_BYTES)
        self.recording: Recording | None = None
        """Of the model's steps, once it is made."""

    @torch.inference_mode()
    def draw(self, prompts: Sequence[Sequence[int]]) -> list[list[Branch]]:
        """For each prompt `sampling.candidates` replies. There must be a prompt."""
        count = self.sampling.candidates
        cache, owner, logits = self.read(prompts)
        branches = [branch for row, ids in enumerate(prompts) for branch in self._begin(row, ids)]
        alive, rows, logits = branches, list(range(len(prompts))), logits.repeat_interleave(count, 0)
        for step in range(self.sampling.max_new_tokens):
            self._extend(alive, logits)
            alive = [b for b in alive if b.ids[-1] not in self.ends and not self.stopped(b.ids)]
            if not alive or step + 1 == self.sampling.max_new_tokens:
                break
            left = sorted({branch.row for branch in alive})
            if 4 * len(left) <= 3 * len(rows):  # to leave rows out means to copy the others
                kept = torch.tensor([rows.index(row) for row in left])
                keep_rows(cache, kept.to(self.model.device))
                owner, rows = owner[kept], left
            logits = self.step(cache, owner, rows, [len(prompts[row]) + step for row in rows], alive)
        return [branches[start : start + count] for start in range(0, len(branches), count)]

    def _begin(self, row: int, ids: Sequence[int]) -> list[Branch]:
        known = self.unrepeated - 1
        before: dict[tuple[int, ...], set[int]] = {}
        for place in range(len(ids) - known):
            before.setdefault(tuple(ids[place : place + known]), set()).add(ids[place + known])
        numbers = range(self.sampling.candidates)
        return [Branch(row, number, list(ids[-known:]), before, self.own) for number in numbers]

    def _extend(self, alive: Sequence[Branch], logits: torch.Tensor) -> None:
        """Draws the next token of each branch from logits of shape (branches, vocabulary)."""
        likely = logits.float().log_softmax(-1)
        allowed = likely.clone()
        for place, branch in enumerate(alive):
            if banned := branch.banned():
                allowed[place, banned] = -torch.inf
        drawn = nucleus(allowed / self.sampling.temperature, self.sampling.top_p)
        scores = likely.gather(1, drawn[:, None])[:, 0]
        for branch, token, score in zip(alive, drawn.tolist(), scores.tolist(), strict=True):
            branch.add(token, score)

    def read(self, prompts: Sequence[Sequence[int]]) -> tuple[Cache, torch.Tensor, torch.Tensor]:
        """Reads prompts: the cache, whose each place in it is, (rows, room), and the logits of what follows, (rows,
        vocabulary)."""
        known = [self.prompts.longest(ids) for ids in prompts]
        had = [states[0][0].shape[1] if states else 0 for states in known]
        begin, most = max(had), max(len(ids) - old for ids, old in zip(prompts, had, strict=True))
        end = begin + most
        room = end + self.sampling.candidates * self.sampling.max_new_tokens
        cache = begin_cache(self.layers, room, known)
        owner = torch.full((len(prompts), room), NOBODY, dtype=torch.int16)
        tokens, positions = (torch.zeros(len(prompts), most, dtype=torch.long) for _ in range(2))
        for row, (ids, old) in enumerate(zip(prompts, had, strict=True)):
            new = len(ids) - old
            owner[row, :old] = owner[row, end - new : end] = PROMPT
            tokens[row, most - new :] = torch.tensor(ids[old:])
            positions[row, most - new :] = torch.arange(old, len(ids))
        seen = (owner[:, None, :end] == PROMPT).repeat(1, most, 1)
        seen[:, :, begin:] &= torch.ones(most, most, dtype=torch.bool).tril()
        seen[:, :, begin:] |= torch.eye(most, dtype=torch.bool)  # padding too: what sees nothing is NaN
        width = -(-AT_ONCE // len(prompts)) if self.model.device.type == "cpu" else most
        for start in range(0, most, width):
            part = slice(start, start + width)
            there = seen[:, part, : begin + start + width]
            logits = self._forward(cache, tokens[:, part], positions[:, part], there, last=1)[:, -1]
        for row, ids in enumerate(prompts):
            places = (owner[row] == PROMPT).nonzero()[:, 0].to(self.model.device)
            self.prompts.keep(ids, states_of(cache, row, places))
        return cache, owner, logits

    def step(
        self, cache: Cache, owner: torch.Tensor, rows: Sequence[int], places: Sequence[int], alive: Sequence[Branch]
    ) -> torch.Tensor:
        """Reads the newest token of each branch, whose position in its row of `rows` is that of `places`, and writes
        down whose the new places of the cache are. Returns the logits of what follows each, (branches, vocabulary)."""
        slots: dict[int, list[Branch]] = {row: [] for row in rows}
        for branch in alive:
            slots[branch.row].append(branch)
        width = max(map(len, slots.values()))
        tokens = torch.tensor([[b.ids[-1] for b in of] + [0] * (width - len(of)) for of in slots.values()])
        who = torch.tensor([[b.number for b in of] + [PADDING] * (width - len(of)) for of in slots.values()])
        start = cache.get_seq_length()
        owner[:, start : start + width] = who
        there = owner[:, None, : start + width]
        seen = (there == PROMPT) | (there == who[:, :, None])
        logits = self._forward(cache, tokens, torch.tensor(places)[:, None].expand(-1, width), seen)
        return logits[(who != PADDING).to(logits.device)]

    def _forward(
        self, cache: Cache, tokens: torch.Tensor, positions: torch.Tensor, seen: torch.Tensor, last: int = 0
    ) -> torch.Tensor:
        dtype, device = self.model.dtype, self.model.device
        mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)
        if self.recording and not last:
            return self.recording(tokens, positions, mask[:, None], cache)
        logits: torch.Tensor = self.model(
            input_ids=tokens.to(device),
            position_ids=positions.to(device),
            attention_mask=mask[:, None].to(device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=last,
        ).logits
        return logits


@torch.inference_mode()
def can_branch(decoder: Decoder, room: int) -> bool:
    """Whether a model minds the positions and the mask that it is given, as branches need, in prompts of up to `room`
    tokens: not one that counts positions by itself, looks back through a window, turns them otherwise in long texts, or
    remembers otherwise than by keys."""
    config = decoder.model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    if (window and window < room) or any(limit < room for limit in turning_points(config)):
        return False
    try:
        alive, found = begun(decoder)
        whole = [decoder.model(torch.tensor([PROMPTS[b.row] + b.ids]).to(found.device)).logits[0, -1] for b in alive]
    except Exception:  # of a model that has no such arguments, or caches of another kind, anything may come
        return False
    return close(found, torch.stack(whole))


@torch.inference_mode()
def record_steps(decoder: Decoder) -> None:
    """Lets a decoder that can branch replay its model's steps, where that gives the same for other numbers of rows and
    new tokens than were recorded."""
    try:
        expected = [begun(decoder, count)[1] for count in BRANCHES]
        cache, _, _ = decoder.read(PROMPTS[:1])
        decoder.recording = record(decoder.model, cache)
        same = all(map(close, (begun(decoder, count)[1] for count in BRANCHES), expected))
    except Exception:  # whatever a shape that was taken for constant leads to, or too little room for three branches
        same = False
    if not same:
        decoder.recording = None


def begun(decoder: Decoder, count: int = 2) -> tuple[list[Branch], torch.Tensor]:
    """So many branches after each of PROMPTS, two tokens each, and the logits of what follows, (branches,
    vocabulary)."""
    try:
        cache, owner, _ = decoder.read(PROMPTS)
        alive = [
            Branch(row, number, [], {}, decoder.own, ids=[7 + number]) for row in range(2) for number in range(count)
        ]
        rows, lengths = [0, 1], [len(prompt) for prompt in PROMPTS]
        decoder.step(cache, owner, rows, lengths, alive)
        for branch in alive:
            branch.ids.append(3)
        return alive, decoder.step(cache, owner, rows, [length + 1 for length in lengths], alive)
    finally:
        decoder.prompts = Prompts(PROMPT_BYTES)


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether numbers are no further from what is expected than SAME."""
    found, expected = found.float(), expected.float()
    return bool((found - expected).norm() <= SAME * expected.norm())


def turning_points(config: PreTrainedConfig) -> list[int]:
    """The lengths beyond which a model turns all positions otherwise, those of tokens that it has read as well."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope] if "rope_type" in rope else [kind for kind in rope.values() if isinstance(kind, dict)]
    return [
        kind.get("original_max_position_embeddings") or config.max_position_embeddings
        for kind in kinds
        if kind.get("rope_type") in ("dynamic", "longrope")
    ]


def nucleus(logits: torch.Tensor, top_p: float) -> torch.Tensor:
    """A token for each row of logits, (rows, vocabulary), out of the likeliest ones that together reach `top_p`
    (Holtzman et al. 2020, arXiv 1904.09751)."""
    probabilities = logits.softmax(-1)
    best, tokens = probabilities.topk(min(NUCLEUS, logits.shape[-1]))
    drawn = tokens.gather(1, pick(best, top_p)[:, None])[:, 0]
    wide = (best.sum(-1) < top_p).nonzero()[:, 0]
    if len(wide) and logits.shape[-1] > NUCLEUS:
        best, tokens = probabilities[wide].sort(descending=True)
        drawn[wide] = tokens.gather(1, pick(best, top_p)[:, None])[:, 0]
    return drawn


def pick(best: torch.Tensor, top_p: float) -> torch.Tensor:
    """A place for each row of falling probabilities, out of the first that together reach `top_p`, as likely as they
    say."""
    sums = best.cumsum(-1)
    last = (sums < top_p).sum(-1).clamp(max=best.shape[-1] - 1)
    reached = sums.gather(1, last[:, None])
    return torch.minimum((sums <= torch.rand_like(reached) * reached).sum(-1), last)
