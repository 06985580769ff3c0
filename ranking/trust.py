"""Whose votes are to be learnt from, and how much: those of people who vote against what others think, or always the
same, count less, and nobody's count for much.

As in Ju et al. 2022 (arXiv 2208.03295), who found that to score people, and to weigh their examples softly by it, keeps
trolls out of a model best. A person's votes are held against what everybody else makes known: how others
voted on the same words, and, where few did, a regression on the replies' features that learnt from other people alone.
Four kinds of people are considered, one who votes as others do, one who votes against them, one who likes and one who
dislikes all; the probability of the first kind is the trust. Nothing is drawn, so the same votes have the same weights.
"""

import math
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from ranking.features import unsafe
from ranking.pool import normal
from storage.corpora import RatedReply
from storage.dialog import Candidate, Context
from storage.estimates import Floats

Features: TypeAlias = Mapping[str, float]

FEWEST_PEOPLE = 5
"""Voters, for them to be held against each other: of fewer everybody is trusted."""
PRIOR = {"with": 0.85, "against": 0.05, "likes all": 0.05, "dislikes all": 0.05}
"""How many people there are of each kind, before any vote is seen. 30 % of trolls are found all the same."""
SLIP = 0.05
"""Chance that anybody of any kind votes otherwise than they are supposed to."""
SAME_WORDS = 2.0
"""Votes that the regression counts as, against those of others on the same words."""
PARTS = 5
"""Of the people: each part is told by a regression on the others."""
ROUNDS = 3
"""Times that the votes are told by others, whose votes count by the trust of the round before."""
RUDE_USUAL, RUDE_TROLL, RUDE_AT_MOST = 0.03, 0.25, 4.0
"""Share of messages with a word of ranking/unsafe_words.txt, of people who write to a friend and of those who provoke;
and by how much it may lower the odds of a person: who swears about the day is no troll, so that it never decides."""
DISCOUNTED = 0.5
"""Trust under which a person is counted as discounted."""
MOST_IMPLICIT = 3
"""Implicit labels for each explicit one: there are many more, and a ranker's time is limited."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """Ratings with their weights, and what that did, in counts that name nobody."""

    ratings: list[RatedReply]
    kept: list[int]
    """For each, which one it was."""
    trust: dict[str, float]
    """By person."""
    facts: dict[str, int]


def weigh(ratings: Sequence[RatedReply], features: Sequence[Features], implicit_weight: float, most: float) -> Weighed:
    """The ratings that count, each with its weight: trust in the person, times `implicit_weight` and the balance of
    `balanced` if it is implicit; and all of a person's together `most` at the most."""
    trust = trust_of(ratings, features)
    kept = few_implicit(ratings)
    explicit = np.array([not ratings[i].implicit for i in kept], bool)
    liked = np.array([ratings[i].liked for i in kept], bool)
    weights = np.array([trust[ratings[i].person] for i in kept])
    weights = np.where(explicit, weights, weights * implicit_weight * balanced(liked, explicit, weights))
    capped = 0
    for indexes in by_person([ratings[i] for i in kept]).values():
        total = float(weights[indexes].sum())
        if total > most:
            weights[indexes] *= most / total
            capped += 1
    facts = {
        "likes": int((liked & explicit).sum()),
        "dislikes": int((~liked & explicit).sum()),
        "implicit": int((~explicit).sum()),
        "people_discounted": sum(value < DISCOUNTED for value in trust.values()),
        "people_capped": capped,
    }
    weighed = [(replace(ratings[i], weight=round(float(w), 6)), i) for i, w in zip(kept, weights, strict=True) if w > 0]
    return Weighed([rating for rating, _ in weighed], [i for _, i in weighed], trust, facts)


def trust_of(ratings: Sequence[RatedReply], features: Sequence[Features]) -> dict[str, float]:
    """By person, the probability that they vote as others do, judged by their explicit votes and their messages."""
    votes = [i for i, rating in enumerate(ratings) if not rating.implicit]
    people = by_person([ratings[i] for i in votes])
    trust = dict.fromkeys((rating.person for rating in ratings), 1.0)
    if len(people) < FEWEST_PEOPLE:
        return trust
    cast, columns = [ratings[i] for i in votes], matrix([features[i] for i in votes])
    liked = np.array([rating.liked for rating in cast], bool)
    rude = {person: rudeness([ratings[i] for i in of]) for person, of in by_person(ratings).items()}
    for _ in range(ROUNDS):
        told = told_by_others(cast, columns, np.array([trust[rating.person] for rating in cast]))
        trust |= {person: as_others(liked[of], told[of], rude[person]) for person, of in people.items()}
    return trust


def as_others(liked: NDArray[np.bool_], told: Floats, rude: float) -> float:
    """The probability that a person is of the kind that votes as others do; `told`: how likely a like was by them."""
    likes = {
        "with": SLIP + (1 - 2 * SLIP) * told,
        "against": SLIP + (1 - 2 * SLIP) * (1 - told),
        "likes all": np.full(len(told), 1 - SLIP),
        "dislikes all": np.full(len(told), SLIP),
    }
    odds = {
        kind: math.log(PRIOR[kind]) + float(np.log(np.where(liked, like, 1 - like)).sum())
        for kind, like in likes.items()
    }
    odds["with"] -= rude
    highest = max(odds.values())
    raised = {kind: math.exp(value - highest) for kind, value in odds.items()}
    return raised["with"] / sum(raised.values())


def told_by_others(votes: Sequence[RatedReply], columns: Floats, weights: Floats) -> Floats:
    """For each vote how likely a like is by what other people make known, their votes counted by `weights`."""
    liked = np.array([float(vote.liked) for vote in votes])
    part = np.array([zlib.crc32(vote.person.encode()) % PARTS for vote in votes])
    told = np.empty(len(votes))
    for number in set(part.tolist()):
        told[part == number] = regression(columns, liked, weights, part == number)
    same: defaultdict[str, list[int]] = defaultdict(list)
    for i, vote in enumerate(votes):
        same[normal(vote.reply)].append(i)
    for indexes in same.values():
        cast: defaultdict[str, Floats] = defaultdict(lambda: np.zeros(2))  # by person: votes and likes
        for i in indexes:
            cast[votes[i].person] += weights[i] * np.array([1.0, liked[i]])
        every = sum(cast.values(), np.zeros(2))
        for i in indexes:
            count, likes = every - cast[votes[i].person]
            told[i] = (likes + SAME_WORDS * told[i]) / (count + SAME_WORDS)
    return told


def regression(columns: Floats, liked: Floats, weights: Floats, asked: NDArray[np.bool_]) -> Floats:
    """The chance of a like of the `asked` rows by the others; their share of likes where they are too few to tell more
    (one more of each is counted, so that it is never 0 or 1)."""
    fit = ~asked & (weights > 0)
    if fit.sum() < 10 * columns.shape[1] or columns.shape[1] == 0 or len(set(liked[fit])) < 2:
        share = (float((weights * liked)[fit].sum()) + 1) / (float(weights[fit].sum()) + 2)
        return np.full(int(asked.sum()), share)
    model = LogisticRegression(C=0.1).fit(columns[fit], liked[fit], weights[fit])
    told: Floats = model.predict_proba(columns[asked])[:, 1]
    return told


def matrix(features: Sequence[Features]) -> Floats:
    """Shape (votes, features), standardised; without those that do not differ."""
    names = sorted({name for row in features for name in row})
    columns = np.array([[row.get(name, 0.0) for name in names] for row in features]).reshape(len(features), -1)
    spread = columns.std(axis=0)
    kept: Floats = (columns[:, spread > 0] - columns[:, spread > 0].mean(axis=0)) / spread[spread > 0]
    return kept


def rudeness(ratings: Sequence[RatedReply]) -> float:
    """By how much a person's messages lower the log-odds that they mean well: 0 to log RUDE_AT_MOST."""
    last = {rating.messages[-1].text for rating in ratings if rating.messages and rating.messages[-1].role == "user"}
    hits = sum(unsafe(Context(()), Candidate(text, "", 0.0)) for text in last)
    calm = len(last) - hits
    odds = hits * math.log(RUDE_TROLL / RUDE_USUAL) + calm * math.log((1 - RUDE_TROLL) / (1 - RUDE_USUAL))
    return min(max(odds, 0.0), math.log(RUDE_AT_MOST))


def balanced(liked: NDArray[np.bool_], explicit: NDArray[np.bool_], weights: Floats) -> Floats:
    """What each implicit label counts, so that of them the share of likes is that of the votes: most people go on after
    most replies, and a model that took that for applause would be wrong about all of them. The more frequent kind
    counts less; where one kind is missing, the implicit ones are nothing."""
    likes, dislikes = (float(weights[explicit & side].sum()) for side in (liked, ~liked))
    ups, downs = (float(weights[~explicit & side].sum()) for side in (liked, ~liked))
    if min(likes, dislikes, ups, downs) <= 0:
        return np.zeros(len(liked))
    up = (likes / dislikes) / (ups / downs)
    return np.where(liked, min(up, 1.0), min(1 / up, 1.0))


def few_implicit(ratings: Sequence[RatedReply]) -> list[int]:
    """Which ratings are kept: all explicit ones, and MOST_IMPLICIT for each of these, picked by a hash."""
    implicit = [i for i, rating in enumerate(ratings) if rating.implicit]
    most = MOST_IMPLICIT * (len(ratings) - len(implicit))
    picked = sorted(implicit, key=lambda i: (zlib.crc32(f"{ratings[i].dialog_id} {ratings[i].at}".encode()), i))[:most]
    gone = set(implicit) - set(picked)
    return [i for i in range(len(ratings)) if i not in gone]


def by_person(ratings: Sequence[RatedReply]) -> dict[str, Any]:
    """The indexes of each person's."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for i, rating in enumerate(ratings):
        found[rating.person].append(i)
    return {person: np.array(indexes, np.intp) for person, indexes in found.items()}
