"""Where things are said in Telegram, and saying them: split, paced, once more where that may help."""

import asyncio
import logging
import math
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Self, TypeAlias, TypeVar

import httpx
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
from telegram.error import BadRequest, NetworkError, RetryAfter, TelegramError
from telegram.ext import Application, BaseRateLimiter, ContextTypes

from bot.buttons import Rows, choice_buttons
from bot.questions import Question
from bot.splitting import split

log = logging.getLogger(__name__)

T = TypeVar("T")

Context: TypeAlias = ContextTypes.DEFAULT_TYPE
App: TypeAlias = Application[Any, Any, Any, Any, Any, Any]

TYPING_SECONDS = 4
"""Telegram shows "typing" for 5 s."""

UNNOTICED_SECONDS = 1.0
"""After which people notice that they wait (Miller 1968). To say sooner that Kith is typing would take a third of what
all of Telegram's side does for a reply."""

PACE_MESSAGES = 30
"""In any second, to anybody: Telegram takes about so many of a bot, and refuses all that follow for a while. All may go
out at once: of 16 answered together the last one would wait half a second if each waited for a thirtieth."""

FLOOD_WAITS = 3
"""How often a call that may be left out waits as long as Telegram's flood control asks for."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two tries to send a message; each is twice the one before."""

UNKNOWN_TRIES = 2
"""How often a message is sent, at the most, when each time it stays unknown whether it arrived."""


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


class Pace(BaseRateLimiter[None]):
    """Holds messages back so far that Telegram's limit for all of a bot's chats is kept; those of a chat it tells
    itself."""

    def __init__(self) -> None:
        self._turns = deque([-math.inf] * PACE_MESSAGES, PACE_MESSAGES)

    async def process_request(
        self,
        callback: Callable[..., Coroutine[Any, Any, Any]],
        args: Any,
        kwargs: dict[str, Any],
        endpoint: str,
        data: dict[str, Any],
        rate_limit_args: None,
    ) -> Any:
        """Calls the Bot API when it is the call's turn."""
        if endpoint in ("sendMessage", "sendDocument"):
            time = asyncio.get_running_loop().time()
            turn = max(time, self._turns[0] + 1)
            self._turns.append(turn)
            await asyncio.sleep(turn - time)
        return await callback(*args, **kwargs)

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to free."""


async def attempt(call: Callable[[], Awaitable[T]]) -> T | None:
    """What a Bot API call that may be left out returns. None when it fails (an old query, no network ...), which is
    logged."""
    for _ in range(FLOOD_WAITS):
        try:
            return await call()
        except RetryAfter as flood:
            await asyncio.sleep(seconds(flood))
        except TelegramError as error:
            log.warning("Telegram did not take a call: %s: %s", type(error).__name__, error.message)
            return None
    log.warning("Telegram did not take a call: too many at once")
    return None


async def insist(*calls: Callable[[], Awaitable[T]]) -> T | None:
    """What a Bot API call that must not be left out returns: it waits for as long as flood control asks, and for the
    network. None when Telegram refuses it for good, or when it stays unknown whether it was taken.

    When Telegram takes offence at the first call itself, the next one is tried.
    """
    pause, unknown, left = FIRST_PAUSE, 0, list(calls)
    while True:
        try:
            return await left[0]()
        except RetryAfter as flood:
            await asyncio.sleep(seconds(flood))
            continue
        except BadRequest as error:
            log.warning("Telegram did not take a message: %s", error.message)
            del left[0]
            if not left:
                return None
            continue
        except NetworkError as error:
            log.warning("a message could not be sent: %s: %s", type(error).__name__, error.message)
            unknown += may_have_arrived(error)
            if unknown == UNKNOWN_TRIES:
                log.warning("it was sent %d times, and whether it arrived is not known", UNKNOWN_TRIES)
                return None
        except TelegramError as error:
            log.warning("Telegram did not take a message: %s: %s", type(error).__name__, error.message)
            return None
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def may_have_arrived(error: NetworkError) -> bool:
    """Whether a call may have been carried out although there is no answer: not if it never left, nor if it was
    refused."""
    cause = error.__cause__
    never_left = httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout
    return isinstance(cause, httpx.HTTPError) and not isinstance(cause, never_left)


def seconds(flood: RetryAfter) -> float:
    """How long flood control asks to wait."""
    pause = flood.retry_after
    return pause.total_seconds() if isinstance(pause, timedelta) else pause


async def send(
    bot: Bot,
    place: Place,
    text: str,
    buttons: Rows | None = None,
    quote: int | None = None,
    shown: int = 0,
    note: Callable[[int], Awaitable[None]] | None = None,
) -> None:
    """Says a text, in several messages if it is long, of which the first `shown` are out already.

    The last one has the buttons, and the first one quotes the message `quote`. `note` is told the id of each that was
    sent.
    """
    pieces = split(text, MessageLimit.MAX_TEXT_LENGTH)
    for number, piece in list(enumerate(pieces))[shown:]:
        markup = keyboard(buttons) if buttons and number == len(pieces) - 1 else None
        reply = ReplyParameters(quote, allow_sending_without_reply=True) if quote and number == 0 else None
        bare = partial(bot.send_message, place.chat_id, piece, message_thread_id=place.topic)
        message = await insist(partial(bare, reply_markup=markup, reply_parameters=reply), bare)
        if message is None:
            break
        if note:
            await note(message.message_id)


@asynccontextmanager
async def typing(bot: Bot, place: Place) -> AsyncIterator[None]:
    """Shows that Kith is typing, for as long as the block takes, if that is long enough to be noticed."""

    async def keep_typing() -> None:
        call = partial(bot.send_chat_action, place.chat_id, ChatAction.TYPING, message_thread_id=place.topic)
        await asyncio.sleep(UNNOTICED_SECONDS)
        while True:
            if not await attempt(call):
                return
            await asyncio.sleep(TYPING_SECONDS)

    task = asyncio.create_task(keep_typing())
    try:
        yield
    finally:
        task.cancel()
