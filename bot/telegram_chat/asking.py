"""How people feel after a talk: asked in Telegram beside the replies, one after the other, and answered by a button.

A question is sent once: what Telegram does not take is left out, be it that the person blocked the bot.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from telegram import Bot, Message, Update
from telegram.ext import CallbackQueryHandler

from bot.buttons import FEELING, feeling_buttons
from bot.conversation import Conversation, Refused
from bot.telegram_chat.pressing import answer, pressed
from bot.telegram_chat.sending import App, Context, account, attempt, keyboard
from bot.telegram_chat.updates import persistent
from storage.dialog import Talk

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
"""Between two looks, and before the first one: what was written while the bot was off comes in meanwhile."""


class Asking:
    """The questions and the handler of their buttons."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation, self._after_talk = conversation, conversation.after_talk

    def register(self, application: App) -> None:
        """Adds the handler, which must come before that of buttons that nobody knows."""
        application.add_handler(CallbackQueryHandler(self.feeling, FEELING))

    @asynccontextmanager
    async def beside(self, bot: Bot) -> AsyncIterator[None]:
        """Asks whom there is to ask for as long as the body runs."""
        task = asyncio.create_task(self._keep_asking(bot))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_asking(self, bot: Bot) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                while talk := await self._after_talk.next("telegram"):
                    await self._ask(bot, talk)
            except Exception:  # whatever it is, the bot goes on
                log.exception("nobody could be asked how they feel; it is tried again")

    async def _ask(self, bot: Bot, talk: Talk) -> None:
        _, number, *topic = talk.chat.split(":")
        question = self._after_talk.question(talk.person)
        markup = keyboard(feeling_buttons(talk.id, question))
        bare = partial(bot.send_message, int(number), question.text, disable_notification=True)
        await attempt(partial(bare, message_thread_id=int(topic[0]) if topic else None, reply_markup=markup))

    @persistent
    async def feeling(self, update: Update, context: Context) -> None:
        """Better, the same or worse; another press changes it."""
        query, match = pressed(update, context)
        person = self._conversation.stranger(account(query.from_user.id), query.from_user.language_code)
        question_id, feeling = match["question"], match["feeling"]
        try:
            await self._after_talk.may_answer(question_id, person, feeling)
        except Refused as refused:
            await answer(query, str(refused))
            return
        person = await self._conversation.person(person.id)
        await answer(query, await self._after_talk.may_answer(question_id, person, feeling))
        await self._after_talk.answer(question_id, person, feeling)
        markup = keyboard(feeling_buttons(question_id, self._after_talk.question(person, feeling)))
        if not (isinstance(query.message, Message) and query.message.reply_markup == markup):
            await attempt(partial(query.edit_message_reply_markup, markup))
