"""Replies: one after the other in a chat, not too many that wait, and each of them once.

A turn is logged before it is sent, and each part of its reply is noted when Telegram has taken it. So a reply that was
begun in a run before is gone on with where it was: its message is not answered anew, and no part that was noted is sent
again.
"""

import asyncio
from collections import Counter
from datetime import timedelta
from weakref import WeakValueDictionary

from telegram import Bot, Update

from bot.buttons import reply_buttons
from bot.conversation import Conversation, Refused
from bot.telegram_chat.sending import Context, Place, account, send, typing
from bot.telegram_chat.updates import UpdateQueue, key_of, persistent
from storage.dialog import Asked, Person, Turn, now
from storage.store import AlreadyAnswered


class Replying:
    """What is answered, when, and by which messages."""

    def __init__(
        self,
        conversation: Conversation,
        updates: UpdateQueue,
        late_minutes: float,
        max_waiting: int,
        max_waiting_all: int,
    ) -> None:
        self._conversation, self._updates = conversation, updates
        self._late = timedelta(minutes=late_minutes)
        self._max_waiting, self._max_waiting_all = max_waiting, max_waiting_all
        self._order: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._under_way: Counter[str] = Counter()
        self._told: set[tuple[str, str]] = set()
        """Chats that were told something once: which text."""

    async def reply_in_time(
        self, update: Update, context: Context, place: Place, person: Person, asked: Asked, quote: int | None
    ) -> None:
        """Answers later, unless it is too late for that, or too many messages of the chat wait: then once a word of it.
        A reply that is in the log already is sent all the same: the dialog goes on as if it had been heard."""
        set_aside = update.update_id in self._updates.set_aside
        if set_aside or self._is_late(update):
            answered = await self._conversation.inbox.answer_to(asked)
            if answered is None or not answered[1]:
                await self._tell_once(context.bot, place, person, "late")
            if answered is None or set_aside:
                return
        else:
            self._told.discard((place.chat, "late"))
        if await self.room(context.bot, place, person):
            self.reply_later(update, context, place, person, asked, quote)

    async def room(self, bot: Bot, place: Place, person: Person) -> bool:
        """Whether one more reply of the chat may wait; when not, the person is told so, once until all are out, or
        until there is room again."""
        if self._under_way[place.chat] > self._max_waiting:  # one more than those that wait is being made
            await self._tell_once(bot, place, person, "busy")
            return False
        if self.crowded:
            await self._tell_once(bot, place, person, "crowded")
            return False
        self._told.discard((place.chat, "crowded"))
        return True

    @property
    def crowded(self) -> bool:
        """Whether the replies of all chats together are too many for one more."""
        return self._under_way.total() >= self._max_waiting_all

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
        self._updates.hold(update)
        self._under_way[place.chat] += 1
        task = context.application.create_task(
            self._finish(update, context, place, person, asked, quote), update=update
        )
        self._updates.track(task)

    async def _finish(
        self, update: Update, context: Context, place: Place, person: Person, asked: Asked | None, quote: int | None
    ) -> None:
        try:
            await self._reply(update, context.bot, place, person, asked, quote)
        except Exception as error:  # the person is told before the update is done
            await context.application.process_error(update, error)
        finally:
            self._under_way[place.chat] -= 1
            if not self._under_way[place.chat]:
                del self._under_way[place.chat]
                self._told.discard((place.chat, "busy"))
        await self._updates.finish(update)

    async def _reply(
        self, update: Update, bot: Bot, place: Place, person: Person, asked: Asked | None, quote: int | None
    ) -> None:
        async with self._order.setdefault(place.chat, asyncio.Lock()):
            if asked is None:
                try:
                    asked = await self._sent_back(update, place, person)
                except Refused as refused:
                    await send(bot, place, str(refused))
                    return
            await self._say(bot, place, person, asked, quote)

    @persistent
    async def _sent_back(self, update: Update, place: Place, person: Person) -> Asked:
        key = key_of(update)
        asked = await self._conversation.inbox.asked_again(key)
        return asked or await self._conversation.ask_again(place.chat, person, update_key=key)

    @persistent
    async def _say(self, bot: Bot, place: Place, person: Person, asked: Asked, quote: int | None) -> None:
        answered = await self._conversation.inbox.answer_to(asked)
        if answered is None:
            async with typing(bot, place):
                answered = await self._answer(asked)
        turn, shown = answered
        buttons = reply_buttons(turn.id, self._conversation.texts.of(person.language)) if person.buttons else []

        @persistent
        async def note(message_id: int) -> None:
            await self._conversation.shown(turn.id, account(place.chat_id), [str(message_id)])

        await send(bot, place, turn.decision.reply, buttons, quote, shown, note)

    async def _answer(self, asked: Asked) -> tuple[Turn, int]:
        try:
            return await self._conversation.answer(asked), 0
        except AlreadyAnswered:  # a batch that was given up came to its end after all
            answered = await self._conversation.inbox.answer_to(asked)
            if answered is None:
                raise
            return answered

    def _is_late(self, update: Update) -> bool:
        message = update.effective_message
        return message is not None and now() - message.date > self._late

    async def _tell_once(self, bot: Bot, place: Place, person: Person, key: str) -> None:
        if (place.chat, key) not in self._told:
            self._told.add((place.chat, key))
            await send(bot, place, self._conversation.say(person, key))
