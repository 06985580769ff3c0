"""Fitting the policy's weights to votes: `kith train policy --votes RATINGS --out FILE`.

A logistic regression of 👍 on the features that a rated reply has by itself. What no public vote can tell (whether
retrieval or generation should be preferred, what the generator's likelihood is worth) keeps the weight it had, until a
bot's own log can be fitted.
"""

import json
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from ranking.features import cheap_features, scorer
from ranking.metrics import Estimate, auc, estimate
from ranking.policy import Weights
from ranking.ranker import CrossEncoderRanker
from storage.corpora import RatedReply, held_back
from storage.dialog import Candidate, Context

FITTED = ("ranker", "length", "repetition", "echo")


def fit_policy(
    ratings: Sequence[RatedReply], ranker: CrossEncoderRanker, before: Weights, seed: int = 0
) -> tuple[Weights, dict[str, Any]]:
    """Weights fitted on half of the dialogs, with the AUC on the other half, fitted and for the ranker alone. `ratings`
    should be ones that the ranker was not trained on, or it looks better than it is. Raises ValueError when a half lacks
    likes or dislikes."""
    columns, labels = features_of(ratings, ranker), np.array([float(r.liked) for r in ratings])
    test = np.array([held_back(f"{seed} {r.dialog_id}", 0.5) for r in ratings])
    if len({(label, half) for label, half in zip(labels, test, strict=True)}) < 4:
        raise ValueError("Too few votes to fit a policy: each half needs a liked and a disliked reply.")
    scale = columns[~test].std(axis=0) + 1e-9
    model = LogisticRegression(C=1.0).fit(columns[~test] / scale, labels[~test])
    fitted = {name: round(float(w), 4) for name, w in zip(FITTED, model.coef_[0] / scale, strict=True)}
    groups = [r.dialog_id for r, held in zip(ratings, test, strict=True) if held]
    total = columns[test] @ np.array([fitted[name] for name in FITTED])
    ranker_alone = columns[test][:, FITTED.index("ranker")]
    measured = {
        name: as_json(estimate(np.stack([values, labels[test]], axis=1), groups, auc))
        for name, values in (("fitted", total), ("ranker alone", ranker_alone))
    }
    made = datetime.now(UTC).date().isoformat()
    weights = Weights(f"fitted {made}", {**before.weights, **fitted}, before.vetoes)
    return weights, {"rated_replies": len(ratings), "dialogs": len({r.dialog_id for r in ratings}), "auc": measured}


def features_of(ratings: Sequence[RatedReply], ranker: CrossEncoderRanker) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Shape (ratings, features), the columns as in FITTED."""
    batch = [(Context(r.messages), [Candidate(r.reply, "vote", 0.0)]) for r in ratings]
    cheap = cheap_features()
    scored = {name: scorer(cheap[name])(batch) if name in cheap else ranker.score(batch) for name in FITTED}
    return np.array([[scored[name][i][0] for name in FITTED] for i in range(len(batch))])


def as_json(figure: Estimate) -> dict[str, float]:
    """An estimate for a file."""
    return {"value": round(figure.value, 4), "low": round(figure.low, 4), "high": round(figure.high, 4)}


def save_weights(file: Path, weights: Weights, facts: Mapping[str, Any]) -> None:
    """Writes a policy file, whole or not at all."""
    content = {"version": weights.version, "weights": weights.weights, "vetoes": weights.vetoes, "fit": facts}
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        temporary = Path(folder) / file.name
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        temporary.replace(file)
