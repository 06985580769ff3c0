"""Signs of danger that rules find in a message, in English and Russian.

They are regular expressions, danger_signs.toml, over a message in plain spelling: what sounds like danger and is none
("dying of laughter") is taken out first, and what is over or only told (a film, the news) does not count. They name the
kind of danger, and find of plain words nearly all, of what is only alluded to little (docs/safety.md).
"""

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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

ALIKE = str.maketrans("013457@$!", "oieastasi")
WORD_WITH_DIGIT = re.compile(r"[a-z]+[013457@$!]+[a-z]+")


@dataclass(frozen=True, slots=True)
class Sign:
    """What a message is a sign of, one of KINDS, and whether it is happening now. `guessed`: the classifier alone says
    so and is not certain."""

    kind: str
    acute: bool
    guessed: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """The expressions of danger_signs.toml; those of all languages but `kinds` as one."""

    kinds: tuple[tuple[str, re.Pattern[str]], ...]
    idioms: re.Pattern[str]
    past: re.Pattern[str]
    story: re.Pattern[str]
    acute: re.Pattern[str]


def by_rules(text: str) -> Sign | None:
    """The sign of danger in a message; None when there is none."""
    found = [seen for seen in map(_sign, pieces(plain(text[-LONGEST:]), PIECE, STEP)) if seen]
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


def pieces(text: str, length: int, step: int) -> list[str]:
    """The text in pieces of `length`, one beginning every `step` letters; at least one."""
    return [text[start : start + length] for start in range(0, max(1, len(text) - length + step), step)]


def sentences(text: str, least: int) -> list[str]:
    """The sentences and lines of a text, short ones with those before them: `least` letters each, but for the last."""
    found, open_one = [], ""
    for sentence in re.split(r"(?<=[.!?…])\s+|\n+", text):
        open_one = f"{open_one} {sentence}".strip()
        if len(open_one) >= least:
            found.append(open_one)
            open_one = ""
    return [*found, open_one] if open_one else found


def plain(text: str) -> str:
    """Words in lower case, one space apart: no punctuation, ё as е, signs that stand for letters as these (k1ll), runs
    of a letter as one (dieeee), and a word that was spelt out (d i e) as a word."""
    text = unicodedata.normalize("NFKC", text).lower().replace("ё", "е")
    text = re.sub(r"['’`´]", "", text)
    text = WORD_WITH_DIGIT.sub(lambda word: word[0].translate(ALIKE), text)
    text = re.sub(r"(\w)\1{2,}", r"\1", text)
    text = " ".join(re.findall(r"\w+", text))
    return re.sub(r"\b(?:[^\W\d] ){2,}[^\W\d]\b", lambda spelt: spelt[0].replace(" ", ""), text)


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
