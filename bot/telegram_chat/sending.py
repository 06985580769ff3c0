"""Where things are said in Telegram, and saying them: split, paced, and no refusal of Telegram's stops anything."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Self, TypeVar

from telegram import (
    Bot,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    MaybeInaccessibleMessage,
    Message,
    ReplyParameters,
    User,
)
from telegram.constants import ChatAction, ChatType, MessageLimit
from telegram.error import RetryAfter, TelegramError

from bot.buttons import Rows, choice_buttons
from bot.questions import Question
from bot.splitting import split

log = logging.getLogger(__name__)

T = TypeVar("T")

TYPING_SECONDS = 4
"""Telegram shows "typing" for 5 s."""

FLOOD_WAITS = 3
"""How often a call waits as long as Telegram's flood control asks for, before it is given up."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is said. In a group with topics, each topic is a chat of its own."""

    chat_id: int
    topic: int | None
    private: bool

    @classmethod
    def of(cls, message: MaybeInaccessibleMessage) -> Self:
        """The place of a message. One that is no longer accessible does not tell its topic."""
        topic = message.message_thread_id if isinstance(message, Message) and message.is_topic_message else None
        return cls(message.chat.id, topic, message.chat.type == ChatType.PRIVATE)

    @property
    def chat(self) -> str:
        """The chat's key in the store."""
        return account(self.chat_id) if self.topic is None else f"{account(self.chat_id)}:{self.topic}"


def account(number: int) -> str:
    """A person or a chat with all its topics, as the store knows them. Message ids are unique in the latter."""
    return f"telegram:{number}"


def keyboard(rows: Rows) -> InlineKeyboardMarkup | None:
    """Buttons as Telegram takes them; None for none."""
    if not rows:
        return None
    return InlineKeyboardMarkup(
        [[InlineKeyboardButton(label, callback_data=data) for label, data in row] for row in rows]
    )


def show(name: str, user: User, shown: str | Question) -> tuple[str, Rows]:
    """A text with its buttons: those of a question are for this person alone, and say which command asked."""
    if isinstance(shown, str):
        return shown, []
    return shown.text, choice_buttons(name, str(user.id), shown)


async def attempt(call: Callable[[], Awaitable[T]]) -> T | None:
    """What a Bot API call returns. None when Telegram refuses it (a blocked bot, an old query ...), which is logged."""
    for _ in range(FLOOD_WAITS):
        try:
            return await call()
        except RetryAfter as flood:
            pause = flood.retry_after
            await asyncio.sleep(pause.total_seconds() if isinstance(pause, timedelta) else pause)
        except TelegramError as error:
            log.warning("Telegram did not take a call: %s: %s", type(error).__name__, error.message)
            return None
    log.warning("Telegram did not take a call: too many at once")
    return None


async def send(bot: Bot, place: Place, text: str, buttons: Rows | None = None, quote: int | None = None) -> list[int]:
    """Says a text, in several messages if it is long; the ids of those that arrived.

    The last one has the buttons, and the first one quotes the message `quote`.
    """
    sent = []
    pieces = split(text, MessageLimit.MAX_TEXT_LENGTH)
    for number, piece in enumerate(pieces):
        markup = keyboard(buttons) if buttons and number == len(pieces) - 1 else None
        reply = ReplyParameters(quote, allow_sending_without_reply=True) if quote and number == 0 else None
        call = partial(bot.send_message, place.chat_id, piece, message_thread_id=place.topic)
        message = await attempt(partial(call, reply_markup=markup, reply_parameters=reply))
        if message is None:
            break
        sent.append(message.message_id)
    return sent


@asynccontextmanager
async def typing(bot: Bot, place: Place) -> AsyncIterator[None]:
    """Shows that Kith is typing, for as long as the block takes."""

    async def keep_typing() -> None:
        call = partial(bot.send_chat_action, place.chat_id, ChatAction.TYPING, message_thread_id=place.topic)
        while True:
            if not await attempt(call):
                return
            await asyncio.sleep(TYPING_SECONDS)

    task = asyncio.create_task(keep_typing())
    try:
        yield
    finally:
        task.cancel()
