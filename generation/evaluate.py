"""Measuring generators on dialogs that were held back: `kith evaluate generator`.

Any causal language models, side by side: what unseen text costs them in bits per character, against a 5-gram model of
the train split, how their replies compare with what people said at the same places, whether they say who they are, and
whether they find likelier what people liked. Servers that speak OpenAI's protocol stand beside them with their replies:
they do not tell what a given text costs.
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from generation.data import MIXTURE, mix
from generation.generator import GptGenerator
from generation.identity import HumanClaim, identity
from generation.metrics import bits, ngram_bits, per_character, readings
from generation.ngram import KneserNey, fit
from generation.preferences import Judged, figures, held_judged, log_probabilities
from generation.prompt import as_chat, render
from generation.remote import RemoteGenerator
from generation.replies import Replies, answers, by_source, compare, places_to_answer
from generation.sampling import GeneratorError, Sampling
from storage.corpora import CorpusDialog, CorpusError, read_dialogs, read_preferences, read_ratings
from storage.estimates import RESAMPLES, Row, draws, measured, rows_against

ALL = "all sources"
NGRAM = "5-gram"


@dataclass(frozen=True, slots=True)
class GeneratorEvaluation:
    """What is measured, on what."""

    data: tuple[Path, ...]
    models: tuple[str, ...] = ("",)
    """Folders or hub ids, "" for the starter; an OpenAI-compatible server as URL#MODEL."""
    sampling: Sampling = field(default_factory=Sampling)
    """The bot's own, but for the number of candidates: one reply is drawn for a context."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the assistant is told about itself, by persona; under "" where a dialog names none."""
    most: int = 60
    """Dialogs of each source for the bits, at the most."""
    train: int = 0
    """Dialogs of the train split that the 5-gram model learns, at the most; 0 for all."""
    replies: int = 300
    """Contexts to answer; 0 leaves this part out."""
    identity: int = 0
    """How often each persona is asked each question who it is."""
    claims_human: HumanClaim | None = field(default=None, repr=False)
    """What sees in a reply that it claims to be human; without it nobody is asked."""
    votes: tuple[Path, ...] = ()
    """Rated replies, and"""
    preferences: tuple[Path, ...] = ()
    """preferences, to compare with what models find likely."""
    judged: int = 400
    """Votes, and preferences, at the most."""
    examples: int = 0
    """Dialogs of Kith's voice that models not trained here are shown."""
    remote_key: str = field(default="", repr=False)
    remote_timeout: float = 60.0
    lang: str = "en"
    seed: int = 0
    resamples: int = RESAMPLES


@dataclass(frozen=True, slots=True)
class Bits:
    """What held-back text costs."""

    dialogs: Mapping[str, int]
    """How many of each source were read."""
    rows: list[Row]
    """Bits per character by source; `against` is the difference to the 5-gram model's."""


@dataclass(frozen=True, slots=True)
class GeneratorFigures:
    """What came of it."""

    models: Mapping[str, str]
    """The version of each model."""
    bits: Bits
    replies: Replies | None
    seconds: Mapping[str, float]
    liked: list[Row] = field(default_factory=list)
    """Whether what people liked is likelier; `against` is the difference to the first model's."""
    identity: list[Row] = field(default_factory=list)
    """Whether they say who they are, and keep to it."""


def evaluate_generator(run: GeneratorEvaluation) -> GeneratorFigures:
    """Everything that a data set can say about generators. Models are loaded first, so that a wrong name costs no time.
    Raises GeneratorError, and CorpusError when the data is unreadable or has no held-back part."""
    models = load(run)
    local = {name: model for name, model in models.items() if isinstance(model, GptGenerator)}
    if not local:
        raise GeneratorError("Name at least one local model beside the servers: bits per character need one.")
    dialogs = [d for path in run.data for d in read_dialogs(path) if d.lang in ("", run.lang)]
    held = [dialog for dialog in dialogs if dialog.split == "valid"]
    if not held:
        raise CorpusError("No dialogs to measure on: none of the files has any of the valid split in this language.")
    judged = held_judged(
        [vote for path in run.votes for vote in read_ratings(path)],
        [pair for path in run.preferences for pair in read_preferences(path)],
        run.judged,
        run.seed,
    )
    train = mix((dialog for dialog in dialogs if dialog.split == "train"), MIXTURE, run.lang, run.seed)
    marks = [time.monotonic()]
    baseline = ngram(train[: run.train or None], next(iter(local.values()))) if train else None
    marks.append(time.monotonic())
    costs = bits_by_source(local, baseline, at_most(held, run.most, run.seed), run.seed, run.resamples)
    marks.append(time.monotonic())
    places = places_to_answer(held, run.replies, run.seed, run.facts)
    said = {name: answers(model, places, run.seed, name) for name, model in models.items()}
    replies = compare(places, said, run.seed, run.resamples)
    marks.append(time.monotonic())
    asked = who_they_are(models, run)
    marks.append(time.monotonic())
    liked = liking(local, judged, run) if judged else []
    marks.append(time.monotonic())
    parts = (NGRAM, "bits", "replies", "identity", "likes")
    seconds = dict(zip(parts, np.diff(marks).round(1).tolist(), strict=True))
    versions = {name: model.version for name, model in models.items()}
    return GeneratorFigures(versions, costs, replies, seconds, liked, asked)


def who_they_are(models: Mapping[str, GptGenerator | RemoteGenerator], run: GeneratorEvaluation) -> list[Row]:
    """Whether the models say who each persona is, and keep to it."""
    if run.claims_human is None:
        return []
    personas = {name: facts for name, facts in run.facts.items() if name}
    return identity(models, personas, run.claims_human, run.identity, run.seed, run.resamples)


def liking(models: Mapping[str, GptGenerator], judged: Judged, run: GeneratorEvaluation) -> list[Row]:
    """Whether what people liked is likelier to the models; implicit rewards are against the first of them."""
    persona = run.facts.get("", "")
    found = {
        name: log_probabilities(model.model, model.rendering, judged, persona, f"{name}: likes")
        for name, model in models.items()
    }
    first = next(iter(found))
    told = {name: figures(judged, own, found[first], run.seed, run.resamples) for name, own in found.items()}
    return rows_against(told, first)


def load(run: GeneratorEvaluation) -> dict[str, GptGenerator | RemoteGenerator]:
    """The models by what tables call them: their folder's name, or all of it where that is taken. Raises
    GeneratorError."""
    sampling = replace(run.sampling, candidates=1)
    found: dict[str, GptGenerator | RemoteGenerator] = {}
    for name in dict.fromkeys(run.models):
        url, _, served = name.partition("#")
        model: GptGenerator | RemoteGenerator
        if url.startswith(("http://", "https://")):
            if not served:
                raise GeneratorError(f"The server {url} needs the name of a model after it: {url}#MODEL.")
            model = RemoteGenerator(url, served, run.remote_key, sampling, run.remote_timeout, examples=run.examples)
        else:
            model = GptGenerator(name, sampling, run.examples)
            if not model.tokenizer.is_fast:
                raise GeneratorError(
                    f"The generator {name} cannot be measured: its tokenizer is none of the fast ones."
                )
        label = served or Path(name).name or "starter"
        found[name if label in found else label] = model
    return found


def at_most(dialogs: Sequence[CorpusDialog], count: int, seed: int) -> list[CorpusDialog]:
    """A sample of at most `count` dialogs of each source."""
    draw = random.Random(seed)
    return [d for found in by_source(dialogs).values() for d in draw.sample(found, min(count, len(found)))]


def ngram(dialogs: Sequence[CorpusDialog], model: GptGenerator) -> KneserNey:
    """A 5-gram model of dialogs as the model's tokens, markup and all. (Without role tokens it is hardly better: 1.428
    bits per character instead of 1.432 with the starter's tokenizer.)"""
    rows = [
        np.array(render(model.tokenizer, as_chat(dialog.messages), prompt=False).ids, np.uint32)
        for dialog in tqdm(dialogs, NGRAM, mininterval=2, disable=None)
    ]
    return fit(rows, len(model.tokenizer))


def bits_by_source(
    models: Mapping[str, GptGenerator],
    baseline: KneserNey | None,
    dialogs: Sequence[CorpusDialog],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Bits:
    """Bits per character of all models on the same messages: the first ones of each dialog, as many as every model can
    read. The 5-gram model is of the first model's tokens. Raises CorpusError when nothing can be read."""
    readers = [(model.tokenizer, model.room + model.sampling.max_new_tokens) for model in models.values()]
    read = [(dialog, found) for dialog in dialogs if (found := readings(readers, dialog.messages))]
    characters = np.array([float(found[0].characters) for _, found in read])
    if not characters.any():
        raise CorpusError("No held-back dialog begins with a text that all of the models can read.")
    costs = {
        name: bits(model.model, [found[number] for _, found in read], f"{name}: bits")
        for number, (name, model) in enumerate(models.items())
    }
    if baseline is not None:
        costs[NGRAM] = ngram_bits(baseline, [found[0] for _, found in read])
    columns = {name: np.stack([cost, characters], axis=1) for name, cost in costs.items()}
    groups = np.array([f"{dialog.source} {dialog.id}" for dialog, _ in read])
    sources = np.array([dialog.source for dialog, _ in read])
    parts = {source: np.flatnonzero((sources == source) & (characters > 0)) for source in sorted(set(sources))}
    parts = {source: chosen for source, chosen in parts.items() if len(chosen)}
    parts[ALL] = np.concatenate(list(parts.values()))
    drawn = {source: draws(groups[chosen].tolist(), seed, resamples) for source, chosen in parts.items()}
    figures = {
        name: {source: measured(own[chosen], drawn[source], per_character) for source, chosen in parts.items()}
        for name, own in columns.items()
    }
    return Bits({source: len(chosen) for source, chosen in parts.items()}, rows_against(figures, NGRAM))
