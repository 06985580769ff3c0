"""`kith run`, `kith chat` and `kith doctor`: talking, and whether all is there for it."""

import logging
import os
import re
from contextlib import AsyncExitStack, suppress
from threading import Timer
from typing import TYPE_CHECKING, Annotated

import typer

from bot.cli.heap import loading_what_stays
from bot.cli.output import Json, log_to_file, log_to_screen, show_json

if TYPE_CHECKING:
    from bot.settings import Settings

log = logging.getLogger(__name__)

app = typer.Typer()

CLOSING_SECONDS = 2.5
"""From the last reply to the end of the program."""

NAME = re.compile(r"[\w.-]{1,64}")


@app.command()
def run() -> None:
    """Talk in Telegram when a token is set, else in this terminal."""
    import asyncio

    from bot.settings import load_settings

    settings = load_settings()
    if settings.telegram_bot_token:
        log_to_screen(settings.log_level, settings.log_format, settings.secrets)
        warn_of_exposed(settings)
        asyncio.run(serve(settings))
        return
    typer.echo("To talk in Telegram, get a token from @BotFather and write TELEGRAM_BOT_TOKEN=... into .env.", err=True)
    chat()


@app.command()
def chat(name: Annotated[str, typer.Option(help="Who you are; each name has a dialog of its own.")] = "me") -> None:
    """Talk in this terminal, or between pipes: `echo hi | kith chat`."""
    import asyncio

    from bot.settings import UserError, load_settings

    if not NAME.fullmatch(name):
        raise UserError("A name is made of letters, digits, dots, - and _, 64 at most.")
    settings = load_settings()
    file = settings.data_dir / "chat.log"  # the screen is for the dialog
    log_to_file(file, settings.log_level, settings.log_format, settings.secrets)
    warn_of_exposed(settings)
    with suppress(KeyboardInterrupt):
        asyncio.run(talk(settings, name))


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check settings, database, models and token; say what to do about what is wrong."""
    from bot.doctor import examine, show

    if as_json:
        checks = list(examine())
        show_json(checks)
    else:
        checks = show(examine())
    raise typer.Exit(0 if all(check.fine for check in checks) else 2)


def warn_of_exposed(settings: "Settings") -> None:
    """A sentence on standard error when others can read what is secret. The bot talks all the same."""
    from bot.exposure import warning

    if sentence := warning(settings):
        typer.echo(f"kith: {sentence}", err=True)


async def serve(settings: "Settings") -> None:
    """Telegram, until it is stopped. A fault of ours goes to the log, since a traceback may hold what people say. What
    hangs at the end is not waited for: all that matters is in the store."""
    from bot.settings import UserError

    code = 0
    async with AsyncExitStack() as stack:
        with loading_what_stays():
            from bot import telegram_chat
            from bot.health import Pulse
            from bot.running import open_bot

            updates = Pulse()
            conversation = await stack.enter_async_context(open_bot(settings, updates))
        try:
            await telegram_chat.run(settings, conversation, updates.beat)
        except UserError as error:
            code = error.code
            raise
        except Exception:
            code = 1
            log.critical("Kith stops for a fault of its own", exc_info=True)
            raise typer.Exit(code) from None
        finally:
            exit_within(CLOSING_SECONDS, code)


def exit_within(seconds: float, code: int) -> None:
    """Ends the program by force if it has not ended by then."""
    timer = Timer(seconds, os._exit, [code])
    timer.daemon = True
    timer.start()


async def talk(settings: "Settings", name: str) -> None:
    """The terminal chat. The models take seconds to load, in which there is something to look at."""
    from bot.console_screen import Screen, interruptible, system_language
    from bot.texts import load_texts

    screen, texts, language = Screen(), load_texts(), system_language()
    waking = texts.say(texts.language(language), "console_waking")
    async with AsyncExitStack() as stack:
        with screen.working(waking), interruptible(), loading_what_stays():
            from bot.console_chat import ConsoleChat
            from bot.running import open_bot

            conversation = await stack.enter_async_context(open_bot(settings))
        await ConsoleChat(conversation, screen, name, language).run()
