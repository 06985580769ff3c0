"""Whose votes are to be learnt from, and how much: those of people who vote against what others think, or always the
same, count less, and nobody's count for much.

As in Ju et al. 2022 (arXiv 2208.03295), who found that to score people, and to weigh their examples softly by it, keeps
trolls out of a model best. A person's votes are held against what everybody else makes known: how others
voted on the same words, and, where few did, regressions on the replies' features that learnt from other people alone,
one from their votes and one from what they did next. And against what they themselves did next: who likes a reply goes
on more often, and few think of faking that.

Four kinds of people are considered, one who votes as they feel, one who votes against it, one who likes and one who
dislikes all; the probability of the first kind is the trust. How many of each kind there are, and how often people go
on after what they like, is estimated along with it (expectation maximisation, as Dawid and Skene 1979 did it with
people who label). Nothing is drawn, so the same votes have the same weights.
"""

import math
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit, softmax
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
"""How many people there are of each kind, before any vote is seen."""
PRIOR_PEOPLE = 40
"""As much as if so many people had been seen: in a small community nobody is judged by a handful of others."""
PRIOR_VOTES = 10.0
"""The same of how often people go on: before any vote is seen that tells nothing."""
SLIP = 0.05
"""Chance that anybody of any kind votes otherwise than they are supposed to."""
SAME_WORDS = 8.0
"""Votes that the regressions count as, against those of others on the same words."""
PARTS = 5
"""Of the people: each part is told by a regression on the others."""
ROUNDS = 15
"""Times that the votes are told by others, whose votes count by the trust of the round before. With 30 % of trolls in
the simulated world three leave it half done (AUC of telling them 0.85, 0.90 after fifteen)."""
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


def weigh(
    ratings: Sequence[RatedReply],
    features: Sequence[Features],
    went_on: Sequence[bool | None],
    implicit_weight: float,
    most: float,
) -> Weighed:
    """The ratings that count, each with its weight: trust in the person, times `implicit_weight` and the balance of
    `balanced` if it is implicit; and all of a person's together `most` at the most. `features` and `went_on` are those
    of `trust_of`."""
    trust = trust_of(ratings, features, went_on)
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


def trust_of(
    ratings: Sequence[RatedReply],
    features: Sequence[Features],
    went_on: Sequence[bool | None],
    votes_teach: bool = True,
) -> dict[str, float]:
    """By person, the probability that they vote as they feel, judged by their explicit votes, by what they did next,
    and by their messages. For each rating, `features` are those of the reply, and `went_on` is whether the person did,
    None where nobody knows. Without `votes_teach` no regression learns from votes: models that did are to be compared
    by them, and whoever votes as such a regression says would speak for the one that is nearest to it."""
    votes = [i for i, rating in enumerate(ratings) if not rating.implicit]
    people = by_person([ratings[i] for i in votes])
    trust = dict.fromkeys((rating.person for rating in ratings), 1.0)
    if len(people) < FEWEST_PEOPLE:
        return trust
    hints = [i for i, rating in enumerate(ratings) if rating.implicit]
    columns = matrix([features[i] for i in (*votes, *hints)])
    cast, columns_of_votes = [ratings[i] for i in votes], columns[: len(votes)]
    hinted = told_by_hints(cast, columns_of_votes, [ratings[i] for i in hints], columns[len(votes) :])
    taught = columns_of_votes if votes_teach else columns_of_votes[:, :0]
    liked = np.array([rating.liked for rating in cast], bool)
    stayed = np.array([went_on[i] for i in votes], float)  # not a number where nobody knows
    rude = {person: rudeness([ratings[i] for i in of]) for person, of in by_person(ratings).items()}
    usual = dict(PRIOR)
    for _ in range(ROUNDS):
        weights = np.array([trust[rating.person] for rating in cast])
        told = told_by_others(cast, taught, weights, hinted)
        stays = staying(liked, stayed, weights)
        kinds = {
            person: kinds_of(liked[of], told[of], stayed[of], stays, usual, rude[person])
            for person, of in people.items()
        }
        trust |= {person: kind["with"] for person, kind in kinds.items()}
        usual = {
            name: (PRIOR_PEOPLE * prior + sum(kind[name] for kind in kinds.values())) / (PRIOR_PEOPLE + len(kinds))
            for name, prior in PRIOR.items()
        }
    return trust


def staying(liked: NDArray[np.bool_], stayed: Floats, weights: Floats) -> tuple[float, float]:
    """How often people go on after what they dislike and after what they like."""
    known = ~np.isnan(stayed)

    def share(of: NDArray[np.bool_], beside: float) -> float:
        return float((PRIOR_VOTES * beside + weights[of] @ stayed[of]) / (PRIOR_VOTES + weights[of].sum()))

    usual = share(known, 0.5)
    return share(known & ~liked, usual), share(known & liked, usual)


def kinds_of(
    liked: NDArray[np.bool_],
    told: Floats,
    stayed: Floats,
    stays: tuple[float, float],
    usual: Mapping[str, float],
    rude: float,
) -> dict[str, float]:
    """The probabilities that a person is of each kind; `told`: how likely a like was by others, `stays`: how often
    people go on, after dislikes and likes, `usual`: how many there are of each kind."""
    feels = SLIP + (1 - 2 * SLIP) * told
    like = {"with": feels, "against": 1 - feels, "likes all": np.full(len(told), 1 - SLIP),
            "dislikes all": np.full(len(told), SLIP)}  # fmt: skip
    unknown = feels * stays[1] + (1 - feels) * stays[0]
    after = {"with": np.where(liked, stays[1], stays[0]), "against": np.where(liked, stays[0], stays[1]),
             "likes all": unknown, "dislikes all": unknown}  # fmt: skip
    odds = {}
    for kind, share in usual.items():
        next_step = np.where(np.isnan(stayed), 1.0, np.where(stayed > 0, after[kind], 1 - after[kind]))
        chances = np.where(liked, like[kind], 1 - like[kind]) * next_step
        odds[kind] = math.log(share) + float(np.log(chances).sum())
    odds["with"] -= rude
    return dict(zip(odds, softmax(list(odds.values())).tolist(), strict=True))


def told_by_hints(
    votes: Sequence[RatedReply], columns: Floats, hints: Sequence[RatedReply], columns_of_hints: Floats
) -> Floats | None:
    """For each vote the log-odds of a like by what other people did next; None where too little is known of that."""
    liked, part = np.array([hint.liked for hint in hints], bool), parts_of(hints)
    label = np.array([*(vote.liked for vote in votes), *liked], bool)
    balance = balanced(label, np.arange(len(label)) < len(votes), np.ones(len(label)))[len(votes) :]
    if not enough(columns_of_hints, liked, balance > 0):
        return None
    told = np.empty(len(votes))
    for number, asked in of_parts(parts_of(votes)):
        told[asked] = regression(columns_of_hints, liked, np.where(part == number, 0.0, balance), columns[asked])
    found: Floats = logit(told)
    return found


def told_by_others(votes: Sequence[RatedReply], columns: Floats, weights: Floats, hinted: Floats | None) -> Floats:
    """For each vote how likely a like is by what other people make known, their votes counted by `weights`, what they
    did next by how well that tells votes."""
    liked, part = np.array([float(vote.liked) for vote in votes]), parts_of(votes)
    told = np.empty(len(votes))
    for number, asked in of_parts(part):
        told[asked] = regression(columns, liked, np.where(part == number, 0.0, weights), columns[asked])
    if hinted is not None:
        guesses = np.column_stack([logit(told), hinted] if columns.shape[1] else [hinted])
        told = LogisticRegression(C=10.0).fit(guesses, liked, weights).predict_proba(guesses)[:, 1]
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


def parts_of(ratings: Sequence[RatedReply]) -> NDArray[np.intp]:
    """Of each the part of its person."""
    return np.array([zlib.crc32(rating.person.encode()) % PARTS for rating in ratings], np.intp)


def of_parts(part: NDArray[np.intp]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Each part that there is, and which are of it."""
    return ((number, part == number) for number in sorted(set(part.tolist())))


def enough(columns: Floats, liked: NDArray[Any], fit: NDArray[np.bool_]) -> bool:
    """Whether there are enough rows of both labels for a regression."""
    return bool(columns.shape[1] and fit.sum() >= 10 * columns.shape[1] and len(set(liked[fit].tolist())) == 2)


def regression(columns: Floats, liked: NDArray[Any], weights: Floats, asked: Floats) -> Floats:
    """The chance of a like of the rows `asked`, by those that weigh something; their share of likes where they are too
    few to tell more (one more of each is counted, so that it is never 0 or 1)."""
    fit = weights > 0
    if not enough(columns, liked, fit):
        return np.full(len(asked), (float(weights @ liked) + 1) / (float(weights.sum()) + 2))
    model = LogisticRegression(C=0.1).fit(columns[fit], liked[fit], weights[fit])
    told: Floats = model.predict_proba(asked)[:, 1]
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
