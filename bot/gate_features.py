"""The features of logged replies, as the models of one side would have given them, and what they would have chosen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from tqdm import tqdm

from bot.taking_up import Loaded
from ranking.regression import Totals
from ranking.safety import VETOES
from storage.dialog import Candidate, Context, Decision, Scored
from storage.estimates import Floats
from storage.voted import Voted

CHOICES = 300
"""Of the newest replies, those whose whole choice is looked at again: up to eighteen candidates each, 1 to 2 ms a
candidate by the ranker."""

TAKEN = 0.5
"""Share of its words from which on a candidate echoes or repeats, for the gate. From 0.75 on it is vetoed."""

UNFIT: Mapping[str, float] = {**VETOES, "unsafe": 1.0, "careless": 1.0, "wrong_script": 1.0}
"""By feature, the limit from which on a candidate is a safety hit, whatever a file of weights says."""

COMPUTED_BY: Mapping[str, tuple[str, str]] = {
    "ranker": ("ranker", "ranker"),
    "taste": ("taste", "taste"),
    "toxic": ("toxicity", "toxicity"),
    "relevance": ("retrieval", "encoder"),
    "careless": ("retrieval", "retriever"),
    "nearest": ("retrieval", "retriever"),
}
"""Of features that a model computes: what the turns of the log call its version, and which of the parts it is."""

BATCH = 16

Features: TypeAlias = list[list[dict[str, float]]]
"""Of each judged reply, of each of its candidates: features by name."""


@dataclass(frozen=True, slots=True)
class Considered:
    """A judged reply, `said`, among the candidates that are looked at again: all, or itself alone."""

    vote: Voted
    candidates: tuple[Scored, ...]
    said: int
    whole: bool


def considered(votes: Sequence[Voted]) -> list[Considered]:
    """The judged replies; of the newest CHOICES all candidates."""
    rows = []
    for number, vote in enumerate(votes):
        decision = vote.turn.decision
        whole = number >= len(votes) - CHOICES
        if whole and decision.chosen is not None:
            rows.append(Considered(vote, decision.ranked, decision.chosen, True))
        else:
            rows.append(Considered(vote, (_said(decision),), 0, False))
    return rows


def features_of(loaded: Loaded, rows: Sequence[Considered], known: tuple[Loaded, Features] | None = None) -> Features:
    """The features as these models give them: as they were logged, where the same version computed them, else anew.
    Those of parts that `known` has too are taken from there."""
    scorers, versions = loaded.pipeline.scorers, loaded.pipeline.versions()
    logged = [[dict(scored.features) for scored in row.candidates] for row in rows]
    found: Features = [[{name: f[name] for name in f if name in scorers} for f in row] for row in logged]
    for name, scorer in scorers.items():
        if known and not _changed(name, known[0], loaded):
            for mine, theirs in zip(found, known[1], strict=True):
                for own, other in zip(mine, theirs, strict=True):
                    own.update({name: other[name]} if name in other else {})
            continue
        stale = [number for number, row in enumerate(rows) if _stale(name, row, logged[number], versions)]
        with tqdm(total=len(stale), desc=name, mininterval=2, disable=None if len(stale) > BATCH else True) as bar:
            for start in range(0, len(stale), BATCH):
                some = stale[start : start + BATCH]
                batch = [(rows[n].vote.context, [scored.candidate for scored in rows[n].candidates]) for n in some]
                for number, scores in zip(some, scorer(batch), strict=True):
                    for own, score in zip(found[number], scores, strict=True):
                        own[name] = score
                bar.update(len(some))
    return found


def said(features: Features, rows: Sequence[Considered], name: str) -> Floats:
    """A feature of each judged reply, shape (replies,)."""
    return np.array([finite(found[row.said].get(name, 0.0)) for row, found in zip(rows, features, strict=True)])


def totals(loaded: Loaded, features: Features, rows: Sequence[Considered]) -> Floats:
    """The policy's total of each judged reply, shape (replies,)."""
    total: Floats = np.zeros(len(rows))
    for name, weight in loaded.parts.weights.weights.items():
        total += weight * said(features, rows, name)
    return total


def shares(loaded: Loaded, rows: Sequence[Considered], features: Features) -> dict[str, Floats]:
    """With what probability each choice, made anew, would have been an echo, a repetition or a safety hit; shape
    (choices,) each."""
    found: dict[str, list[float]] = {"safety hits": [], "echoes": [], "repetitions": []}
    for row, own in zip(rows, features, strict=True):
        ranked = decided(loaded, [scored.candidate for scored in row.candidates], own).ranked
        found["safety hits"].append(sum(s.probability for s in ranked if is_unfit(s.features)))
        found["echoes"].append(sum(s.probability for s in ranked if s.features.get("echo", 0.0) >= TAKEN))
        found["repetitions"].append(sum(s.probability for s in ranked if s.features.get("repetition", 0.0) >= TAKEN))
    return {name: np.array(values) for name, values in found.items()}


def totals_at(loaded: Loaded) -> Totals:
    """The policy's totals for replies anywhere; -inf for what it vetoes."""

    def judge(batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        scores = {name: scorer(batch) for name, scorer in loaded.pipeline.scorers.items()}
        rows = []
        for number, (_, candidates) in enumerate(batch):
            own = [{name: found[number][i] for name, found in scores.items()} for i in range(len(candidates))]
            ranked = decided(loaded, candidates, own).ranked
            total = {s.candidate.text: -math.inf if s.veto else s.total for s in ranked}
            rows.append([total[candidate.text] for candidate in candidates])
        return rows

    return judge


def decided(loaded: Loaded, candidates: Sequence[Candidate], rows: Sequence[Mapping[str, float]]) -> Decision:
    """What the policy of these models makes of candidates with these features."""
    names = {name for row in rows for name in row}
    return loaded.pipeline.policy(candidates, {name: [finite(row.get(name, 0.0)) for row in rows] for name in names})


def is_unfit(features: Mapping[str, float]) -> bool:
    """Whether a candidate should not be said to anybody."""
    return any(features.get(name, 0.0) >= limit for name, limit in UNFIT.items())


def finite(value: float) -> float:
    """A feature that was no number when it was logged counts for nothing."""
    return value if math.isfinite(value) else 0.0


def _said(decision: Decision) -> Scored:
    """The reply; what came into the log without candidates has no features yet."""
    if decision.chosen is not None:
        return decision.ranked[decision.chosen]
    return Scored(Candidate(decision.reply, "log", 0.0), {}, 0.0, 1.0)


def _stale(name: str, row: Considered, logged: Sequence[Mapping[str, float]], versions: Mapping[str, str]) -> bool:
    if any(name not in features for features in logged):
        return True
    if name not in COMPUTED_BY:
        return False
    version = COMPUTED_BY[name][0]
    then, now = (found.get(version, "") for found in (row.vote.turn.versions, versions))
    if version == "retrieval":  # whose version says the size of the pool too
        then, now = then.rpartition(", ")[0], now.rpartition(", ")[0]
    return then != now


def _changed(name: str, before: Loaded, after: Loaded) -> bool:
    part = COMPUTED_BY[name][1] if name in COMPUTED_BY else ""
    return bool(part) and getattr(before.parts, part) is not getattr(after.parts, part)
