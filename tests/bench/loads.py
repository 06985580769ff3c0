"""Kith under load, over HTTP: 1 to 64 people at once, the rate at which 95 of 100 replies come within two seconds, and,
if asked for, many minutes at 80 % of it."""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bench.crowd import Crowd, Wait
from bench.serving import Bot, joules, running
from bench.sizes import Sizes
from bench.stages import stages
from bench.timing import Json, spread

SOON = 2.0
"""Seconds within which 95 of 100 replies must be there."""

SHARE = 0.8
"""Of the capacity, at which it is to go on for long."""

LEAST = 20
"""Messages of a run, on average, before its p95 is believed."""

REGULARS = 64
"""People of the open loop, to begin with."""

LOOK_SECONDS = 10
"""Between two looks at the memory of a bot."""


@dataclass(slots=True)
class Cost:
    """What the bot, and this process, which plays Telegram on the same cores, used while something was measured."""

    bot: Bot
    began: float
    cpu: float
    own: float
    joules: float | None

    def a_turn(self, turns: int) -> Json:
        """Each turn's share, and what was used of all cores."""
        now, used = joules(), self.bot.cpu_seconds() - self.cpu
        return {
            "CPU seconds a turn": used / max(1, turns),
            "CPU seconds a turn, the load itself": (time.process_time() - self.own) / max(1, turns),
            "cores busy with the bot": used / (time.time() - self.began),
            "joules a turn, whole machine": None
            if now is None or self.joules is None
            else (now - self.joules) / max(1, turns),
            "peak memory MiB": self.bot.mebibytes("VmHWM"),
        }


def cost(bot: Bot) -> Cost:
    """From now on."""
    return Cost(bot, time.time(), bot.cpu_seconds(), time.process_time(), joules())


def measure(sizes: Sizes, folder: Path) -> Json:
    """All of it."""
    return asyncio.run(_measure(sizes, folder))


async def _measure(sizes: Sizes, folder: Path) -> Json:
    started = time.time()
    async with running(folder) as bot:
        result: Json = {"seconds to the start": time.time() - started}
        await Crowd(bot).closed(4, 1.0)  # the first turns warm the models
        for people in sizes.crowds:
            result.setdefault("people", {})[str(people)] = await closed(bot, people, sizes)
        fastest = max(each["turns a second"].median for each in result["people"].values())
        result["open"] = await capacity(bot, fastest, sizes)
        if sizes.sustained_minutes and result["open"]["capacity"]:
            rate = SHARE * result["open"]["capacity"]
            result["sustain"] = await sustained(bot, rate, sizes.sustained_minutes * 60)
        return result


async def closed(bot: Bot, people: int, sizes: Sizes) -> Json:
    """A closed loop, some times over; waits are those of all of them."""
    crowd, waits, rates, p50, p95 = Crowd(bot), list[Wait](), list[float](), list[float](), list[float]()
    spent = cost(bot)
    for _ in tqdm(range(sizes.closed_repeats), f"loads, {people} at once", disable=None, leave=False):
        began = time.time()
        found = await crowd.closed(people, sizes.closed_seconds)
        rates.append(len(found) / (max(w.said + w.seconds for w in found) - began))
        p50.append(quantile(found, 0.5))
        p95.append(quantile(found, 0.95))
        waits += found
    return {
        "turns a second": spread(rates),
        "p50 s": spread(p50),
        "p95 s": spread(p95),
        "messages that answered nothing": crowd.unasked,
        **told(waits),
        **spent.a_turn(len(waits)),
        "stages ms": stages(bot, waits),
    }


def quantile(waits: Sequence[Wait], share: float) -> float:
    """Of the seconds that people waited."""
    return float(np.quantile([wait.seconds for wait in waits], share))


def told(waits: Sequence[Wait]) -> Json:
    """How many there were, how many got nothing, and how fair it was."""
    by_person: dict[str, list[float]] = defaultdict(list)
    for wait in waits:
        by_person[wait.chat].append(wait.seconds)
    means = [float(np.mean(each)) for each in by_person.values()]
    return {
        "turns": len(waits),
        "lost": sum(wait.heard is None for wait in waits),
        "longest mean wait over shortest": max(means) / min(means),
        "messages of a person, at the least": min(map(len, by_person.values())),
    }


async def capacity(bot: Bot, fastest: float, sizes: Sizes) -> Json:
    """By bisection: the rate at which p95 is still under SOON, and all that was tried. It begins with what a closed
    loop reaches, which no open one does for long."""
    crowd, draw, tried = Crowd(bot), random.Random(1), list[Json]()
    for _ in range(REGULARS):
        crowd.join()
    low, high = 0.0, 1.2 * fastest
    for step in tqdm(range(sizes.open_steps), "loads, open loop", disable=None, leave=False):
        rate = 0.75 * high if step == 0 else (low + high) / 2
        seconds = max(sizes.open_seconds, LEAST / rate)
        waits = await crowd.open(rate, seconds, draw, round(4 * SOON * rate + 8))
        p95 = quantile(waits, 0.95) if waits else None
        tried.append({"rate": rate, "p95 s": p95, "messages": len(waits or ()), "seconds": seconds})
        low, high = (rate, high) if p95 is not None and p95 <= SOON else (low, rate)
    return {"capacity": low, "at the most": high, "tried": tried}


async def sustained(bot: Bot, rate: float, seconds: float) -> Json:
    """The long run: what was lost, how people waited, and whether memory grew after its first fifth."""
    crowd, spent, memory = Crowd(bot), cost(bot), list[float]()
    for _ in range(REGULARS):
        crowd.join()

    async def look() -> None:
        for _ in tqdm(range(int(seconds / LOOK_SECONDS)), "loads, sustained", disable=None, leave=False):
            await asyncio.sleep(LOOK_SECONDS)
            memory.append(bot.mebibytes("VmRSS"))

    looking = asyncio.create_task(look())
    waits = await crowd.open(rate, seconds, random.Random(2)) or []
    await looking
    settled = memory[len(memory) // 5 :] or [bot.mebibytes("VmRSS")]
    logged = bot.logged()
    said = Counter((wait.chat, wait.message) in logged for wait in waits)
    return {
        "rate": rate,
        "minutes": seconds / 60,
        "p50 s": quantile(waits, 0.5),
        "p95 s": quantile(waits, 0.95),
        **told(waits),
        "messages that answered nothing": crowd.unasked,
        "not in the log": said[False],
        "memory MiB": memory,
        "growth of memory after its first fifth, %": 100 * (settled[-1] / settled[0] - 1),
        **spent.a_turn(len(waits)),
    }
