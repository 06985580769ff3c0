"""What a front end lets somebody choose from, however it shows that."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several things to choose: `value` goes back to the method that makes the choice, `label` is shown."""

    value: str
    label: str
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """Something to choose from."""

    text: str
    choices: tuple[Choice, ...]
