"""What a turn of one person takes when the pool, the dialog or the log is large."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from lived_log import live

from bench.sizes import Sizes
from bench.timing import Json, interleaved, spreads
from bench.turns import Kith, asked_in, dialog, opened, places
from bot.assemble import open_store, read_pool
from ranking.encoders import load_encoder
from ranking.retriever import Retriever
from ranking.vectors import Encoder, Vectors, unit
from storage.dialog import Asked, Context, PoolEntry

MADE_UP = "Imported reply number "
EVER = datetime(2000, 1, 1, tzinfo=UTC)
SCATTER = 0.7
"""How far the vector of a made-up text is from that of a shipped one, whose length is 1."""

CONTEXTS = 2
"""Messages that each imported reply answers."""


def measure(sizes: Sizes, folder: Path) -> Json:
    """Milliseconds a turn, and turns a second of one person, by each of the three."""
    with opened(folder) as kith:
        seconds = {
            "replies in the pool": by_pool(kith, sizes),
            "messages in the dialog": by_length(kith, sizes),
            "turns in the log": by_rows(kith, sizes, folder),
        }
    return {
        what: {
            "ms a turn": spreads(found, 1000),
            "turns a second": spreads({size: [1 / s for s in values] for size, values in found.items()}),
        }
        for what, found in seconds.items()
    }


def turns(kiths: Mapping[str, Kith], contexts: Sequence[Context], what: str) -> dict[str, list[float]]:
    """The same places, one after the other, each in every bot."""
    waiting = {name: [asked_in(kith.store, context) for context in contexts] for name, kith in kiths.items()}
    arms = {name: answering(kith, waiting[name]) for name, kith in kiths.items()}
    return interleaved(arms, len(contexts) - 1, what)


def answering(kith: Kith, waiting: Sequence[Asked]) -> Callable[[int], object]:
    """An arm: the next of the messages that wait; the last one warms up."""
    return lambda repeat: kith.answer([waiting[repeat]])


def by_pool(kith: Kith, sizes: Sizes) -> dict[str, list[float]]:
    """Replies are made up, with vectors scattered around those of the shipped ones."""
    kiths = {}
    for imported in sizes.pools:
        retriever = Retriever([*read_pool(kith.store), *made_up(imported)], scattered(kith), kith.settings.retrieved)
        sources = {**kith.pipeline.sources, "retrieval": retriever.propose}
        scorers = {**kith.pipeline.scorers, "careless": retriever.careless, "nearest": retriever.nearest}
        entries = len(read_pool(kith.store)) + imported
        kiths[str(entries)] = replace(kith, pipeline=replace(kith.pipeline, sources=sources, scorers=scorers))
    return turns(kiths, places(kith.pipeline, sizes.growth_repeats + 1), "growth, pool")


def made_up(count: int) -> list[PoolEntry]:
    """So many replies, no two alike."""
    return [
        PoolEntry(f"made-up-{n}", f"{MADE_UP}{n}", tuple(f"{MADE_UP}{n}/{c}" for c in range(CONTEXTS)), "imported")
        for n in range(count)
    ]


def scattered(kith: Kith) -> Encoder:
    """The shipped encoder, but that what is made up costs it nothing."""
    encoder = load_encoder(kith.settings.retriever)
    draw, embed = np.random.default_rng(0), encoder.embed
    known = encoder.encode([entry.reply for entry in read_pool(kith.store)[:2000]])

    def quickly(texts: Sequence[str]) -> Vectors:
        if not texts or not all(text.startswith(MADE_UP) for text in texts):
            return embed(texts)
        noise = unit(draw.standard_normal((len(texts), known.shape[1]), np.float32))
        return unit(known[draw.integers(len(known), size=len(texts))] + np.float32(SCATTER) * noise)

    encoder.embed = quickly
    return encoder


def by_length(kith: Kith, sizes: Sizes) -> dict[str, list[float]]:
    """Dialogs of so many messages of the person; what they say is drawn."""
    draw = random.Random(0)
    said = [context.last for context in places(kith.pipeline, 80)]
    waiting = {
        str(length): [
            asked_in(kith.store, dialog(draw.choices(said, k=length), draw)) for _ in range(sizes.growth_repeats + 1)
        ]
        for length in sizes.lengths
    }
    arms = {name: answering(kith, each) for name, each in waiting.items()}
    return interleaved(arms, sizes.growth_repeats, "growth, dialog")


def by_rows(kith: Kith, sizes: Sizes, folder: Path) -> dict[str, list[float]]:
    """Logs that so many people have left."""
    with ExitStack() as stack:
        kiths = dict(stack.enter_context(lived(kith, people, folder / f"{people} people")) for people in sizes.rows)
        return turns(kiths, places(kith.pipeline, sizes.growth_repeats + 1), "growth, log")


@contextmanager
def lived(kith: Kith, people: int, folder: Path) -> Iterator[tuple[str, Kith]]:
    """Kith with a log behind it, and how many turns are in it."""
    folder.mkdir()
    with open_store(kith.settings.model_copy(update={"data_dir": folder})) as store:
        if people:
            live(store, people, days=60, wordings=[entry.reply for entry in read_pool(store)[:500]])
        yield str(store.glance(EVER).turns), replace(kith, store=store, pipeline=replace(kith.pipeline, store=store))
