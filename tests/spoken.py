"""Dialogs for tests, in few words: texts that two sides said in turns."""

from itertools import cycle

from storage.dialog import Context, Message, Role


def spoken(*texts: str, first: Role = "user") -> tuple[Message, ...]:
    """The texts as messages; `first` says the first."""
    roles: tuple[Role, Role] = ("user", "assistant") if first == "user" else ("assistant", "user")
    return tuple(Message(role, text) for role, text in zip(cycle(roles), texts, strict=False))


def context(*texts: str, persona: str = "", rejected: tuple[str, ...] = ()) -> Context:
    """The same as a context: the user says the last."""
    return Context(spoken(*texts, first="user" if len(texts) % 2 else "assistant"), persona, rejected)
