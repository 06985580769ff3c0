"""A bot that runs deletes what is kept no longer: in batches, again and again, whatever fails."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from fixed_answers import empty_log
from turn_values import talk

from bot.retention import pruning
from storage.retention import expiry

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.retention.PRUNE_SECONDS", 0.005)
    monkeypatch.setattr("bot.retention.PAUSE_SECONDS", 0.001)


async def comes_true(what: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if what():
                return
            await asyncio.sleep(0.001)


class Log:
    """What there is to delete, batch by batch; the failures that were given are raised first."""

    def __init__(self, *batches: int | Exception) -> None:
        self.batches = list(batches)
        self.done: list[str] = []

    def prune(self) -> int:
        batch = self.batches.pop(0) if self.batches else 0
        if isinstance(batch, Exception):
            raise batch
        self.done.append(f"pruned {batch}")
        return batch

    def finish(self) -> None:
        self.done.append("finished")


async def test_all_batches_go_before_it_is_finished_and_later_ones_at_the_next_time() -> None:
    log = Log(200, 7)
    async with pruning(log.prune, log.finish):
        await comes_true(lambda: "finished" in log.done)
        assert log.done[:4] == ["pruned 200", "pruned 7", "pruned 0", "finished"]
        log.batches = [3]
        await comes_true(lambda: "pruned 3" in log.done)


async def test_what_fails_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    log = Log(OSError("away"), 4)
    async with pruning(log.prune, log.finish):
        await comes_true(lambda: "finished" in log.done)
    assert [record.levelname for record in caplog.records][:2] == ["ERROR", "INFO"]
    assert "4 messages were deleted" in caplog.text


async def test_it_ends_with_its_body_between_two_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.retention.PAUSE_SECONDS", 3600)
    log = Log(1, 1)
    async with pruning(log.prune, log.finish):
        await comes_true(lambda: log.done)
    assert log.done == ["pruned 1"]
    assert len(asyncio.all_tasks()) == 1


async def test_others_write_between_two_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.retention.prune.__defaults__", (1,))
    with empty_log(tmp_path) as store:
        for number in range(20):
            talk(store, f"old {number}", "hello")
        seen: list[int] = []

        def prune() -> int:
            return store.prune(expiry(keep_days=1e-9, opted_out_hours=24))

        async with pruning(prune, store.scrub):
            while not seen or seen[-1]:
                await asyncio.to_thread(store.person, f"telegram:{len(seen)}")
                seen.append(sum(dialog.messages for dialog in store.dialogs()))
        assert len({left for left in seen if left}) > 2  # writes came in at several lengths of the log
