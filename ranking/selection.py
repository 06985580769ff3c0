"""Response selection: which of 20 replies is the one that really came next, the 19 others being real replies out of
other held-back dialogs of the same source. Contexts have up to 8 messages.

And retrieval: where the true reply stands among those of all questions, when the last message is all that is known.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ranking.data import SELECTION_SHARE, Position, positions
from ranking.metrics import mean_reciprocal_rank, recall_at, true_ranks
from ranking.pool import normal
from ranking.ranker import Asked
from ranking.vectors import Encoder
from storage.corpora import CorpusDialog, CorpusError
from storage.dialog import Candidate, Context
from storage.estimates import RESAMPLES, Floats, Row, draws, interval, mean, measured, rows_against

CANDIDATES = 20
FIGURES = {"R@1": recall_at(1), "R@2": recall_at(2), "R@5": recall_at(5), "MRR": mean_reciprocal_rank}
ALL = "all sources"

PART = 256
"""Texts or pairs that a model reads between two steps of the progress bar."""


@dataclass(frozen=True, slots=True)
class Question:
    """A context with 20 replies, or as many as there are, the true one first."""

    place: Position
    replies: tuple[str, ...]


Scores: TypeAlias = Callable[[Sequence[Question]], Floats]
"""A model: questions to the scores of their replies, shape (questions, replies), higher is better."""


@dataclass(frozen=True, slots=True)
class Selected:
    """How often each model finds the true reply, on the questions of one source or of all."""

    source: str
    questions: int
    dialogs: int
    rows: list[Row]
    curves: Mapping[str, tuple[float, ...]]
    """R@k by model, for k = 1 to CANDIDATES."""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """How early each model finds the true reply among those of all questions."""

    contexts: int
    replies: int
    rows: list[Row]


def places_to_ask(dialogs: Sequence[CorpusDialog], most: int, seed: int = 0) -> list[Position]:
    """At most `most` places of each source of English chit-chat, spread over its dialogs."""
    by_source: dict[str, list[CorpusDialog]] = {}
    for dialog in dialogs:
        by_source.setdefault(dialog.source, []).append(dialog)
    found = (positions(by_source[source], most, seed, shares=SELECTION_SHARE) for source in sorted(by_source))
    return [place for places in found for place in dict.fromkeys(places)]


def questions(places: Sequence[Position], seed: int = 0) -> list[Question]:
    """One question a place. The wrong replies come from other dialogs of its source and differ from the true one and
    from each other; a source with fewer than 20 dialogs has none."""
    draw = random.Random(seed)
    by_source: dict[str, list[Position]] = {}
    for place in places:
        by_source.setdefault(place.source, []).append(place)
    usable = {source for source, found in by_source.items() if len({p.dialog_id for p in found}) >= CANDIDATES}
    made = []
    for place in places:
        if place.source in usable:
            wrong = _wrong_replies(place, by_source[place.source], draw)
            if len(wrong) == CANDIDATES - 1:
                made.append(Question(place, (place.reply, *wrong)))
    return made


def selection(
    asked: Sequence[Question],
    models: Mapping[str, Scores],
    baselines: Mapping[str, str],
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Selected]:
    """R@1, R@2, R@5 and MRR of each model on the same questions, over all and by source, and how much its R@1 differs
    from those of `baselines`: models by what the difference is called, the first of which is the baseline and has none
    itself. Raises CorpusError without questions."""
    if not asked:
        raise CorpusError("No response-selection questions: the data has no source with 20 held-back dialogs.")
    ranks = {name: true_ranks(score(asked)).astype(np.float64) for name, score in models.items()}
    of = np.array([question.place.source for question in asked])
    parts = [(ALL, np.full(len(asked), True))] if len(set(of)) > 1 else []
    parts += [(source, of == source) for source in sorted(set(of))]
    return [
        _selected(
            source,
            [question.place.dialog_id for question, is_in in zip(asked, chosen, strict=True) if is_in],
            {name: found[chosen] for name, found in ranks.items()},
            baselines,
            (seed, resamples),
        )
        for source, chosen in parts
    ]


def retrieval(
    asked: Sequence[Question], models: Mapping[str, Scores], baseline: str, seed: int = 0, resamples: int = RESAMPLES
) -> Retrieved:
    """The mean average precision with which each model finds the true reply among those of all questions, and how much
    it differs from the baseline's. One reply is right, so the average precision is 1 / its rank."""
    alone = among_all(asked)
    drawn = draws([question.place.dialog_id for question in asked], seed, resamples)
    found = {
        name: {"MAP": measured(true_ranks(score(alone)).astype(np.float64), drawn, mean_reciprocal_rank)}
        for name, score in models.items()
    }
    return Retrieved(len(alone), len(alone[0].replies), rows_against(found, baseline))


def among_all(asked: Sequence[Question]) -> list[Question]:
    """The same places with their last message alone as the context, and with the replies of all of them, those that
    differ in words. Contexts that have one message anyway are few: 65 of 621."""
    everything = {normal(text): text for question in asked for text in question.replies}
    return [
        Question(
            replace(place, context=Context(place.context.messages[-1:])),
            (place.reply, *(text for words, text in everything.items() if words != normal(place.reply))),
        )
        for place in (question.place for question in asked)
    ]


def by_encoder(asked: Sequence[Question], encoder: Encoder) -> Floats:
    """Cosine of the context's vector, the one that replies are compared with, to each reply's."""
    texts, places = distinct_replies(asked)
    return rows_of(asked_vectors(asked, encoder), answering(texts, encoder), places)


def by_ranker(asked: Sequence[Question], score: Callable[[Asked], list[list[float]]], name: str = "ranker") -> Floats:
    """What a ranker's `choose` or `score` says of each reply; `name` is for the progress bar."""
    batch = [(q.place.context, [Candidate(text, "test", 0.0) for text in q.replies]) for q in asked]
    steps = parts(len(batch), name, PART // CANDIDATES)
    return np.array([row for part in steps for row in score(batch[part])])


def asked_vectors(asked: Sequence[Question], encoder: Encoder) -> NDArray[np.float32]:
    """The vectors of contexts that replies are compared with: (questions, dimensions)."""
    contexts = [question.place.context for question in asked]
    return np.concatenate([encoder.asked(contexts[part]) for part in parts(len(contexts), "contexts", PART // 8)])


def answering(texts: Sequence[str], encoder: Encoder) -> NDArray[np.float32]:
    """The vectors of texts as replies: (texts, dimensions)."""
    made = [encoder.answering(encoder.encode(texts[part])) for part in parts(len(texts), "replies")]
    return np.concatenate(made)


def parts(count: int, label: str, size: int = PART) -> Iterator[slice]:
    """What to take at once of so many items, with a progress bar."""
    for start in tqdm(range(0, count, size), desc=label, disable=None):
        yield slice(start, start + size)


def distinct_replies(asked: Sequence[Question]) -> tuple[list[str], NDArray[np.intp]]:
    """All replies, each once, and where those of each question are among them: (questions, replies)."""
    texts = list(dict.fromkeys(text for question in asked for text in question.replies))
    place = {text: number for number, text in enumerate(texts)}
    return texts, np.array([[place[text] for text in question.replies] for question in asked], dtype=np.intp)


def rows_of(contexts: NDArray[np.float32], replies: NDArray[np.float32], places: NDArray[np.intp]) -> Floats:
    """Products of each context's vector with those of its replies, which are at `places`: (questions, replies)."""
    return np.take_along_axis(contexts @ replies.T, places, axis=1).astype(np.float64)


def _wrong_replies(place: Position, others: Sequence[Position], draw: random.Random) -> list[str]:
    """19 replies of other dialogs in words that differ; fewer when there are no more."""
    taken = {normal(place.reply)}
    found: list[str] = []
    for other in draw.sample(others, len(others)):
        if len(found) == CANDIDATES - 1:
            break
        if other.dialog_id != place.dialog_id and normal(other.reply) not in taken:
            taken.add(normal(other.reply))
            found.append(other.reply)
    return found


def _selected(
    source: str, groups: list[str], ranks: Mapping[str, Floats], baselines: Mapping[str, str], sampling: tuple[int, int]
) -> Selected:
    drawn = draws(groups, *sampling)
    found_first = {name: (found <= 1).astype(np.float64) for name, found in ranks.items()}
    baseline = next(iter(baselines.values()))
    rows = []
    for name, found in ranks.items():
        figures = {
            key: interval(metric(found), [metric(found[chosen]) for chosen in drawn]) for key, metric in FIGURES.items()
        }
        gaps = {
            key: found_first[name] - found_first[other]
            for key, other in baselines.items()
            if name not in (baseline, other)
        }
        against = {key: interval(mean(gap), [mean(gap[chosen]) for chosen in drawn]) for key, gap in gaps.items()}
        rows.append(Row(name, figures, against))
    curves = {name: tuple(recall_at(k)(found) for k in range(1, CANDIDATES + 1)) for name, found in ranks.items()}
    return Selected(source, len(groups), len(set(groups)), rows, curves)
