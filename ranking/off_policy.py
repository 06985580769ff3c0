"""Off-policy evaluation: how another policy would have done on logged turns, without asking anybody anew.

Each logged reply was drawn with a known probability μ; another policy would have said it with a probability π, so the
turn counts w = π/μ times. What is estimated is a ratio of sums over all turns on which a policy decided:

    IPS              Σ w y / turns                  Horvitz & Thompson (1952)
    self-normalised  Σ w y / Σ w                    Swaminathan & Joachims (2015)
    doubly robust    Σ (q(π) + w (y − q(said)))     Dudík, Langford & Li (2011); Dudík, Erhan, Langford & Li (2014)
                       / turns

q(said) is what a model expects of the reply that was said, q(π) of what the other policy would say: a logistic
regression of y on the logged features, fitted to the other dialogs (cross-fitted: Chernozhukov et al. 2018).

Most turns have no vote. That is an outcome, not a gap: y is "it was liked" or "it was voted on", 0 or 1 on every
turn, and approval is the one estimate by the other, what `kith stats` would count if the other policy had talked. So
nothing is assumed of who votes; whether and how somebody votes may depend on the message, the person and the reply. In
a ratio the number of turns and Σ w cancel: the approval by IPS and by self-normalised IPS is one number.

What is assumed: the draw was logged truly, and a reply does not change which messages come later in the dialog (a
turn is judged in the place to which the logging policy led).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ranking.policy import Weights
from storage.dialog import Decision
from storage.estimates import Estimate, Floats, Ratio, ratio

Ints: TypeAlias = NDArray[np.intp]

FOLDS = 5
"""Parts of the dialogs; the reward model of each is fitted to the others."""

FEWEST_VOTES = 50
FEWEST_EFFECTIVE = 40.0
"""Votes that are needed, and what they must be worth after weighting. In worlds where the truth is known intervals
held it 93 to 98 times in 100 from 35 effective votes on, and 78 to 93 times with 13."""

TAIL, TAIL_VOTES = 0.05, 1.0
"""The 5 % of what another policy would say that the logging one was least likely to draw must have had a chance at so
many votes, or the log knows nothing of them, and no interval shows it."""

IPS, SELF_NORMALISED, DOUBLY_ROBUST = "IPS", "self-normalised", "doubly robust"


@dataclass(frozen=True, slots=True)
class Log:
    """Logged turns, and all their candidates one after another."""

    dialogs: Sequence[str]
    """Of each turn."""
    liked: Floats
    voted: Floats
    """0 or 1 for each turn."""
    turn: Ints
    """Of each candidate."""
    said: Ints
    """The candidate that each turn said."""
    drawn: Floats
    """With which probability each candidate could be drawn."""
    names: Sequence[str]
    features: Floats
    """By `names`, shape (candidates, features); 0 where one was not logged, not finite where it was no number."""


@dataclass(frozen=True, slots=True)
class Target:
    """What another policy would have done, by each method, or why that cannot be told."""

    name: str
    figures: Mapping[str, Mapping[str, Estimate]]
    """By method `approval`, its `difference` to what the log had, `likes a turn`, `votes a turn`; none when refused."""
    effective_votes: float
    """How many votes of its own the weighted ones are worth (Kish): (Σ w)² / Σ w² over voted turns."""
    unsupported: float
    """The share of what it would say that could not be drawn."""
    refused: str = ""
    """Why there are no figures: one sentence."""


def log_of(turns: Iterable[tuple[str, Decision, int]]) -> Log:
    """Turns on which a policy decided (`chosen` is not None): dialog, decision, and vote, over or under 0, or 0 for
    none."""
    names: dict[str, int] = {}
    dialogs: list[str] = []
    votes, said, rows = [], [], []
    drawn: list[float] = []
    for dialog, decision, vote in turns:
        for scored in decision.ranked:
            for name in scored.features:
                names.setdefault(name, len(names))
        said.append(len(drawn) + (decision.chosen or 0))
        drawn += (scored.probability for scored in decision.ranked)
        rows.append(np.array([[scored.features.get(name, 0.0) for name in names] for scored in decision.ranked]))
        dialogs.append(dialog)
        votes.append(vote)
    features = np.zeros((len(drawn), len(names)))
    ends = np.cumsum([len(row) for row in rows], dtype=np.intp)
    for end, row in zip(ends, rows, strict=True):  # a feature may have come up later than the first turns
        features[end - len(row) : end, : row.shape[1]] = row
    return Log(
        dialogs,
        np.array([float(vote > 0) for vote in votes]),
        np.array([float(vote != 0) for vote in votes]),
        np.repeat(np.arange(len(rows)), np.array([len(row) for row in rows], dtype=np.intp)),
        np.array(said, dtype=np.intp),
        np.array(drawn),
        tuple(names),
        features,
    )


def chances(log: Log, weights: Weights, temperature: float, ranker: Floats | None = None) -> Floats:
    """With which probability a policy would have drawn each candidate, shape (candidates,), as `ScoringPolicy` does;
    all 0 on a turn on which it has nothing to say. `ranker`: what another ranker says of each candidate."""
    columns = dict(zip(log.names, log.features.T, strict=True))
    if ranker is not None:
        columns["ranker"] = ranker
    none = np.zeros(len(log.turn))
    with np.errstate(invalid="ignore", over="ignore"):
        totals = sum((weight * columns.get(name, none) for name, weight in weights.weights.items()), start=none)
    sound = np.isfinite(np.stack([totals, *columns.values()])).all(axis=0)
    for name, limit in weights.vetoes.items():
        sound &= ~(columns.get(name, none) >= limit)
    best = np.full(len(log.said), -np.inf)
    np.maximum.at(best, log.turn[sound], totals[sound])
    behind = totals[sound] - best[log.turn[sound]]
    raised = np.zeros(len(log.turn))
    if temperature:
        raised[sound] = np.exp(behind / temperature)
    else:
        winners = np.flatnonzero(sound)[behind == 0]
        raised[winners[np.unique(log.turn[winners], return_index=True)[1]]] = 1  # the first of equals
    whole = np.bincount(log.turn, raised, minlength=len(log.said))
    made: Floats = raised / np.where(whole > 0, whole, 1.0)[log.turn]
    return made


def evaluate(log: Log, target: Floats, name: str, expected: tuple[Floats, Floats] | None = None) -> Target:
    """How the policy with these `chances` would have done. `expected`: what `rewards` made of the log, so that
    several policies share it."""
    weights = target[log.said] / log.drawn[log.said]
    voting = weights * log.voted
    effective = float(voting.sum() ** 2 / (voting**2).sum()) if voting.any() else 0.0
    unsupported = float(1 - target[log.drawn > 0].sum() / max(1, len(log.voted)))
    if reason := _refusal(log, target, effective, unsupported):
        return Target(name, {}, effective, unsupported, reason)
    once = np.ones(len(weights))
    liked, voted = (
        _doubly_robust(log, target, weights, y, q)
        for y, q in zip((log.liked, log.voted), expected or rewards(log), strict=True)
    )
    estimates = {
        IPS: ((weights * log.liked, once), (voting, once)),
        SELF_NORMALISED: ((weights * log.liked, weights), (voting, weights)),
        DOUBLY_ROBUST: ((liked, once), (voted, once)),
    }
    logged = log.liked, log.voted
    figures = {
        method: {
            **_figures(log, likes, votes),
            "difference": ratio((likes[0], votes[0]), log.dialogs, less=logged),
        }
        for method, (likes, votes) in estimates.items()
    }
    return Target(name, figures, effective, unsupported)


def as_logged(log: Log) -> dict[str, Estimate]:
    """What the log had, by the names of Target's figures; nothing is weighted."""
    once = np.ones(len(log.liked))
    return _figures(log, (log.liked, once), (log.voted, once))


def rewards(log: Log) -> tuple[Floats, Floats]:
    """How likely each candidate is liked, and voted on, by regressions on turns of other dialogs; shape (candidates,)
    each."""
    order = {dialog: place for place, dialog in enumerate(dict.fromkeys(log.dialogs))}
    folds = np.random.default_rng(0).permutation(np.arange(len(order)) % FOLDS)
    fold = folds[[order[dialog] for dialog in log.dialogs]]
    features = np.where(np.isfinite(log.features), log.features, 0.0)
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    liked, voted = (_expected(log, features, outcome, fold) for outcome in (log.liked, log.voted))
    return liked, voted


def _expected(log: Log, features: Floats, outcome: Floats, fold: Ints) -> Floats:
    found = np.zeros(len(log.turn))
    for part in range(FOLDS):
        learnt, told = fold != part, fold[log.turn] == part
        known = outcome[learnt]
        if known.min(initial=1.0) == known.max(initial=0.0):  # nothing to tell apart
            found[told] = known.mean() if len(known) else 0.0
            continue
        model = LogisticRegression(C=1.0, max_iter=500).fit(features[log.said[learnt]], known)
        if told.any():
            found[told] = model.predict_proba(features[told])[:, 1]
    return found


def _doubly_robust(log: Log, target: Floats, weights: Floats, outcome: Floats, expected: Floats) -> Floats:
    """Each turn's part of the sum."""
    would = np.bincount(log.turn, target * expected, minlength=len(outcome)).astype(np.float64)
    parts: Floats = would + weights * (outcome - expected[log.said])
    return parts


def _figures(log: Log, likes: Ratio, votes: Ratio) -> dict[str, Estimate]:
    shares = {"approval": (likes[0], votes[0]), "likes a turn": likes, "votes a turn": votes}
    return {name: ratio(of, log.dialogs, least=0.0, most=1.0) for name, of in shares.items()}


def _refusal(log: Log, target: Floats, effective: float, unsupported: float) -> str:
    """Why the log cannot tell, or nothing."""
    votes = int(log.voted.sum())
    if votes < FEWEST_VOTES:
        return f"The log has {votes} votes on replies that a policy chose; {FEWEST_VOTES} are needed."
    if (log.drawn[log.said] == 1).all() and unsupported > TAIL:
        return "Nothing was drawn by chance: set KITH_EXPLORATION over 0 and gather votes."
    if unsupported > TAIL:
        return f"{unsupported:.0%} of what it would say could not be drawn when the log was made."
    seen = _tail(log, target) * votes / len(log.voted)
    if seen < TAIL_VOTES:
        return f"{TAIL:.0%} of what it would say was so unlikely then that {seen:.1f} votes on it are to be expected."
    if effective < FEWEST_EFFECTIVE:
        return f"Weighted, the {votes} votes are worth {effective:.0f}; {FEWEST_EFFECTIVE:.0f} are needed."
    return ""


def _tail(log: Log, target: Floats) -> float:
    """On how many turns the log was to be expected to say what the target says more often than the log does, for those
    replies that are TAIL of all that the target would say and of which the log is most short."""
    wanted = target > 0
    would, could = target[wanted], log.drawn[wanted]
    order = np.argsort(could / would)
    mass = np.cumsum(would[order])
    return float(could[order][: int(np.searchsorted(mass, TAIL * len(log.voted))) + 1].sum())
