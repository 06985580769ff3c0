"""Keys and values of what a model has read: of a batch that is at work, and of the prompts of dialogs that go on."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from transformers.cache_utils import Cache, CacheLayerMixin

States: TypeAlias = list[tuple[torch.Tensor, torch.Tensor]]
"""For each layer the keys and values of one row, each (heads, tokens, width)."""


class Growing(CacheLayerMixin):
    """Those of one layer, in memory that is there from the start, (rows, heads, room, width): transformers' own layer
    copies all of it at each step."""

    is_sliding = False

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room, self.length = room, 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Makes room for rows of such keys and values."""
        rows, heads, _, width = key_states.shape
        self.keys = key_states.new_zeros(rows, heads, self.room, width)
        self.values = value_states.new_zeros(*value_states.shape[:2], self.room, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Adds what was just read, and gives all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        return written(*self.with_room(key_states.shape[-2]), key_states, value_states)

    def with_room(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """All keys and values, so many new ones at the end, which are yet to be written."""
        assert self.keys is not None and self.values is not None
        self.length += count
        return self.keys[:, :, : self.length], self.values[:, :, : self.length]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """How many keys there will be, and where they begin."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """How many keys there are."""
        return self.length

    def get_max_length(self) -> int:
        """How many there may be."""
        return self.room


def written(
    keys: torch.Tensor, values: torch.Tensor, new_keys: torch.Tensor, new_values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """All keys and values, (rows, heads, tokens, width), with new ones in their last places."""
    count = new_keys.shape[2]
    start = keys.shape[2] - count
    keys.narrow(2, start, count).copy_(new_keys)
    values.narrow(2, start, count).copy_(new_values)
    return keys, values


def begin_cache(layers: int, room: int, known: Sequence[States | None]) -> Cache:
    """A cache for rows of `room` tokens; those that are `known` begin at the first place of theirs, and what is read
    next follows the longest of them."""
    cache = Cache(layers=[Growing(room) for _ in range(layers)])
    shapes = next((states for states in known if states), None)
    if shapes is None:
        return cache
    for number, layer in enumerate(cache.layers):
        keys, values = (one.unsqueeze(0).expand(len(known), -1, -1, -1) for one in shapes[number])
        layer.lazy_initialization(keys, values)
        for row, states in enumerate(known):
            if states:
                length = states[number][0].shape[1]
                layer.keys[row, :, :length], layer.values[row, :, :length] = states[number]
                layer.length = max(layer.length, length)
    return cache


def keep_rows(cache: Cache, rows: torch.Tensor) -> None:
    """Leaves the others out."""
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[rows], layer.values[rows]


def states_of(cache: Cache, row: int, places: torch.Tensor) -> States:
    """Copies what a row has at some places."""
    return [(layer.keys[row][:, places], layer.values[row][:, places]) for layer in cache.layers]


class Prompts:
    """What was read of prompts, the last used ones, up to so many bytes: the next prompt of a dialog begins as its
    last. All of it lies in memory that is there from the first one on, a place for each token: prompts that come and go
    between the large blocks of turns would keep these from being used again."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self.known: OrderedDict[bytes, tuple[NDArray[np.intp], torch.Tensor]] = OrderedDict()
        """By the ids of a prompt: these, and its places."""
        self.memory: States | None = None
        """For each layer keys and values, (places, heads, width) both."""
        self.count = 0
        self.free: list[int] = []
        self.lock = Lock()  # a batch that hung may end beside the one that took its place

    def longest(self, ids: Sequence[int]) -> States | None:
        """Of the beginning of these ids as much as any known prompt has; never all of them, since the last must be read
        to know what comes next."""
        wanted = np.array(ids[:-1])
        with self.lock:
            lengths = {key: shared(wanted, known) for key, (known, _) in self.known.items()}
            best = max(lengths, key=lengths.__getitem__, default=None)
            if best is None or not lengths[best] or self.memory is None:
                return None
            self.known.move_to_end(best)
            places = self.known[best][1][: lengths[best]]
            return [(keys[places].transpose(0, 1), values[places].transpose(0, 1)) for keys, values in self.memory]

    def keep(self, ids: Sequence[int], states: States) -> None:
        """Remembers a prompt, in place of one that it continues; not one that has no room by itself."""
        if not ids:
            return
        known = np.array(ids)
        with self.lock:
            if self.memory is None:
                self.count = self.most_bytes * len(ids) // size(states)
                self.memory = [(room_for(keys, self.count), room_for(values, self.count)) for keys, values in states]
                self.free = list(range(self.count))
            if len(ids) > self.count:
                return
            continued = [key for key, (old, _) in self.known.items() if shared(known, old) == len(old)]
            for key in continued:
                self._drop(key)
            while len(self.free) < len(ids):
                self._drop(next(iter(self.known)))
            places = torch.tensor(self.free[-len(ids) :], device=states[0][0].device)
            for kept, new in zip(self.memory, states, strict=True):
                for side, own in zip(kept, new, strict=True):
                    side[places] = own.transpose(0, 1)
            del self.free[-len(ids) :]  # not before all is there: a device may have no memory for it
            self.known[known.tobytes()] = known, places

    def _drop(self, key: bytes) -> None:
        self.free += self.known.pop(key)[1].tolist()


def room_for(states: torch.Tensor, count: int) -> torch.Tensor:
    """Memory for so many tokens of such states, (heads, tokens, width): (count, heads, width)."""
    return states.new_empty(count, states.shape[0], states.shape[2])


def shared(one: NDArray[np.intp], other: NDArray[np.intp]) -> int:
    """How many ids two prompts begin with together."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(one[:length] != other[:length])
    return int(differ[0]) if len(differ) else length


def size(states: States) -> int:
    """Bytes."""
    return sum(each.numel() * each.element_size() for layer in states for each in layer)
