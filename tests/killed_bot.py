"""A bot that may be killed at any moment: the real front end, store, batcher and pipeline; only the models are missing.

To "message 7" it says "About message 7.", after 🔁 "About message 7 (1).", and to "long 7" something of two messages.
At "hang" its model hangs for ever.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from pathlib import Path

# What the libraries import when they are used, so that a forked bot need not.
import httpcore  # noqa: F401
from bot_api import TOKEN
from pydantic import SecretStr

from bot.batching import Batcher
from bot.conversation import Conversation
from bot.personas import load_personas
from bot.pipeline import Pipeline
from bot.settings import Settings
from bot.telegram_chat import run
from bot.texts import fallback, load_texts
from ranking.policy import ScoringPolicy, load_weights
from storage.dialog import Candidate, Context
from storage.store import SqlDialogStore

FILLER = "And so it goes on. " * 250


def live(database: str, api: str, log: Path) -> None:
    """A life of the bot, until SIGTERM or worse."""
    logging.basicConfig(filename=log, level=logging.WARNING)
    settings = Settings(telegram_bot_token=SecretStr(TOKEN), telegram_api_url=api)
    asyncio.run(serve(settings, database))


async def serve(settings: Settings, database: str) -> None:
    texts = load_texts()
    with SqlDialogStore(database) as store:
        pipeline = Pipeline(
            store=store,
            sources={"retrieval": reply},
            scorers={},
            policy=ScoringPolicy(load_weights(None), 0.3),
            fallback=fallback(texts),
            personas={},
            default_persona="friend",
            versions=dict,
        )
        async with Batcher(pipeline.answer) as batcher:
            await run(settings, Conversation(store, batcher.answer, texts, load_personas(), "friend"))


def reply(contexts: Sequence[Context]) -> list[list[Candidate]]:
    """A source that takes as long as a small model."""
    time.sleep(random.uniform(0, 0.03))
    while any(context.last == "hang" for context in contexts):
        time.sleep(1)
    return [[Candidate(said_to(context.last, len(context.rejected)), "retrieval", 1.0)] for context in contexts]


def said_to(text: str, sent_back: int = 0) -> str:
    """The reply to a text, after so many others were sent back."""
    again = f" ({sent_back})" if sent_back else ""
    return f"About {text}{again}. " + (f"{FILLER}End of {text}{again}." if text.startswith("long") else "")
