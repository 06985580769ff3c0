"""A bot that runs: opened for a front end, with all that it does beside answering."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from bot.assemble import in_danger, open_store, set_up_libraries, trim_vectors, warm_up
from bot.batching import Batcher
from bot.conversation import Conversation
from bot.events import log_event
from bot.health import Health, Pulse
from bot.health_pages import health_pages
from bot.metrics import Metrics, counting_errors
from bot.personas import load_personas
from bot.retention import pruning
from bot.settings import Settings
from bot.taking_up import Serving, load_promoted, take_up_pool, take_up_promoted
from bot.texts import load_texts
from bot.watch import watching
from generation.place import FEW
from storage.dialog import Asked, Turn, Vote
from storage.retention import expiry

SOON, PATIENT = 0.5, 2.0
"""Seconds that a turn may wait and still be generated for. What the shipped generator writes was said with a
probability of 0.0004 (400 turns with scripted users), so waiting for it gains nothing; for another one it may."""


@asynccontextmanager
async def open_bot(settings: Settings, updates: Pulse | None = None) -> AsyncIterator[Conversation]:
    """A bot ready to talk, for a front end, which takes up what is promoted, and changes of the pool; all is
    closed at the end.

    With `updates`, which the front end beats whenever it hears from its server, there are pages for health and metrics
    if the settings want them.
    """
    set_up_libraries(settings)
    with open_store(settings) as store:
        pool, promoted = (
            store.pool_state(),
            store.last_promotion(),
        )  # before both are read: the first look finds a change
        serving = Serving(load_promoted(settings, store))
        warm_up(serving.now.parts, serving.now.pipeline)
        metrics = Metrics() if updates and settings.metrics_port else None

        def watch(event: Turn | Vote) -> None:
            log_event(event)
            if metrics:
                metrics.watch(event)

        def answer(batch: Sequence[Asked], waited: Sequence[float], late: bool) -> list[Turn | LookupError]:
            turns = serving.now.pipeline.answer(batch, waited, late)
            for turn in turns:
                if isinstance(turn, Turn):
                    watch(turn)
            return turns

        now = serving.now.parts.settings
        batcher = Batcher(answer, settings.max_batch, settings.turn_seconds, late_after(now), crowd_of(now))
        async with batcher, AsyncExitStack() as stack:
            if settings.retrieved:
                take_up = partial(take_up_pool, serving, store, batcher)
                await stack.enter_async_context(watching("the pool", store.pool_state, take_up, pool))
            take_up = partial(take_up_promoted, settings, serving, store, batcher)
            await stack.enter_async_context(watching("what is promoted", store.last_promotion, take_up, promoted))
            if metrics and updates and settings.metrics_port:
                metrics.decided_by(serving.now.pipeline.versions())
                metrics.measure(lambda: batcher.waiting, lambda: batcher.busy_seconds)
                stack.enter_context(counting_errors(metrics))
                health = Health(updates, batcher, store.updates_in_hand, settings.turn_seconds)
                pages = health_pages(settings.metrics_listen, settings.metrics_port, health, metrics.registry)
                stack.enter_context(pages)

            def prune() -> int:
                return store.prune(expiry(settings.keep_days, settings.opted_out_hours))

            def pruned() -> None:
                store.scrub()
                trim_vectors(settings, store)

            await stack.enter_async_context(pruning(prune, pruned))
            yield Conversation(
                store,
                batcher.answer,
                load_texts(),
                load_personas(settings.personas_dir),
                settings.persona,
                rules=settings.rules,
                opted_out_hours=settings.opted_out_hours,
                watch=watch,
                forgotten=lambda: asyncio.to_thread(trim_vectors, settings, store),
                in_danger=in_danger() if settings.after_talk == "on" else None,
            )


def crowd_of(settings: Settings) -> int | None:
    """How many that wait at once all go without generation; None: none do. Sixteen took 2.5 s with the shipped
    generator, and a second without."""
    shipped = not (settings.generator or settings.remote_url)
    return FEW + 1 if shipped and settings.generate_seconds is None and late_after(settings) else None


def late_after(settings: Settings) -> float:
    """Seconds after which a turn that still waits goes without generation; 0: never."""
    if not (settings.retrieved and settings.candidates):
        return 0
    if settings.generate_seconds is not None:
        return settings.generate_seconds
    return PATIENT if settings.generator or settings.remote_url else SOON
