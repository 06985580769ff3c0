"""Votes: buttons and reactions. Whoever presses is `callback_query.from_user`; the data of a button is untrusted.

Each handler reads whether the press may be, answers it, since Telegram gives up on an answer that comes late, and only
then writes.
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from re import Match

from telegram import CallbackQuery, Message, ReactionType, ReactionTypeEmoji, Update, User
from telegram.ext import CallbackQueryHandler, MessageReactionHandler

from bot.buttons import CHOICE, REASON, RETRY, VOTE, reply_buttons
from bot.commands import choose
from bot.conversation import Conversation, Refused
from bot.telegram_chat.replying import Replying
from bot.telegram_chat.sending import App, Context, Place, account, attempt, keyboard, show
from bot.telegram_chat.updates import key_of, persistent
from storage.dialog import REASONS, Person, VoteValue

VALUES: dict[str, VoteValue] = {"1": 1, "0": 0, "-1": -1}
TOASTS: dict[VoteValue, str] = {1: "vote_up", 0: "vote_back", -1: "vote_down"}

LIKED = frozenset("👍❤🔥🥰👏😁🎉🤩🙏👌😍💯🤣⚡🏆🍓🍾💋🤝🤗🫡🆒💘🦄😘😎") | {"❤‍🔥"}
DISLIKED = frozenset("👎💩🤮🤬🖕🤡🥱😴😡")
"""Reactions that are an opinion on a reply. The others (😢, 😱, 🤔 ...) may well be about what it told of."""


class Pressing:
    """The handlers of buttons and reactions."""

    def __init__(self, conversation: Conversation, replying: Replying) -> None:
        self._conversation, self._replying = conversation, replying

    def register(self, application: App) -> None:
        """Adds the handlers; of those that fit an update, the first one is called."""
        named = MessageReactionHandler.MESSAGE_REACTION_UPDATED  # anonymous counts say nothing of who
        application.add_handlers(
            [
                CallbackQueryHandler(self.vote, VOTE),
                CallbackQueryHandler(self.reason, REASON),
                CallbackQueryHandler(self.retry, RETRY),
                CallbackQueryHandler(self.choice, CHOICE),
                CallbackQueryHandler(self.unknown),
                MessageReactionHandler(self.reaction, message_reaction_types=named),
            ]
        )

    @persistent
    async def vote(self, update: Update, context: Context) -> None:
        """👍, 👎, or one of them taken back."""
        query, match = pressed(update, context)
        value = VALUES[match["value"]]
        await self._vote(query, match["turn"], value, TOASTS[value])

    @persistent
    async def reason(self, update: Update, context: Context) -> None:
        """What was wrong, after a 👎."""
        query, match = pressed(update, context)
        await self._vote(query, match["turn"], -1, "vote_reason", REASONS[int(match["reason"])])

    async def _vote(self, query: CallbackQuery, turn_id: str, value: VoteValue, toast: str, reason: str = "") -> None:
        chat, stranger = chat_of(query), self._stranger(query.from_user)
        try:
            await self._conversation.may_vote(turn_id, chat, stranger, reason)
        except Refused as refused:
            await answer(query, str(refused))
            return
        person = await self._conversation.person(stranger.id)
        await answer(query, self._conversation.say(person, toast))
        vote = await self._conversation.vote(turn_id, chat, person, value, "button", reason)
        markup = keyboard(reply_buttons(turn_id, self._conversation.texts.of(person.language), vote))
        if not (isinstance(query.message, Message) and query.message.reply_markup == markup):
            await attempt(partial(query.edit_message_reply_markup, markup))

    @persistent
    async def retry(self, update: Update, context: Context) -> None:
        """🔁: the reply is sent back at once, so that a second tap finds nothing to send back."""
        query, match = pressed(update, context)
        chat, stranger, key = chat_of(query), self._stranger(query.from_user), key_of(update)
        asked = await self._conversation.inbox.asked_again(key)
        try:
            if asked is None:
                await self._conversation.may_retry(chat, stranger, match["turn"])
                if self._replying.crowded:  # before anything is sent back
                    raise Refused(self._conversation.say(stranger, "crowded"))
        except Refused as refused:
            await answer(query, str(refused))
            return
        person = await self._conversation.person(stranger.id)
        await answer(query, self._conversation.say(person, "retry_working"))
        asked = asked or await self._conversation.ask_again(chat, person, match["turn"], key)
        if query.message:
            self._replying.reply_later(update, context, Place.of(query.message), person, asked)

    @persistent
    async def choice(self, update: Update, context: Context) -> None:
        """A choice that a command offered to this person; the question makes way for the outcome."""
        query, match = pressed(update, context)
        user, name = query.from_user, match["kind"]
        if query.message is None or match["person"] != str(user.id):
            await answer(query, self._conversation.say(self._stranger(user), "not_addressed"))
            return
        await answer(query)
        person = await self._conversation.person(account(user.id), user.language_code)
        try:
            shown = await choose(self._conversation, name, chat_of(query), person, match["value"])
        except Refused as refused:
            shown = str(refused)
        text, buttons = show(name, user, shown)
        await attempt(partial(query.edit_message_text, text, reply_markup=keyboard(buttons)))

    @persistent
    async def unknown(self, update: Update, context: Context) -> None:
        """Data that no button of ours sends."""
        query = update.callback_query
        if query:
            await answer(query, self._conversation.say(self._stranger(query.from_user), "unknown_button"))

    @persistent
    async def reaction(self, update: Update, context: Context) -> None:
        """A reaction to a reply is a vote; its removal takes back no vote that came by a button."""
        reaction = update.message_reaction
        if reaction is None or reaction.user is None:
            return
        value = opinion(reaction.new_reaction)
        turn_id = await self._conversation.shown_at(account(reaction.chat.id), str(reaction.message_id))
        chat = await self._conversation.chat_of(turn_id) if turn_id else None
        if turn_id is None or chat is None:
            return
        person = self._stranger(reaction.user)
        standing = await self._conversation.vote_of(turn_id, person)
        if value == 0 and (standing is None or standing.kind != "reaction"):
            return
        with suppress(Refused):  # nobody waits for an answer to a reaction
            await self._conversation.vote(turn_id, chat, person, value, "reaction")

    def _stranger(self, user: User) -> Person:
        return self._conversation.stranger(account(user.id), user.language_code)


def pressed(update: Update, context: Context) -> tuple[CallbackQuery, Match[str]]:
    """A pressed button, and its data as the handler's pattern reads it."""
    query, match = update.callback_query, context.match
    assert query and match
    return query, match


def chat_of(query: CallbackQuery) -> str:
    """The chat of the message under which a button was pressed; "" when it is too old to tell."""
    return Place.of(query.message).chat if query.message else ""


async def answer(query: CallbackQuery, text: str | None = None) -> None:
    """Answers a press; a query that is too old for that stops nothing."""
    await attempt(partial(query.answer, text))


def opinion(reactions: Sequence[ReactionType]) -> VoteValue:
    """1 or -1 for reactions that are of one mind, else 0."""
    emoji = {each.emoji.replace("\ufe0f", "") for each in reactions if isinstance(each, ReactionTypeEmoji)}
    liked, disliked = bool(emoji & LIKED), bool(emoji & DISLIKED)
    if liked == disliked:
        return 0
    return 1 if liked else -1
