"""Measuring generators on dialogs that were held back: `kith evaluate generator`.

Any causal language models, side by side: what unseen text costs them in bits per character, against a 5-gram model of
the train split, and how their replies compare with what people said at the same places.
"""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, pairwise, zip_longest
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from generation.data import FIXED_SIDES, MIXTURE, mix, swap_sides
from generation.generator import GeneratorError, GptGenerator
from generation.metrics import (
    bits,
    copies_user,
    distinct,
    ngram_bits,
    per_character,
    readings,
    repeats_earlier,
    repeats_itself,
    word_ngrams,
)
from generation.ngram import KneserNey, fit
from generation.prompt import as_chat, render
from generation.sampling import Sampling
from storage.corpora import CorpusDialog, CorpusError, read_dialogs
from storage.dialog import Context
from storage.estimates import RESAMPLES, Estimate, Floats, Row, draws, interval

ALL = "all sources"
NGRAM = "5-gram"
PEOPLE = "people"

FAULTS = {"copies user": copies_user, "repeats earlier": repeats_earlier, "repeats itself": repeats_itself}

NONE = Estimate(math.nan, math.nan, math.nan)
"""Where there is no figure."""

TERSE = 0.5
"""Share of people's words under which a model says too little for distinct-n: so few words would decide for all."""

BATCH = 16
"""Contexts that are answered at once."""


@dataclass(frozen=True, slots=True)
class GeneratorEvaluation:
    """What is measured, on what."""

    data: tuple[Path, ...]
    models: tuple[str, ...] = ("",)
    """Folders or hub ids, "" for the starter."""
    sampling: Sampling = field(default_factory=Sampling)
    """The bot's own, but for the number of candidates: one reply is drawn for a context."""
    facts: Mapping[str, str] = field(default_factory=dict)
    """What the assistant is told about itself, by persona; under "" where a dialog names none."""
    most: int = 60
    """Dialogs of each source for the bits, at the most."""
    replies: int = 300
    """Contexts to answer; 0 leaves this part out."""
    lang: str = "en"
    seed: int = 0
    resamples: int = RESAMPLES


Measured: TypeAlias = Mapping[str, tuple[float, Floats]]
"""Figures by name, each with what it is in the resamples, the same ones for all models."""


@dataclass(frozen=True, slots=True)
class Bits:
    """What held-back text costs."""

    dialogs: Mapping[str, int]
    """How many of each source were read."""
    rows: list[Row]
    """Bits per character by source; `against` is the difference to the 5-gram model's."""


@dataclass(frozen=True, slots=True)
class Replies:
    """What is said at held-back places."""

    contexts: int
    words: int
    """How many words of each row distinct-1, -2 and -3 are counted in; a row that has fewer has none of them."""
    rows: list[Row]
    """People first; `against` is the difference to people's."""


@dataclass(frozen=True, slots=True)
class GeneratorFigures:
    """What came of it."""

    models: Mapping[str, str]
    """The version of each model."""
    bits: Bits
    replies: Replies | None
    seconds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reply is asked for, with the one that was given."""

    context: Context
    reply: str
    dialog: str


@dataclass(frozen=True, slots=True)
class Said:
    """A reply; its text is "" when there was nothing to show."""

    text: str
    finished: bool = True
    """Whether it came to its end before the tokens ran out."""


def evaluate_generator(run: GeneratorEvaluation) -> GeneratorFigures:
    """Everything that a data set can say about generators. Models are loaded first, so that a wrong name costs no time.
    Raises GeneratorError, and CorpusError when the data is unreadable or has no held-back part."""
    models = load(run.models, run.sampling)
    dialogs = [d for path in run.data for d in read_dialogs(path) if d.lang in ("", run.lang)]
    held = [dialog for dialog in dialogs if dialog.split == "valid"]
    if not held:
        raise CorpusError("No dialogs to measure on: none of the files has any of the valid split in this language.")
    train = mix((dialog for dialog in dialogs if dialog.split == "train"), MIXTURE, run.lang, run.seed)
    marks = [time.monotonic()]
    baseline = ngram(train, next(iter(models.values()))) if train else None
    marks.append(time.monotonic())
    costs = bits_by_source(models, baseline, at_most(held, run.most, run.seed), run.seed, run.resamples)
    marks.append(time.monotonic())
    places = places_to_answer(held, run.replies, run.seed, run.facts)
    said = {name: answers(model, places, run.seed, name) for name, model in models.items()}
    replies = compare(places, said, run.seed, run.resamples)
    marks.append(time.monotonic())
    seconds = dict(zip((NGRAM, "bits", "replies"), np.diff(marks).round(1).tolist(), strict=True))
    return GeneratorFigures({name: model.version for name, model in models.items()}, costs, replies, seconds)


def load(names: Sequence[str], sampling: Sampling) -> dict[str, GptGenerator]:
    """The models by what tables call them: their folder's name, or all of it where that is taken. Raises
    GeneratorError."""
    found: dict[str, GptGenerator] = {}
    for name in dict.fromkeys(names):
        model = GptGenerator(name, replace(sampling, candidates=1))
        if not model.tokenizer.is_fast:
            raise GeneratorError(f"The generator {name} cannot be measured: its tokenizer is none of the fast ones.")
        label = Path(name).name if name else "starter"
        found[name if label in found else label] = model
    return found


def by_source(dialogs: Sequence[CorpusDialog]) -> dict[str, list[CorpusDialog]]:
    """The dialogs of each source, in the order of their names."""
    found: dict[str, list[CorpusDialog]] = {source: [] for source in sorted({d.source for d in dialogs})}
    for dialog in dialogs:
        found[dialog.source].append(dialog)
    return found


def at_most(dialogs: Sequence[CorpusDialog], count: int, seed: int) -> list[CorpusDialog]:
    """A sample of at most `count` dialogs of each source."""
    draw = random.Random(seed)
    return [d for found in by_source(dialogs).values() for d in draw.sample(found, min(count, len(found)))]


def rows_against(measured: Mapping[str, Measured], baseline: str) -> list[Row]:
    """A row a model; those of others than the baseline with their differences to it, if it is there."""
    rows = []
    for name, figures in measured.items():
        other = measured.get(baseline, {}) if name != baseline else {}
        gaps = {key: (figures[key][0] - value, figures[key][1] - drawn) for key, (value, drawn) in other.items()}
        shown, against = (
            {
                key: interval(value, drawn.tolist()) if math.isfinite(value) else NONE
                for key, (value, drawn) in part.items()
            }
            for part in (figures, gaps)
        )
        rows.append(Row(name, shown, against))
    return rows


# Bits


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
    measured = {
        name: {source: _measured(own[chosen], drawn[source], per_character) for source, chosen in parts.items()}
        for name, own in columns.items()
    }
    return Bits({source: len(chosen) for source, chosen in parts.items()}, rows_against(measured, NGRAM))


# Replies


def places_to_answer(dialogs: Sequence[CorpusDialog], count: int, seed: int, facts: Mapping[str, str]) -> list[Place]:
    """At most `count` places, one a dialog, sources by turns. Who replies is the assistant, in a dialog of two people
    either of them; it is told its own facts, or those that `facts` has for its persona."""
    draw = random.Random(seed)
    shuffled = [draw.sample(found, len(found)) for found in by_source(dialogs).values()]
    places = (_place(d, draw, facts) for d in chain.from_iterable(zip_longest(*shuffled)) if d is not None)
    return list(islice((place for place in places if place is not None), count))


def _place(dialog: CorpusDialog, draw: random.Random, facts: Mapping[str, str]) -> Place | None:
    either = dialog.source not in FIXED_SIDES
    spots = [
        number
        for number, (before, reply) in enumerate(pairwise(dialog.messages), 1)
        if before.role != reply.role and reply.text.strip() and (either or reply.role == "assistant")
    ]
    if not spots:
        return None
    spot = draw.choice(spots)
    seen = dialog if dialog.messages[spot].role == "assistant" else swap_sides(dialog)
    persona = " ".join(seen.personas[1]) or facts.get(seen.persona, "")
    return Place(Context(seen.messages[:spot], persona), seen.messages[spot].text, f"{seen.source} {seen.id}")


def answers(model: GptGenerator, places: Sequence[Place], seed: int, title: str) -> list[Said]:
    """One sample at each place. Contexts of like length are answered together, the longest first."""
    torch.manual_seed(seed)
    order = sorted(range(len(places)), key=lambda p: -sum(len(m.text) for m in places[p].context.messages))
    said: dict[int, Said] = {}
    with tqdm(total=len(places), desc=f"{title}: replies", mininterval=2, disable=None) as bar:
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            for place, (sample,) in zip(chosen, model.sample([places[p].context for p in chosen]), strict=True):
                said[place] = Said(sample.text, sample.finished)
            bar.update(len(chosen))
    return [said[place] for place in range(len(places))]


def compare(
    places: Sequence[Place], said: Mapping[str, Sequence[Said]], seed: int = 0, resamples: int = RESAMPLES
) -> Replies | None:
    """The figures of what each model said, after those of people. None without places."""
    if not places:
        return None
    replies = {PEOPLE: [Said(place.reply) for place in places], **said}
    drawn = draws([place.dialog for place in places], seed, resamples)
    distinct_n, words = distinct_in_halves({n: [s.text for s in own] for n, own in replies.items()}, seed, resamples)
    measured = {
        name: {
            **{f"distinct-{n}": (float(part.mean()), part) for n, part in enumerate(distinct_n[name].T, 1)},
            **{key: _measured(own, drawn, _mean) for key, own in reply_columns(places, replies[name]).items()},
        }
        for name in replies
    }
    return Replies(len(places), words, rows_against(measured, PEOPLE))


def reply_columns(places: Sequence[Place], said: Sequence[Said]) -> dict[str, Floats]:
    """What is averaged over replies, each of shape (places,): words, and what is 1 for a fault and 0 without."""
    return {
        "words": np.array([float(len(s.text.split())) for s in said]),
        "empty": np.array([float(not s.text) for s in said]),
        "cut off": np.array([float(not s.finished) for s in said]),
        **{
            fault: np.array([float(judge(p.context, s.text)) for p, s in zip(places, said, strict=True)])
            for fault, judge in FAULTS.items()
        },
    }


def distinct_in_halves(
    texts: Mapping[str, Sequence[str]], seed: int = 0, resamples: int = RESAMPLES
) -> tuple[dict[str, Floats], int]:
    """Distinct-1, -2 and -3 in random halves of the replies, shape (resamples, 3), and in how many words they are
    counted. Halves and words are the same for all: what the tersest says, of those who say at least TERSE as much as
    people; who says less has no figures (nan).

    A bootstrap draws replies twice, which is less distinct than any sample: for 150 samples of 300 replies out of
    self_dialogue its interval of distinct-2 never held the true figure. Over halves without replacement a figure varies
    as that of the whole does over samples (the delete-half jackknife; Shao and Wu 1989, "A general theory for jackknife
    variance estimation"), and more where words are cut: with a third of them cut, all 150 intervals held it."""
    numbers = {name: word_ngrams(found) for name, found in texts.items()}
    count = len(next(iter(texts.values())))
    draw = np.random.default_rng(seed)
    halves = [draw.permutation(count)[: (count + 1) // 2] for _ in range(resamples)]
    lengths = {name: np.array([found.shape[1] for found in rows]) for name, rows in numbers.items()}
    spoken = {name: min(int(length[half].sum()) for half in halves) for name, length in lengths.items()}
    words = max(1, min(count for count in spoken.values() if count >= TERSE * spoken[PEOPLE]))
    found = {
        name: np.array([distinct([rows[place] for place in half], words) for half in halves])
        for name, rows in numbers.items()
    }
    return {
        name: values if spoken[name] >= words else np.full_like(values, np.nan) for name, values in found.items()
    }, words


def _measured(
    items: Floats, drawn: Sequence[NDArray[np.intp]], metric: Callable[[Floats], float]
) -> tuple[float, Floats]:
    return metric(items), np.array([metric(items[chosen]) for chosen in drawn])


def _mean(values: Floats) -> float:
    return float(values.mean())
