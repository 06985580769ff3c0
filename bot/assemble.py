"""From settings to a bot: the only place that names the concrete parts and puts them together."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import torch
from transformers.utils import logging as transformers_logging

from bot.batching import Batcher
from bot.conversation import Conversation
from bot.personas import known_persona, load_personas
from bot.pipeline import Pipeline
from bot.protocols import Scorer, Source
from bot.settings import Settings
from bot.texts import fallback, load_texts
from generation.generator import GptGenerator
from generation.sampling import Sampling
from ranking.features import cheap_features, scorer
from ranking.policy import ScoringPolicy, load_weights
from ranking.pool import curated
from ranking.ranker import CrossEncoderRanker
from ranking.retriever import Retriever, load_encoder
from storage.store import SqlDialogStore

if TYPE_CHECKING:
    from generation.remote import RemoteGenerator


def open_store(settings: Settings) -> SqlDialogStore:
    """The log, opened and up to date. Raises StoreError."""
    return SqlDialogStore(settings.database, settings.idle_hours, settings.context_messages)


def assemble(settings: Settings, store: SqlDialogStore) -> Pipeline:
    """The pipeline with its models loaded. Raises UserError, or the error of the part that cannot be had."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(settings.threads if settings.threads else max(1, os.cpu_count() or 1))
    personas = load_personas(settings.personas_dir)
    sources: dict[str, Source] = {}
    scorers: dict[str, Scorer] = {name: scorer(feature) for name, feature in cheap_features().items()}
    versions: dict[str, str] = {}
    if settings.retrieved:
        retriever = load_retriever(settings, store)
        sources["retrieval"], versions["retrieval"] = retriever.propose, retriever.version
        scorers["relevance"] = retriever.relevance
    if settings.candidates:
        generator = load_generator(settings)
        sources["generation"], versions["generation"] = generator.propose, generator.version
    ranker = CrossEncoderRanker(settings.ranker)
    scorers["ranker"], versions["ranker"] = ranker.score, ranker.version
    policy = ScoringPolicy(load_weights(settings.policy), settings.exploration)
    versions["policy"] = policy.version
    return Pipeline(
        store=store,
        sources=sources,
        scorers=scorers,
        policy=policy,
        fallback=fallback(load_texts()),
        personas={name: persona.system for name, persona in personas.items()},
        default_persona=known_persona(personas, settings.persona),
        versions=versions,
    )


def load_retriever(settings: Settings, store: SqlDialogStore) -> Retriever:
    """The retriever over curated, liked and imported replies. Vectors that are not shipped are kept in the data folder,
    so that only the first start with a new model or pool has to make them."""
    cache = settings.data_dir / "pool.safetensors"
    encoder = load_encoder(settings.retriever, (cache,))
    known = len(encoder.known)
    entries = [*curated(), *store.pool_entries()]
    retriever = Retriever(entries, encoder, settings.retrieved)
    if len(encoder.known) > known:
        texts = {text for entry in entries for text in (entry.reply, *entry.contexts)}
        encoder.save(cache, sorted(texts))
    return retriever


def load_generator(settings: Settings) -> "GptGenerator | RemoteGenerator":
    """The server's model when one is named, else a local one. The client's library takes 1.5 s to import, so only those
    who use it wait for it."""
    sampling = Sampling(settings.candidates, settings.max_new_tokens, settings.sampling_temperature, settings.top_p)
    if settings.remote_url is None:
        return GptGenerator(settings.generator, sampling)
    from generation.remote import RemoteGenerator

    key = settings.remote_key.get_secret_value() if settings.remote_key else ""
    return RemoteGenerator(settings.remote_url, settings.remote_model, key, sampling, settings.remote_timeout)


@asynccontextmanager
async def open_bot(settings: Settings) -> AsyncIterator[Conversation]:
    """A bot ready to talk, for a front end; all is closed at the end."""
    with open_store(settings) as store:
        pipeline = assemble(settings, store)
        async with Batcher(pipeline.answer, settings.max_batch) as batcher:
            personas = load_personas(settings.personas_dir)
            yield Conversation(store, batcher.answer, load_texts(), personas, settings.persona)
