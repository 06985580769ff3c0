"""Simulated people: what they like is hidden from the bot, and each differs from the leaning of their community.

A seed is a community. Its leaning is drawn, so that some communities are near to what the shipped models learnt and
some are far; people differ from it by as much as the community's differ among each other, or half of that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.random import Generator

Troll: TypeAlias = Literal["", "against", "dislikes all"]

TRAITS: Mapping[str, tuple[float, float, float]] = {
    "warmth": (0.3, 0.7, 0.35),
    "asking": (0.0, 0.7, 0.35),
    "honesty": (0.3, 0.5, 0.5),
    "repetition": (-1.5, 0.5, 0.5),
    "length": (2.2, 0.35, 0.25),
    "bias": (0.0, 0.0, 0.5),
}
"""Mean of all communities, spread of communities, spread of people within one: log-odds of a 👍 for what is warm, asks,
says plainly that a program talks, was heard before; the logarithm of the words that are liked best; and how easily
pleased somebody is."""

INTEREST = (0.5, 0.5)
"""The same spreads for each topic: log-odds for replies about it."""

VOTES = (0.05, 0.2)
"""Share of the replies that somebody votes on, between these from person to person."""

OWN_TOPICS = 5
"""Topics that somebody talks about."""


@dataclass(frozen=True, slots=True)
class Tastes:
    """The hidden part."""

    warmth: float
    asking: float
    honesty: float
    repetition: float
    length: float
    bias: float
    interest: Mapping[str, float]
    """By topic."""


@dataclass(frozen=True, slots=True)
class SimulatedPerson:
    """Somebody who talks to Kith."""

    id: str
    tastes: Tastes
    votes: float
    """Share of the replies that they vote on."""
    talks: float
    """Probability that they talk on a day."""
    topics: tuple[str, ...]
    troll: Troll = ""


def community(seed: int, people: int, trolls: float, topics: Sequence[str]) -> list[SimulatedPerson]:
    """The people of a community. The share of trolls changes nothing else about them: who is a troll would be, with
    0, one who votes as they think."""
    draw = np.random.default_rng([seed, 0])
    leaning = {name: mean + spread * draw.normal() for name, (mean, spread, _) in TRAITS.items()}
    interest = {topic: INTEREST[0] * draw.normal() for topic in topics}
    crowd = [_person(draw, number, leaning, interest) for number in range(people)]
    of_trolls = np.random.default_rng([seed, 1]).permutation(people)[: round(trolls * people)]
    kinds: dict[int, Troll] = {int(n): "dislikes all" if i % 4 == 3 else "against" for i, n in enumerate(of_trolls)}
    return [_as_troll(person, kinds.get(number, "")) for number, person in enumerate(crowd)]


def _person(
    draw: Generator, number: int, leaning: Mapping[str, float], interest: Mapping[str, float]
) -> SimulatedPerson:
    own = {name: leaning[name] + spread * draw.normal() for name, (_, _, spread) in TRAITS.items()}
    tastes = Tastes(**own, interest={t: value + INTEREST[1] * draw.normal() for t, value in interest.items()})
    liked = np.array([tastes.interest[topic] for topic in interest])
    chance = np.exp(liked) / np.exp(liked).sum()  # people talk about what they like to hear of
    topics = draw.choice(list(interest), size=min(OWN_TOPICS, len(interest)), replace=False, p=chance)
    votes, talks = draw.uniform(*VOTES), draw.uniform(0.5, 1.0)
    return SimulatedPerson(f"simulated:{number}", tastes, float(votes), float(talks), tuple(map(str, topics)))


def _as_troll(person: SimulatedPerson, kind: Troll) -> SimulatedPerson:
    """Trolls vote as often as the most diligent."""
    if not kind:
        return person
    return SimulatedPerson(person.id, person.tastes, VOTES[1], person.talks, person.topics, kind)
