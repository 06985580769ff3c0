"""Reading what Telegram sends: an update that cannot be read costs itself, and neither its neighbours nor a secret.

The library gives up a whole batch for one such update, asks for the same batch again for ever, and writes all of it
into its log.
"""

import logging
from typing import Any

from telegram import Update

log = logging.getLogger(__name__)


KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("message_id", "message_thread_id", "date", "edit_date"), (int,)),
    **dict.fromkeys(("text", "caption", "data", "type", "username", "language_code"), (str,)),
    "id": (int, str),
}
"""What the values are that our handlers use, by key, wherever it stands in an update."""


def readable(update: Any) -> dict[str, Any] | None:
    """An update, or what is left of one that the library cannot read; None for what is no update at all."""
    number = update.get("update_id") if isinstance(update, dict) else None
    if type(number) is not int:
        log.warning("something that is no update is passed over")
        return None
    try:
        check_kinds(update)
        Update.de_json(update, None)
    except Exception as error:  # whatever the library stumbles over
        log.warning("update %d cannot be read and is passed over: %s", number, type(error).__name__)
        return {"update_id": number}
    return dict(update)


def check_kinds(value: Any) -> None:
    """Raises TypeError where an id, a time or a text is none: the library takes them as they come, and fails later."""
    if isinstance(value, list):
        for each in value:
            check_kinds(each)
    if not isinstance(value, dict):
        return
    for key, each in value.items():
        kinds = KINDS.get(key)
        if kinds and type(each) not in kinds:
            raise TypeError(f"{key} is {type(each).__name__}")
        check_kinds(each)


def without_content(record: logging.LogRecord) -> bool:
    """A filter for the library's log, which quotes what it cannot read."""
    if record.levelno >= logging.CRITICAL:
        record.msg, record.args, record.exc_info = "what came from Telegram cannot be read", (), None
    return True
