"""Is a bot well? Its update loop, its models and its database are each asked, and none is waited for long."""

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Protocol, TypeAlias

PATIENCE = 2.0
"""Seconds for each part. Those who ask give up after five or ten."""

SILENCE = 90.0
"""Seconds without an answer to getUpdates, each of which waits 10 s for updates, that are too many."""

Look: TypeAlias = Callable[[], str]
"""What is wrong with a part, "" when nothing is. It may raise, or hang."""


class Models(Protocol):
    """What is asked of the models' queue, which is `bot.batching.Batcher`."""

    @property
    def running(self) -> bool: ...
    @property
    def waiting(self) -> int: ...
    @property
    def busy_seconds(self) -> float: ...
    @property
    def idle_seconds(self) -> float | None: ...


class Pulse:
    """When something was last heard from."""

    def __init__(self) -> None:
        self._at: float | None = None

    def beat(self) -> None:
        """Something was heard."""
        self._at = time.monotonic()

    @property
    def seconds(self) -> float:
        """How long ago; 0 where nothing ever is, as of a webhook."""
        return 0.0 if self._at is None else time.monotonic() - self._at


class Probe:
    """Asks a part in a thread of its own. While one answer is overdue there is no second question."""

    def __init__(self, look: Look) -> None:
        self._look, self._lock = look, Lock()
        self._answer: Future[str] | None = None

    def __call__(self) -> str:
        """What is wrong, "" when nothing is."""
        with self._lock:
            if self._answer is None or self._answer.done():
                self._answer = Future()
                Thread(target=self._ask, args=(self._answer,), name="health", daemon=True).start()
            answer = self._answer
        try:
            return answer.result(PATIENCE)
        except TimeoutError:
            return f"no answer within {PATIENCE:g} s"
        except Exception as error:  # whatever it suffers from is the answer; its words may hold anything
            return f"failed: {type(error).__name__}"

    def _ask(self, answer: "Future[str]") -> None:
        try:
            answer.set_result(self._look())
        except Exception as error:
            answer.set_exception(error)


class Health:
    """The parts of a bot. It is made in the loop that it asks after."""

    def __init__(self, updates: Pulse, models: Models, database: Callable[[], int], stuck_seconds: float) -> None:
        """`database` asks it how many updates are in hand; a batch that takes longer than `stuck_seconds` is taken to
        hang."""
        loop = asyncio.get_running_loop()
        self._models, self._updates, self._stuck = models, updates, stuck_seconds
        self._in_hand = 0

        def turns_round() -> str:
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
            return self._listens()

        def answers() -> str:
            self._in_hand = database()
            return ""

        self._parts: Mapping[str, Look] = {
            "updates": Probe(turns_round),
            "models": self._decides,
            "database": Probe(answers),
        }

    def report(self) -> tuple[bool, dict[str, object]]:
        """Whether all is well, and a small document that says what is not."""
        wrong = {name: look() for name, look in self._parts.items()}
        idle = self._models.idle_seconds
        return not any(wrong.values()), {
            **{name: words or "ok" for name, words in wrong.items()},
            "updates_in_hand": None if wrong["database"] else self._in_hand,
            "waiting_messages": self._models.waiting,
            "batch_running_seconds": round(self._models.busy_seconds, 1),
            "last_turn_seconds_ago": None if idle is None else round(idle, 1),
        }

    def _listens(self) -> str:
        silent = self._updates.seconds
        return f"Telegram has not answered for {silent:.0f} s" if silent > SILENCE else ""

    def _decides(self) -> str:
        if not self._models.running:
            return "stopped"
        busy = self._models.busy_seconds
        return f"at one batch for {busy:.0f} s" if busy > self._stuck else ""
