"""Which words of a Russian text are names of people, by the dictionary of pymorphy3 and by the words around them."""

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from storage.name_lists import Need, listed, strictest

MOSTLY = 0.75
"""A form that is a name in so much of what is written is one in small letters too."""
SURNAME = 0.3
"""Surnames alone are made of words more often than given names are."""
OFTEN = 0.2
"""So much of a form is a name where its neighbours do not say it clearly."""
GUESSED = 0.9
"""How sure the dictionary must be of a word that it does not have."""
PATRONYMIC = re.compile(
    r"(?:[а-яё]{2,}(?:[оеь]вич|[оье]вн|иничн)|[а-яё]{2,}[нг]ыч|(?:иль|кузьм|лук|фом|никит|савв)ич(?:н|ин)?)"
    r"(?:а|у|е|ем|ы|ой|ою)?",
    re.IGNORECASE,
)
PET = re.compile(
    r"(.{2,}?)(?:[ьюуоеаия]?(?:н?еньк|шеньк|шк|хк|лечк|льк|ньк|чк|ськ|утк|сик|нчик|чик)|[юоа]х|юш|к|ик|ян|он|ан|ос|[её]к|ьк)"
    r"(?:а|у|ой|ою|ом|ем|е|и|ы|ей|ею|я|ю)?"
)
"""Names as affection and scorn make them, and the dictionary has not: "настюха", "вован"."""
ADDRESSED = {
    "ты",
    "тебе",
    "тебя",
    "а",
    "привет",
    "скажи",
    "слушай",
    "прости",
    "извини",
    "спасибо",
    "как",
    "почему",
    "я",
}


ENDINGS = ("а", "ы", "и", "е", "у", "ю", "я", "ой", "ей", "ом", "ем", "")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a form may be: how often it is a name and a surname, from 0 to 1; the cases that it has as a name; its
    dictionary forms; whether it looks like a noun, and whether the dictionary has it."""

    name: float
    surname: float
    cases: frozenset[str]
    lemmas: frozenset[str]
    noun: bool
    known: bool


@cache
def _dictionary() -> Any:
    from pymorphy3 import MorphAnalyzer

    return MorphAnalyzer(lang="ru")


@lru_cache(65_536)
def read(word: str) -> Reading:
    parses = _dictionary().parse(word)
    names = [parse for parse in parses if any(kind in parse.tag for kind in ("Name", "Surn", "Patr"))]
    places = sum(parse.score for parse in parses if "Geox" in parse.tag)
    share = sum(parse.score for parse in names)
    surname = sum(parse.score for parse in names if "Name" not in parse.tag)
    return Reading(
        0.0 if places > share else share,
        surname,
        frozenset(str(parse.tag.case) for parse in names if parse.tag.number == "sing"),
        frozenset(parse.normal_form.replace("ё", "е") for parse in parses),
        any(parse.tag.POS == "NOUN" for parse in parses[:1]),
        _dictionary().word_is_known(word),
    )


@lru_cache(65_536)
def need(word: str) -> Need | None:
    """What a word needs to be a name; None: it is none that is known."""
    if word in listed("russian", "never"):
        return None
    reading = read(word)
    if word in listed("russian", "doubtful") or len(word) < 3:
        return Need.COMPANY if reading.name and reading.known else None
    if "-" in word and not reading.known:
        return strictest(need(part) for part in word.split("-"))
    ours = word in _pet_names() or reading.lemmas & listed("russian", "sure")
    if ours or (reading.known and reading.name >= MOSTLY) or (not reading.known and _is_pet_name(word)):
        return Need.NOTHING
    if not reading.known:
        return Need.CUE if reading.name >= GUESSED else None
    only_surname = reading.name == reading.surname
    return Need.COMPANY if reading.name > (SURNAME if only_surname else 0) else None


@cache
def _pet_names() -> frozenset[str]:
    """The listed short forms in all cases, and some that there are not."""
    forms = set()
    for name in listed("russian", "pet"):
        stem = name.rstrip("аяьй")
        forms |= {name, *(stem + ending for ending in ENDINGS)}
        if name.endswith("ек"):  # "санек", "саньком"
            forms |= {name[:-2] + soft + ending for soft in ("к", "ьк") for ending in ENDINGS}
    return frozenset(form for form in forms if len(form) > 3 or form in listed("russian", "pet"))


def _is_pet_name(word: str) -> bool:
    found = PET.fullmatch(word)
    if not found or len(found[1]) < 3:
        return False
    bases = (found[1] + ending for ending in ("", "а", "я", "ь", "й"))
    return any(read(base).known and read(base).name >= SURNAME for base in bases)


def is_patronymic(word: str) -> bool:
    """Whether a word is one, and not an adjective that looks so: "душевной"."""
    return PATRONYMIC.fullmatch(word) is not None and (read(word).name > 0 or not read(word).known)


def is_surname(word: str) -> bool:
    """Whether a word in small letters belongs to the name before it."""
    return is_patronymic(word) or (read(word).surname >= 0.5 and word not in listed("russian", "doubtful"))


def is_public(words: list[str]) -> bool:
    """Whether a name is of somebody whom all know."""
    return any(read(word).lemmas & listed("russian", "public") for word in words)


def cues(before: str) -> set[str]:
    """Which kinds of cues a word is in any case: "сестрой", "дяде"."""
    lemmas = read(before).lemmas if before else frozenset()
    return {kind for kind in ("title", "relation") if lemmas & listed("russian", kind)}


def in_company(before: list[str], word: str, after: str, cues: set[str]) -> bool:
    """Whether a word that may be a name is one by its neighbours: "рома сказал", "позвони роме", "мы с верой".

    `before` has the two words before it, or less.
    """
    last, earlier = ["", "", *before][-1], ["", "", *before][-2]
    cases = read(word).cases
    if cues & {"naming", "title"}:
        return True
    if "nomn" in cases and (_is(after, "doing") or (_is(last, "saying") and read(word).name >= OFTEN)):
        return True
    if "relation" in cues:
        return read(word).name >= OFTEN
    to = "datv" in cases and _is(last, "telling")
    along = "ablt" in cases and last in ("с", "со") and (earlier == "мы" or _is(earlier, "meeting"))
    missed = last == "по" and earlier.startswith("скуча")
    loved = "accs" in cases and _is(last, "loving") and read(word).name >= SURNAME
    return to or along or missed or loved or ("gent" in cases and last == "у" and read(word).name >= OFTEN)


def called(word: str, after: str, cues: set[str], capital: bool) -> bool:
    """Whether a word that the dictionary does not have is a name by its neighbours."""
    reading = read(word)
    if reading.known or len(word) < 3:
        return False
    return "naming" in cues or ("relation" in cues and reading.noun) or (capital and _is(after, "doing"))


def _is(word: str, kind: str) -> bool:
    return bool(word) and bool(read(word).lemmas & listed("russian", kind))
