"""The async edge of the pipeline: turns that wait are answered together, on one thread, so that no model blocks a vote.

A lone message starts at once; those that arrive while a batch runs make up the next one, in which each dialog has one
turn at the most: who writes much waits for himself alone. A batch that takes too long is left behind on its thread, and
begun anew on another one.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Any, Self, TypeAlias

from storage.dialog import Asked, Turn

log = logging.getLogger(__name__)

Answer: TypeAlias = Callable[[Sequence[Asked]], Sequence[Turn | Exception]]
"""Messages in, for each one its turn or what went wrong with it alone. After a batch took too long it is called while
that call still runs, and must then do without what hangs."""

Waiting: TypeAlias = tuple[Asked, "asyncio.Future[Turn]"]

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

    def __init__(self, answer: Answer, max_batch: int = 16, turn_seconds: float = 60) -> None:
        self._answer, self._max_batch, self._turn_seconds = answer, max_batch, turn_seconds
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
            for _, future in queue:
                future.cancel()
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
        self._waiting.setdefault(asked.dialog_id, deque()).append((asked, future))
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
            batch = self._next()
            if batch:
                await self._run_batch(batch)
            elif not self._between:
                self._come.clear()

    def _next(self) -> list[Waiting]:
        """The next batch: the first turn that waits of each dialog. Those that have more go to the end of the line."""
        batch: list[Waiting] = []
        for dialog in list(self._waiting):
            if len(batch) == self._max_batch:
                break
            queue = self._waiting.pop(dialog)
            while queue and queue[0][1].cancelled():
                queue.popleft()
            if queue:
                batch.append(queue.popleft())
            if queue:
                self._waiting[dialog] = queue
        return batch

    async def _run_batch(self, batch: Sequence[Waiting]) -> None:
        self._began = time.monotonic()
        try:
            (outcome,) = await asyncio.gather(self._outcome([asked for asked, _ in batch]), return_exceptions=True)
            answers = [outcome] * len(batch) if isinstance(outcome, BaseException) else outcome
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():
                    continue
                if isinstance(answer, BaseException):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
        finally:  # at the end of the bot this is cancelled, and nobody should wait for ever
            self._began, self._ended = None, time.monotonic()
            for _, future in batch:
                future.cancel()

    async def _outcome(self, batch: Sequence[Asked]) -> Sequence[Turn | Exception]:
        for _ in range(TRIES):
            self._at_hand = self._worker.do(lambda: self._answer(batch))
            work = asyncio.wrap_future(self._at_hand)
            done, _ = await asyncio.wait([work], timeout=self._turn_seconds)
            if done:
                answers: Sequence[Turn | Exception] = work.result()
                return answers
            log.error("no turn in %s s: its thread is left behind", self._turn_seconds)
            self._worker = Worker()
        raise TimeoutError(f"there was no turn in {TRIES * self._turn_seconds} s")
