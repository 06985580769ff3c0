"""Measuring retriever and ranker on what they were not trained on: `kith evaluate ranking`, `kith evaluate pool`.

Response selection and retrieval (selection.py), echo (echo.py) and votes (rated.py) on the held-back part of dialogs
and ratings; and the pool: when is what retrieval finds of the right situation.
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ranking.baselines import PlainMiniLM, by_bm25, by_chance, by_reply_alone, by_tfidf, last_message, whole_context
from ranking.cross_encoder import CrossEncoder
from ranking.echo import Echo, echo
from ranking.encoders import load_encoder
from ranking.pool import kept_out
from ranking.pool_index import Index
from ranking.ranker import CrossEncoderRanker
from ranking.rated import Rated, at_most, votes
from ranking.selection import (
    Question,
    Retrieved,
    Scores,
    Selected,
    by_encoder,
    by_ranker,
    places_to_ask,
    questions,
    retrieval,
    selection,
)
from ranking.similarity import Search
from ranking.taste import Taste, load_taste
from ranking.vectors import Encoder
from storage.corpora import read_dialogs, read_ratings
from storage.dialog import Context, Message
from storage.estimates import RESAMPLES, Floats, Row, draws, interval

BASELINE = "plain MiniLM, last message"
"""What R@1 is compared with: the strongest that was not trained for it, here above what the whole context gives."""

EXPECTS, LIKES = "what it expects", "P(like)"
"""The two numbers of a ranker of ours: how near a reply is to what the small network inside it expects, a cosine on the
retriever's vectors; and the log-odds of a 👍 by one's own people, for which its BERT reads each reply behind the
context, with that cosine as one more input."""

THRESHOLDS = np.linspace(0.2, 0.75, 12)


@dataclass(frozen=True, slots=True)
class RankingEvaluation:
    """What is measured, on what."""

    dialogs: tuple[Path, ...]
    votes: tuple[Path, ...]
    retrievers: tuple[str, ...] = ("",)
    """Folders or hub ids, "" for the shipped one; several are measured side by side."""
    rankers: tuple[str, ...] = ("",)
    """The same of rankers; each is given the relevance of the first retriever."""
    taste: Path | None = None
    """A file of `kith train taste` that learnt from the first retriever's vectors; None: none is measured."""
    positions: int = 400
    """Questions of each source at the most."""
    most_votes: int = 1500
    """Rated replies of each source at the most."""
    pool: int = 0
    """Contexts of the pool that are asked, at the most; 0 for all."""
    seed: int = 0
    resamples: int = RESAMPLES


@dataclass(frozen=True, slots=True)
class RankingFigures:
    """What came of it."""

    models: Mapping[str, str]
    """The version of each model."""
    selection: list[Selected]
    retrieval: Retrieved
    echo: Echo
    votes: list[Rated]
    seconds: Mapping[str, float]


def evaluate_ranking(run: RankingEvaluation) -> RankingFigures:
    """Everything that a data set can say about retriever and ranker. Models are loaded first, so that a wrong name
    costs no time. Raises ModelError, and CorpusError when the data is unreadable or has no held-back part."""
    encoders = dict(zip(labels("retriever", run.retrievers), map(load_encoder, run.retrievers), strict=True))
    first = next(iter(encoders.values()))
    rankers = {
        label: CrossEncoderRanker(name, first)
        for label, name in zip(labels("ranker", run.rankers), run.rankers, strict=True)
    }
    taste = load_taste(run.taste, first) if run.taste else None
    minilm = PlainMiniLM()
    asked, taught = questions_of(run)
    ratings = [r for path in run.votes for r in read_ratings(path)]
    rated = at_most([r for r in ratings if r.split == "valid"], run.most_votes, run.seed)
    train = [r for r in ratings if r.split == "train"]
    drawing = run.seed, run.resamples
    marks = [time.monotonic()]
    named = next(iter(encoders))
    models = contestants(minilm, encoders, rankers, taught, run.seed)
    selected = selection(asked, models, {"R@1": BASELINE, f"R@1 less {named}": named}, *drawing)
    marks.append(time.monotonic())
    retrieved = retrieval(asked, {name: models[name] for name in (BASELINE, *encoders)}, BASELINE, *drawing)
    marks.append(time.monotonic())
    echoed = echo(asked, minilm, encoders, *drawing)
    marks.append(time.monotonic())
    judged = votes(train, rated, rankers, taste, *drawing)
    marks.append(time.monotonic())
    tastes: Mapping[str, Taste] = {"taste": taste} if taste else {}
    versions = {name: model.version for models in (encoders, rankers, tastes) for name, model in models.items()}
    seconds = dict(zip(("selection", "retrieval", "echo", "votes"), np.diff(marks).round(1).tolist(), strict=True))
    return RankingFigures(versions, selected, retrieved, echoed, judged, seconds)


def questions_of(run: RankingEvaluation) -> tuple[list[Question], list[Question]]:
    """Questions of the held-back part, and as many of the train split for what has to learn first. Raises
    CorpusError."""
    dialogs = [d for path in run.dialogs for d in read_dialogs(path)]
    asked, taught = (
        questions(places_to_ask([d for d in dialogs if d.split == split], run.positions, run.seed), run.seed)
        for split in ("valid", "train")
    )
    return asked, taught


def contestants(
    minilm: PlainMiniLM,
    encoders: Mapping[str, Encoder],
    rankers: Mapping[str, CrossEncoderRanker],
    taught: Sequence[Question],
    seed: int,
) -> dict[str, Scores]:
    """What is asked to find the true reply, baselines first, then ours. `taught`: questions of the train split, for
    what sees replies alone, which is left out where there are none."""
    alone = partial(by_reply_alone, taught=taught, encoder=next(iter(encoders.values())))
    return {
        "chance": partial(by_chance, seed=seed),
        **({"reply alone": alone} if taught else {}),
        "BM25, last message": partial(by_bm25, query=last_message),
        "BM25, context": partial(by_bm25, query=whole_context),
        "TF-IDF, context": by_tfidf,
        "plain MiniLM, context": partial(minilm.score, query=whole_context),
        BASELINE: partial(minilm.score, query=last_message),
        **{name: partial(by_encoder, encoder=encoder) for name, encoder in encoders.items()},
        **{row: scores for name, ranker in rankers.items() for row, scores in numbers_of(name, ranker).items()},
    }


def numbers_of(name: str, ranker: CrossEncoderRanker) -> dict[str, Scores]:
    """What a ranker says of replies, by row: both numbers of one of ours, the one that a cross-encoder of another kind
    has."""
    if not isinstance(ranker.model, CrossEncoder):
        return {name: partial(by_ranker, score=ranker.score, name=name)}
    numbers = {f"{name}, {EXPECTS}": ranker.choose, f"{name}, {LIKES}": ranker.score}
    return {row: partial(by_ranker, score=score, name=row) for row, score in numbers.items()}


def labels(kind: str, names: Sequence[str]) -> list[str]:
    """What models are called in tables: by their kind, and by their names where there are several."""
    return [kind] if len(names) == 1 else [f"{kind} {name or 'shipped'}" for name in names]


def pool_precision(
    index: Index, encoder: Encoder, seed: int = 0, resamples: int = RESAMPLES, most: int = 0
) -> list[Row]:
    """For thresholds of similarity: the share of the pool's own contexts for which something is found at or over it,
    and the share of those for which it is of the right situation. Asked are the contexts that are never
    trained on, `most` of them where that is not 0, each with itself left out; intervals by bootstrap over
    situations."""
    place = {text: number for number, text in enumerate(index.texts)}
    texts = [text for text in index.texts if kept_out(text)] or list(index.texts)
    if most:
        texts = random.Random(seed).sample(texts, min(most, len(texts)))
    owners: dict[str, list[tuple[str, ...]]] = {}
    for entry in index.entries:
        for text in entry.contexts:
            owners.setdefault(text, []).append(entry.contexts)
    best = []
    for text in tqdm(texts, desc="pool", disable=None):
        search = Search(index, encoder, [Context((Message("user", text),))], left_out=place[text])
        entries, scores = search.everything(0)
        top = int(scores.argmax())
        best.append((float(scores[top]), float(index.entries[entries[top]].contexts in owners[text])))
    found = np.array(best)
    drawn = draws([str(owners[text][0]) for text in texts], seed, resamples)
    return [_at_threshold(float(t), found, drawn) for t in THRESHOLDS if (found[:, 0] >= t).any()]


def _at_threshold(threshold: float, found: Floats, drawn: Sequence[NDArray[np.intp]]) -> Row:
    over = found[:, 0] >= threshold
    right = np.where(over, found[:, 1], np.nan)
    shares = {"found": over.astype(np.float64), "of the right situation": right}
    figures = {
        name: interval(float(np.nanmean(values)), [float(np.nanmean(values[chosen])) for chosen in drawn])
        for name, values in shares.items()
    }
    return Row(f"{threshold:.2f}", figures)
