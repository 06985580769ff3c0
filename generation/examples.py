"""Dialogs of Kith's voice as examples for models that were not trained on it (few-shot prompting, Brown et al. 2020,
"Language models are few-shot learners")."""

from functools import cache
from pathlib import Path

from storage.corpora import CorpusDialog, read_dialogs

VOICE = Path(__file__).parent / "voice"

HEADING = "This is how you talk:"


class Examples:
    """What a model is told besides its persona."""

    def __init__(self, count: int, room: int = 6_000) -> None:
        """`count` dialogs at the most, of as many situations, in `room` characters at the most."""
        kept: list[str] = []
        for dialog in spread(count):
            text = as_script(dialog)
            if len("\n\n".join([*kept, text])) <= room:
                kept.append(text)
        self.text = "\n\n".join([HEADING, *kept]) if kept else ""

    def told(self, persona: str) -> str:
        """A persona with the examples after it."""
        return "\n\n".join(part for part in (persona, self.text) if part)


def spread(count: int) -> list[CorpusDialog]:
    """The first dialog of each of `count` situations of the train split, from the beginning to the end of the voice."""
    firsts = {dialog.id.rpartition("/")[0]: dialog for dialog in reversed(train_voice())}
    order = sorted(firsts)
    return [firsts[order[number * len(order) // count]] for number in range(min(count, len(order)))]


@cache
def train_voice() -> tuple[CorpusDialog, ...]:
    """The voice's dialogs of the train split."""
    return tuple(dialog for dialog in read_dialogs(VOICE) if dialog.split == "train")


def as_script(dialog: CorpusDialog) -> str:
    """A dialog as lines with names before them."""
    names = {"user": "Person", "assistant": "You"}
    return "\n".join(f"{names[message.role]}: {message.text}" for message in dialog.messages)
