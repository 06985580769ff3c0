"""The real front end against the loopback Bot API, with fixed answers: what the Telegram tests start from.

A test module takes the fixtures by name, `store, api = serving_bot.store, serving_bot.api`, as `store` is another one
in tests/conftest.py.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bot_api import TOKEN, BotApi
from fixed_answers import FixedAnswers, conversation_with, empty_log
from pydantic import SecretStr
from turn_values import not_done

from bot.rights import Rules
from bot.settings import Settings
from bot.telegram_chat import run
from storage.store import SqlDialogStore


def keep_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from an owner's .env."""
    monkeypatch.chdir(folder)


def settings_for(api: BotApi, **others: Any) -> Settings:
    """Settings for the loopback API."""
    return Settings(**{"telegram_bot_token": SecretStr(TOKEN), "telegram_api_url": api.url, **others})


@asynccontextmanager
async def serving(
    api: BotApi, answers: FixedAnswers, rules: Rules | None = None, **settings: Any
) -> AsyncIterator[None]:
    """The bot, listening; at the end it is stopped as by a signal, and what ended it early is raised."""
    task = asyncio.create_task(run(settings_for(api, **settings), conversation_with(answers, rules)))
    started = asyncio.create_task(api.until(lambda: api.called("getUpdates", "setWebhook")))
    await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
    try:
        if task.done():
            task.result()
        yield
    finally:
        started.cancel()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlDialogStore]:
    """An empty log, in the folder that the test is in."""
    keep_alone(tmp_path, monkeypatch)
    with empty_log(tmp_path) as store:
        yield store


@pytest.fixture
async def answers(store: SqlDialogStore) -> FixedAnswers:
    """What answers from that log."""
    return FixedAnswers(store)


@pytest.fixture
async def api(answers: FixedAnswers) -> AsyncIterator[BotApi]:
    """Telegram, where a bot with these answers listens."""
    async with BotApi() as api, serving(api, answers):
        yield api


async def done(api: BotApi, store: SqlDialogStore) -> None:
    """Returns when all that was received is done."""
    await api.until(lambda: not api.waiting() and not not_done(store))
