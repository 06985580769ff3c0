"""The door: an update of somebody whom the owner shut out goes no further than here, and leaves nothing behind."""

from telegram import Update
from telegram.ext import ApplicationHandlerStop, TypeHandler

from bot.conversation import Conversation, Refused
from bot.telegram_chat.addressing import said_to_us
from bot.telegram_chat.sending import App, Context, Place, account, send

FIRST = -1
"""The group of handlers that is asked before the others."""


class Door:
    """Sees every update first: messages, edits, presses and reactions."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def register(self, application: App) -> None:
        """Adds the handler."""
        application.add_handler(TypeHandler(Update, self.admit), FIRST)

    def shut_out(self, update: Update) -> bool:
        """Whether it is of somebody who may not talk here."""
        return bool(self._conversation.rights.shut_out(_chat(update), _person(update)))

    async def admit(self, update: Update, context: Context) -> None:
        """Stops who is shut out; somebody on no allow-list who speaks to Kith is told so."""
        if not self.shut_out(update):
            return
        user, message = update.effective_user, update.message
        if user and message and said_to_us(message, context.bot) is not None:
            try:
                stranger = self._conversation.stranger(_person(update), user.language_code)
                self._conversation.rights.admit(_chat(update), stranger)
            except Refused as refused:
                await send(context.bot, Place.of(message), str(refused))
        raise ApplicationHandlerStop


def _chat(update: Update) -> str:
    message, chat = update.effective_message, update.effective_chat
    return Place.of(message).chat if message else account(chat.id) if chat else ""


def _person(update: Update) -> str:
    return account(update.effective_user.id) if update.effective_user else ""
