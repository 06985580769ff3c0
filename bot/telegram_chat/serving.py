"""Serving the bot: by long polling or by a webhook, until it is told to stop."""

import asyncio
import logging
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from urllib.parse import urlsplit

from telegram import BotCommand, Update
from telegram.error import BadRequest, Conflict, InvalidToken, TelegramError
from telegram.ext import Application

from bot.conversation import Conversation
from bot.settings import OutOfReach, Settings, UserError
from bot.telegram_chat.admitting import Door
from bot.telegram_chat.asking import Asking
from bot.telegram_chat.listening import UpdateRequest
from bot.telegram_chat.pressing import Pressing
from bot.telegram_chat.reading import without_content
from bot.telegram_chat.replying import Replying
from bot.telegram_chat.sending import App, Pace, attempt
from bot.telegram_chat.talking import Talking
from bot.telegram_chat.updates import ChatOrder, UpdateQueue
from bot.texts import DEFAULT_LANGUAGE, Texts

log = logging.getLogger(__name__)

CHATTY = ("telegram", "httpx", "httpcore", "tornado")
"""Loggers that tell addresses, which hold the token, or whole updates, which hold what people say."""


FINISH_SECONDS = 5.0
"""How long the end waits for replies under way. With the closing of the rest it is over within 10 s, after which
service managers lose their patience."""

CLOSE_SECONDS = 1.0
"""How long what was cancelled, and the connections, may take to end."""

NEWCOMER_SECONDS = 60.0
"""Of two copies on one token the younger one stops: one that meets another this soon after its start."""

READ_SECONDS = 20.0
"""How long an answer of Telegram's is waited for. Soon after that it is not known whether a message was taken."""

OTHER_COPY = "Another copy of Kith, or another program, talks as @{name}: stop it, or give this one a token of its own."


async def run(settings: Settings, conversation: Conversation, heard: Callable[[], None] = lambda: None) -> None:
    """Serves until SIGINT or SIGTERM comes or the task is cancelled; replies under way are still sent, unless they take
    too long: then they are sent after the next start.

    `heard` is called whenever Telegram answers the question for updates. Raises UserError for a token that Telegram
    refuses or that another copy uses, and a webhook that cannot be used, OutOfReach for an API server that is away.
    """
    door = Door(conversation)
    updates = UpdateQueue(conversation.inbox, door.shut_out)
    application = _application(settings, updates, heard)
    bounds = settings.max_waiting, settings.max_waiting_all
    replying = Replying(conversation, updates, settings.late_minutes, *bounds)
    asking = Asking(conversation)
    door.register(application)
    asking.register(application)
    Talking(conversation, replying).register(application)
    Pressing(conversation, replying).register(application)
    with _explained(settings):
        await application.initialize()
    try:
        await _tell_commands(application, conversation.texts)
        await updates.replay(application.bot)
        await application.start()
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        with _explained(settings):
            await _listen(application, settings, ended)
        log.info("Kith talks as @%s", application.bot.username)
        with _signals(ended):
            async with asking.beside(application.bot):
                await ended
    finally:
        await _finish(application, updates)


async def check_token(settings: Settings) -> str:
    """The bot's @name. Raises UserError for a token that Telegram refuses or an API server that cannot be reached."""
    with _explained(settings):
        async with _application(settings, asyncio.Queue()).bot as bot:
            return f"@{bot.username}"


def _application(settings: Settings, updates: asyncio.Queue[object], heard: Callable[[], None] = lambda: None) -> App:
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("telegram.ext.Updater").addFilter(without_content)
    if settings.telegram_bot_token is None:
        raise UserError("There is no Telegram token: set TELEGRAM_BOT_TOKEN to the one that @BotFather gave you.")
    root = settings.telegram_api_url.rstrip("/")
    with _explained(settings):
        return (
            Application.builder()
            .token(settings.telegram_bot_token.get_secret_value())
            .base_url(f"{root}/bot")
            .base_file_url(f"{root}/file/bot")
            .get_updates_request(UpdateRequest(heard))
            .read_timeout(READ_SECONDS)
            .rate_limiter(Pace())
            .update_queue(updates)
            .concurrent_updates(ChatOrder(updates) if isinstance(updates, UpdateQueue) else False)
            .build()
        )


async def _tell_commands(application: App, texts: Texts) -> None:
    for language, catalogue in texts.catalogues.items():
        commands = [BotCommand(name, does) for name, does in catalogue.commands.items()]
        code = None if language == DEFAULT_LANGUAGE else language  # the default is for everybody else
        await attempt(partial(application.bot.set_my_commands, commands, language_code=code))


async def _listen(application: App, settings: Settings, ended: "asyncio.Future[None]") -> None:
    updater = application.updater
    assert updater
    if settings.webhook_url is None:
        failed = _polling_failed(application.bot.username, ended)
        await updater.start_polling(allowed_updates=Update.ALL_TYPES, error_callback=failed)
        return
    secret = settings.webhook_secret
    await updater.start_webhook(
        listen=settings.webhook_listen,
        port=settings.webhook_port,
        url_path=urlsplit(settings.webhook_url).path,
        webhook_url=settings.webhook_url,
        # Without a secret of the owner's we make one: an address alone must not be enough to speak for Telegram.
        secret_token=secret.get_secret_value() if secret else secrets.token_urlsafe(32),
        allowed_updates=Update.ALL_TYPES,
    )


def _polling_failed(name: str, ended: "asyncio.Future[None]") -> Callable[[TelegramError], None]:
    """Logs what goes wrong, which is tried again, and ends the program where another one polls on the same token.

    Telegram lets each new request end the one before, so both are told. The younger copy stops at the second time,
    since the first one may be about a request of a copy that has just died; the older one goes on.
    """
    started, conflicts = time.monotonic(), 0

    def failed(error: TelegramError) -> None:
        nonlocal conflicts
        log.warning("asking Telegram for updates failed, trying again: %s: %s", type(error).__name__, error.message)
        if not isinstance(error, Conflict):
            return
        conflicts += 1
        young = time.monotonic() - started < NEWCOMER_SECONDS and conflicts > 1
        if (young or "webhook" in error.message) and not ended.done():
            ended.set_exception(UserError(OTHER_COPY.format(name=name)))

    return failed


@contextmanager
def _signals(ended: "asyncio.Future[None]") -> Iterator[None]:
    """SIGINT and SIGTERM end it within the block; a second one then has its usual effect."""

    def end() -> None:
        if not ended.done():
            ended.set_result(None)

    loop, numbers = asyncio.get_running_loop(), (signal.SIGINT, signal.SIGTERM)
    with suppress(NotImplementedError):  # Windows, where Ctrl-C cancels the task instead
        for number in numbers:
            loop.add_signal_handler(number, end)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            for number in numbers:
                loop.remove_signal_handler(number)


async def _finish(application: App, updates: UpdateQueue) -> None:
    """Takes no more updates, finishes those that were taken as far as there is time, and closes."""
    end = asyncio.create_task(_end(application, updates))
    # Not a timeout, which cancels what it waits for, once: the library's end of polling takes that as a hint only.
    await asyncio.wait([end], timeout=FINISH_SECONDS)
    if not end.done():
        log.warning("there is no more time: what is not done is left for the next start")
        for task in (*updates.tasks, end):
            task.cancel()
        await asyncio.wait([end, *updates.tasks], timeout=CLOSE_SECONDS)
    closing = asyncio.create_task(application.shutdown())
    await asyncio.wait([closing], timeout=CLOSE_SECONDS)
    for task in end, closing:
        if task.done() and not task.cancelled() and (error := task.exception()):
            log.warning("the end was not clean: %s: %s", type(error).__name__, error)


async def _end(application: App, updates: UpdateQueue) -> None:
    updater = application.updater
    if updater and updater.running:
        with suppress(InvalidToken):  # a token withdrawn while we ran ended the polling, and is raised again here
            await updater.stop()
    if application.running:
        await updates.join()  # their replies are awaited by stop() only while it is running
        await application.stop()


@contextmanager
def _explained(settings: Settings) -> Iterator[None]:
    """Turns what can go wrong at the start into one sentence each. The message of InvalidToken holds the token."""
    library = logging.getLogger("telegram.ext")
    library.setLevel(logging.CRITICAL)  # it logs the traceback of what it raises
    try:
        yield
    except InvalidToken:
        raise UserError("Telegram does not accept the token: check TELEGRAM_BOT_TOKEN with @BotFather.") from None
    except BadRequest as error:
        raise UserError(f"Telegram does not accept the webhook ({error.message}): check KITH_WEBHOOK_URL.") from None
    except TelegramError as error:
        reason = f"{settings.telegram_api_url} ({error.message})"
        raise OutOfReach(f"Telegram cannot be used at {reason}: check the network and TELEGRAM_API_URL.") from None
    except OSError as error:
        address = f"{settings.webhook_listen}:{settings.webhook_port}"
        reason = f"{address} ({error.strerror})"
        raise UserError(f"The webhook cannot listen on {reason}: change KITH_WEBHOOK_LISTEN or _PORT.") from None
    finally:
        library.setLevel(logging.NOTSET)
