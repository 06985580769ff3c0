"""How large the pool must be: `kith evaluate pool --growth`.

The same held-back places are answered with random shares of the pool's situations, each share within the next larger
one, by retrieval alone and by the whole bot. Only retrieval is asked again: what the other sources say stays the same.
The judge is that of `kith evaluate bot`, and so is who decides at a place (bot/ablation.py).
"""

import random
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bot.ablation import RETRIEVAL, WHOLE, decided_again, held_back_dialogs, liked, load_judge, unseeing
from bot.assemble import assemble, load_retriever, open_store, read_pool, set_seed
from bot.pipeline import Pipeline
from bot.protocols import Source
from bot.rehearsal import answer
from bot.settings import Settings, UserError
from generation.replies import places_to_answer
from ranking.retriever import Retriever
from storage.dialog import Candidate, Context, PoolEntry
from storage.estimates import RESAMPLES, Estimate, Floats, compared, draws, mean

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of the situations, the whole pool last."""

WHO = (RETRIEVAL, WHOLE)


@dataclass(frozen=True, slots=True)
class GrowthEvaluation:
    """What is measured, on what."""

    data: tuple[Path, ...]
    places: int = 120
    """At the most, one a dialog."""
    orders: int = 3
    """In how many random orders the pool grows."""
    judge: str = ""
    """As in `BotEvaluation`."""
    lang: str = "en"
    seed: int = 0
    resamples: int = RESAMPLES


@dataclass(frozen=True, slots=True)
class Share:
    """How one share of the pool did. Intervals hold the scatter of dialogs, not that of orders."""

    situations: int
    liked: Estimate
    """The judge's probability of a 👍, mean over places and orders."""
    less_whole: Estimate
    """The paired difference to the whole pool."""
    by_order: tuple[float, ...]
    """`liked` in each order alone."""
    of_pool: float
    """The share of what was said that came from the pool."""


@dataclass(frozen=True, slots=True)
class GrowthFigures:
    """What came of it."""

    models: Mapping[str, str]
    replies: int
    shares: Mapping[str, tuple[Share, ...]]
    """By who decides, in the order of SHARES."""
    policy: str
    """As in `BotFigures`."""
    seconds: float


def evaluate_growth(settings: Settings, run: GrowthEvaluation) -> GrowthFigures:
    """Raises what the parts of the bot raise, CorpusError on data that is unreadable or has no held-back part,
    UserError when retrieval is switched off."""
    if not settings.retrieved:
        raise UserError("How the pool grows cannot be measured: set KITH_RETRIEVED to more than 0.")
    dialogs = held_back_dialogs(run.data, run.lang)
    with open_store(settings) as store:
        pool = read_pool(store)
        retriever = load_retriever(settings, store)
        pipeline = assemble(settings, store, retriever, run.seed)
    judge = load_judge(run.judge, retriever.encoder)
    set_seed(run.seed)
    started = time.monotonic()
    held = places_to_answer(dialogs, run.places, run.seed, pipeline.personas)
    deciding, policy = unseeing(settings, dialogs, held, run.seed)
    places = [(place.dialog, place.context) for place in held]
    others = {name: remembered(source) for name, source in pipeline.sources.items() if name != "retrieval"}
    found: dict[tuple[str, int], list[Floats]] = {}
    from_pool: dict[tuple[str, int], list[bool]] = {}
    sizes = [len(kept) for kept in growing(pool, run.seed)]
    with tqdm(
        total=len(places) * (1 + run.orders * (len(SHARES) - 1)), unit="turn", mininterval=2, disable=None
    ) as bar:
        for order in range(run.orders):
            for number, kept in enumerate(growing(pool, run.seed + order)):
                if order and SHARES[number] == 1:  # the same in every order
                    continue
                answered = answer(with_pool(pipeline, others, part_of(pool, kept), retriever), places, bar.update)
                for who in WHO:
                    said = [decided_again(a, by[who], pipeline) for a, by in zip(answered, deciding, strict=True)]
                    found.setdefault((who, number), []).append(liked(said, judge))
                    from_pool.setdefault((who, number), []).extend(reply.source == "retrieval" for reply in said)
    drawn = draws([place.dialog for place in held], run.seed, run.resamples)
    shares: dict[str, tuple[Share, ...]] = {}
    for who in WHO:
        means = [np.mean(found[who, number], axis=0) for number in range(len(SHARES))]
        rows = []
        for number, size in enumerate(sizes):
            _, here, less = compared(means[-1], means[number], drawn, mean)
            by_order = tuple(float(values.mean()) for values in found[who, number])
            rows.append(Share(size, here, less, by_order, float(np.mean(from_pool[who, number]))))
        shares[who] = tuple(rows)
    models = {**pipeline.versions(), "judge": judge.version}
    return GrowthFigures(models, len(held), shares, policy, round(time.monotonic() - started, 1))


def growing(pool: Sequence[PoolEntry], seed: int) -> list[frozenset[str]]:
    """The situations of each of the SHARES, drawn at random, each within the next."""
    names = sorted({situation_of(entry) for entry in pool})
    order = random.Random(seed).sample(names, len(names))
    return [frozenset(order[: round(share * len(names))]) for share in SHARES]


def part_of(pool: Iterable[PoolEntry], situations: frozenset[str]) -> list[PoolEntry]:
    """The entries of these situations."""
    return [entry for entry in pool if situation_of(entry) in situations]


def situation_of(entry: PoolEntry) -> str:
    """The name of its situation; what is not curated is one of its own."""
    return entry.id.rpartition("/")[0] if entry.origin == "curated" else entry.id


def with_pool(pipeline: Pipeline, others: Mapping[str, Source], pool: Sequence[PoolEntry], like: Retriever) -> Pipeline:
    """The bot with another pool, found as `like` finds, and with these other sources."""
    retriever = Retriever(pool, like.encoder, like.top_k, like.threshold, danger=like.danger)
    scorers = {**pipeline.scorers, "careless": retriever.careless, "nearest": retriever.nearest}
    return replace(pipeline, sources={"retrieval": retriever.propose, **others}, scorers=scorers)


def remembered(source: Source) -> Source:
    """A source that says the same whenever a context is asked again."""
    known: dict[Context, Sequence[Candidate]] = {}

    def propose(contexts: Sequence[Context]) -> list[Sequence[Candidate]]:
        fresh = [context for context in dict.fromkeys(contexts) if context not in known]
        known.update(zip(fresh, source(fresh), strict=True) if fresh else ())
        return [known[context] for context in contexts]

    return propose
