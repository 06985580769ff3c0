"""People who write to a bot that runs, and how long they wait: in a closed loop, where each writes again as soon as
there is a reply, and in an open one, where messages come by chance, whatever the bot does."""

import asyncio
import math
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle

from telegram_people import Json, Somebody

from bench.serving import Bot
from bot.rehearsal import scripted_users

PATIENCE = 300
"""Seconds after which a reply counts as lost."""


@dataclass(frozen=True, slots=True)
class Wait:
    """From a message's arrival at the Bot API to that of its reply; times are in seconds since 1970."""

    chat: str
    message: str
    said: float
    heard: float | None
    """None: it never came."""

    @property
    def seconds(self) -> float:
        """A lost reply is one that took as long as anybody waits."""
        return PATIENCE if self.heard is None else self.heard - self.said


@dataclass(slots=True)
class Crowd:
    """People of one bot, who say what the scripted users say."""

    bot: Bot
    people: list[Somebody] = field(default_factory=list)
    lines: dict[int, Iterator[str]] = field(default_factory=dict)
    unasked: int = 0
    """Messages of the bot that answered nothing, and replies that came after PATIENCE."""

    def join(self) -> Somebody:
        """Somebody new."""
        users, number = scripted_users(), len(self.people)
        person = self.bot.api.person(f"Person {number}")
        self.people.append(person)
        self.lines[person.user["id"]] = cycle(users[number % len(users)].says)
        return person

    async def talk(self, person: Somebody) -> Wait:
        """A message and its reply."""
        while not person.chat.unread.empty():  # else a second message would pass for the next one's reply
            person.chat.unread.get_nowait()
            self.unasked += 1
        said = time.time()
        message: Json = person.say(next(self.lines[person.user["id"]]))
        heard: float | None = None
        try:
            await asyncio.wait_for(person.chat.unread.get(), PATIENCE)
            heard = time.time()
        except TimeoutError:
            pass
        return Wait(f"telegram:{person.user['id']}", str(message["message_id"]), said, heard)

    async def closed(self, people: int, seconds: float) -> list[Wait]:
        """So many people at once, for so long; the messages that are under way at the end are waited for."""
        while len(self.people) < people:
            self.join()
        end = time.time() + seconds

        async def one(person: Somebody) -> list[Wait]:
            waits = []
            while time.time() < end:
                waits.append(await self.talk(person))
            return waits

        return [wait for waits in await asyncio.gather(*map(one, self.people[:people])) for wait in waits]

    async def open(
        self, rate: float, seconds: float, draw: random.Random, hopeless: float = math.inf
    ) -> list[Wait] | None:
        """Messages at so many a second on average, independent of each other (Poisson), each of somebody who waits for
        nothing. None: it was given up, as more than `hopeless` waited."""
        idle, tasks = list(self.people), set[asyncio.Task[Wait]]()
        end, due, waits = time.time() + seconds, time.time(), list[Wait]()

        async def one(person: Somebody) -> Wait:
            wait = await self.talk(person)
            idle.append(person)
            return wait

        gone = False
        while not gone and (due := due + draw.expovariate(rate)) < end:
            await asyncio.sleep(max(0.0, due - time.time()))
            person = idle.pop(draw.randrange(len(idle))) if idle else self.join()
            tasks.add(asyncio.create_task(one(person)))
            waits += [task.result() for task in tasks if task.done()]
            tasks = {task for task in tasks if not task.done()}
            gone = len(tasks) > hopeless
        waits += await asyncio.gather(*tasks)
        return None if gone else waits
