"""Messages and commands. A handler is quick: it writes down what came and leaves the answering to a task.

So the updates of a chat are handled one after the other and its replies come in order, while a vote waits for no model
and no chat for another. A handler may be called again for an update that it did not come to the end of.
"""

import asyncio
import gzip
import json
import logging
from functools import partial

from telegram import Bot, InputFile, Message, Update, User
from telegram.constants import FileSizeLimit
from telegram.ext import CommandHandler, MessageHandler, filters

from bot.commands import PRIVATE, run_command
from bot.conversation import Conversation, Refused
from bot.telegram_chat.addressing import said_to_us, without_mention
from bot.telegram_chat.replying import Replying
from bot.telegram_chat.sending import App, Context, Place, account, insist, send, show
from bot.telegram_chat.updates import key_of, persistent
from bot.texts import DEFAULT_LANGUAGE
from storage.dialog import Person
from storage.store import AlreadyAnswered, UnknownTurn

log = logging.getLogger(__name__)

FILE_LIMIT = int(FileSizeLimit.FILESIZE_UPLOAD)

# Channels and anonymous administrators have no account of their own that could be answered.
PEOPLE = filters.UpdateType.MESSAGE & ~filters.SenderChat.ALL & ~filters.StatusUpdate.ALL


class Talking:
    """The handlers of messages and commands."""

    def __init__(self, conversation: Conversation, replying: Replying) -> None:
        self._conversation, self._replying = conversation, replying

    def register(self, application: App) -> None:
        """Adds the handlers; of those that fit an update, the first one is called."""
        application.add_handlers(
            [
                CommandHandler(PRIVATE, self.only_in_private, PEOPLE & filters.ChatType.GROUPS),
                CommandHandler("retry", self.retry, PEOPLE),
                CommandHandler("export", self.export, PEOPLE),
                MessageHandler(PEOPLE & filters.COMMAND, self.command),
                MessageHandler(PEOPLE & filters.TEXT, self.message),
                MessageHandler(PEOPLE, self.without_words),
                MessageHandler(filters.UpdateType.EDITED_MESSAGE & filters.TEXT, self.edited),
            ]
        )
        application.add_error_handler(self.failed)

    @persistent
    async def message(self, update: Update, context: Context) -> None:
        """Commits what was said to Kith at once; it is answered when its turn comes."""
        message, user, place = said(update)
        text = said_to_us(message, context.bot)
        if text == "":
            await self._say(context.bot, place, user, "nothing_said")
        if not text:
            return
        key, message_id = key_of(update), str(message.message_id)
        quote = None if place.private else message.message_id
        try:
            asked = await self._conversation.take(
                place.chat, account(user.id), text, key, message_id, user.language_code
            )
        except Refused as refused:  # a quota is used up
            await send(context.bot, place, str(refused), quote=quote)
            return
        asked = asked or await self._conversation.inbox.taken(key)
        if asked is not None:
            await self._replying.reply_in_time(update, context, place, await self._person(user), asked, quote)

    @persistent
    async def edited(self, update: Update, context: Context) -> None:
        """The log follows, without a second reply."""
        message, _, place = said(update)
        text = without_mention(message.text or "", context.bot)
        if text:
            await self._conversation.edit(place.chat, str(message.message_id), text)

    @persistent
    async def without_words(self, update: Update, context: Context) -> None:
        """A voice message, a photo, a sticker ...; an album, which comes as several messages, is spoken of once."""
        message, user, place = said(update)
        if said_to_us(message, context.bot) is None:
            return
        album, seen = message.media_group_id, context.chat_data
        if album and seen is not None:
            if seen.get("album") == album:
                return
            seen["album"] = album
        await self._say(context.bot, place, user, "non_text")

    @persistent
    async def command(self, update: Update, context: Context) -> None:
        """What `bot.commands` knows. In a group, a command that we do not know is another bot's."""
        message, user, place = said(update)
        head, _, argument = (message.text or "").partition(" ")
        name, _, addressee = head[1:].lower().partition("@")
        ours = addressee == context.bot.username.lower()
        known = name in self._conversation.texts.of(DEFAULT_LANGUAGE).commands
        if (addressee and not ours) or not (known or ours or place.private):
            return
        person = await self._person(user)
        try:
            shown = await run_command(self._conversation, name, place.chat, person, argument.strip())
        except Refused as refused:
            shown = str(refused)
        await send(context.bot, place, *show(name, user, shown))

    @persistent
    async def only_in_private(self, update: Update, context: Context) -> None:
        """Nothing about a person is told to a group."""
        _, user, place = said(update)
        await self._say(context.bot, place, user, "private_only")

    @persistent
    async def retry(self, update: Update, context: Context) -> None:
        """/retry waits for the reply that is under way, which may be the one meant."""
        _, user, place = said(update)
        person = await self._person(user)
        if await self._replying.room(context.bot, place, person):
            self._replying.reply_later(update, context, place, person)

    @persistent
    async def export(self, update: Update, context: Context) -> None:
        """Sends the person's data as a document, packed if it is too big for Telegram as it is."""
        _, user, place = said(update)
        person = await self._person(user)
        data = json.dumps(await self._conversation.export(person), ensure_ascii=False, indent=2).encode()
        name = "kith-export.json"
        if len(data) > FILE_LIMIT:
            data, name = await asyncio.to_thread(gzip.compress, data), f"{name}.gz"
        if len(data) > FILE_LIMIT:
            await self._say(context.bot, place, user, "export_too_big")
            return
        document, caption = InputFile(data, name), self._conversation.say(person, "export")
        topic = place.topic
        await insist(
            partial(context.bot.send_document, place.chat_id, document, caption=caption, message_thread_id=topic)
        )

    async def failed(self, update: object, context: Context) -> None:
        """What went wrong is logged, and who waits for it is told. Nothing stops."""
        if isinstance(context.error, (Refused, UnknownTurn, AlreadyAnswered)):
            log.info("what an update was about was deleted or changed in the meantime")
            return
        log.error("an update was not handled", exc_info=context.error)
        if isinstance(update, Update) and (update.message or update.callback_query) and update.effective_message:
            user, place = update.effective_user, Place.of(update.effective_message)
            if user:
                stranger = self._conversation.stranger(account(user.id), user.language_code)
                await send(context.bot, place, self._conversation.say(stranger, "failed"))

    async def _say(self, bot: Bot, place: Place, user: User, key: str) -> None:
        await send(bot, place, self._conversation.say(await self._person(user), key))

    async def _person(self, user: User) -> Person:
        return await self._conversation.person(account(user.id), user.language_code)


def said(update: Update) -> tuple[Message, User, Place]:
    """A message, who said it, and where: for updates that have all three, such as PEOPLE lets through."""
    message, user = update.effective_message, update.effective_user
    assert message and user
    return message, user, Place.of(message)
