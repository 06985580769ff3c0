"""The buttons of a chat and the data that they carry: untrusted when it comes back, and 64 bytes at most.

A button says what shall be, not what shall change (👍 carries 1, and 0 once it is marked), so that a double tap or a
press that is delivered twice does no more than one.
"""

from typing import TypeAlias

from bot.questions import Question
from bot.texts import Catalogue
from storage.dialog import FEELINGS, REASONS, Vote

Rows: TypeAlias = list[list[tuple[str, str]]]
"""Rows of buttons: what each shows and what it sends."""

_TURN = "(?P<turn>[0-9a-f]{32})"
VOTE = rf"v:{_TURN}:(?P<value>-1|0|1)\Z"
REASON = rf"w:{_TURN}:(?P<reason>[0-{len(REASONS) - 1}])\Z"
RETRY = rf"r:{_TURN}\Z"
FEELING = rf"f:(?P<question>[0-9a-f]{{32}}):(?P<feeling>{'|'.join(FEELINGS)})\Z"
CHOICE = r"(?P<kind>start|persona|language|privacy|forget):(?P<person>\d{1,20}):(?P<value>[a-z0-9_-]{1,32})\Z"
"""Patterns of what buttons send. `person` is the one who was asked."""


def reply_buttons(turn_id: str, catalogue: Catalogue, vote: Vote | None = None) -> Rows:
    """👍 👎 🔁 with the vote that stands marked, and after a 👎 what it may be for."""
    value = vote.value if vote else 0
    marks = [
        (_marked(label, value == side), f"v:{turn_id}:{0 if value == side else side}")
        for label, side in (("👍", 1), ("👎", -1))
    ]
    rows = [[*marks, ("🔁", f"r:{turn_id}")]]
    if vote and value == -1:
        reasons = [
            (_marked(catalogue.reasons[reason], reason == vote.reason), f"w:{turn_id}:{number}")
            for number, reason in enumerate(REASONS)
        ]
        rows += [reasons[:3], reasons[3:]]  # five words do not fit one row of a phone
    return rows


def choice_buttons(kind: str, person: str, question: Question) -> Rows:
    """What may be chosen, each on a row of its own. `kind` and `person` (digits) are as in CHOICE."""
    choices = question.choices
    return [[(_marked(choice.label, choice.chosen), f"{kind}:{person}:{choice.value}")] for choice in choices]


def feeling_buttons(question_id: str, question: Question) -> Rows:
    """How somebody may feel after a talk, side by side."""
    choices = question.choices
    return [[(_marked(choice.label, choice.chosen), f"f:{question_id}:{choice.value}") for choice in choices]]


def _marked(label: str, mark: bool) -> str:
    return f"{label} ✓" if mark else label
