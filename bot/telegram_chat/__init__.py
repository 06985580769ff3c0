"""The Telegram front end, the only part that knows Telegram: `run` serves, `check_token` only asks who the bot is."""

from bot.telegram_chat.serving import check_token, run

__all__ = ["check_token", "run"]
