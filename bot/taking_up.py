"""What serves, and how a bot that runs takes up what others change: promotions, rollbacks, and the pool.

What is new is loaded and tried beside the old in a thread; what did not change is shared. It takes the old one's place
between two batches, so that no message notices, and the versions in a turn's log are those that answered it. A version
that cannot be taken up is marked as broken, with one line in the log, and what served before goes on.
"""

import asyncio
import gc
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bot.assemble import PartError, Parts, load_parts, load_retriever, part, pipeline_of, read_pool
from bot.batching import Batcher
from bot.pipeline import Pipeline
from bot.rehearsal import rehearse
from bot.settings import Settings
from bot.versions import Served, all_served, filled_in, misfit
from ranking.pool import texts_of
from ranking.pool_files import keep
from ranking.pool_index import build_index
from storage.store import SqlDialogStore

log = logging.getLogger(__name__)

TEXTS_AT_ONCE = 8
"""New texts of the pool that a running bot embeds in one go, for which a turn may have to wait: 0.04 s on two cores
when they have 8 words each, 0.3 s when they have 60."""

STANDS_ON: Mapping[str, str] = {
    "generation": "generator",
    "ranker": "ranker",
    "taste": "taste",
    "policy": "policy",
    "retrieval": "retriever",
    "listening": "retriever",
    "relevance": "retriever",
    "careless": "retriever",
    "nearest": "retriever",
    "toxic": "retriever",
}
"""Of each source, each scorer that needs a model, and the policy: the kind of model that it is."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What can serve: models, and the pipeline that they make up."""

    serve: Mapping[str, Served]
    parts: Parts
    pipeline: Pipeline


@dataclass(slots=True)
class Serving:
    """What serves at the moment: another one from one batch to the next, never within one."""

    now: Loaded
    change: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by who is about to change something, so that no new pool goes into a retriever that is on its way out."""


class BrokenVersion(Exception):
    """A promoted version that cannot serve, by its name."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name = name


def load_promoted(settings: Settings, store: SqlDialogStore, before: Loaded | None = None) -> Loaded:
    """What the settings and the promotions name, tried. A version that is broken is marked so, and what was promoted
    before it is tried in its place. Raises UserError or the error of a part that no promotion is to blame for."""
    while True:
        serve = all_served(settings, store)
        if before and not changed(before.serve, serve):
            return before
        try:
            return load(settings, store, serve, before)
        except BrokenVersion as broken:
            store.mark_version(broken.name, "broken")
            log.error("%s was promoted and cannot serve, what served before it does: %s", broken.name, broken)


def load(
    settings: Settings, store: SqlDialogStore, serve: Mapping[str, Served], before: Loaded | None = None
) -> Loaded:
    """These models, tried if they are versions. Raises BrokenVersion, or as `load_promoted`."""
    new = changed(before.serve if before else {}, serve)
    try:
        filled = filled_in_one_by_one(settings, serve)
        if found := misfit(settings, serve):
            raise BrokenVersion(found.name, found.reason)
        old = before.parts if before else None
        with part("retriever"):
            if old and "retriever" not in new:
                retriever = old.retriever
            else:
                retriever = load_retriever(filled, store) if settings.retrieved else None
        parts = called_by_name(load_parts(filled, retriever, old), serve)
        pipeline = pipeline_of(parts, store)
        for name, kind in STANDS_ON.items():
            if kind in new and serve[kind].version:
                with part(kind):
                    rehearse(pipeline, name)
    except PartError as failed:
        stands_on = serve["retriever"].version if failed.kind in ("ranker", "taste") else None
        version = serve[failed.kind].version or stands_on
        if version is None:
            raise failed.error from failed.error.__cause__
        raise BrokenVersion(version.name, str(failed.error)) from failed
    if before:
        pipeline.busy = before.pipeline.busy  # what hangs there is maybe shared, and to be left alone here too
    return Loaded(serve, parts, pipeline)


def changed(before: Mapping[str, Served], serve: Mapping[str, Served]) -> set[str]:
    """The kinds that something else serves than before."""
    return {kind for kind, each in serve.items() if kind not in before or each.name != before[kind].name}


def called_by_name(parts: Parts, serve: Mapping[str, Served]) -> Parts:
    """Versions that are one file say nothing of their name in it: turns are to log it."""
    taste, policy = serve["taste"].version, serve["policy"].version
    if taste and parts.taste:
        parts.taste.version = taste.name
    return replace(parts, weights=replace(parts.weights, version=policy.name)) if policy else parts


def filled_in_one_by_one(settings: Settings, serve: Mapping[str, Served]) -> Settings:
    """As bot.versions.filled_in does, but raises PartError for the version whose folder is not there."""
    for kind, each in serve.items():
        with part(kind):
            settings = filled_in(settings, [each])
    return settings


async def take_up_promoted(settings: Settings, serving: Serving, store: SqlDialogStore, batcher: Batcher) -> None:
    """Lets what was promoted or rolled back serve; turns go on meanwhile with what served."""
    async with serving.change:
        before = serving.now
        new = await asyncio.to_thread(load_promoted, settings, store, before)
        if new is before:
            return

        def swap() -> None:
            serving.now = new

        await batcher.between(swap)
        names = [str(new.serve[kind]) for kind in sorted(changed(before.serve, new.serve))]
        log.info("taken up: %s", " and ".join(names))
        del before
        await asyncio.to_thread(forget_models)


def forget_models() -> None:
    """Frees what no longer serves: models hold themselves in circles, and those that were there from the start where
    nobody looks for garbage (bot/cli/heap.py)."""
    frozen = gc.get_freeze_count() > 0
    gc.unfreeze()
    gc.collect()
    if frozen:
        gc.freeze()


async def take_up_pool(serving: Serving, store: SqlDialogStore, batcher: Batcher) -> None:
    """Lets the retriever that serves search the pool as it is now; turns go on meanwhile, in the old one.

    New texts are embedded a few at a time, since the encoder serves turns in between. The new index takes the old one's
    place while no batch runs, so that the version in a turn's log is that of the index that served it.
    """
    async with serving.change:
        retriever = serving.now.parts.retriever
        if retriever is None:
            return
        encoder = retriever.encoder
        entries = await asyncio.to_thread(read_pool, store)
        new = await asyncio.to_thread(lambda: encoder.unknown(sorted(texts_of(entries))))
        for start in range(0, len(new), TEXTS_AT_ONCE):
            await asyncio.to_thread(encoder.learn, new[start : start + TEXTS_AT_ONCE])
        lists = {name: each.lists for name, each in retriever.index.approximate().items()}
        index = await asyncio.to_thread(build_index, entries, encoder, lists)

        def swap() -> None:
            retriever.index = index

        await batcher.between(swap)
        log.info("the pool changed: retrieval is %s now", retriever.version)
        await asyncio.to_thread(keep, index, encoder, serving.now.parts.settings.pool_vectors)
