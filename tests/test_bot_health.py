"""Tests of bot/health.py and bot/health_pages.py: over HTTP, while parts fail or hang."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from bot_api import TOKEN, BotApi
from fixed_answers import FixedAnswers, conversation_with, empty_log
from loopback import free_port
from prometheus_client import CollectorRegistry, Counter
from pydantic import SecretStr
from serving_bot import keep_alone, settings_for

from bot import health
from bot.batching import Batcher
from bot.cli import talk
from bot.health import Health, Probe, Pulse
from bot.health_pages import health_pages
from bot.settings import Settings, UserError
from bot.telegram_chat import run
from storage.dialog import Asked, PoolEntry

pytest_plugins = ("tiny",)

ASKED = Asked(1, "dialog", "telegram:42")


class Slow:
    """Models that take as long as the test wants."""

    def __init__(self) -> None:
        self.go, self.began = threading.Event(), threading.Event()

    def __call__(self, batch: Any, waited: Any, late: bool) -> list[Exception]:
        self.began.set()
        self.go.wait(10)
        return [LookupError()] * len(batch)


@asynccontextmanager
async def page_of(subject: Health) -> AsyncIterator[str]:
    """The address of the pages."""
    registry = CollectorRegistry()
    Counter("kith_test", "A count.", registry=registry).inc()
    with health_pages("127.0.0.1", 0, subject, registry) as port:
        yield f"http://127.0.0.1:{port}"


async def get(address: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=20) as client:
        return await client.get(address)


def fine() -> int:
    """A database that answers, with three updates in hand."""
    return 3


async def test_when_all_is_well_it_says_so() -> None:
    quick = Slow()
    quick.go.set()
    async with Batcher(quick) as models, page_of(Health(Pulse(), models, fine, 60)) as root:
        answer = await get(f"{root}/healthz")
        assert answer.status_code == 200
        assert answer.json() == {
            "updates": "ok", "models": "ok", "database": "ok",
            "updates_in_hand": 3, "waiting_messages": 0, "batch_running_seconds": 0, "last_turn_seconds_ago": None,
        }  # fmt: skip
        await asyncio.gather(models.answer(ASKED), return_exceptions=True)
        assert (await get(f"{root}/healthz")).json()["last_turn_seconds_ago"] is not None
        assert "kith_test_total 1.0" in (await get(f"{root}/metrics")).text
        assert (await get(f"{root}/other")).status_code == 404


async def test_it_does_not_wait_for_the_models_and_tells_when_they_hang() -> None:
    slow = Slow()
    async with Batcher(slow) as models, page_of(Health(Pulse(), models, fine, 60)) as root:
        asked = [asyncio.create_task(models.answer(ASKED))]
        await asyncio.to_thread(slow.began.wait, 10)
        asked += [asyncio.create_task(models.answer(ASKED)) for _ in range(2)]
        answer = await get(f"{root}/healthz")
        assert (answer.status_code, answer.json()["waiting_messages"]) == (200, 2)
        async with page_of(Health(Pulse(), models, fine, 0)) as impatient:
            answer = await get(f"{impatient}/healthz")
            assert answer.status_code == 503
            assert answer.json()["models"].startswith("at one batch for")
        slow.go.set()
        await asyncio.gather(*asked, return_exceptions=True)
    async with page_of(Health(Pulse(), models, fine, 60)) as root:
        assert (await get(f"{root}/healthz")).json()["models"] == "stopped"


async def test_a_database_that_fails_is_told_by_its_kind_of_error_alone() -> None:
    def broken() -> int:
        raise OSError("disk of Ann")

    async with Batcher(Slow()) as models, page_of(Health(Pulse(), models, broken, 60)) as root:
        answer = await get(f"{root}/healthz")
        assert (answer.status_code, answer.json()["database"]) == (503, "failed: OSError")
        assert answer.json()["updates_in_hand"] is None


async def test_a_part_that_hangs_is_told_and_not_asked_again_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.01)
    go, asked = threading.Event(), list[int]()

    def hangs() -> str:
        asked.append(1)
        go.wait(10)
        return ""

    probe = Probe(hangs)
    answers = [await asyncio.to_thread(probe) for _ in range(3)]
    assert set(answers) == {"no answer within 0.01 s"}
    assert len(asked) == 1
    go.set()
    monkeypatch.setattr(health, "PATIENCE", 10)
    assert await asyncio.to_thread(probe) == ""


async def test_a_loop_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", 0.05)
    async with Batcher(Slow()) as models, page_of(Health(Pulse(), models, fine, 60)) as root:
        answers: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: answers.append(httpx.get(f"{root}/healthz", timeout=20)))
        asking.start()
        asking.join()  # in the loop's own thread
    assert (answers[0].status_code, answers[0].json()["updates"]) == (503, "no answer within 0.05 s")


async def test_when_telegram_is_silent_for_long_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SILENCE", -1.0)
    pulse = Pulse()
    async with Batcher(Slow()) as models, page_of(Health(pulse, models, fine, 60)) as root:
        pulse.beat()
        answer = await get(f"{root}/healthz")
        assert answer.status_code == 503
        assert answer.json()["updates"].startswith("Telegram has not answered for")


async def test_each_answer_to_the_question_for_updates_is_a_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_alone(tmp_path, monkeypatch)
    beats: list[int] = []
    with empty_log(tmp_path) as store:
        async with BotApi() as api:
            api.hiccups = 1
            ann = api.person("Ann")
            conversation = conversation_with(FixedAnswers(store))
            task = asyncio.create_task(run(settings_for(api), conversation, lambda: beats.append(1)))
            ann.say("hi")
            await ann.chat.hears()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            answered = len(api.called("getUpdates")) - 1  # one failed
    assert 1 <= len(beats) <= answered


async def test_a_port_that_is_taken_is_one_sentence() -> None:
    async with Batcher(Slow()) as models:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            pages = health_pages(
                "127.0.0.1", taken.getsockname()[1], Health(Pulse(), models, fine, 1), CollectorRegistry()
            )
            with pytest.raises(UserError, match="change KITH_METRICS_LISTEN or KITH_METRICS_PORT"), pages:
                pass


@pytest.mark.usefixtures("quick_toxicity")
async def test_kith_run_serves_both_pages_of_a_whole_bot(
    bi_encoder_folder: str, cross_encoder_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_alone(tmp_path, monkeypatch)
    empty_log(tmp_path).close()
    pizza = PoolEntry("food/1", "Pizza!", ("what to eat",), "curated")
    monkeypatch.setattr("bot.assemble.curated", lambda: [pizza])
    monkeypatch.setattr("ranking.toxicity.curated", lambda: [pizza] * 150)
    monkeypatch.setattr(talk, "exit_within", lambda seconds, code: None)  # it would end the tests
    port = free_port()
    async with BotApi() as api:
        settings = Settings(
            telegram_bot_token=SecretStr(TOKEN), telegram_api_url=api.url, data_dir=tmp_path, metrics_port=port,
            retriever=bi_encoder_folder, ranker=cross_encoder_folder, candidates=0, threads=1,
        )  # fmt: skip
        task = asyncio.create_task(talk.serve(settings))
        await api.until(lambda: api.called("getUpdates") or task.done())
        ann = api.person("Ann")
        ann.say("what to eat")
        reply = await ann.chat.hears()
        query = ann.press(reply, "👍")
        await api.until(lambda: query in api.answers and api.called("editMessageReplyMarkup"))
        answer = await get(f"http://127.0.0.1:{port}/healthz")
        assert (answer.status_code, answer.json()["updates"]) == (200, "ok")
        page = (await get(f"http://127.0.0.1:{port}/metrics")).text
        assert 'kith_votes_total{kind="button",value="1"} 1.0' in page
        assert 'kith_stage_seconds_count{stage="retrieval"} 1.0' in page
        assert "kith_versions_info{" in page and 'ranker="' in page
        assert "process_resident_memory_bytes" in page
        assert "telegram:" not in page and "Ann" not in page
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(httpx.ConnectError):
        await get(f"http://127.0.0.1:{port}/healthz")
