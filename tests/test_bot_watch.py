"""The watch over what others change, such as a pool: when a change is taken up, and that no failure ends it."""

import asyncio
import logging
import threading

import pytest

from bot.watch import watching

PATIENCE = 60.0
"""Seconds after which a test gives up."""


class Pool:
    """Something that changes; what was taken up is noted, and each of the failures that were given is raised once."""

    def __init__(self) -> None:
        self.state = 1
        self.looks = 0
        self.taken_up: list[int] = []
        self.looking_fails: list[Exception] = []
        self.taking_up_fails: list[Exception] = []
        self.looked_on: set[int] = set()

    def look(self) -> int:
        self.looks += 1
        self.looked_on.add(threading.get_ident())
        if self.looking_fails:
            raise self.looking_fails.pop(0)
        return self.state

    async def take_up(self) -> None:
        if self.taking_up_fails:
            raise self.taking_up_fails.pop(0)
        self.taken_up.append(self.state)

    async def looked_at(self, times: int) -> None:
        """Waits for so many more looks, and what they lead to."""
        wanted = self.looks + times + 1  # the one that is going on saw an older state
        async with asyncio.timeout(PATIENCE):
            while True:
                await asyncio.sleep(0.001)
                if self.looks >= wanted:
                    return


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    monkeypatch.setattr("bot.watch.LOOK_SECONDS", 0.001)
    return Pool()


async def test_a_change_is_taken_up_once_and_what_was_there_at_the_start_is_none(pool: Pool) -> None:
    async with watching("the pool", pool.look, pool.take_up, pool.state):
        await pool.looked_at(2)
        assert pool.taken_up == []
        for state in (2, 1):
            pool.state = state
            await pool.looked_at(3)
    assert pool.taken_up == [2, 1]


async def test_a_change_before_the_first_look_is_found(pool: Pool) -> None:
    async with watching("the pool", pool.look, pool.take_up, "the state before"):
        await pool.looked_at(2)
    assert pool.taken_up == [1]


async def test_a_change_that_cannot_be_taken_up_is_tried_again(pool: Pool) -> None:
    pool.taking_up_fails = [RuntimeError("no memory"), RuntimeError("no memory")]
    async with watching("the pool", pool.look, pool.take_up, pool.state):
        pool.state = 2
        await pool.looked_at(4)
    assert pool.taken_up == [2]


async def test_failures_are_logged_when_their_kind_changes(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    pool.looking_fails = [OSError("away"), OSError("still away"), ValueError("odd"), OSError("away again")]
    async with watching("the pool", pool.look, pool.take_up, pool.state):
        await pool.looked_at(6)
    told = [record.exc_info[0] if record.exc_info else None for record in caplog.records]
    assert told == [OSError, ValueError, OSError, None]
    assert "can be looked at again" in caplog.messages[-1]


async def test_a_failure_that_comes_back_is_logged_again(pool: Pool, caplog: pytest.LogCaptureFixture) -> None:
    async with watching("the pool", pool.look, pool.take_up, pool.state):
        for _ in range(2):
            pool.looking_fails = [OSError("away")]
            await pool.looked_at(3)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 2


async def test_it_looks_beside_the_event_loop(pool: Pool) -> None:
    async with watching("the pool", pool.look, pool.take_up, pool.state):
        await pool.looked_at(1)
    assert threading.get_ident() not in pool.looked_on


async def test_it_ends_with_its_body_even_in_the_middle_of_a_change(pool: Pool) -> None:
    begun = asyncio.Event()

    async def for_ever() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with watching("the pool", pool.look, for_ever, "the state before"):
        await asyncio.wait_for(begun.wait(), PATIENCE)
    assert len(asyncio.all_tasks()) == 1
