"""A line of the log: for people, or one JSON object for programs. Above DEBUG it holds nothing that anybody said.

An event of ours says what happened in words of its own, with ids and figures in `extra=facts(turn=...)`. Two things
come from elsewhere and may hold a text, a name or a token, so only DEBUG shows them whole: what an exception says (else
its type and where it was raised) and what a library logs (else its words without what is filled in). No line at any
level holds a value that the settings keep secret.
"""

import json
import logging
import re
import traceback
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = ("bot", "generation", "ranking", "storage")
"""Whose loggers are ours."""

TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
FILLED_IN = re.compile(r"%(\(\w+\))?[-+ #0-9.*]*[a-zA-Z]")

SHORTEST_SECRET = 6
"""Characters: a shorter one would be found in ordinary words."""


def facts(**values: object) -> dict[str, dict[str, object]]:
    """What an event is about, as `extra` of a logger's call: ids and figures, never words."""
    return {"facts": values}


def redacted(text: str, secrets: Iterable[str]) -> str:
    """A text in which no secret can be read."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "[secret]")
    return text


class TextLines(logging.Formatter):
    """Lines for people."""

    def __init__(self, whole: bool, secrets: Iterable[str]) -> None:
        """`whole`: with the words of exceptions and libraries."""
        super().__init__(TEXT)
        self.whole, self.secrets = whole, tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """A line, and the lines of a traceback."""
        words = self.words(record)
        shown = logging.makeLogRecord({**record.__dict__, "msg": words, "args": (), "exc_text": None})
        return redacted(super().format(shown), self.secrets)

    def words(self, record: logging.LogRecord) -> str:
        """What happened, with its facts."""
        told = "".join(f" {name}={value}" for name, value in facts_of(record).items())
        return f"{message_of(record, self.whole)}{told}"

    def formatException(self, ei: Any) -> str:
        """A traceback."""
        return traceback_of(ei[1], self.whole)


class JsonLines(TextLines):
    """One JSON object for an event."""

    def format(self, record: logging.LogRecord) -> str:
        """A line."""
        event = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": message_of(record, self.whole),
            **facts_of(record),
        }
        if record.exc_info and record.exc_info[1]:
            event["error"] = type(record.exc_info[1]).__name__
            event["traceback"] = traceback_of(record.exc_info[1], self.whole)
        return redacted(json.dumps(event, ensure_ascii=False, default=str), self.secrets)


def write_log(handler: logging.Handler, level: str, form: str, secrets: Iterable[str] = ()) -> None:
    """From now on our own logs from this level on, and the warnings of others, go to a handler."""
    kind = JsonLines if form == "json" else TextLines
    handler.setFormatter(kind(level == "DEBUG", secrets))
    logging.basicConfig(handlers=[handler])
    for package in PACKAGES:
        logging.getLogger(package).setLevel(level)


def facts_of(record: logging.LogRecord) -> dict[str, object]:
    """What an event of ours is about."""
    found: dict[str, object] = getattr(record, "facts", {})
    return found


def message_of(record: logging.LogRecord, whole: bool) -> str:
    """What happened. Of a library, that is the words between what it fills in, or where it was logged."""
    if whole or record.name.partition(".")[0] in PACKAGES:
        return record.getMessage()
    return FILLED_IN.sub("…", str(record.msg)) if record.args else f"{record.filename}:{record.lineno}"


def traceback_of(error: BaseException | None, whole: bool) -> str:
    """How an exception came to be raised. Its own words, and those of the ones before it, only if `whole`."""
    if error is None or whole:
        return "".join(traceback.format_exception(error)).rstrip("\n")
    steps = [
        f"{Path(step.filename).name}:{step.lineno} in {step.name}" for step in traceback.extract_tb(error.__traceback__)
    ]
    here = f"{type(error).__name__} at {', '.join(steps) if steps else 'nowhere'}"
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return f"{here}; after {traceback_of(before, whole)}" if before else here
