"""Votes: does the ranker know, on dialogs that were held back, which replies people liked?

It is measured against three who know less: the majority (the share of likes of the source), the reply's length, and its
wording (how often these very words were liked in the train split). What was liked often before is easy to tell, so
replies in words that the train split does not have are measured once more by themselves.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ranking.metrics import (
    Bin,
    auc,
    balanced_accuracy,
    brier,
    calibration_bins,
    calibration_error,
    calibration_floor,
)
from ranking.pool import normal
from ranking.ranker import CrossEncoderRanker
from ranking.selection import parts
from ranking.taste import Taste
from storage.corpora import CorpusError, RatedReply
from storage.dialog import Candidate, Context
from storage.estimates import RESAMPLES, Floats, Row, draws, interval

FIGURES: Mapping[str, Callable[[Floats], float]] = {
    "AUC": auc,
    "balanced accuracy": balanced_accuracy,
    "Brier score": brier,
    "ECE": calibration_error,
}
BASELINE = "wording"
LENGTH = "reply length"

PRIOR_VOTES = 2.0
"""How many votes of the source's share each wording has before it is counted."""


@dataclass(frozen=True, slots=True)
class Rated:
    """How well votes on the replies of one source are told."""

    source: str
    unseen: bool
    """Whether these are only the replies whose words the train split does not have."""
    replies: int
    dialogs: int
    liked: float
    rows: list[Row]
    bins: list[Bin]
    """Of the first ranker."""
    floor: float
    """The ECE that the first ranker would show on so few replies if its probabilities were true."""


Predictions: TypeAlias = Mapping[str, Floats]
"""By model, the probability of a 👍 of each reply."""


def at_most(ratings: Sequence[RatedReply], count: int, seed: int = 0) -> list[RatedReply]:
    """A sample of at most `count` rated replies of each source."""
    draw = random.Random(seed)
    by_source: dict[str, list[RatedReply]] = {}
    for rating in ratings:
        by_source.setdefault(rating.source, []).append(rating)
    return [r for rated in by_source.values() for r in draw.sample(rated, min(count, len(rated)))]


def votes(
    train: Sequence[RatedReply],
    asked: Sequence[RatedReply],
    rankers: Mapping[str, CrossEncoderRanker],
    taste: Taste | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Rated]:
    """AUC, balanced accuracy, Brier score and expected calibration error by source, of all replies and of those in
    words that `train` does not have, and how much the AUC differs from those of the wording and of the reply's length.
    Raises CorpusError when there is nothing to ask, or nothing to fit the baselines on."""
    if not asked or not train:
        raise CorpusError(f"No rated replies of the {'train' if asked else 'held-back'} part were found.")
    predicted: Predictions = {
        "majority": by_majority(train, asked),
        LENGTH: by_length(train, asked),
        BASELINE: by_wording(train, asked),
        **{name: by_ranker(asked, ranker, name) for name, ranker in rankers.items()},
        **({"taste": by_taste(asked, taste)} if taste else {}),
    }
    known = {normal(rating.reply) for rating in train}
    unseen = np.array([normal(rating.reply) not in known for rating in asked])
    sources = np.array([rating.source for rating in asked])
    found = []
    for source in sorted(set(sources)):
        for only_unseen in (False, True):
            chosen = np.flatnonzero((sources == source) & (unseen | (not only_unseen))).tolist()
            if len(chosen):
                part = [asked[number] for number in chosen]
                values = {name: probabilities[chosen] for name, probabilities in predicted.items()}
                found.append(_rated(part, only_unseen, values, next(iter(rankers)), (seed, resamples)))
    return found


def by_majority(train: Sequence[RatedReply], asked: Sequence[RatedReply]) -> Floats:
    """The share of likes of the reply's source; 0.5 where the train split has none of it."""
    share = _shares(train)
    return np.array([share.get(rating.source, 0.5) for rating in asked])


def by_length(train: Sequence[RatedReply], asked: Sequence[RatedReply]) -> Floats:
    """Logistic regression on log(1 + words), a source at a time."""
    predicted = by_majority(train, asked)
    for source in {rating.source for rating in asked}:
        fitted = [rating for rating in train if rating.source == source]
        chosen = [number for number, rating in enumerate(asked) if rating.source == source]
        if len({rating.liked for rating in fitted}) == 2:
            model = LogisticRegression().fit(_log_words(fitted), [rating.liked for rating in fitted])
            predicted[chosen] = model.predict_proba(_log_words([asked[number] for number in chosen]))[:, 1]
    return predicted


def by_wording(train: Sequence[RatedReply], asked: Sequence[RatedReply]) -> Floats:
    """How often the same words were liked in the same source, drawn towards the source's share, which is what words
    that were never voted on get."""
    liked: Counter[tuple[str, str]] = Counter()
    counted: Counter[tuple[str, str]] = Counter()
    for rating in train:
        key = rating.source, normal(rating.reply)
        liked[key] += rating.liked
        counted[key] += 1
    keys = [(rating.source, normal(rating.reply)) for rating in asked]
    share = by_majority(train, asked)
    likes = np.array([float(liked[key]) for key in keys])
    counts = np.array([float(counted[key]) for key in keys])
    smoothed: Floats = (likes + PRIOR_VOTES * share) / (counts + PRIOR_VOTES)
    return smoothed


def by_ranker(asked: Sequence[RatedReply], ranker: CrossEncoderRanker, name: str = "ranker") -> Floats:
    """The ranker's probability of a 👍, by the head of each rating's source."""
    probabilities = np.zeros(len(asked))
    for source in sorted({rating.source for rating in asked}):
        chosen = [number for number, rating in enumerate(asked) if rating.source == source]
        batch = [(Context(asked[n].messages), [Candidate(asked[n].reply, "vote", 0.0)]) for n in chosen]
        steps = parts(len(batch), f"{name} on votes")
        scores = np.array([row[0] for part in steps for row in ranker.score(batch[part], source)])
        probabilities[chosen] = 1 / (1 + np.exp(-scores))
    return probabilities


def by_taste(asked: Sequence[RatedReply], taste: Taste) -> Floats:
    """The taste's probability of a 👍: of one's own people, whoever rated."""
    rows = taste.score([(Context(rating.messages), [Candidate(rating.reply, "vote", 0.0)]) for rating in asked])
    probabilities: Floats = 1 / (1 + np.exp(-np.array([row[0] for row in rows])))
    return probabilities


def _shares(train: Sequence[RatedReply]) -> dict[str, float]:
    counted = Counter(rating.source for rating in train)
    liked = Counter(rating.source for rating in train if rating.liked)
    return {source: liked[source] / count for source, count in counted.items()}


def _log_words(ratings: Sequence[RatedReply]) -> Floats:
    return np.log1p([[float(len(rating.reply.split()))] for rating in ratings])


def _rated(
    part: Sequence[RatedReply], unseen: bool, predicted: Predictions, ranker: str, sampling: tuple[int, int]
) -> Rated:
    groups = [rating.dialog_id for rating in part]
    labels = np.array([float(rating.liked) for rating in part])
    columns = {name: np.stack([values, labels], axis=1) for name, values in predicted.items()}
    drawn = draws(groups, *sampling)
    resampled = {name: _resampled(values, drawn) for name, values in columns.items()}
    rows = []
    for name, values in columns.items():
        figures = {key: interval(metric(values), resampled[name][key].tolist()) for key, metric in FIGURES.items()}
        against = {}
        for key, other in {"AUC": BASELINE, f"AUC less {LENGTH}": LENGTH}.items():
            if name not in (BASELINE, other):
                above = (resampled[name]["AUC"] - resampled[other]["AUC"]).tolist()
                against[key] = interval(auc(values) - auc(columns[other]), above)
        rows.append(Row(name, figures, against))
    return Rated(
        part[0].source,
        unseen,
        len(part),
        len(set(groups)),
        float(labels.mean()),
        rows,
        calibration_bins(columns[ranker]),
        calibration_floor(predicted[ranker], sampling[0]),
    )


def _resampled(columns: Floats, drawn: Sequence[NDArray[np.intp]]) -> dict[str, Floats]:
    return {key: np.array([metric(columns[chosen]) for chosen in drawn]) for key, metric in FIGURES.items()}
