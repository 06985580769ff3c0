"""The async edge of the pipeline: turns that wait are answered together, on one thread, so that no model blocks a vote.

A lone message starts at once; those that arrive while a batch runs make up the next one.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeAlias

from storage.dialog import Asked, Turn

Answer: TypeAlias = Callable[[Sequence[Asked]], Sequence[Turn | Exception]]
"""Messages in, for each one its turn or what went wrong with it alone."""


class Batcher:
    """`async with Batcher(pipeline.answer) as batcher: turn = await batcher.answer(asked)`."""

    def __init__(self, answer: Answer, max_batch: int = 16) -> None:
        self._answer, self._max_batch = answer, max_batch
        self._waiting: asyncio.Queue[tuple[Asked, asyncio.Future[Turn]]] = asyncio.Queue()
        self._thread = ThreadPoolExecutor(1, "models")
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
        while not self._waiting.empty():
            self._waiting.get_nowait()[1].cancel()
        await asyncio.to_thread(self._thread.shutdown)

    @property
    def running(self) -> bool:
        """Whether messages are taken."""
        return self._loop is not None and not self._loop.done()

    @property
    def waiting(self) -> int:
        """How many messages wait for the batch that runs."""
        return self._waiting.qsize()

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
        """The turn for a message; what the pipeline raises for its batch is raised to each of its callers. Callers that
        are without one at the end are cancelled."""
        if self._loop is None or self._loop.done():
            raise RuntimeError("The batcher is closed.")
        future: asyncio.Future[Turn] = asyncio.get_running_loop().create_future()
        await self._waiting.put((asked, future))
        return await future

    async def _run(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < self._max_batch and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            batch = [(asked, future) for asked, future in batch if not future.cancelled()]
            if batch:
                await self._run_batch(batch)

    async def _run_batch(self, batch: Sequence[tuple[Asked, "asyncio.Future[Turn]"]]) -> None:
        self._began = time.monotonic()
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._answer, [asked for asked, _ in batch])
        try:
            (outcome,) = await asyncio.gather(work, return_exceptions=True)
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
