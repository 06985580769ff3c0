"""A world where the truth is known, for off-policy evaluation: people with moods, candidates with features, and a bot
that explores. What people like depends on more than the features tell, and whether they vote depends on the reply."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ranking.off_policy import Log
from storage.estimates import Floats

CANDIDATES, FEATURES = 8, 5

LOGGING = np.array([0.6, 0.3, 0.0, 0.2, 0.0]), 0.5
"""Weights and temperature of the policy that talked."""

TARGETS: Mapping[str, tuple[Floats, float]] = {
    "other weights": (np.array([0.6, 0.4, -0.4, 0.1, 0.3]), 0.5),
    "lower temperature": (LOGGING[0], 0.3),
    "always the best": (LOGGING[0], 0.02),
    "far away": (np.array([-0.2, 0.6, -0.8, 0.1, 0.8]), 0.3),
}
"""Policies to be evaluated, by name."""


@dataclass(frozen=True, slots=True)
class World:
    """Turns, `dialog` says of which dialog, with candidates' features, shape (turns, candidates, features), and how
    likely each candidate would be liked by who votes, and be voted on, shape (turns, candidates)."""

    dialog: np.ndarray[tuple[int], np.dtype[np.intp]]
    features: Floats
    liked: Floats
    voted: Floats


def make_world(draw: np.random.Generator, dialogs: int) -> World:
    """Dialogs of 1 to 20 turns; about one turn in eight has a vote."""
    dialog = np.repeat(np.arange(dialogs), 1 + draw.poisson(8, dialogs))
    features = draw.normal(size=(len(dialog), CANDIDATES, FEATURES))
    features[:, :, 0] += draw.normal(0, 0.5, (len(dialog), 1))
    mood = draw.normal(0, 0.8, dialogs)[dialog][:, None]
    quality = features @ np.array([0.5, 0.4, -0.6, 0.0, 0.5]) + mood
    quality = quality + 0.5 * np.sin(2 * features[:, :, 1]) * features[:, :, 3]
    return World(dialog, features, sigmoid(quality), sigmoid(-2.4 + 0.5 * mood + 0.35 * np.abs(quality)))


def chances(world: World, policy: tuple[Floats, float]) -> Floats:
    """With which probability a policy draws each candidate, shape (turns, candidates)."""
    weights, temperature = policy
    totals = world.features @ weights / temperature
    raised = np.exp(totals - totals.max(axis=1, keepdims=True))
    made: Floats = raised / raised.sum(axis=1, keepdims=True)
    return made


def talked(world: World, draw: np.random.Generator, drawn: Floats) -> Log:
    """What the log of a bot is that draws with these chances."""
    turns, candidates, _ = world.features.shape
    chosen = np.minimum((draw.random((turns, 1)) > drawn.cumsum(axis=1)).sum(axis=1), candidates - 1)
    said = np.arange(turns) * candidates + chosen
    voted = (draw.random(turns) < world.voted.ravel()[said]).astype(float)
    return Log(
        [str(number) for number in world.dialog],
        voted * (draw.random(turns) < world.liked.ravel()[said]),
        voted,
        np.repeat(np.arange(turns), candidates),
        said,
        drawn.ravel(),
        [f"feature {number}" for number in range(FEATURES)],
        world.features.reshape(-1, FEATURES),
    )


def truth(policy: tuple[Floats, float], dialogs: int = 60_000) -> dict[str, float]:
    """What is true of a policy, up to 0.0005: nothing is drawn but the dialogs."""
    sums = np.zeros(3)
    for seed in range(dialogs // 2000):
        world = make_world(np.random.default_rng([9, seed]), 2000)
        drawn = chances(world, policy)
        sums += (drawn * world.liked * world.voted).sum(), (drawn * world.voted).sum(), len(world.dialog)
    return {"approval": sums[0] / sums[1], "likes a turn": sums[0] / sums[2], "votes a turn": sums[1] / sums[2]}


def sigmoid(odds: Floats) -> Floats:
    """Probabilities of log-odds."""
    made: Floats = 1 / (1 + np.exp(-odds))
    return made
