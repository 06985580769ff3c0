"""Signs of danger in a message: self-harm, abuse, harm that somebody may come to, in English and Russian.

They are regular expressions, danger_signs.toml, over a message in plain spelling: what sounds like danger and is none
("dying of laughter") is taken out first, and what is over or only told (a film, the news) does not count. They need no
model, so they hold whichever models the settings name. docs/safety.md says how many they find.
"""

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from storage.dialog import Candidate, Context

SIGNS = Path(__file__).parent / "danger_signs.toml"

LANGUAGES = ("en", "ru")
KINDS = ("overdose", "threat", "despair", "self_harm", "others", "violence", "eating")
"""In the order in which they are looked for: the first that is found names the sign."""

ALWAYS_ACUTE = ("overdose",)

OF_ITSELF = ("despair", "self_harm", "eating")
"""Kinds that count in the first person even where a story or the news is spoken of."""

FIRST_PERSON = re.compile(r"\b(?:i|im|ive|id|ill|me|my|я|меня|мне|мной|мой|моя|моего)\b")
GOES_ON = re.compile(r"\b(?:again|still|снова|опять)\b")

PIECE, STEP, LONGEST = 600, 500, 8000
"""Letters that are looked at together, and how far on the next such piece begins: a page of 4,096 takes as long as
eight messages of 600. Of what is longer than any message of Telegram's the end is looked at."""

GENTLE = 6
"""Messages of the person after a sign of danger in which nobody jokes."""

CALM = (
    "danger.", "grief.", "heart.", "mood.sad", "mood.lonely", "mood.anxious", "mood.scared",
    "mood.hopeless", "mood.crying", "mood.hate_myself", "mood.numb_empty", "mood.overwhelmed", "mood.hurt_by_someone",
    "mood.nobody_understands", "listening.comfort", "listening.short",
)  # fmt: skip
"""What pool and listener say in those: names of situations and tones. Nothing that was generated is said."""

WRITTEN = ("retrieval", "listening")
"""Sources whose candidates were written by people."""

ALIKE = str.maketrans("013457@$!", "oieastasi")
WORD_WITH_DIGIT = re.compile(r"[a-z]+[013457@$!]+[a-z]+")


@dataclass(frozen=True, slots=True)
class Sign:
    """What a message is a sign of, one of KINDS, and whether it is happening now."""

    kind: str
    acute: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """The expressions of danger_signs.toml; those of all languages but `kinds` as one."""

    kinds: tuple[tuple[str, re.Pattern[str]], ...]
    idioms: re.Pattern[str]
    past: re.Pattern[str]
    story: re.Pattern[str]
    acute: re.Pattern[str]


def sign(text: str) -> Sign | None:
    """The sign of danger in a message; None when there is none."""
    whole = plain(text[-LONGEST:])
    pieces = [whole[start : start + PIECE] for start in range(0, max(1, len(whole) - PIECE + STEP), STEP)]
    found = [seen for seen in map(_sign, pieces) if seen]
    return max(found, key=lambda seen: seen.acute, default=None)


def _sign(text: str) -> Sign | None:
    known = rules()
    text = " ".join(known.idioms.sub(" ", text).split())
    if known.past.search(text) and not GOES_ON.search(text):
        return None
    told = known.story.search(text) is not None
    own = FIRST_PERSON.search(text) is not None
    for kind, expression in known.kinds:
        if (not told or (own and kind in OF_ITSELF)) and expression.search(text):
            return Sign(kind, kind in ALWAYS_ACUTE or known.acute.search(text) is not None)
    return None


def plain(text: str) -> str:
    """Words in lower case, one space apart: no punctuation, ё as е, signs that stand for letters as these (k1ll), runs
    of a letter as one (dieeee), and a word that was spelt out (d i e) as a word."""
    text = unicodedata.normalize("NFKC", text).lower().replace("ё", "е")
    text = re.sub(r"['’`´]", "", text)
    text = WORD_WITH_DIGIT.sub(lambda word: word[0].translate(ALIKE), text)
    text = re.sub(r"(\w)\1{2,}", r"\1", text)
    text = " ".join(re.findall(r"\w+", text))
    return re.sub(r"\b(?:[^\W\d] ){2,}[^\W\d]\b", lambda spelt: spelt[0].replace(" ", ""), text)


def ungentle(batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
    """A scorer: 1 for what is not calm where one of the person's last messages was a sign of danger, else 0."""
    return [
        [float(not (c.source in WRITTEN and c.origin.startswith(CALM))) for c in candidates]
        if lately(context)
        else [0.0] * len(candidates)
        for context, candidates in batch
    ]


def lately(context: Context) -> bool:
    """Whether one of the person's last GENTLE messages was a sign of danger."""
    return any(sign(text) for text in context.said("user")[-GENTLE:])


@cache
def rules() -> Rules:
    """The rules, read once."""
    read = tomllib.loads(SIGNS.read_text(encoding="utf-8"))
    words = read["words"]

    def one(*lists: Sequence[str]) -> re.Pattern[str]:
        return compiled([expression for expressions in lists for expression in expressions], words)

    every = {
        name: one(*(read[name][language] for language in LANGUAGES)) for name in ("idioms", "past", "story", "acute")
    }
    kinds = tuple((kind, one(*(read[language].get(kind, ()) for language in LANGUAGES))) for kind in KINDS)
    return Rules(kinds, **every)


def compiled(expressions: Sequence[str], words: dict[str, str]) -> re.Pattern[str]:
    """Expressions as one of alternatives; {name} in them stands for that of `words`."""
    for name, expression in words.items():
        expressions = [text.replace(f"{{{name}}}", expression) for text in expressions]
    return re.compile("|".join(f"(?:{text})" for text in expressions))
