"""The async edge: who is answered together with whom, and that nobody waits for ever."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from bot.batching import Batcher
from storage.dialog import Asked, Decision, Turn

PATIENCE = 20.0
"""Seconds after which a test gives up."""

BIRTH = datetime(2026, 11, 20, tzinfo=UTC)


def asked(number: int) -> Asked:
    return Asked(number, f"dialog {number}", "console:ann")


def turn(message: Asked) -> Turn:
    return Turn(f"turn {message.message_id}", message, "hi", Decision("hello", "policy"), {}, {}, at=BIRTH)


class Models:
    """Answers on the batcher's thread, and waits there while it is held, as a slow model would."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.late: list[bool] = []
        self.waited: list[Sequence[float]] = []
        self.busy, self.free = threading.Event(), threading.Event()
        self.free.set()
        self.then: Callable[[Sequence[Asked]], Sequence[Turn | Exception]] = lambda batch: [turn(m) for m in batch]

    def __call__(self, batch: Sequence[Asked], waited: Sequence[float], late: bool) -> Sequence[Turn | Exception]:
        self.batches.append([message.message_id for message in batch])
        self.late.append(late)
        self.waited.append(waited)
        self.busy.set()
        assert self.free.wait(PATIENCE)
        return self.then(batch)

    async def hold_on(self, batcher: Batcher) -> "asyncio.Task[Turn]":
        """Message 0 comes and is being answered until `free` is set."""
        self.free.clear()
        task = asyncio.create_task(batcher.answer(asked(0)))
        assert await asyncio.to_thread(self.busy.wait, PATIENCE)
        return task


async def ask(batcher: Batcher, *numbers: int) -> "list[asyncio.Task[Turn]]":
    """Messages that come one after the other."""
    tasks = [asyncio.create_task(batcher.answer(asked(number))) for number in numbers]
    await asyncio.sleep(0)
    return tasks


async def test_a_lone_message_is_answered_at_once() -> None:
    models = Models()
    async with Batcher(models) as batcher:
        assert await asyncio.wait_for(batcher.answer(asked(1)), PATIENCE) == turn(asked(1))
    assert models.batches == [[1]]


async def test_those_that_come_while_a_batch_runs_make_up_the_next_one() -> None:
    models = Models()
    async with Batcher(models) as batcher:
        first = await models.hold_on(batcher)
        others = await ask(batcher, 1, 2, 3)
        assert (batcher.waiting, batcher.idle_seconds) == (3, None) and batcher.busy_seconds > 0
        models.free.set()
        turns = await asyncio.gather(first, *others)
        await asyncio.sleep(0)
        assert (batcher.waiting, batcher.busy_seconds) == (0, 0) and batcher.idle_seconds is not None
    assert models.batches == [[0], [1, 2, 3]]
    assert turns == [turn(asked(number)) for number in range(4)]


async def test_a_batch_is_never_greater_than_its_limit_and_keeps_the_order() -> None:
    models = Models()
    async with Batcher(models, max_batch=2) as batcher:
        first = await models.hold_on(batcher)
        others = await ask(batcher, 1, 2, 3, 4, 5)
        models.free.set()
        await asyncio.gather(first, *others)
    assert models.batches == [[0], [1, 2], [3, 4], [5]]


async def test_other_tasks_run_while_the_models_work() -> None:
    models = Models()
    async with Batcher(models) as batcher:
        first = await models.hold_on(batcher)
        vote = asyncio.create_task(asyncio.sleep(0, "counted"))
        assert await asyncio.wait_for(vote, PATIENCE) == "counted"
        assert not first.done()
        models.free.set()
        await first


async def test_a_caller_that_gave_up_is_not_answered() -> None:
    models = Models()
    async with Batcher(models) as batcher:
        first = await models.hold_on(batcher)
        gone, stays = await ask(batcher, 1, 2)
        gone.cancel()
        models.free.set()
        assert await stays == turn(asked(2))
        await first
    assert models.batches == [[0], [2]]


async def test_a_caller_that_gives_up_while_it_is_answered_disturbs_no_other() -> None:
    models = Models()
    async with Batcher(models) as batcher:
        first = await models.hold_on(batcher)
        first.cancel()
        (second,) = await ask(batcher, 1)
        models.free.set()
        assert await second == turn(asked(1))


async def test_an_exception_reaches_each_caller_of_its_batch_and_no_other() -> None:
    models = Models()

    def fail(batch: Sequence[Asked]) -> Sequence[Turn]:
        if batch[0].message_id == 1:
            raise RuntimeError("disk full")
        return [turn(message) for message in batch]

    models.then = fail
    async with Batcher(models) as batcher:
        first = await models.hold_on(batcher)
        others = await ask(batcher, 1, 2)
        models.free.set()
        for task in others:
            with pytest.raises(RuntimeError, match="disk full"):
                await task
        assert await first == turn(asked(0))
        assert await batcher.answer(asked(3)) == turn(asked(3))


async def test_what_went_wrong_with_one_message_alone_reaches_its_caller_alone() -> None:
    models = Models()
    models.then = lambda batch: [LookupError("forgotten") if m.message_id == 1 else turn(m) for m in batch]
    async with Batcher(models) as batcher:
        first = await models.hold_on(batcher)
        forgotten, other = await ask(batcher, 1, 2)
        models.free.set()
        with pytest.raises(LookupError, match="forgotten"):
            await forgotten
        assert await other == turn(asked(2))
        await first


async def test_at_the_end_nobody_is_left_waiting() -> None:
    models = Models()
    async with Batcher(models) as batcher:
        tasks = [await models.hold_on(batcher), *await ask(batcher, 1, 2)]
        asyncio.get_running_loop().call_later(0.05, models.free.set)
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert models.batches == [[0]]


async def test_the_end_waits_for_the_batch_at_hand_and_lets_other_tasks_run_meanwhile() -> None:
    models, finished = Models(), threading.Event()

    def finish(batch: Sequence[Asked]) -> Sequence[Turn]:
        finished.set()
        return [turn(message) for message in batch]

    models.then = finish
    async with Batcher(models) as batcher:
        await models.hold_on(batcher)
        asyncio.get_running_loop().call_soon(models.free.set)
    assert finished.is_set()


async def test_after_the_end_nobody_is_taken_in() -> None:
    async with Batcher(Models()) as batcher:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await batcher.answer(asked(1))


async def test_who_writes_much_has_one_turn_in_a_batch_and_holds_up_nobody() -> None:
    models = Models()
    of_one_dialog = [Asked(number, "flood", "console:ann") for number in (1, 2, 3)]
    async with Batcher(models, max_batch=2) as batcher:
        first = await models.hold_on(batcher)
        flood = [asyncio.create_task(batcher.answer(message)) for message in of_one_dialog]
        await asyncio.sleep(0)
        others = await ask(batcher, 11, 12)
        models.free.set()
        await asyncio.gather(first, *flood, *others)
    assert models.batches == [[0], [1, 11], [12, 2], [3]]


async def test_twenty_chats_are_answered_in_turns_whatever_one_of_them_floods() -> None:
    models = Models()
    async with Batcher(models, max_batch=4) as batcher:
        first = await models.hold_on(batcher)
        flood = [asyncio.create_task(batcher.answer(Asked(n, "flood", "console:eve"))) for n in range(1000, 1050)]
        await asyncio.sleep(0)
        others = [await ask(batcher, *range(1, 21)) for _ in range(2)]  # each of them writes twice
        models.free.set()
        await asyncio.gather(first, *flood, *others[0], *others[1])
    turns = [number for batch in models.batches[1:] for number in batch]
    assert turns[:21] == [1000, *range(1, 21)]
    assert turns[21:42] == [1001, *range(1, 21)]
    assert turns[42:] == list(range(1002, 1050))
    assert all(sum(number >= 1000 for number in batch) == 1 for batch in models.batches[11:])


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The batcher's clock, which stands until a test sets it."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("bot.batching.time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


async def test_each_turn_is_told_how_long_it_waited(clock: SimpleNamespace) -> None:
    models = Models()
    async with Batcher(models) as batcher:
        first = await models.hold_on(batcher)
        longer = await ask(batcher, 1)
        clock.now = 1.0
        shorter = await ask(batcher, 2)
        clock.now = 1.5
        models.free.set()
        await asyncio.gather(first, *longer, *shorter)
    assert models.waited == [[0.0], [1.5, 0.5]]
    assert models.late == [False, False]  # without a limit nobody is


async def test_those_that_waited_too_long_are_a_batch_of_their_own_that_comes_first(clock: SimpleNamespace) -> None:
    models = Models()
    async with Batcher(models, late_seconds=2.0) as batcher:
        first = await models.hold_on(batcher)
        late = await ask(batcher, 1, 2)
        clock.now = 2.5
        in_time = await ask(batcher, 3)
        models.free.set()
        await asyncio.gather(first, *late, *in_time)
    assert list(zip(models.batches, models.late, strict=True)) == [([0], False), ([1, 2], True), ([3], False)]


async def test_a_late_turn_of_who_writes_much_waits_for_a_late_batch(clock: SimpleNamespace) -> None:
    models = Models()
    of_one_dialog = [Asked(number, "flood", "console:ann") for number in (1, 2)]
    async with Batcher(models, late_seconds=2.0) as batcher:
        first = await models.hold_on(batcher)
        flood = [asyncio.create_task(batcher.answer(message)) for message in of_one_dialog]
        await asyncio.sleep(0)
        clock.now = 2.5
        in_time = await ask(batcher, 3, 4)
        models.free.set()
        await asyncio.gather(first, *flood, *in_time)
    assert models.batches == [[0], [1], [3, 4], [2]]
    assert models.late == [False, True, False, True]


async def test_of_a_crowd_all_are_late_and_so_is_who_writes_on_first(clock: SimpleNamespace) -> None:
    models = Models()
    async with Batcher(models, max_batch=4, late_seconds=2.0, crowd=3) as batcher:
        first = await models.hold_on(batcher)
        few = await ask(batcher, 1, 2)
        models.free.set()
        await asyncio.gather(first, *few)
        first = await models.hold_on(batcher)
        crowd = await ask(batcher, 3, 4, 5, 6, 7)
        models.free.set()
        await asyncio.gather(first, *crowd)
        clock.now = 1.5
        await asyncio.gather(*await ask(batcher, 8))
        clock.now = 2.5
        await asyncio.gather(*await ask(batcher, 9))
    assert list(zip(models.batches, models.late, strict=True)) == [
        ([0], False), ([1, 2], False),
        ([0], False), ([3, 4, 5, 6], True), ([7], True), ([8], True),
        ([9], False),
    ]  # fmt: skip


async def test_a_batch_that_hangs_is_begun_anew_on_another_thread_and_the_next_ones_go_on() -> None:
    models, hang = Models(), threading.Event()
    threads: list[int] = []

    def hang_once(batch: Sequence[Asked]) -> Sequence[Turn]:
        threads.append(threading.get_ident())
        if len(threads) == 1:
            hang.wait(PATIENCE)
        return [turn(message) for message in batch]

    models.then = hang_once
    async with Batcher(models, turn_seconds=0.05, late_seconds=20) as batcher:
        assert await batcher.answer(asked(1)) == turn(asked(1))
        assert await batcher.answer(asked(2)) == turn(asked(2))
        hang.set()
    assert list(zip(models.batches, models.late, strict=True)) == [([1], False), ([1], True), ([2], False)]
    assert threads[0] != threads[1] == threads[2]


async def test_a_batch_that_hangs_again_is_a_timeout_for_its_callers_and_no_others() -> None:
    models, hang = Models(), threading.Event()

    def hang_on_one(batch: Sequence[Asked]) -> Sequence[Turn]:
        if batch[0].message_id == 1:
            hang.wait(PATIENCE)
        return [turn(message) for message in batch]

    models.then = hang_on_one
    async with Batcher(models, turn_seconds=0.05) as batcher:
        with pytest.raises(TimeoutError):
            await batcher.answer(asked(1))
        assert await batcher.answer(asked(2)) == turn(asked(2))
        hang.set()


async def test_the_end_does_not_wait_for_what_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.batching.PARTING_SECONDS", 0.01)
    models = Models()
    async with Batcher(models) as batcher:
        await models.hold_on(batcher)
    models.free.set()


async def test_what_is_done_between_batches_waits_for_the_one_at_hand() -> None:
    models, seen = Models(), list[int]()
    async with Batcher(models) as batcher:
        first = await models.hold_on(batcher)
        swap = asyncio.create_task(batcher.between(lambda: seen.append(len(models.batches))))
        await asyncio.sleep(0)
        (second,) = await ask(batcher, 1)
        assert not seen
        models.free.set()
        await asyncio.gather(first, swap, second)
        await batcher.between(lambda: seen.append(0))  # also when nothing else is to be done
    assert seen == [1, 0]
