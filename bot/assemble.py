"""From settings to a bot: the only place that names the concrete parts and puts them together."""

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers.utils import logging as transformers_logging

from bot.batching import Batcher
from bot.conversation import Conversation
from bot.events import log_event
from bot.health import Health, Pulse
from bot.health_pages import health_pages
from bot.help_lines import load_help_lines
from bot.metrics import Metrics, counting_errors
from bot.moderation import Concern, Judge, Moderation
from bot.personas import known_persona, load_personas
from bot.pipeline import Pipeline
from bot.pool_watch import watching
from bot.protocols import Scorer, Source
from bot.retention import pruning
from bot.settings import Settings
from bot.texts import fallback, load_texts
from generation.generator import GptGenerator
from generation.sampling import Sampling
from ranking.danger import doubtful, last_sign, lately
from ranking.danger_classifier import classifier
from ranking.encoders import load_encoder
from ranking.features import cheap_features, relevance, scorer
from ranking.limits import asks_who_writes, limit
from ranking.listener import Listener
from ranking.policy import ScoringPolicy, load_weights
from ranking.pool import curated, texts_of
from ranking.ranker import CrossEncoderRanker
from ranking.retriever import Retriever, build_index
from ranking.safety import guarded, safety_features
from ranking.taste import STARTER as TASTE
from ranking.taste import load_taste
from ranking.toxicity import HubToxicity, Toxicity, load_toxicity
from ranking.vectors import Encoder, trim
from storage.dialog import Asked, Context, PoolEntry, Turn, Vote
from storage.retention import expiry
from storage.store import SqlDialogStore

if TYPE_CHECKING:
    from generation.remote import RemoteGenerator

log = logging.getLogger(__name__)

TEXTS_AT_ONCE = 8
"""New texts of the pool that a running bot embeds in one go, for which a turn may have to wait: 0.04 s on two cores
when they have 8 words each, 0.3 s when they have 60."""


def open_store(settings: Settings) -> SqlDialogStore:
    """The log, opened and up to date. Raises StoreError."""
    return SqlDialogStore(settings.database, settings.idle_hours, settings.context_messages)


def set_up_libraries(settings: Settings) -> None:
    """Before models are loaded: no talk of theirs on the screen, and as many threads as the settings say."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(settings.threads if settings.threads else max(1, os.cpu_count() or 1))


def set_seed(seed: int) -> None:
    """Makes what is drawn from here on the same each time: samples of generators, and which fallback is said."""
    torch.manual_seed(seed)
    random.seed(seed)


def assemble(settings: Settings, store: SqlDialogStore, retriever: Retriever | None) -> Pipeline:
    """The pipeline with its models loaded. Raises UserError, or the error of the part that cannot be had."""
    personas = load_personas(settings.personas_dir)
    sources: dict[str, Source] = {}
    scorers: dict[str, Scorer] = {name: scorer(feature) for name, feature in cheap_features().items()}
    fixed: dict[str, str] = {}
    encoder = retriever.encoder if retriever else load_encoder(settings.retriever)
    if retriever:
        sources["retrieval"] = retriever.propose
        sources["listening"] = Listener(retriever.encoder).propose
        scorers["careless"] = retriever.careless
    if settings.candidates:
        generator = load_generator(settings)
        sources["generation"], fixed["generation"] = generator.propose, generator.version
    ranker = CrossEncoderRanker(settings.ranker, encoder)
    scorers["relevance"], scorers["ranker"], fixed["ranker"] = relevance(encoder), ranker.score, ranker.version
    if file := taste_file(settings.taste, settings.retriever):
        taste = load_taste(file, encoder)
        scorers["taste"], fixed["taste"] = taste.score, taste.version
    weights = load_weights(settings.policy)
    otherwise = fallback(load_texts())
    moderation = load_moderation(settings) if settings.safety == "on" else None
    if moderation:
        scorers |= safety_features()
        toxicity = load_toxicity_check(settings, encoder)
        scorers["toxic"], fixed["toxicity"], fixed["danger"] = toxicity.score, toxicity.version, classifier().version
        weights, otherwise = guarded(weights), moderation.fallback
    else:
        log.warning("KITH_SAFETY is off: nobody in danger is shown help, and replies are not checked for harm")
    policy = ScoringPolicy(weights, settings.exploration)
    fixed["policy"] = policy.version

    def versions() -> Mapping[str, str]:
        return {"retrieval": retriever.version, **fixed} if retriever else fixed

    return Pipeline(
        store=store,
        sources=sources,
        scorers=scorers,
        policy=policy,
        fallback=otherwise,
        personas={name: persona.system for name, persona in personas.items()},
        default_persona=known_persona(personas, settings.persona),
        versions=versions,
        moderation=moderation,
    )


def taste_file(named: Path | None, retriever: str) -> Path | None:
    """The taste beside a retriever: the one that is named, or the shipped one, which knows the shipped retriever's
    vectors alone."""
    return named or (None if retriever else TASTE)


def load_moderation(settings: Settings) -> Moderation:
    """What must be answered with moderated words, and these. Raises UserError, and ModelError when the classifier of
    danger cannot be read."""
    texts = load_texts()

    def danger(said: Sequence[str]) -> Concern | None:
        found = last_sign(said)
        return Concern(found.kind, found.acute, found.guessed) if found else None

    def concern(context: Context) -> Concern | None:
        found = danger(context.said("user"))
        if found and not found.guessed:
            return found
        return Concern(kind) if (kind := limit(context)) else found

    judge = Judge(concern, danger, lately, doubtful, asks_who_writes)
    return Moderation(texts, load_help_lines(settings.help_lines), judge, fallback(texts))


def load_toxicity_check(settings: Settings, encoder: Encoder) -> Toxicity | HubToxicity:
    """Who tells replies that are unfit: the classifier that the settings name, or our own. Raises ModelError."""
    if settings.safety_model:
        return HubToxicity(settings.safety_model)
    return load_toxicity(encoder, settings.data_dir / "toxicity.safetensors")


def load_retriever(settings: Settings, store: SqlDialogStore) -> Retriever:
    """The retriever over curated, liked and imported replies. Vectors that are not shipped are kept in the data folder,
    so that only the first start with a new model or pool has to make them, and leave it with their texts."""
    encoder = load_encoder(settings.retriever, (settings.pool_vectors,))
    known = len(encoder.known)
    entries = read_pool(store)
    retriever = Retriever(entries, encoder, settings.retrieved)
    if len(encoder.known) > known or known > len(texts_of(entries)):
        encoder.save(settings.pool_vectors, sorted(texts_of(entries)))
    return retriever


def trim_vectors(settings: Settings, store: SqlDialogStore) -> None:
    """Takes out of the data folder the vectors of texts that are no longer in the pool."""
    trim(settings.pool_vectors, texts_of(read_pool(store)))


def read_pool(store: SqlDialogStore) -> list[PoolEntry]:
    """All that retrieval may say, as it is now."""
    return [*curated(), *store.pool_entries()]


async def take_up_pool(retriever: Retriever, store: SqlDialogStore, vectors: Path, batcher: Batcher) -> None:
    """Lets a retriever that serves search the pool as it is now; turns go on meanwhile, in the old one.

    New texts are embedded a few at a time, since the encoder serves turns in between. The new index takes the old one's
    place while no batch runs, so that the version in a turn's log is that of the index that served it.
    """
    encoder = retriever.encoder
    entries = await asyncio.to_thread(read_pool, store)
    new = await asyncio.to_thread(lambda: sorted(texts_of(entries) - texts_of(retriever.index.entries)))
    for start in range(0, len(new), TEXTS_AT_ONCE):
        await asyncio.to_thread(encoder.remembered, new[start : start + TEXTS_AT_ONCE])
    index = await asyncio.to_thread(build_index, entries, encoder)

    def swap() -> None:
        retriever.index = index

    await batcher.between(swap)
    log.info("the pool changed: retrieval is %s now", retriever.version)
    await asyncio.to_thread(lambda: encoder.save(vectors, sorted(texts_of(entries))))


def load_generator(settings: Settings) -> "GptGenerator | RemoteGenerator":
    """The server's model when one is named, else a local one. The client's library takes 1.5 s to import, so only those
    who use it wait for it."""
    sampling = Sampling(settings.candidates, settings.max_new_tokens, settings.sampling_temperature, settings.top_p)
    if settings.remote_url is None:
        return GptGenerator(settings.generator, sampling, settings.examples)
    from generation.remote import RemoteGenerator

    key = settings.remote_key.get_secret_value() if settings.remote_key else ""
    return RemoteGenerator(
        settings.remote_url, settings.remote_model, key, sampling, settings.remote_timeout, examples=settings.examples
    )


@asynccontextmanager
async def open_bot(settings: Settings, updates: Pulse | None = None) -> AsyncIterator[Conversation]:
    """A bot ready to talk, for a front end, which takes up changes of the pool; all is closed at the end.

    With `updates`, which the front end beats whenever it hears from its server, there are pages for health and metrics
    if the settings want them.
    """
    set_up_libraries(settings)
    with open_store(settings) as store:
        state = store.pool_state()  # before the pool is read: a change in between is found by the first look
        retriever = load_retriever(settings, store) if settings.retrieved else None
        pipeline = assemble(settings, store, retriever)
        metrics = Metrics() if updates and settings.metrics_port else None

        def watch(event: Turn | Vote) -> None:
            log_event(event)
            if metrics:
                metrics.watch(event)

        def answer(batch: Sequence[Asked]) -> list[Turn | LookupError]:
            turns = pipeline.answer(batch)
            for turn in turns:
                if isinstance(turn, Turn):
                    watch(turn)
            return turns

        batcher = Batcher(answer, settings.max_batch, settings.turn_seconds)
        async with batcher, AsyncExitStack() as stack:
            if retriever:
                take_up = partial(take_up_pool, retriever, store, settings.pool_vectors, batcher)
                await stack.enter_async_context(watching(store.pool_state, take_up, state))
            if metrics and updates and settings.metrics_port:
                metrics.decided_by(pipeline.versions())
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
            )
