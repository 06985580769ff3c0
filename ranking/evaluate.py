"""Measuring retriever and ranker on what they were not trained on: `kith evaluate ranking`, `kith evaluate pool`.

Response selection (selection.py), echo (echo.py) and votes (rated.py) on the held-back part of dialogs and ratings; and
the pool: when is what retrieval finds of the right situation.
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

from ranking.baselines import PlainMiniLM, by_bm25, by_chance, by_tfidf, last_message, whole_context
from ranking.echo import Echo, echo
from ranking.encoders import load_encoder
from ranking.pool import kept_out
from ranking.pool_index import Index
from ranking.ranker import CrossEncoderRanker
from ranking.rated import Rated, at_most, votes
from ranking.selection import Scores, Selected, by_encoder, by_ranker, places_to_ask, questions, selection
from ranking.similarity import Search
from ranking.taste import Taste, load_taste
from ranking.vectors import Encoder
from storage.corpora import read_dialogs, read_ratings
from storage.dialog import Context, Message
from storage.estimates import RESAMPLES, Floats, Row, draws, interval

BASELINE = "plain MiniLM, context"
"""What R@1 is compared with."""

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
    dialogs = [d for path in run.dialogs for d in read_dialogs(path) if d.split == "valid"]
    ratings = [r for path in run.votes for r in read_ratings(path)]
    asked = questions(places_to_ask(dialogs, run.positions, run.seed), run.seed)
    rated = at_most([r for r in ratings if r.split == "valid"], run.most_votes, run.seed)
    train = [r for r in ratings if r.split == "train"]
    drawing = run.seed, run.resamples
    marks = [time.monotonic()]
    selected = selection(asked, contestants(minilm, encoders, rankers, run.seed), BASELINE, *drawing)
    marks.append(time.monotonic())
    echoed = echo(asked, minilm, encoders, *drawing)
    marks.append(time.monotonic())
    judged = votes(train, rated, rankers, taste, *drawing)
    marks.append(time.monotonic())
    tastes: Mapping[str, Taste] = {"taste": taste} if taste else {}
    versions = {name: model.version for models in (encoders, rankers, tastes) for name, model in models.items()}
    seconds = dict(zip(("selection", "echo", "votes"), np.diff(marks).round(1).tolist(), strict=True))
    return RankingFigures(versions, selected, echoed, judged, seconds)


def contestants(
    minilm: PlainMiniLM, encoders: Mapping[str, Encoder], rankers: Mapping[str, CrossEncoderRanker], seed: int
) -> dict[str, Scores]:
    """What is asked to find the true reply, baselines first, then ours."""
    first = next(iter(rankers.values()))
    return {
        "chance": partial(by_chance, seed=seed),
        "ranker, reply alone": partial(by_ranker, ranker=first, blind=True),
        "BM25, last message": partial(by_bm25, query=last_message),
        "BM25, context": partial(by_bm25, query=whole_context),
        "TF-IDF, context": by_tfidf,
        "plain MiniLM, last message": partial(minilm.score, query=last_message),
        BASELINE: partial(minilm.score, query=whole_context),
        **{name: partial(by_encoder, encoder=encoder) for name, encoder in encoders.items()},
        **{name: partial(by_ranker, ranker=ranker) for name, ranker in rankers.items()},
    }


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
