"""Moderation: messages that no model answers, but a text of the catalogue: signs of danger, which also get help lines,
sexual talk with or about minors, and questions for a doctor or a lawyer. The fallback, where such things were lately.

In a dialog the help lines are given once, and again at a more acute sign or after AGAIN messages.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bot.help_lines import HelpLines
from bot.protocols import Fallback
from bot.texts import Texts
from storage.dialog import Candidate, Context

SOURCE = "moderation"

AGAIN = 12
"""Messages of the person after which help lines are given once more."""

PURPOSES = {
    "despair": "despair",
    "self_harm": "despair",
    "eating": "despair",
    "others": "others",
    "violence": "violence",
    "threat": "emergency",
    "overdose": "emergency",
}
"""By kind of danger (ranking/danger.py), what its help lines are for."""

EMERGENCY = ("threat", "overdose")
"""Kinds for which the words are those of an emergency."""


@dataclass(frozen=True, slots=True)
class Concern:
    """What of a message wants moderated words: a kind of danger, which may be `guessed`, or "minor", "doctor",
    "lawyer"."""

    kind: str
    acute: bool = False
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Judge:
    """What is asked about a context. `read_ahead`: is told which messages come; `concern`: of its last message;
    `danger`: of the last of a person's messages; `lately`: whether danger was spoken of in the last few; `doubtful`:
    whether it may have been; `who_writes`: whether a message asks for a person."""

    read_ahead: Callable[[Sequence[str]], None]
    concern: Callable[[Context], Concern | None]
    danger: Callable[[Sequence[str]], Concern | None]
    lately: Callable[[Context], bool]
    doubtful: Callable[[Context], bool]
    who_writes: Callable[[str], bool]


class Moderation:
    """Answers what must be answered with moderated words; callable as `bot.protocols.Moderation`."""

    def __init__(self, texts: Texts, lines: HelpLines, judge: Judge, otherwise: Fallback) -> None:
        """`otherwise` says what is said when there is nothing to say, where nothing grave was."""
        self.texts, self.lines, self.judge, self.otherwise = texts, lines, judge, otherwise

    def __call__(self, batch: Sequence[tuple[Context, str]]) -> list[Candidate | None]:
        """For each context, with its person's interface language, the moderated reply; None where models may answer."""
        self.judge.read_ahead([context.last for context, _ in batch])
        return [self._reply(context, self._spoken(context.last, language)) for context, language in batch]

    def fallback(self, context: Context, language: str) -> str:
        """What is said when no candidate was fit."""
        spoken = self._spoken(context.last, language)
        if self.judge.who_writes(context.last):
            return self._fresh(context, spoken, "program")[0]
        if self.judge.lately(context):
            return self._fresh(context, spoken, "gentle")[0]
        if self.judge.doubtful(context):
            return self._fresh(context, spoken, "doubtful")[0]
        return self.otherwise(context, language)

    def _reply(self, context: Context, language: str) -> Candidate | None:
        concern = self.judge.concern(context)
        if concern is None:
            return None
        if concern.kind not in PURPOSES:
            text, number = self._fresh(context, language, concern.kind)
            return Candidate(text, SOURCE, 1.0, f"{concern.kind}/{number}")
        if not self._wants_lines(context, concern):
            text, number = self._fresh(context, language, "still_danger")
            return Candidate(text, SOURCE, 1.0, f"{concern.kind}/again/{number}")
        key = "emergency" if concern.acute or concern.kind in EMERGENCY else PURPOSES[concern.kind]
        key = "guessed" if concern.guessed else key
        text, number = self._fresh(context, language, key)
        shown = self.lines.shown(language, PURPOSES[concern.kind])
        return Candidate("\n".join([text, "", *shown]), SOURCE, 1.0, f"{concern.kind}/{key}/{number}")

    def _wants_lines(self, context: Context, concern: Concern) -> bool:
        """Whether lines were never given here, long ago, or at a sign that was less acute than this one."""
        since = 0
        for message in reversed(context.messages[:-1]):
            if message.role == "user":
                since += 1
                continue
            if self.lines.given(message.text):
                before = self._answered(context, since)
                return since >= AGAIN or (concern.acute and not (before is not None and before.acute))
        return True

    def _answered(self, context: Context, back: int) -> Concern | None:
        """The danger in the message that got the lines: that before the person's last `back` + 1."""
        said = context.said("user")
        place = len(said) - 2 - back
        return self.judge.danger(said[: place + 1]) if place >= 0 else None

    def _fresh(self, context: Context, language: str, key: str) -> tuple[str, int]:
        """A text of the catalogue that this dialog has not heard yet, as long as there is one, and its number."""
        texts = self.texts.of(language).moderated[key]
        wanted = [text for text in texts if not any(sent.startswith(text) for sent in context.rejected)]
        fresh = [text for text in wanted if not any(said.startswith(text) for said in context.said("assistant"))]
        text = random.choice(fresh or wanted or texts)
        return text, texts.index(text) + 1

    def _spoken(self, text: str, language: str) -> str:
        """The language that a message is written in, as far as its letters tell it: words of comfort should be read at
        once. Otherwise that of the interface."""
        cyrillic = sum("\u0400" <= letter <= "\u04ff" for letter in text)
        latin = sum("a" <= letter <= "z" for letter in text.lower())
        if cyrillic == latin:
            return language
        return "ru" if cyrillic > latin else ("en" if language == "ru" else language)
