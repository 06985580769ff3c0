"""From settings to a pipeline: the only place that names the concrete parts and puts them together."""

import logging
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers.utils import logging as transformers_logging

from bot.help_lines import load_help_lines
from bot.moderation import Concern, Judge, Moderation
from bot.personas import known_persona, load_personas
from bot.pipeline import SLOW, Pipeline
from bot.protocols import DialogStore, Scorer, Source
from bot.rehearsal import TRIED, InMemory
from bot.settings import Settings
from bot.texts import fallback, load_texts
from bot.variants import load_variants
from generation.generator import GptGenerator
from generation.place import cores_for
from generation.sampling import Sampling
from ranking.danger import DangerSigns, load_readers
from ranking.encoders import load_encoder
from ranking.features import cheap_features, relevance, scorer
from ranking.limits import asks_who_writes, limit
from ranking.listener import Listener
from ranking.policy import ScoringPolicy, Weights, load_weights
from ranking.pool import curated, texts_of
from ranking.pool_files import keep, stored_lists, trim_pool, vector_files
from ranking.ranker import CrossEncoderRanker
from ranking.retriever import Retriever
from ranking.safety import guarded, safety_features
from ranking.taste import STARTER as TASTE
from ranking.taste import Taste, load_taste
from ranking.toxicity import HubToxicity, Toxicity, load_toxicity
from ranking.vectors import Encoder
from storage.dialog import Asked, Context, PoolEntry
from storage.store import SqlDialogStore

if TYPE_CHECKING:
    from generation.remote import RemoteGenerator

log = logging.getLogger(__name__)


def open_store(settings: Settings) -> SqlDialogStore:
    """The log, opened and up to date. Raises StoreError."""
    return SqlDialogStore(settings.database, settings.idle_hours, settings.context_messages)


def set_up_libraries(settings: Settings) -> None:
    """Before models are loaded: no talk of theirs on the screen, and as many threads as the settings say."""
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if settings.threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(settings.threads or os.cpu_count() or 1)


def set_seed(seed: int) -> None:
    """Makes what is drawn from here on the same each time: samples of generators, and which fallback is said."""
    torch.manual_seed(seed)
    random.seed(seed)


@dataclass(frozen=True, slots=True)
class Parts:
    """The models of a bot, loaded. What is None is switched off, or not there for this retriever."""

    settings: Settings
    """Those that name them."""
    encoder: Encoder
    retriever: Retriever | None
    generator: "GptGenerator | RemoteGenerator | None"
    ranker: CrossEncoderRanker
    taste: Taste | None
    toxicity: Toxicity | HubToxicity | None
    weights: Weights


class PartError(Exception):
    """A part that cannot be had. `kind` is the setting that names it, `error` what it raised."""

    def __init__(self, kind: str, error: Exception) -> None:
        super().__init__(str(error))
        self.kind, self.error = kind, error


def assemble(
    settings: Settings, store: SqlDialogStore, retriever: Retriever | None, seed: int | None = None
) -> Pipeline:
    """The pipeline with its models loaded; with a seed it draws the same each time. Raises UserError, or the error of
    the part that cannot be had."""
    try:
        return pipeline_of(load_parts(settings, retriever), store, seed)
    except PartError as failed:
        raise failed.error from failed.error.__cause__


def load_parts(settings: Settings, retriever: Retriever | None, before: Parts | None = None) -> Parts:
    """The models that the settings name. Those that they named `before` too, and that stand on the same retriever, are
    not loaded again. Raises PartError."""
    old = before if before and before.settings.retriever == settings.retriever else None
    with part("retriever"):
        encoder = retriever.encoder if retriever else old.encoder if old else load_encoder(settings.retriever)
        checked = settings.safety == "on"
        toxicity = (old.toxicity if old else load_toxicity_check(settings, encoder)) if checked else None
    with part("generator"):
        if before and before.settings.generator == settings.generator:
            generator = before.generator
        else:
            generator = load_generator(settings) if settings.candidates else None
    with part("ranker"):
        known = old.ranker if old and old.settings.ranker == settings.ranker else None
        ranker = known or CrossEncoderRanker(settings.ranker, encoder)
    with part("taste"):
        taste = old.taste if old and old.settings.taste == settings.taste else load_taste_for(settings, encoder)
    with part("policy"):
        weights = load_weights(settings.policy)
    return Parts(settings, encoder, retriever, generator, ranker, taste, toxicity, weights)


@contextmanager
def part(kind: str) -> Iterator[None]:
    """Says which part raised an error."""
    try:
        yield
    except Exception as error:  # of a folder that is broken the libraries raise all kinds
        raise PartError(kind, error) from error


def pipeline_of(parts: Parts, store: DialogStore, seed: int | None = None) -> Pipeline:
    """Parts put together; with a seed they draw the same each time. Raises UserError, and ModelError when the
    classifier of danger cannot be read."""
    settings = parts.settings
    personas = load_personas(settings.personas_dir)
    retriever = parts.retriever
    sources: dict[str, Source] = {}
    scorers: dict[str, Scorer] = {name: scorer(feature) for name, feature in cheap_features().items()}
    fixed: dict[str, str] = {}
    if retriever:
        sources["retrieval"] = retriever.propose
        sources["listening"] = Listener(retriever.encoder, seed).propose
        scorers["careless"], scorers["nearest"] = retriever.careless, retriever.nearest
    if parts.generator:
        sources["generation"], fixed["generation"] = parts.generator.propose, parts.generator.version
    scorers["relevance"], scorers["ranker"] = relevance(parts.encoder), parts.ranker.score
    fixed["ranker"] = parts.ranker.version
    if parts.taste:
        scorers["taste"], fixed["taste"] = parts.taste.score, parts.taste.version
    weights = parts.weights
    otherwise = fallback(load_texts())
    moderation = None
    if settings.safety == "on":
        danger = DangerSigns(load_readers())
        moderation = load_moderation(settings, danger)
        scorers |= safety_features(danger)
        fixed["danger"] = danger.version
        weights, otherwise = guarded(weights), moderation.fallback
    else:
        log.warning("KITH_SAFETY is off: nobody in danger is shown help, and replies are not checked for harm")
    if parts.toxicity:
        scorers["toxic"], fixed["toxicity"] = parts.toxicity.score, parts.toxicity.version
    policy = ScoringPolicy(weights, settings.exploration, seed)
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
        variant_of=load_variants(settings, weights, parts.encoder, load_generator),
        slow=SLOW,
        early=None if settings.exploration else settings.early,
        cores=cores_for,
    )


def warm_up(parts: Parts, pipeline: Pipeline) -> None:
    """A turn through all models that nobody asked for and nothing logs, so that the first reply takes no longer than
    the next. What is drawn later stays what it would have been: the policy is one of its own, and the listener, which
    has no model of its own, is left out. A server is not asked."""
    idle = {"listening", "generation"} if parts.settings.remote_url else {"listening"}
    sources = {name: source for name, source in pipeline.sources.items() if name not in idle}
    policy = ScoringPolicy(parts.weights)
    tried = replace(pipeline, store=InMemory(TRIED), sources=sources, policy=policy, variant_of=None)
    drawn = random.getstate()
    with torch.random.fork_rng():
        tried.answer([Asked(0, "", "")])
    random.setstate(drawn)


def taste_file(named: Path | None, retriever: str) -> Path | None:
    """The taste beside a retriever: the one that is named, or the shipped one, which knows the shipped retriever's
    vectors alone."""
    return named or (None if retriever else TASTE)


def load_moderation(settings: Settings, danger: DangerSigns) -> Moderation:
    """What must be answered with moderated words, and these. Raises UserError."""
    texts = load_texts()

    def last(said: Sequence[str]) -> Concern | None:
        found = danger.last_sign(said)
        return Concern(found.kind, found.acute, found.guessed) if found else None

    def concern(context: Context) -> Concern | None:
        found = last(context.said("user"))
        if found and not found.guessed:
            return found
        return Concern(kind) if (kind := limit(context)) else found

    judge = Judge(danger.read_ahead, concern, last, danger.lately, danger.doubtful, asks_who_writes)
    return Moderation(texts, load_help_lines(settings.help_lines), judge, fallback(texts))


def in_danger() -> Callable[[str], bool]:
    """Tells a message that is a sign of danger, by its words alone, also where KITH_SAFETY is off."""
    danger = DangerSigns()
    return lambda text: danger.sign(text) is not None


def load_taste_for(settings: Settings, encoder: Encoder) -> Taste | None:
    """The taste that the settings name, if there is one (`taste_file`). Raises ModelError."""
    file = taste_file(settings.taste, settings.retriever)
    return load_taste(file, encoder) if file else None


def load_toxicity_check(settings: Settings, encoder: Encoder) -> Toxicity | HubToxicity:
    """Who tells replies that are unfit: the classifier that the settings name, or our own. Raises ModelError."""
    if settings.safety_model:
        return HubToxicity(settings.safety_model)
    return load_toxicity(encoder, settings.data_dir / "toxicity.safetensors")


def load_retriever(settings: Settings, store: SqlDialogStore) -> Retriever:
    """The retriever over curated, liked and imported replies. What is not shipped of its vectors is kept in the data
    folder, so that only the first start with a new model or pool has to make it, and leaves it with the texts."""
    encoder = load_encoder(settings.retriever, vector_files(settings.pool_vectors))
    lists = stored_lists(settings.pool_vectors, encoder.version)
    danger = DangerSigns(load_readers())
    retriever = Retriever(read_pool(store), encoder, settings.retrieved, lists=lists, danger=danger)
    keep(retriever.index, encoder, settings.pool_vectors)
    return retriever


def trim_vectors(settings: Settings, store: SqlDialogStore) -> None:
    """Takes out of the data folder the vectors of texts that are no longer in the pool."""
    trim_pool(settings.pool_vectors, texts_of(read_pool(store)))


def read_pool(store: SqlDialogStore) -> list[PoolEntry]:
    """All that retrieval may say, as it is now."""
    return [*curated(), *store.pool_entries()]


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
