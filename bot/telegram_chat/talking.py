"""Messages and commands. A handler is quick: it writes down what came and leaves the answering to a task.

So the updates of a chat are handled one after the other and its replies come in order, while a vote waits for no model
and no chat for another.
"""

import asyncio
import gzip
import json
import logging
import re
from functools import partial
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from telegram import Bot, InputFile, Message, Update, User
from telegram.constants import FileSizeLimit
from telegram.ext import Application, CommandHandler, ContextTypes, MessageHandler, filters

from bot.buttons import reply_buttons
from bot.commands import PRIVATE, run_command
from bot.conversation import Conversation, Refused
from bot.telegram_chat.sending import Place, account, attempt, send, show, typing
from bot.texts import DEFAULT_LANGUAGE
from storage.dialog import Asked, Person
from storage.store import UnknownTurn

log = logging.getLogger(__name__)

Context: TypeAlias = ContextTypes.DEFAULT_TYPE
App: TypeAlias = Application[Any, Any, Any, Any, Any, Any]

FILE_LIMIT = int(FileSizeLimit.FILESIZE_UPLOAD)

# Channels and anonymous administrators have no account of their own that could be answered.
PEOPLE = filters.UpdateType.MESSAGE & ~filters.SenderChat.ALL & ~filters.StatusUpdate.ALL


class Talking:
    """The handlers of messages and commands, and the order of replies."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._replying: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

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

    async def message(self, update: Update, context: Context) -> None:
        """Commits what was said to Kith at once; it is answered when its turn comes."""
        message, user, place = said(update)
        text = said_to_us(message, context.bot)
        if text == "":
            await self._say(context.bot, place, user, "nothing_said")
        if not text:
            return
        key, message_id = f"telegram:{context.bot.id}:{update.update_id}", str(message.message_id)
        quote = None if place.private else message.message_id
        try:
            asked = await self._conversation.take(
                place.chat, account(user.id), text, key, message_id, user.language_code
            )
        except Refused as refused:  # a quota is used up
            await send(context.bot, place, str(refused), quote=quote)
            return
        if asked is not None:
            self.reply_later(update, context, place, await self._person(user), asked, quote)

    async def edited(self, update: Update, context: Context) -> None:
        """The log follows, without a second reply."""
        message, _, place = said(update)
        text = without_mention(message.text or "", context.bot)
        if text:
            await self._conversation.edit(place.chat, str(message.message_id), text)

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

    async def only_in_private(self, update: Update, context: Context) -> None:
        """Nothing about a person is told to a group."""
        _, user, place = said(update)
        await self._say(context.bot, place, user, "private_only")

    async def retry(self, update: Update, context: Context) -> None:
        """/retry waits for the reply that is under way, which may be the one meant."""
        _, user, place = said(update)
        self.reply_later(update, context, place, await self._person(user))

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
        await attempt(
            partial(context.bot.send_document, place.chat_id, document, caption=caption, message_thread_id=topic)
        )

    def reply_later(
        self,
        update: Update,
        context: Context,
        place: Place,
        person: Person,
        asked: Asked | None = None,
        quote: int | None = None,
    ) -> None:
        """Answers once the chat's earlier replies are out. Nothing asked: sends the latest of them back first."""
        context.application.create_task(self._reply(context.bot, place, person, asked, quote), update=update)

    async def _reply(self, bot: Bot, place: Place, person: Person, asked: Asked | None, quote: int | None) -> None:
        async with self._replying.setdefault(place.chat, asyncio.Lock()):
            if asked is None:
                try:
                    asked = await self._conversation.ask_again(place.chat, person)
                except Refused as refused:
                    await send(bot, place, str(refused))
                    return
            async with typing(bot, place):
                turn = await self._conversation.answer(asked)
            catalogue = self._conversation.texts.of(person.language)
            buttons = reply_buttons(turn.id, catalogue) if person.buttons else []
            ids = await send(bot, place, turn.decision.reply, buttons, quote)
            await self._conversation.shown(turn.id, account(place.chat_id), [str(number) for number in ids])

    async def failed(self, update: object, context: Context) -> None:
        """What went wrong is logged, and who waits for it is told. Nothing stops."""
        if isinstance(context.error, (Refused, UnknownTurn)):
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


def said_to_us(message: Message, bot: Bot) -> str | None:
    """A text or caption without our @name. None in a group, unless we are mentioned or replied to."""
    text = message.text or message.caption or ""
    if Place.of(message).private:
        return text
    replied = message.reply_to_message
    # Within a topic, everything counts as a reply to the message that opened it.
    to_us = replied is not None and replied.from_user == bot.bot and not replied.forum_topic_created
    return without_mention(text, bot) if to_us or mention(bot).search(text) else None


def without_mention(text: str, bot: Bot) -> str:
    """A text without our @name and what sets it off."""
    return mention(bot).sub(" ", text).strip()


def mention(bot: Bot) -> re.Pattern[str]:
    """Our @name, as a word."""
    return re.compile(rf"\s*(?<!\w)@{re.escape(bot.username)}\b[,:]?\s*", re.IGNORECASE)
