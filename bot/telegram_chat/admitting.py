"""The door: an update of somebody whom the owner shut out goes no further than here, and leaves nothing behind."""

from telegram import Update
from telegram.ext import ApplicationHandlerStop, TypeHandler

from bot.conversation import Conversation, Refused
from bot.telegram_chat.sending import Place, account, send
from bot.telegram_chat.talking import App, Context, said_to_us

FIRST = -1
"""The group of handlers that is asked before the others."""


class Door:
    """Sees every update first: messages, edits, presses and reactions."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def register(self, application: App) -> None:
        """Adds the handler."""
        application.add_handler(TypeHandler(Update, self.admit), FIRST)

    async def admit(self, update: Update, context: Context) -> None:
        """Stops who is shut out; somebody on no allow-list who speaks to Kith is told so."""
        user, chat, message = update.effective_user, update.effective_chat, update.message
        person_id = account(user.id) if user else ""
        where = (
            Place.of(update.effective_message).chat if update.effective_message else account(chat.id) if chat else ""
        )
        if not self._conversation.rights.shut_out(where, person_id):
            return
        if user and message and said_to_us(message, context.bot) is not None:
            try:
                self._conversation.rights.admit(where, self._conversation.stranger(person_id, user.language_code))
            except Refused as refused:
                await send(context.bot, Place.of(message), str(refused))
        raise ApplicationHandlerStop
