"""Serving the bot: by long polling or by a webhook, until it is told to stop."""

import asyncio
import logging
import secrets
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from telegram import BotCommand, Update
from telegram.error import BadRequest, InvalidToken, TelegramError
from telegram.ext import Application, BaseUpdateProcessor

from bot.conversation import Conversation
from bot.settings import Settings, UserError
from bot.telegram_chat.admitting import Door
from bot.telegram_chat.listening import UpdateRequest
from bot.telegram_chat.pressing import Pressing
from bot.telegram_chat.reading import without_content
from bot.telegram_chat.sending import attempt
from bot.telegram_chat.talking import App, Talking
from bot.texts import DEFAULT_LANGUAGE, Texts

log = logging.getLogger(__name__)

CHATTY = ("telegram", "httpx", "httpcore", "tornado")
"""Loggers that tell addresses, which hold the token, or whole updates, which hold what people say."""


class ChatOrder(BaseUpdateProcessor):
    """Updates of one chat are handled in the order in which they came, chats side by side."""

    def __init__(self) -> None:
        # A waiting update costs a task either way; with a low limit one flooding chat could take all places.
        super().__init__(max_concurrent_updates=1_000_000)
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    async def do_process_update(self, update: object, coroutine: Awaitable[Any]) -> None:
        """Waits for the chat's earlier updates."""
        chat = update.effective_chat if isinstance(update, Update) else None
        async with self._locks.setdefault(chat.id if chat else 0, asyncio.Lock()):
            await coroutine

    async def initialize(self) -> None:
        """Nothing to prepare."""

    async def shutdown(self) -> None:
        """Nothing to free."""


async def run(settings: Settings, conversation: Conversation, heard: Callable[[], None] = lambda: None) -> None:
    """Serves until SIGINT or SIGTERM comes or the task is cancelled; replies under way are still sent.

    `heard` is called whenever Telegram answers the question for updates. Raises UserError for a token that Telegram
    refuses, an API server or a webhook that cannot be used.
    """
    application = _application(settings, heard)
    Door(conversation).register(application)
    talking = Talking(conversation)
    talking.register(application)
    Pressing(conversation, talking).register(application)
    with _explained(settings):
        await application.initialize()
    try:
        await _tell_commands(application, conversation.texts)
        await application.start()
        with _explained(settings):
            await _listen(application, settings)
        log.info("Kith talks as @%s", application.bot.username)
        await _stopped()
    finally:
        await _finish(application)


async def check_token(settings: Settings) -> str:
    """The bot's @name. Raises UserError for a token that Telegram refuses or an API server that cannot be reached."""
    with _explained(settings):
        async with _application(settings).bot as bot:
            return f"@{bot.username}"


def _application(settings: Settings, heard: Callable[[], None] = lambda: None) -> App:
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
            .concurrent_updates(ChatOrder())
            .build()
        )


async def _tell_commands(application: App, texts: Texts) -> None:
    for language, catalogue in texts.catalogues.items():
        commands = [BotCommand(name, does) for name, does in catalogue.commands.items()]
        code = None if language == DEFAULT_LANGUAGE else language  # the default is for everybody else
        await attempt(partial(application.bot.set_my_commands, commands, language_code=code))


async def _listen(application: App, settings: Settings) -> None:
    updater = application.updater
    assert updater
    if settings.webhook_url is None:
        await updater.start_polling(allowed_updates=Update.ALL_TYPES, error_callback=_polling_failed)
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


def _polling_failed(error: TelegramError) -> None:
    log.warning("asking Telegram for updates failed, trying again: %s: %s", type(error).__name__, error.message)


async def _stopped() -> None:
    """Returns on SIGINT or SIGTERM; a second one then has its usual effect."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    signals = signal.SIGINT, signal.SIGTERM
    with suppress(NotImplementedError):  # Windows, where Ctrl-C cancels the task instead
        for number in signals:
            loop.add_signal_handler(number, stop.set)
    try:
        await stop.wait()
    finally:
        with suppress(NotImplementedError):
            for number in signals:
                loop.remove_signal_handler(number)


async def _finish(application: App) -> None:
    """Takes no more updates, finishes those that were taken, and closes."""
    updater = application.updater
    if updater and updater.running:
        with suppress(InvalidToken):  # a token withdrawn while we ran ended the polling, and is raised again here
            await updater.stop()
    if application.running:
        await application.update_queue.join()  # their replies are awaited by stop() only while it is running
        await application.stop()
    await application.shutdown()


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
        raise UserError(f"Telegram cannot be used at {reason}: check the network and TELEGRAM_API_URL.") from None
    except OSError as error:
        address = f"{settings.webhook_listen}:{settings.webhook_port}"
        reason = f"{address} ({error.strerror})"
        raise UserError(f"The webhook cannot listen on {reason}: change KITH_WEBHOOK_LISTEN or _PORT.") from None
    finally:
        library.setLevel(logging.NOTSET)
