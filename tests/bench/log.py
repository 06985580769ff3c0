"""What a turn costs the log, and what runs beside it, as the log grows: PYTHONPATH=.:tests python -m bench.log

The turns before are made by SQL (bench/log_rows.py); the turns that are timed go through the store, one after another,
as a front end and the pipeline call it. A million turns need 17 GB of disk, which are free again at the end.
"""

import argparse
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from bench.log_rows import CANDIDATES, FEATURES, fill
from storage.dialog import Asked, Candidate, Decision, Received, Scored, Silence, Turn, Vote, new_id, now
from storage.retention import expiry
from storage.stats import percentile, read_stats
from storage.store import SqlDialogStore

BATCH = 16
TALKING = 400
"""People who talk meanwhile: so many pages are read of a log that has many more."""


class Times:
    """Seconds by operation, in the order in which they were first timed."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Times what is done in the body."""
        started = time.perf_counter()
        yield
        self.seconds[name].append(time.perf_counter() - started)


def considered(asked: Asked, numbers: random.Random) -> Turn:
    """A turn with as many candidates and features as the shipped bot has."""
    ranked = tuple(
        Scored(
            Candidate(f"That sounds like a lot to carry on a Monday, number {rank}", "retrieval", 0.5, f"work/{rank}"),
            {f"feature_{n:02}": numbers.random() if n % 2 else float(n % 4 > 2) for n in range(FEATURES)},
            total=1.0 - rank,
            probability=0.05,
        )
        for rank in range(CANDIDATES)
    )
    versions = {name: f"starter 2026-11-20 {name}" for name in ("retrieval", "generation", "ranker")}
    seconds = {f"part_{number:02}": 0.0123 * number for number in range(FEATURES)}
    return Turn(new_id(), asked, "hi", Decision(ranked[0].candidate.text, "policy", ranked, 0), versions, seconds)


def talk(store: SqlDialogStore, times: Times, turns: int) -> None:
    """Single turns with all that a front end asks the log for."""
    numbers, front = random.Random(1), new_id()
    for number in range(turns):
        person, update = f"telegram:{numbers.randrange(TALKING) * 37}", f"{front}:{number}"
        with times.of("receive"):
            store.receive(Received(update, person, "{}" * 200))
        with times.of("person"):
            store.person(person)
        with times.of("quotas"):
            for window in (60, 24 * 3600):
                store.asked_since(person, now() - timedelta(seconds=window))
        with times.of("take"):
            asked = store.take(person, person, "my manager moved the deadline again", update, f"{front}{number}")
        assert asked
        with times.of("context"):
            store.context(asked)
        turn = considered(asked, numbers)
        with times.of("add_turn"):
            store.add_turn(turn)
        with times.of("delivery"):
            store.add_delivery(turn.id, person, [f"{front}r{number}"])
        with times.of("finish"):
            store.finish(update)
        with times.of("vote"):
            store.add_vote(Vote(turn.id, person, 1, "button"), person)


def batches(store: SqlDialogStore, times: Times, count: int) -> None:
    """Batches of BATCH turns: each turn in a transaction of its own, and all of them in one."""
    numbers, front = random.Random(2), new_id()
    for number in range(2 * count):
        people = [f"telegram:{numbers.randrange(TALKING) * 37}" for _ in range(BATCH)]
        asked = [store.take(each, each, "hi", f"{front}:{number}:{n}") for n, each in enumerate(people)]
        turns = [considered(each, numbers) for each in asked if each]
        if number % 2:
            with times.of(f"{BATCH} turns, one transaction each"):
                for turn in turns:
                    store.add_turn(turn)
        else:
            with times.of(f"{BATCH} turns in one transaction"):
                store.add_turns(turns)


def look(store: SqlDialogStore, times: Times, count: int) -> None:
    """What runs beside turns, the rare and long things once."""
    silence = Silence(8, now() - timedelta(hours=1), now() - timedelta(minutes=10))
    often: dict[str, Callable[[], object]] = {
        "pool_state": store.pool_state,
        "last_promotion": store.last_promotion,
        "updates_in_hand": store.updates_in_hand,
        "ask_after_talk": lambda: store.ask_after_talk("telegram", silence, lambda talk: False),
        "prune, nothing due": lambda: store.prune(expiry(730, 24)),
    }
    for name, call in often.items():
        for _ in range(count):
            with times.of(name):
                call()
    with times.of("/stats"):
        store.glance(now() - timedelta(days=1))
    with times.of("kith stats"), store.reading() as connection:
        read_stats(connection)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", help="URL of an empty database; default: SQLite in a folder that goes at the end")
    parser.add_argument("--sizes", type=int, nargs="+", default=[0, 100_000, 1_000_000], help="turns before, ascending")
    parser.add_argument("--turns", type=int, default=500, help="turns that are timed at each size")
    given = parser.parse_args()
    columns: dict[int, Times] = {}
    with tempfile.TemporaryDirectory() as folder:
        url = given.database or f"sqlite:///{Path(folder) / 'kith.db'}"
        already = 0
        for size in given.sizes:
            SqlDialogStore(url).close()
            fill(url, size - already)
            already, columns[size] = size, Times()
            with SqlDialogStore(url) as store:
                talk(store, Times(), 50)
                talk(store, columns[size], given.turns)
                batches(store, columns[size], max(1, given.turns // BATCH))
                look(store, columns[size], 20)
    print(table(columns))


def table(columns: dict[int, Times]) -> str:
    """Milliseconds, median and 95th percentile, by operation and the number of turns before."""
    rows = ["| ms, p50 / p95 | " + " | ".join(f"{size:,} turns" for size in columns) + " |"]
    rows.append("|---|" + "---:|" * len(columns))
    for name in next(iter(columns.values())).seconds:
        cells = [ordered_pair(times.seconds[name]) for times in columns.values()]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def ordered_pair(seconds: list[float]) -> str:
    """The median and the 95th percentile in milliseconds; of a single time, that one."""
    ordered = sorted(seconds)
    low, high = (1000 * percentile(ordered, share) for share in (0.5, 0.95))
    return f"{low:,.2f} / {high:,.2f}" if len(ordered) > 1 else f"{low:,.0f}"


if __name__ == "__main__":
    main()
