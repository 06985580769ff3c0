"""Whether a message is meant for us, and what it says when our @name is left out."""

import re

from telegram import Bot, Message

from bot.telegram_chat.sending import Place


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
