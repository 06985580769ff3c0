"""The async edge of the pipeline: turns that wait are answered together, on one thread, so that no model blocks a vote.

A lone message starts at once; those that arrive while a batch runs make up the next one, in which each dialog has one
turn at the most: who writes much waits for himself alone. Turns that are late make up a batch of their own, which is
quick: it does without what is slow. In a crowd all are, from the start: so many would wait too long for what is slow,
and for each other. A batch that takes too long is left behind on its thread, and begun anew on another one, as late.
"""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Protocol, Self

from storage.dialog import Asked, Turn

log = logging.getLogger(__name__)


class Answer(Protocol):
    """What makes turns. After a batch took too long it is called while that call still runs, and must then do without
    what hangs."""

    def __call__(self, batch: Sequence[Asked], waited: Sequence[float], late: bool) -> Sequence[Turn | Exception]:
        """Messages in, with the seconds that each has waited; for each one its turn out, or what went wrong with it
        alone. `late`: they have no time for what is slow."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Waiting:
    """A message that waits for its turn, and since when."""

    asked: Asked
    turn: "asyncio.Future[Turn]"
    since: float


TRIES = 2
"""How often a batch may take too long: a second time means that more hangs than one model."""

PARTING_SECONDS = 2
"""How long the end waits for the batch at hand."""


class Worker:
    """A thread that does one thing after the other. It is a daemon: one that hangs must not keep the program."""

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        Thread(target=self._run, name="models", daemon=True).start()

    def do(self, work: Callable[[], Any]) -> "Future[Any]":
        """Queues something to do."""
        future: Future[Any] = Future()
        self._work.put((work, future))
        return future

    def _run(self) -> None:
        while True:
            work, future = self._work.get()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(work())
            except BaseException as error:  # it goes to whoever waits
                future.set_exception(error)
            del work, future  # the last batch need not stay in memory until the next one


class Batcher:
    """`async with Batcher(pipeline.answer) as batcher: turn = await batcher.answer(asked)`."""

    def __init__(
        self,
        answer: Answer,
        max_batch: int = 16,
        turn_seconds: float = 60,
        late_seconds: float = 0,
        crowd: int | None = None,
    ) -> None:
        """`max_batch`: simulated with batches that cost a + b n seconds (0.24 + 0.66 n, 0.17 + 0.083 n, 0.1 + 0.1 n),
        64 people in a closed loop waited 5 to 49 % longer at p95 with 4 than with 16, and as long, to 2 %, with 32 or
        64; 4 and 16 people, and arrivals by chance at 80 % of the capacity, want no other number either.
        `late_seconds`: how long a turn may have waited when its batch begins, before it is late; 0: none is. `crowd`:
        with so many dialogs that wait at once all are late, and for so many seconds after them whoever is next: a crowd
        that was answered writes on, and its first message must not make the others wait. None: none is one."""
        self._answer, self._max_batch, self._turn_seconds = answer, max_batch, turn_seconds
        self._late_seconds, self._crowd = late_seconds, crowd
        self._hurry = False
        """Whether the batch at hand is of a crowd."""
        self._hurried_until = -math.inf
        self._waiting: dict[str, deque[Waiting]] = {}
        """By dialog; the one whose turn is next comes first."""
        self._between: deque[tuple[Callable[[], None], asyncio.Future[None]]] = deque()
        self._come = asyncio.Event()
        self._worker = Worker()
        self._at_hand: Future[Any] = Future()
        self._loop: asyncio.Task[None] | None = None
        self._began: float | None = None
        self._ended: float | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop
        self._loop.cancel()
        await asyncio.gather(self._loop, return_exceptions=True)
        for queue in self._waiting.values():
            for each in queue:
                each.turn.cancel()
        for _, done in self._between:
            done.cancel()
        if self._at_hand.running():
            await asyncio.wait([asyncio.wrap_future(self._at_hand)], timeout=PARTING_SECONDS)

    @property
    def running(self) -> bool:
        """Whether messages are taken."""
        return self._loop is not None and not self._loop.done()

    @property
    def waiting(self) -> int:
        """How many messages wait for the batch that runs."""
        return sum(len(queue) for queue in list(self._waiting.values()))

    @property
    def busy_seconds(self) -> float:
        """How long the batch that runs has taken; 0 when none does."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    @property
    def idle_seconds(self) -> float | None:
        """How long ago the last batch ended; None when there was none."""
        return None if self._ended is None else time.monotonic() - self._ended

    async def answer(self, asked: Asked) -> Turn:
        """The turn for a message; what the pipeline raises for its batch is raised to each of its callers, a
        TimeoutError when it hangs. Callers that are without a turn at the end are cancelled."""
        self._check_open()
        future: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        waiting = Waiting(asked, future, time.monotonic())
        self._waiting.setdefault(asked.dialog_id, deque()).append(waiting)
        self._come.set()
        return await future

    async def between(self, work: Callable[[], None]) -> None:
        """Does something that is quick and does not fail, while no batch runs."""
        self._check_open()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._between.append((work, done))
        self._come.set()
        await done

    def _check_open(self) -> None:
        if not self.running:
            raise RuntimeError("The batcher is closed.")

    async def _run(self) -> None:
        while True:
            await self._come.wait()
            while self._between:
                work, done = self._between.popleft()
                if not done.done():
                    work()
                    done.set_result(None)
            batch, late = self._next(time.monotonic())
            if batch:
                await self._run_batch(batch, late)
            elif not self._between:
                self._come.clear()

    def _next(self, now: float) -> tuple[list[Waiting], bool]:
        """The next batch, and whether it is late: the first turn that waits of each dialog, as far as they are late or
        in time as the very first one is. Dialogs that have more go to the end of the line."""
        for dialog, queue in list(self._waiting.items()):
            while queue and queue[0].turn.cancelled():
                queue.popleft()
            if not queue:
                del self._waiting[dialog]
        self._hurry = self._crowd is not None and len(self._waiting) >= self._crowd
        hurried = self._hurry or now < self._hurried_until
        batch: list[Waiting] = []
        late = False
        for dialog, queue in list(self._waiting.items()):
            overdue = hurried or 0 < self._late_seconds < now - queue[0].since
            late = late if batch else overdue
            if overdue != late:
                continue
            batch.append(queue.popleft())
            del self._waiting[dialog]
            if queue:
                self._waiting[dialog] = queue
            if len(batch) == self._max_batch:
                break
        return batch, late

    async def _run_batch(self, batch: Sequence[Waiting], late: bool) -> None:
        self._began = time.monotonic()
        try:
            (outcome,) = await asyncio.gather(self._outcome(batch, late), return_exceptions=True)
            answers = [outcome] * len(batch) if isinstance(outcome, BaseException) else outcome
            for waiting, answer in zip(batch, answers, strict=True):
                if waiting.turn.done():
                    continue
                if isinstance(answer, BaseException):
                    waiting.turn.set_exception(answer)
                else:
                    waiting.turn.set_result(answer)
        finally:  # at the end of the bot this is cancelled, and nobody should wait for ever
            self._began, self._ended = None, time.monotonic()
            if self._hurry:
                self._hurried_until = self._ended + self._late_seconds
            for waiting in batch:
                waiting.turn.cancel()

    async def _outcome(self, batch: Sequence[Waiting], late: bool) -> Sequence[Turn | Exception]:
        asked = [waiting.asked for waiting in batch]
        for _ in range(TRIES):
            began = time.monotonic()
            waited = [began - waiting.since for waiting in batch]
            self._at_hand = self._worker.do(partial(self._answer, asked, waited, late))
            work = asyncio.wrap_future(self._at_hand)
            done, _ = await asyncio.wait([work], timeout=self._turn_seconds)
            if done:
                answers: Sequence[Turn | Exception] = work.result()
                return answers
            log.error("no turn in %s s: its thread is left behind", self._turn_seconds)
            self._worker, late = Worker(), self._late_seconds > 0
        raise TimeoutError(f"there was no turn in {TRIES * self._turn_seconds} s")
