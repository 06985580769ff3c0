"""Measuring retriever and ranker on what they were not trained on: `kith evaluate ranking`, `kith evaluate pool`.

Response selection: which of 20 replies is the one that really came next, the 19 others being real replies of the same
source to other messages. Votes: does a higher score go with a thumb up. Pool: when is what retrieval finds of the right
situation.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import bm25s
import numpy as np
from numpy.typing import NDArray

from ranking.data import Position
from ranking.metrics import Estimate, Floats, auc, estimate, mean_reciprocal_rank, recall_at, true_ranks
from ranking.pool import normal
from ranking.ranker import CrossEncoderRanker
from ranking.retriever import Index, context_vectors, similarity
from ranking.vectors import Encoder
from storage.corpora import CorpusError, RatedReply
from storage.dialog import Candidate, Context

CANDIDATES = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: a model's figures by name."""

    model: str
    figures: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Question:
    """A context with 20 replies, the true one first."""

    place: Position
    replies: tuple[str, ...]


def questions(places: Sequence[Position], seed: int = 0) -> list[Question]:
    """One question a place; the wrong replies are drawn from its source and differ from the true one."""
    draw = random.Random(seed)
    by_source: dict[str, list[str]] = {}
    for place in places:
        by_source.setdefault(place.source, []).append(place.reply)
    made = []
    for place in places:
        others = [text for text in by_source[place.source] if normal(text) != normal(place.reply)]
        if len(others) >= CANDIDATES - 1:
            made.append(Question(place, (place.reply, *draw.sample(others, CANDIDATES - 1))))
    return made


def selection(asked: Sequence[Question], encoder: Encoder, ranker: CrossEncoderRanker) -> list[Row]:
    """R@1, R@5 and MRR of the baselines and of ours, on the same questions. Raises CorpusError without any."""
    if not asked:
        raise CorpusError("No response-selection questions: the data has no source with 20 held-back dialogs.")
    models: dict[str, Callable[[Sequence[Question]], Floats]] = {
        "chance": lambda items: np.random.default_rng(0).random((len(items), CANDIDATES)),
        "BM25": by_bm25,
        "plain MiniLM, last message": lambda items: by_encoder(items, encoder, 0),
        "retriever": lambda items: by_encoder(items, encoder, 1),
        "ranker, reply alone": lambda items: by_ranker(items, ranker, blind=True),
        "ranker": lambda items: by_ranker(items, ranker),
    }
    groups = [question.place.dialog_id for question in asked]
    rows = []
    for name, score in models.items():
        ranks = true_ranks(score(asked)).astype(np.float64)
        metrics = {"R@1": recall_at(1), "R@5": recall_at(5), "MRR": mean_reciprocal_rank}
        rows.append(Row(name, {key: estimate(ranks, groups, metric) for key, metric in metrics.items()}))
    return rows


def at_most(ratings: Sequence[RatedReply], count: int, seed: int = 0) -> list[RatedReply]:
    """A sample of at most `count` rated replies of each source."""
    draw = random.Random(seed)
    by_source: dict[str, list[RatedReply]] = {}
    for rating in ratings:
        by_source.setdefault(rating.source, []).append(rating)
    return [r for rated in by_source.values() for r in draw.sample(rated, min(count, len(rated)))]


def votes(ratings: Sequence[RatedReply], ranker: CrossEncoderRanker) -> list[Row]:
    """AUC by source, against the majority (which knows nothing: 0.5) and the reply's length. Raises CorpusError when
    there are none."""
    if not ratings:
        raise CorpusError("No rated replies of the held-back part were found.")
    pairs = [(Context(r.messages), [Candidate(r.reply, "vote", 0.0)]) for r in ratings]
    scores = {
        "majority": np.zeros(len(ratings)),
        "reply length": np.array([float(len(r.reply.split())) for r in ratings]),
        "ranker": np.array([row[0] for row in ranker.score(pairs)]),
    }
    labels = np.array([float(r.liked) for r in ratings])
    groups = np.array([r.dialog_id for r in ratings])
    sources = np.array([r.source for r in ratings])
    rows = []
    for name, values in scores.items():
        figures = {}
        for source in sorted(set(sources)):
            chosen = sources == source
            columns = np.stack([values[chosen], labels[chosen]], axis=1)
            figures[f"{source} ({chosen.sum()})"] = estimate(columns, groups[chosen].tolist(), auc)
        rows.append(Row(name, figures))
    return rows


def pool_precision(index: Index, encoder: Encoder) -> list[tuple[float, float, float]]:
    """For thresholds of similarity: the share of the pool's own contexts for which something is found at or over it,
    and the share of those for which it is of the right situation. Each context is asked with itself left out."""
    texts = list(dict.fromkeys(context for entry in index.entries for context in entry.contexts))
    owners = {text: {e.contexts for e in index.entries if text in e.contexts} for text in texts}
    asked = encoder.remembered(texts)
    best: list[tuple[float, bool]] = []
    for number, text in enumerate(texts):
        without = index.of != number
        part = Index(index.entries, index.keys, index.replies, index.contexts, index.owner[without], index.of[without])
        own = asked[number : number + 1]
        scores = similarity(part, own, own)[0]
        top = int(scores.argmax())
        best.append((float(scores[top]), index.entries[top].contexts in owners[text]))
    found = np.array(best)
    return [
        (float(t), float((found[:, 0] >= t).mean()), float(found[found[:, 0] >= t, 1].mean()))
        for t in np.arange(0.2, 0.8, 0.05)
        if (found[:, 0] >= t).any()
    ]


def by_bm25(asked: Sequence[Question]) -> Floats:
    """Okapi BM25 of the last message against each reply; word statistics from all replies at hand."""
    texts = list(dict.fromkeys(text for question in asked for text in question.replies))
    place = {text: number for number, text in enumerate(texts)}
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords=None, show_progress=False), show_progress=False)
    rows = []
    for question in asked:
        words = bm25s.tokenize([question.place.context.last], stopwords=None, return_ids=False, show_progress=False)[0]
        known = [word for word in words if word in index.vocab_dict]
        scores = index.get_scores(known) if known else np.zeros(len(texts))
        rows.append([float(scores[place[text]]) for text in question.replies])
    return np.array(rows)


def by_encoder(asked: Sequence[Question], encoder: Encoder, which: int) -> Floats:
    """Cosine of the context's vector, `which` of the two of `context_vectors`, to each reply's."""
    texts = list(dict.fromkeys(text for question in asked for text in question.replies))
    place = {text: number for number, text in enumerate(texts)}
    replies = encoder.encode(texts)
    contexts = context_vectors(encoder, [question.place.context for question in asked])[which]
    chosen: NDArray[np.intp] = np.array([[place[text] for text in question.replies] for question in asked])
    products: Floats = (contexts[:, None, :] * replies[chosen]).sum(axis=2, dtype=np.float64)
    return products


def by_ranker(asked: Sequence[Question], ranker: CrossEncoderRanker, blind: bool = False) -> Floats:
    """The ranker's score of each reply. `blind` hides the context: it must be near chance, else the test leaks."""
    nothing = Context(())
    return np.array(
        ranker.score(
            [
                (nothing if blind else q.place.context, [Candidate(text, "test", 0.0) for text in q.replies])
                for q in asked
            ]
        )
    )
