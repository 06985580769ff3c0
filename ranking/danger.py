"""Danger in what a person writes: self-harm, abuse, harm that somebody may come to, in English and Russian.

Rules name what is said in plain words (ranking/danger_rules.py), a classifier finds some of what is alluded to
(ranking/danger_classifier.py), by words and letters and by what a message means. No model that the settings name is
needed. docs/safety.md says how much they find.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from ranking.danger_classifier import NONE, STARTER, UNREAD, Guess, Meaning, as_read, classifier, readable
from ranking.danger_rules import Sign, by_rules, plain
from ranking.danger_words import load_words
from ranking.limits import asks_who_writes
from storage.dialog import Candidate, Context

log = logging.getLogger(__name__)

KIND_OF = {"self_harm": "despair", "abuse": "violence", "danger": "threat"}
"""By the classifier's kinds, those of the rules."""

GENTLE, GUESSED, DOUBTFUL = 6, 3, 2
"""Messages of the person, that one included, in which nobody jokes: after a sign of danger, after one that is a guess,
and after what may be danger. Who is in danger mostly says more of it, and then they are counted anew."""

CALM = (
    "danger.", "grief.", "heart.", "mood.sad", "mood.lonely", "mood.anxious", "mood.scared",
    "mood.hopeless", "mood.crying", "mood.hate_myself", "mood.numb_empty", "mood.overwhelmed", "mood.hurt_by_someone",
    "mood.nobody_understands", "listening.comfort", "listening.short",
)  # fmt: skip
"""What pool and listener say in those: names of situations and tones. Nothing that was generated is said."""

HONEST = ("bot.are_you_human_really_sincere",)
"""What the pool says in those to who asks whether a person or a program writes."""

HEARD = (*(f"listening.go_on/{number}" for number in (1, 4, 5, 6, 11, 12, 14, 15)), "listening.parting/1")
"""What is said besides where it only may have been, or is a guess that is not acute: that Kith hears, in words that
would be right if it was."""

OVERRULED, FEW = 0.0, 5
"""Log-odds below which a classifier that reads meaning is believed and not a rule: the reply is calm then, and nothing
more. But a rule stands in a text of so few words, where there is little else to read. Told by the lines of other
authors, 167 of 230 fine ones that rules take for danger are overruled, and 98 of 3,040 of danger."""

CERTAIN = 4.6
"""Log-odds from which on what the classifier finds is no guess. Told by the lines of other authors, 39 % of English
danger and 37 % of Russian are beyond that, 7 of 17,958 fine lines and 16 of 19,667 ordinary messages."""

WRITTEN = ("retrieval", "listening")
"""Sources whose candidates were written by people."""


RECENT = 512
"""Texts whose signs are kept: a turn looks at the last messages several times, and the next turn again."""


@lru_cache(RECENT)
def ruled(text: str) -> Sign | None:
    """What the rules find."""
    return by_rules(text)


@lru_cache(RECENT)
def by_words(text: str) -> Guess:
    """What the classifier makes of a text by letters and words."""
    return classifier().guess(text)


def load_readers(folder: Path = STARTER) -> Mapping[str, Meaning]:
    """By language what reads the meaning of messages, loaded once. Raises ModelError."""
    from ranking.danger_reader import load_reader  # torch takes a second to import

    return {"en": load_reader(folder), "ru": load_words(folder)}


class DangerSigns:
    """Tells signs of danger. Where a reader raises, and without readers, words tell alone."""

    def __init__(self, readers: Mapping[str, Meaning] = NONE) -> None:
        """`readers`: as of `load_readers`. Raises ModelError when the classifier cannot be read."""
        self.readers = readers
        self.version = classifier().version + ("" if readers else ", by words alone")
        self._by_meaning = lru_cache(RECENT)(self._read)

    def read_ahead(self, texts: Sequence[str]) -> None:
        """Reads messages that are about to be asked of, all at once."""
        if reader := self.readers.get("en"):  # Russian words take a millisecond, at once or one by one
            try:
                reader.odds([as_read(text) for text in texts if readable(text, by_words(text), "en")])
            except Exception as error:  # as in `guess`
                log.warning("messages could not be read: %s", type(error).__name__)

    def guess(self, text: str) -> Guess:
        """What the classifier makes of a text."""
        if not self.readers or by_words(text).odds <= UNREAD:
            return by_words(text)
        try:
            return self._by_meaning(text)
        except Exception as error:  # a model raises all kinds, and who is in danger is answered all the same
            log.warning("danger is told by words alone: %s", type(error).__name__)
            return by_words(text)

    def sign(self, text: str) -> Sign | None:
        """The sign of danger in a message; None when there is none."""
        found, told = ruled(text), self.guess(text)
        if found is None:
            return as_sign(told)
        known = self.readers and (told.read or told.odds <= UNREAD)  # and no reader was missing, or raised
        return None if known and overrules(told.odds, text) else found

    def last_sign(self, said: Sequence[str]) -> Sign | None:
        """The sign of danger in the last of a person's messages, or in the last two together where neither is one by
        itself: people send a sentence in two. Words or a rule must find it there, and what reads meaning too: by words,
        of 144 lines of danger that were cut in two and found in neither part, 73 are, of 852 ordinary pairs 6."""
        found = self.sign(said[-1])
        if found or len(said) == 1 or self.sign(said[-2]):
            return found
        both = " ".join(said[-2:])
        return as_sign(self.guess(both)) if ruled(both) or as_sign(by_words(both)) else None

    def lately(self, context: Context) -> bool:
        """Whether one of the person's last GENTLE messages was a sign of danger, or one of the last GUESSED a guess."""
        return self.recent(context) is not None

    def recent(self, context: Context) -> Sign | None:
        """That sign; a guess that is not acute where there is no other."""
        said = context.said("user")
        guess = None
        for back in range(min(GENTLE, len(said))):
            found = self.last_sign(said[: len(said) - back])
            if found and (not found.guessed or (found.acute and back < GUESSED)):
                return found
            if found and back < GUESSED:
                guess = found
        return guess

    def doubtful(self, context: Context) -> bool:
        """Whether one of the person's last DOUBTFUL messages may have been one, or the last is by a rule."""
        said = context.said("user")[-DOUBTFUL:]
        return any(map(ruled, said[-1:])) or any(told.odds >= told.perhaps for told in map(self.guess, said))

    def ungentle(self, batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        """A scorer: 1 for what is not calm where one of the person's last messages was a sign of danger, or may have
        been, else 0."""
        return [[float(rough) for rough in self._uncalm(context, candidates)] for context, candidates in batch]

    def _read(self, text: str) -> Guess:
        return classifier().guess(text, self.readers)

    def _uncalm(self, context: Context, candidates: Sequence[Candidate]) -> list[bool]:
        """Whether each candidate is out of place after what was said."""
        found = self.recent(context)
        if not (found or self.doubtful(context)):
            return [False] * len(candidates)
        heard = HEARD if found is None or (found.guessed and not found.acute) else ()
        calm, heard = (HONEST, ()) if asks_who_writes(context.last) else (CALM, heard)
        return [not (c.source in WRITTEN and (c.origin.startswith(calm) or c.origin in heard)) for c in candidates]


def overrules(odds: float, text: str) -> bool:
    """Whether the classifier, by the log-odds that it tells of a text, is believed and not a rule."""
    return odds < OVERRULED and len(plain(text).split()) > FEW


def as_sign(told: Guess) -> Sign | None:
    """What the classifier is sure of."""
    if told.odds < told.sure:
        return None
    return Sign(KIND_OF[told.kind], told.acute, guessed=told.odds < CERTAIN)
