"""Load: many simulated people at once through the batcher; turns a second, and how long people wait."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bot.assemble import open_store
from bot.batching import Batcher
from bot.settings import Settings
from bot.simulation.people import community
from bot.simulation.speech import sayings, typed
from bot.taking_up import load_promoted
from storage.store import SqlDialogStore


@dataclass(frozen=True, slots=True)
class Load:
    """What was measured. Seconds are from the message to its turn in the log."""

    people: int
    turns: int
    seconds: float
    p50: float
    p95: float

    @property
    def turns_a_second(self) -> float:
        """Of all people together."""
        return self.turns / self.seconds


async def under_load(settings: Settings, people: int, messages: int, seed: int) -> Load:
    """Each person writes `messages` times, the next one as soon as the last one is answered, in the time that is."""
    with open_store(settings) as store:
        pipeline = load_promoted(settings, store).pipeline
        crowd = community(seed, people, 0.0, sorted(sayings()))
        async with Batcher(pipeline.answer, settings.max_batch, settings.turn_seconds) as batcher:
            started = time.perf_counter()
            waits = await asyncio.gather(
                *(
                    waited(store, batcher, person.id, person.topics, messages, [seed, number])
                    for number, person in enumerate(crowd)
                )
            )
            seconds = time.perf_counter() - started
    every = np.array([wait for of_one in waits for wait in of_one])
    return Load(people, len(every), seconds, float(np.quantile(every, 0.5)), float(np.quantile(every, 0.95)))


async def waited(
    store: SqlDialogStore, batcher: Batcher, name: str, topics: Sequence[str], messages: int, seed: Sequence[int]
) -> list[float]:
    """How long somebody waited for each reply."""
    draw = np.random.default_rng(seed)
    store.person(name)
    store.new_dialog(name)
    waits = []
    for number in range(messages):
        of_topic = sayings()[str(draw.choice(topics))]
        text = typed(draw, of_topic[int(draw.integers(len(of_topic)))])
        began = time.perf_counter()
        asked = store.take(name, name, text, f"load/{seed[0]}/{name}/{began}/{number}")
        assert asked is not None
        await batcher.answer(asked)
        waits.append(time.perf_counter() - began)
    return waits
