"""The real front end against the loopback Bot API, with fixed answers: what the Telegram tests start from."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bot_api import TOKEN, BotApi
from fixed_answers import FixedAnswers, conversation_with
from pydantic import SecretStr

from bot.rights import Rules
from bot.settings import Settings
from bot.telegram_chat import run


def keep_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from an owner's .env, and without the root certificates: loopback needs none, and they take 0.3 s a bot."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
