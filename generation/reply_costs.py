"""What replies cost a generator that people liked, and those that they did not: does it prefer the liked ones?"""

from collections.abc import Sequence

import numpy as np

from generation.cache import shared
from generation.generator import GptGenerator
from generation.metrics import Reading, bits, read
from storage.dialog import Context, Message
from storage.estimates import Floats

LOOK_BACK = 8
"""Messages of a context that are read, at the most."""


def reply_costs(model: GptGenerator, pairs: Sequence[tuple[Context, str]], title: str = "") -> Floats:
    """Shape (pairs, 4): bits and characters of the reply after its context, and of both together. A fast tokenizer is
    needed. Contexts lose their oldest messages where a model has no room for them."""
    room = model.room + model.sampling.max_new_tokens
    whole = [_read(model, context, reply, room) for context, reply in pairs]
    before = [_without_reply(reading, asked) for reading, asked in whole]
    readings = [reading for reading, _ in whole]
    cost = bits(model.model, [*readings, *before], title).reshape(2, -1)
    characters = np.array([[reading.characters for reading in some] for some in (readings, before)], float)
    return np.stack([cost[0] - cost[1], characters[0] - characters[1], cost[0], characters[0]], axis=1)


def preference(columns: Floats) -> Floats:
    """Of such costs: minus the bits of a character of each reply, the larger the likelier it is for its length."""
    return -columns[:, 0] / np.maximum(columns[:, 1], 1)


def _read(model: GptGenerator, context: Context, reply: str, room: int) -> tuple[Reading, Reading]:
    """The context with the reply, and the context alone."""
    said = [*context.messages[-LOOK_BACK:], Message("assistant", reply)]
    reading = read(model.tokenizer, said)
    while len(reading.ids) > room and len(said) > 2:
        del said[0]
        reading = read(model.tokenizer, said)
    asked = read(model.tokenizer, said[:-1])
    kept = Reading(reading.ids[:room], reading.counted[:room], reading.characters)
    return kept, asked


def _without_reply(whole: Reading, asked: Reading) -> Reading:
    """The same ids, of which those of the context alone are counted: its template may end otherwise by itself."""
    counted = whole.counted.copy()
    counted[shared(whole.ids, asked.ids) :] = False
    return Reading(whole.ids, counted, asked.characters)
