"""Dialogs with scripted users as a page to be read by people."""

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.ablation import BotFigures


def as_markdown(found: "BotFigures", made: datetime) -> str:
    """All dialogs, unedited. A user's message is followed by the reply; in brackets who made it and the judge's
    probability of a 👍."""
    models = "\n".join(f"- {name}: {version}" for name, version in found.models.items())
    dialogs = "\n".join(
        f"## {talked.user}\n\n"
        + "\n".join(f"> {line.message}\n\n{line.reply} `{line.source} {line.liked:.2f}`\n" for line in talked.lines)
        for talked in found.transcripts
    )
    return (
        f"# Dialogs with scripted users, {made:%Y-%m-%d}\n\n"
        "Each user says the same things whatever it hears. The replies are unedited, drawn as the bot draws them; "
        "behind each is the source that it came from and the probability of a 👍 by a vote model that took no part.\n\n"
        f"{models}\n\n{dialogs}"
    )
