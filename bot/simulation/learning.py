"""One round of learning in a simulated world: people vote, a taste and a policy learn from that, the gate decides, what
it lets in is promoted, and people go on. What they really like is known here, so it is seen what became of it.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bot.assemble import Parts, open_store, pipeline_of, set_seed
from bot.from_log import shipped_ratings, train_from_log
from bot.gate import gate
from bot.pipeline import Pipeline
from bot.settings import Settings
from bot.simulation.foretold import Foretold, foretell
from bot.simulation.people import community
from bot.simulation.speech import sayings
from bot.simulation.world import Heard, World
from bot.taking_up import Loaded, load_promoted
from bot.verdict import Verdict
from storage.dialog import Vote
from storage.estimates import Estimate, draws, interval
from storage.pseudonyms import SALT_BYTES
from storage.store import SqlDialogStore
from storage.versions import Promotion, Version

KINDS = ("taste", "policy")
"""What learns in a round. The taste is the ranker here that learns in half a minute."""

LATER = 1_000_000
"""Between the seeds of the pipeline before and after a round that the gate refused."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is simulated."""

    seed: int
    people: int = 200
    trolls: float = 0.0
    days: int = 7
    """At the most, before anything is learnt; the same again afterwards, or `after`."""
    votes: float = float("inf")
    """Votes that are enough to learn from."""
    after: int = 0
    """Days afterwards; 0: as many as before."""
    tries: int = 1
    """How often it learns at the most: while the gate refuses, people talk on for as many days, and it learns from
    all."""
    poison: bool = False
    """Whether a version that learns from votes turned round is shown to the gate too."""


@dataclass(frozen=True, slots=True)
class Talked:
    """What there is to learn from, of a plan, and where the world is by then."""

    plan: Plan
    heard: list[Heard]
    day: int
    talks: int


@dataclass(frozen=True, slots=True)
class Round:
    """What became of it. Approval is the share of replies that those who are no trolls like."""

    plan: Plan
    before: Estimate
    after: Estimate
    gain: Estimate
    """Of approval, paired by person."""
    turns: tuple[int, int]
    votes: tuple[int, int]
    liked_votes: tuple[float, float]
    """Share of 👍 among all votes, as the owner sees it."""
    passed: bool
    figures: str
    """What the gate measured."""
    foretold: Foretold
    """What the log of before says of the versions, to be held against what became true."""
    poisoned: bool | None
    """Whether the gate let the poisoned versions in; None: it was not asked."""
    poisoned_why: str = ""


def light(settings: Settings, out: Path) -> Settings:
    """The settings of a bot that is quick: no generator, and a ranker without an opinion."""
    from ranking.light_ranker import write_light_ranker

    return settings.model_copy(update={"candidates": 0, "ranker": write_light_ranker(out / "light-ranker")})


def talk(
    settings: Settings, plan: Plan, before: Loaded | None, watch: Callable[[int], object]
) -> tuple[Talked, Loaded]:
    """People talk in the empty data folder of the settings until there is enough to learn from. Also what served them,
    for the next ones to share."""
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    (settings.data_dir / "salt").write_bytes(bytes(SALT_BYTES))  # of people who are none; the same each time
    with open_store(settings) as store:
        shipped = serving(settings, store, before)
        set_seed(plan.seed)
        world = world_of(store, plan)
        pipeline = pipeline_for(shipped.parts, world, plan.seed)
        heard = world.live(pipeline, plan.days, votes=plan.votes, watch=keeping(shipped.parts, watch))
    return Talked(plan, heard, world.day, world.talks), shipped


def learn_once(
    settings: Settings, talked: Talked, before: Loaded | None, watch: Callable[[int], object]
) -> tuple[Round, Loaded]:
    """A round of learning from what people said in the data folder of the settings, and what served at its beginning,
    for the next one to share."""
    plan, first = talked.plan, talked.heard
    with open_store(settings) as store:
        shipped = serving(settings, store, before)
        set_seed(plan.seed)
        world = world_of(store, plan)
        world.day, world.talks = talked.day, talked.talks
        poisoned = poisoned_verdict(settings, store, shipped, first, plan.seed) if plan.poison else None
        for refused in range(plan.tries):
            if refused:
                pipeline = pipeline_for(shipped.parts, world, plan.seed + refused * LATER)
                first = [*first, *world.live(pipeline, plan.days, watch=keeping(shipped.parts, watch))]
            versions = learn(settings, store, shipped, plan.seed)
            verdict = gate(settings, store, versions, loaded=shipped)
            if verdict.passed:
                break
        foretold = foretell(settings, store, shipped, versions)
        if verdict.passed:
            facts = verdict.as_json()
            store.promote([Promotion(v.kind, v.name, "simulation", verdict=facts) for v in versions])
        now = load_promoted(settings, store, shipped)
        after = pipeline_for(now.parts, world, plan.seed + 1)
        second = world.live(after, plan.after or talked.day, watch=keeping(now.parts, watch))
    gc.collect()
    return told(plan, (first, second), verdict, foretold, poisoned), shipped


def serving(settings: Settings, store: SqlDialogStore, before: Loaded | None) -> Loaded:
    """What serves at the beginning, where it is loaded already with the settings of this folder."""
    shipped = before or load_promoted(settings, store)
    return replace(shipped, parts=replace(shipped.parts, settings=settings))


def world_of(store: SqlDialogStore, plan: Plan) -> World:
    """The world of a plan."""
    return World(store, community(plan.seed, plan.people, plan.trolls, sorted(sayings())), plan.seed)


def pipeline_for(parts: Parts, world: World, seed: int) -> Pipeline:
    """The real pipeline, in the world's time."""
    return pipeline_of(parts, world.dated, seed)


def keeping(parts: Parts, watch: Callable[[int], object]) -> Callable[[int], object]:
    """Keeps all vectors that were made: simulated people say the same things again and again, in every seed."""

    def kept(turns: int) -> object:
        parts.encoder.known.add(parts.encoder.recent)
        return watch(turns)

    return kept


def learn(settings: Settings, store: SqlDialogStore, loaded: Loaded, seed: int) -> list[Version]:
    """A taste, and the policy that goes with it, from the log."""
    encoder = loaded.parts.encoder
    encoder.learn([text for r in shipped_ratings() for text in (r.reply, *(m.text for m in r.messages))])  # each time
    taste = train_from_log(settings, store, "taste", seed=seed, encoder=encoder)
    policy = train_from_log(settings, store, "policy", seed=seed, encoder=encoder, taste=taste.name)
    return [taste, policy]


def poisoned_verdict(
    settings: Settings, store: SqlDialogStore, loaded: Loaded, heard: Sequence[Heard], seed: int
) -> Verdict:
    """What the gate says of versions that learnt from votes turned round, on the votes as they are."""
    with turned_round(store, heard):
        versions = learn(settings, store, loaded, seed)
    return gate(settings, store, versions, loaded=loaded)


@contextmanager
def turned_round(store: SqlDialogStore, heard: Sequence[Heard]) -> Iterator[None]:
    """All votes are the opposite meanwhile."""

    def cast(sign: int) -> None:
        for reply in heard:
            if reply.vote:
                vote = Vote(reply.turn_id, reply.person.id, 1 if sign * reply.vote > 0 else -1, "button", at=reply.at)
                store.add_vote(vote, reply.person.id)

    cast(-1)
    try:
        yield
    finally:
        cast(1)


def told(
    plan: Plan,
    heard: tuple[Sequence[Heard], Sequence[Heard]],
    verdict: Verdict,
    foretold: Foretold,
    poisoned: Verdict | None,
) -> Round:
    """The figures of a round, of what was heard before and afterwards."""
    before, after, gain = approvals(*heard)
    votes = [[reply.vote > 0 for reply in part if reply.vote] for part in heard]
    return Round(
        plan,
        before,
        after,
        gain,
        (len(heard[0]), len(heard[1])),
        (len(votes[0]), len(votes[1])),
        (share_of(votes[0]), share_of(votes[1])),
        verdict.passed,
        "; ".join([*(f"{figure.name} {figure.gain}" for figure in verdict.figures), *verdict.refusals]),
        foretold,
        poisoned.passed if poisoned else None,
        "; ".join(poisoned.refusals) if poisoned else "",
    )


def approvals(first: Sequence[Heard], second: Sequence[Heard]) -> tuple[Estimate, Estimate, Estimate]:
    """The share of replies that were liked by those who are no trolls, in either part, and the gain, with intervals by
    bootstrap over people."""
    both = [[reply for reply in part if not reply.person.troll] for part in (first, second)]
    names = sorted({reply.person.id for part in both for reply in part})
    place = {name: number for number, name in enumerate(names)}
    sums = np.zeros((len(names), 4))
    for column, part in enumerate(both):
        for reply in part:
            sums[place[reply.person.id], 2 * column : 2 * column + 2] += (reply.liked, 1.0)
    resampled = np.array([shares(sums[chosen]) for chosen in draws(names)])
    values = shares(sums)
    low, high, gain = (interval(value, resampled[:, i].tolist()) for i, value in enumerate(values))
    return low, high, gain


def shares(sums: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> tuple[float, float, float]:
    """Both shares and their difference, of sums and counts."""
    liked, count, liked_later, count_later = sums.sum(axis=0)
    before, after = float(liked / count), float(liked_later / count_later)
    return before, after, after - before


def share_of(likes: Sequence[bool]) -> float:
    """Of 👍; 0 of none."""
    return sum(likes) / len(likes) if likes else 0.0
