"""Updates: written down before Telegram hears that we have them, handled in the order of their chat, and then done.

python-telegram-bot keeps updates in memory and confirms them with its next request, so a crash would lose those that
wait. Here each is in the store before it is confirmed, whichever way it came, and stays there until it was handled and
the reply that it asks for is out. What comes twice is dropped; what was not done at the end is handled at the next
start.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from telegram import Bot, Update
from telegram.error import TelegramError
from telegram.ext import BaseUpdateProcessor

from bot.inbox import Inbox
from bot.telegram_chat.addressing import said_to_us
from bot.telegram_chat.sending import Place, account
from storage.dialog import Received
from storage.store import StoreError

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

TRIES = 20
"""Starts that may find an update undone, before it is taken for what brings the bot down, and set aside."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two tries to use a database that is locked, full or away; each is twice the one before."""


class UpdateQueue(asyncio.Queue[object]):
    """The queue that python-telegram-bot fills and empties."""

    def __init__(self, inbox: Inbox, shut_out: Callable[[Update], bool]) -> None:
        """Of whom `shut_out` tells nothing is written down, however often they write."""
        super().__init__()
        self._inbox, self._shut_out = inbox, shut_out
        self._unwritten: set[int] = set()
        self._held: set[int] = set()
        self.set_aside: set[int] = set()
        """Updates that were tried too often: what they ask for is not done."""
        self.tasks: set[asyncio.Task[Any]] = set()
        """What works on updates, to be cancelled when there is no more time for it."""

    async def put(self, item: object) -> None:
        """Writes an update down first. Raises TelegramError when the database fails: then it is not confirmed, and
        comes again. Any other class of error would end the polling for good."""
        if not isinstance(item, Update) or (concerns_us(item, item.get_bot()) and await self._is_new(item)):
            await super().put(item)

    async def _is_new(self, update: Update) -> bool:
        if self._shut_out(update):
            self._unwritten.add(update.update_id)
            return True
        try:
            return await self._inbox.receive(received(update))
        except StoreError as error:
            raise TelegramError(f"an update could not be written down: {error}") from error
        except Exception:  # offered again it would fail again, and hold up all that come after it
            log.exception("an update could not be written down, and is handled without")
            return True

    async def replay(self, bot: Bot) -> None:
        """Queues what was not done at the end of the run before."""
        for each in await self._inbox.unfinished(f"telegram:{bot.id}:"):
            try:
                update = Update.de_json(json.loads(each.body), bot)
            except Exception:  # the library changed what it reads, say: the bot must start all the same
                log.exception("an update that was kept cannot be read, and is left out")
                await self._inbox.finish(each.key)
                continue
            if each.tries > TRIES:
                log.error("an update was begun %d times without an end: it is set aside", TRIES)
                self.set_aside.add(update.update_id)
                if update.message is None:  # a message is still taken in, and its chat is told
                    await self.finish(update)
                    continue
            self.put_nowait(update)

    def hold(self, update: Update) -> None:
        """The update is not done when its handler is: a reply to it is under way, which calls `finish`."""
        self._held.add(update.update_id)

    async def handled(self, update: Update) -> None:
        """The update's handler has ended."""
        if update.update_id in self._unwritten:
            self._unwritten.discard(update.update_id)
        elif update.update_id not in self._held:
            await self.finish(update)

    async def finish(self, update: Update) -> None:
        """The update is done."""
        self._held.discard(update.update_id)
        self.set_aside.discard(update.update_id)
        await persistent(self._inbox.finish)(key_of(update))

    def track(self, task: "asyncio.Task[Any]") -> None:
        """Remembers a task that works on an update, for as long as it does."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


class ChatOrder(BaseUpdateProcessor):
    """Updates of one chat are handled in the order in which they came, chats side by side."""

    def __init__(self, queue: UpdateQueue) -> None:
        # A waiting update costs a task either way; with a low limit one flooding chat could take all places.
        super().__init__(max_concurrent_updates=1_000_000)
        self._queue = queue
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        """Waits for the chat's earlier updates. What needs no reply is done before the next one is begun, so that it is
        not handled again after that one."""
        task = asyncio.current_task()
        if task:
            self._queue.track(task)
        chat = update.effective_chat if isinstance(update, Update) else None
        async with self._locks.setdefault(chat.id if chat else 0, asyncio.Lock()):
            await coroutine
            if isinstance(update, Update):
                await self._queue.handled(update)

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to free."""


def persistent(work: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Something that may be done twice and goes on when the database can be used again, however long that takes."""

    @wraps(work)
    async def done(*args: P.args, **options: P.kwargs) -> T:
        pause = FIRST_PAUSE
        while True:
            try:
                return await work(*args, **options)
            except StoreError as error:
                log.warning("trying again in %.0f s: %s", pause, error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    return done


def key_of(update: Update) -> str:
    """What an update is known by."""
    return f"telegram:{update.get_bot().id}:{update.update_id}"


def concerns_us(update: Update, bot: Bot) -> bool:
    """Not what people of a group say to each other: that is not written down, not even for a moment."""
    message = update.message
    if message is None or Place.of(message).private:
        return True
    return (message.text or "").startswith("/") or said_to_us(message, bot) is not None


def received(update: Update) -> Received:
    """An update as it is written down, without the words of others that it may quote."""
    user = update.effective_user
    body = update.to_dict()
    for holder in (body, body.get("callback_query", {})):
        for name in ("message", "edited_message"):
            if name in holder:
                holder[name] = unquoted(holder[name])
    return Received(key_of(update), account(user.id) if user else "", json.dumps(body))


def unquoted(message: dict[str, Any]) -> dict[str, Any]:
    """A message without what it quotes: of a message that it replies to, only whether we said it matters."""
    kept = {
        name: value for name, value in message.items() if name not in ("reply_to_message", "quote", "external_reply")
    }
    replied = message.get("reply_to_message")
    if replied and replied.get("from", {}).get("is_bot"):
        names = "message_id", "date", "chat", "from", "forum_topic_created"
        kept["reply_to_message"] = {name: replied[name] for name in names if name in replied}
    return kept
