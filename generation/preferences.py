"""What a generator thinks of replies that people judged: does it find liked ones likelier than others?

Two figures on held-back dialogs. Preference accuracy: in which share of pairs the chosen reply has the higher mean
log-probability of its tokens (ties count half). Vote AUC: the chance that a liked reply has a higher one than a
disliked one. The same two by DPO's implicit reward, how much likelier a reply became through training (Rafailov et al.
2023, arXiv 2305.18290), need the model from before.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedModel

from generation.metrics import Reading, bits
from generation.rendering import Rendering
from storage.corpora import Preference, RatedReply
from storage.dialog import Context, Message
from storage.estimates import RESAMPLES, Floats, Measured, draws, mean, measured

ACCURACY, AUC = "preference accuracy", "vote AUC"

T = TypeVar("T")

LogProbabilities = Mapping[str, Floats]
"""By figure, what a model thinks of its replies: of shape (pairs, 2, 2) or (votes, 1, 2), the last axis the
log-probability of a reply and the number of its tokens."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What people said of replies, on dialogs that were held back."""

    votes: Sequence[RatedReply]
    pairs: Sequence[Preference]

    def __bool__(self) -> bool:
        return bool(self.votes or self.pairs)


def held_judged(votes: Sequence[RatedReply], pairs: Sequence[Preference], most: int, seed: int) -> Judged:
    """The held-back part of both, samples of `most` each."""
    return Judged(
        sample([vote for vote in votes if vote.split == "valid"], most, seed),
        sample([pair for pair in pairs if pair.split == "valid"], most, seed),
    )


def sample(items: list[T], most: int, seed: int) -> list[T]:
    """At most so many of them."""
    return random.Random(seed).sample(items, min(most, len(items)))


def log_probabilities(
    model: PreTrainedModel, rendering: Rendering, judged: Judged, persona: str, title: str
) -> LogProbabilities:
    """What a model in float32 thinks of all replies, each after its context as it would be served."""
    asked: list[tuple[tuple[Message, ...], str]] = [(vote.messages, vote.reply) for vote in judged.votes]
    asked += [(pair.messages, reply) for pair in judged.pairs for reply in (pair.chosen, pair.rejected)]
    rows = []
    for messages, text in asked:
        prompt, reply = rendering.prompt(Context(messages, persona)), rendering.reply(text)
        counted = np.arange(len(prompt) + len(reply)) >= len(prompt)
        rows.append(Reading(np.array(prompt + reply), counted, len(text)))
    costs = -math.log(2) * bits(model, rows, title)
    columns = np.stack([costs, [float(row.counted.sum()) for row in rows]], axis=1)
    of_votes = len(judged.votes)
    return {AUC: columns[:of_votes].reshape(-1, 1, 2), ACCURACY: columns[of_votes:].reshape(-1, 2, 2)}


def figures(
    judged: Judged, found: LogProbabilities, before: LogProbabilities, seed: int, resamples: int = RESAMPLES
) -> Measured:
    """Both figures by mean log-probability, and by the implicit reward against what the model thought `before`. One
    for which there is nothing is left out: pairs, or votes of both kinds."""
    told: dict[str, tuple[float, Floats]] = {}
    for name, groups, metric in (
        (ACCURACY, [pair.dialog_id for pair in judged.pairs], _accuracy),
        (AUC, [vote.dialog_id for vote in judged.votes], _auc_of([vote.liked for vote in judged.votes])),
    ):
        if groups and (name == ACCURACY or len({vote.liked for vote in judged.votes}) == 2):
            drawn = draws(groups, seed, resamples)
            told[name] = metric(found[name][..., 0] / found[name][..., 1], drawn)
            told[f"{name}, implicit reward"] = metric(found[name][..., 0] - before[name][..., 0], drawn)
    return told


Drawn = Sequence[NDArray[np.intp]]


def _accuracy(scores: Floats, drawn: Drawn) -> tuple[float, Floats]:
    return measured((np.sign(scores[:, 0] - scores[:, 1]) + 1) / 2, drawn, mean)


def _auc_of(liked: Sequence[bool]) -> Callable[[Floats, Drawn], tuple[float, Floats]]:
    return lambda scores, drawn: measured(np.stack([scores[:, 0], np.array(liked, float)], axis=1), drawn, auc)


def auc(columns: Floats) -> float:
    """The chance that a liked item (second column 1) scores higher than another, ties by half. Not a number when one
    of the labels is absent."""
    liked, others = (columns[columns[:, 1] == label, 0] for label in (1, 0))
    if not len(liked) or not len(others):
        return math.nan
    return float((np.sign(liked[:, None] - others) + 1).mean() / 2)
