"""Dialogs for tests, in few words: texts that two sides said in turns."""

from itertools import cycle
from pathlib import Path

from ranking.danger import DangerSigns
from ranking.lines import read_lines
from storage.dialog import Context, Message, Role

LINES = Path(__file__).parent / "safety_lines"


def spoken(*texts: str, first: Role = "user") -> tuple[Message, ...]:
    """The texts as messages; `first` says the first."""
    roles: tuple[Role, Role] = ("user", "assistant") if first == "user" else ("assistant", "user")
    return tuple(Message(role, text) for role, text in zip(cycle(roles), texts, strict=False))


def context(*texts: str, persona: str = "", rejected: tuple[str, ...] = ()) -> Context:
    """The same as a context: the user says the last."""
    return Context(spoken(*texts, first="user" if len(texts) % 2 else "assistant"), persona, rejected)


def doubtful_text(danger: DangerSigns) -> str:
    """A message that may be danger and is no sign of it, by the classifier as it is now."""
    lines = read_lines(LINES / "messages_dev_a.toml")
    return next(line.text for line in lines if danger.sign(line.text) is None and danger.doubtful(context(line.text)))
