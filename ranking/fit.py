"""Fitting the policy's weights to votes: `kith train policy --log EXPORT --out FILE`.

A logistic regression of 👍 on features. From a bot's own log (`kith export dialogs`) they are the logged ones, so no
model is loaded. From public rated replies they are those that a reply has by itself; a feature that such votes cannot
speak of (which source it came from, say) keeps the weight that it had.
"""

import json
import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from ranking.features import cheap_features, scorer
from ranking.metrics import auc
from ranking.policy import SHIPPED, Weights, load_weights
from ranking.ranker import CrossEncoderRanker
from storage.corpora import CorpusError, LoggedVote, RatedReply, held_back
from storage.dialog import Candidate, Context
from storage.estimates import Estimate, estimate
from storage.files import written_whole

OF_REPLY = ("ranker", "length", "length_squared", "question", "repetition", "echo")
"""What a rated reply has by itself."""

OF_SOURCE = ("generated", "likelihood", "similarity", "nearest", "listening", "tone", "listened", "evades")
OF_LOG = (*OF_REPLY, "relevance", *OF_SOURCE, "taste")
"""What a logged one has besides. `retrieved` is what `generated` is not, so one of them says it."""


PARTS = 5
"""Of the dialogs, each told by the others."""

FAULT = "repetition"
"""What is never learnt to be less of a fault than before. While hardly anything is repeated, votes tell little of it,
and a policy that takes them at their word repeats itself: in one of five simulated worlds the gate stopped one. Of
echoes votes tell enough: bound as well, the AUC on ConvAI's thumbs falls from 0.597 to 0.585."""

SAME = 0.01
"""By how much a weight that is fitted once more may differ, on another machine, and be the same."""

SPEAKING = 20
"""Votes in which a feature differs from its usual value, to be fitted. Of 1,093 votes 10 were on replies that
repeated something, and a regression made repeating a virtue of it."""


FACTS = frozenset(("votes", "liked", "dialogs", "features", "auc_on_the_other_half"))
"""What every record of a fit has; older ones have no spread."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Weights, and how they were found: counts, how far each feature is spread over the votes (its standard deviation),
    and the AUC on the half of the dialogs that they were not fitted on."""

    weights: Weights
    facts: Mapping[str, Any]

    @property
    def strengths(self) -> dict[str, float]:
        """What a standard deviation of each fitted feature changes a total by, the largest first; where the facts tell
        no spread, all weights as they are."""
        spread = self.facts.get("spread")
        found = self.weights.weights
        if spread:
            found = {name: weight * spread[name] for name, weight in found.items() if name in spread}
        return dict(sorted(found.items(), key=lambda item: -abs(item[1])))


def fit_policy(votes: Sequence[LoggedVote], names: Sequence[str], before: Weights, seed: int = 0) -> Fit:
    """Weights for those of the features `names` that the votes tell of, the others as before, and FAULT no less of one,
    fitted to all votes, each by its weight, after the AUC was measured by a fit to half of the dialogs (on votes that
    somebody gave). The ranker must not have been trained on these votes, or it looks better than it is. Raises
    CorpusError when a half lacks likes or dislikes."""
    votes = [replace(vote, features=completed(vote.features)) for vote in votes if vote.weight > 0]
    names = [name for name in names if tells(name, votes)]
    columns = np.array([[vote.features.get(name, 0.0) for name in names] for vote in votes])
    labels = np.array([float(vote.liked) for vote in votes])
    weights = np.array([vote.weight for vote in votes])
    fit = np.array([not held_back(f"{seed} {vote.dialog_id}", 0.5) for vote in votes], bool)
    test = ~fit & np.array([not vote.implicit for vote in votes], bool)
    if not names or any(len(set(labels[half])) < 2 for half in (fit, test)):
        raise CorpusError("Too few votes to fit a policy: each half of the dialogs needs a 👍 and a 👎.")
    totals = columns[test] @ slopes(columns[fit], labels[fit], weights[fit])
    groups = [vote.dialog_id for vote, held in zip(votes, test, strict=True) if held]
    measured = {"fitted": totals}
    if "ranker" in names:
        measured["ranker alone"] = columns[test][:, list(names).index("ranker")]
    fitted = {name: round(float(w), 4) for name, w in zip(names, slopes(columns, labels, weights), strict=True)}
    if FAULT in fitted:
        fitted[FAULT] = min(fitted[FAULT], before.weights.get(FAULT, 0.0))
    made = datetime.now(UTC).date().isoformat()
    facts = {
        "votes": len(votes),
        "liked": int(labels.sum()),
        "dialogs": len({vote.dialog_id for vote in votes}),
        "features": list(names),
        "spread": {name: round(float(s), 4) for name, s in zip(names, columns.std(axis=0), strict=True)},
        "auc_on_the_other_half": {
            name: as_json(estimate(np.stack([values, labels[test]], axis=1), groups, auc))
            for name, values in measured.items()
        },
    }
    return Fit(Weights(f"fitted {made}", {**before.weights, **fitted}, before.vetoes), facts)


def half_of(dialog_id: str) -> int:
    """Which half of the dialogs one belongs to, 0 or 1; another half than the one that `fit_policy` measures on."""
    return int(held_back(f"half {dialog_id}", 0.5))


def fit_halves(votes: Sequence[LoggedVote], weights: Weights) -> tuple[Weights, Weights] | None:
    """Weights for dialogs of either half (`half_of`), fitted as `weights` were, to the votes on the other half's
    dialogs, so that what is measured on a dialog is measured with weights that no vote on it taught (cross-fitting,
    Chernozhukov et al. 2018); the bound of FAULT and what is not fitted stay. None when these are not the votes that
    taught `weights`: fitted to all of them they must come out again."""
    names = [name for name in OF_LOG if name in weights.weights]
    try:
        again = fit_policy(votes, names, weights).weights.weights
        if any(not math.isclose(again[name], value, abs_tol=SAME) for name, value in weights.weights.items()):
            return None
        halves = ([vote for vote in votes if half_of(vote.dialog_id) != half] for half in (0, 1))
        first, second = (replace(fit_policy(half, names, weights).weights, version=weights.version) for half in halves)
    except CorpusError:  # too few votes to have taught any
        return None
    return first, second


def weight_beside(
    own: Sequence[LoggedVote], shipped: Sequence[LoggedVote], names: Sequence[str], weights: Sequence[float]
) -> float:
    """Which of these weights shipped votes should have beside a bot's own: the first one, unless with another the own
    votes of a fifth of the dialogs are told better by a fit to all else, by more than one standard error (Breiman et
    al. 1984)."""
    own, shipped = ([replace(vote, features=completed(vote.features)) for vote in votes] for votes in (own, shipped))
    names = [name for name in names if tells(name, [*own, *shipped])]
    columns = np.array([[vote.features.get(name, 0.0) for name in names] for vote in (*own, *shipped)])
    labels = np.array([float(vote.liked) for vote in (*own, *shipped)])
    counts = np.array([vote.weight for vote in own])
    part = np.array([*(zlib.crc32(vote.dialog_id.encode()) % PARTS for vote in own), *[PARTS] * len(shipped)])
    explicit = np.array([*(not vote.implicit for vote in own), *[False] * len(shipped)], bool)
    found = []
    for number in range(PARTS):
        fit, test = part != number, (part == number) & explicit
        if len(set(labels[test])) < 2:
            return weights[0]
        every = [np.concatenate([counts, np.full(len(shipped), weight)])[fit] for weight in weights]
        totals = [columns[test] @ slopes(columns[fit], labels[fit], each) for each in every]
        found.append([auc(np.stack([total, labels[test]], axis=1)) for total in totals])
    gains = np.array(found) - np.array(found)[:, :1]
    sure = gains.mean(axis=0) - gains.std(axis=0, ddof=1) / math.sqrt(PARTS)
    best = int(np.argmax(np.where(sure > 0, gains.mean(axis=0), 0.0)))
    return weights[best]


def completed(features: Mapping[str, float]) -> dict[str, float]:
    """Features with those that older logs lack, told by others: the nearest context is about as like as a reply is
    similar."""
    told = {"length_squared": features.get("length", 0.0) ** 2, "nearest": features.get("similarity", 0.0)}
    return {**told, **features}


def tells(name: str, votes: Sequence[LoggedVote]) -> bool:
    """Whether a feature takes another than its most frequent value in enough votes to say something."""
    values = Counter(vote.features.get(name, 0.0) for vote in votes)
    return len(votes) - max(values.values(), default=0) >= SPEAKING


def slopes(
    columns: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], weights: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """The regression's weights on the features' own scale; the penalty (L2, C = 1) is on standardised ones. `weights`:
    what each row counts."""
    scale = columns.std(axis=0)
    scale[scale == 0] = 1.0
    centred = (columns - columns.mean(axis=0)) / scale
    fitted: np.ndarray[Any, Any] = LogisticRegression(C=1.0).fit(centred, labels, weights).coef_[0] / scale
    return fitted


def as_votes(ratings: Sequence[RatedReply], ranker: CrossEncoderRanker) -> list[LoggedVote]:
    """Rated replies as votes with the features OF_REPLY."""
    batch = [(Context(r.messages), [Candidate(r.reply, "vote", 0.0)]) for r in ratings]
    cheap = cheap_features()
    scored = {name: scorer(cheap[name])(batch) if name in cheap else ranker.score(batch) for name in OF_REPLY}
    return [
        LoggedVote(rating.dialog_id, {name: scored[name][i][0] for name in OF_REPLY}, rating.liked)
        for i, rating in enumerate(ratings)
    ]


def as_json(figure: Estimate) -> dict[str, float]:
    """An estimate for a file."""
    return {"value": round(figure.value, 4), "low": round(figure.low, 4), "high": round(figure.high, 4)}


def save_fit(file: Path, fit: Fit) -> None:
    """Writes a policy file, whole or not at all."""
    weights = fit.weights
    content = {"version": weights.version, "weights": weights.weights, "vetoes": weights.vetoes, "fit": fit.facts}
    with written_whole(file) as made:
        made.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load_fit(file: Path | None = None) -> Fit:
    """A policy file, by default the shipped one, with how its weights were found; without facts where it has no record
    of that, as one written by hand. Raises PolicyError as `load_weights` does."""
    weights = load_weights(file)
    record = json.loads((file or SHIPPED).read_text(encoding="utf-8")).get("fit")
    return Fit(weights, record if isinstance(record, dict) and record.keys() >= FACTS else {})
