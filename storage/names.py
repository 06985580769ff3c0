"""People's names in English and Russian texts, by lists (names.toml), Russian case endings, and cues such as "my name
is".

How much a name needs to be taken for one depends on what else it may be: "anna" nothing, "Rose" and "Вера" a capital
letter inside a sentence, "Paris" a cue.
"""

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path

SURE, CAPITAL, INSIDE, CUE = range(4)
"""What a form needs: nothing, a capital letter, one inside a sentence, a cue."""

LONGEST_CUE = 4
"""Words, as in "my full name is"."""
REACH = 40
"""How many characters before a name are looked at for a cue."""

TOKEN = re.compile(r"[^\W\d_]+(?:[-’'][^\W\d_]+)*")
GAP = ".,:—–-"
"""What may stand between a cue and a name, besides a space."""
QUOTES = "\"'«“(—–-"
INITIALS = re.compile(r"(?<!\w)(?:[A-ZА-ЯЁ]\.\s?){2}(?=[A-ZА-ЯЁ][a-zа-яё]{2})|(?<=[a-zа-яё] )[А-ЯЁ]\.\s?[А-ЯЁ]\.")
PATRONYMIC = re.compile(
    r"(?:[а-яё]{2,}(?:[оеь]вич|[оье]вн|иничн)|[а-яё]{2,}[нг]ыч|(?:иль|кузьм|лук|фом|никит|савв)ич(?:н|ин)?)"
    r"(?:а|у|е|ем|ы|ой|ою)?",
    re.IGNORECASE,
)


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Where names are, each with its surname and title, in order."""
    forms, never = _forms(), _never()
    shouted = text.isupper()  # then a capital letter says nothing
    initials = [found.span() for found in INITIALS.finditer(text)]
    tokens = list(TOKEN.finditer(text))
    taken = 0
    for number, token in enumerate(tokens):
        word, capital = _plain(token[0]), token[0][0].isupper() and not shouted
        needs = _needs(word, forms)
        if token.start() < taken or (needs is None and (not capital or word in never)):
            continue
        before = text[max(taken, token.start() - REACH) : token.start()]
        cues = _cues_before(before)
        end = _name_end(text, tokens[number : number + 3], initials)
        if needs is None:
            named = not token[0].isupper() and _is_called(token, cues, initials)
        else:
            surname = end > token.end()
            named = needs == SURE or "naming" in cues or (capital and _is_meant(needs, before, surname, cues))
        if named:
            yield _name_start(token, before, cues, initials), end
            taken = end


def _is_meant(needs: int, before: str, surname: bool, cues: set[str]) -> bool:
    """Whether a capitalised word that may be a name is one here."""
    return needs == CAPITAL or bool(cues) or (needs == INSIDE and (surname or _inside_a_sentence(before)))


def _inside_a_sentence(before: str) -> bool:
    said = before.rstrip()
    return said != "" and (said[-1].isalnum() or said[-1] in ",'’-") and "\n" not in before[len(said) :]


def _is_called(token: re.Match[str], cues: set[str], initials: list[tuple[int, int]]) -> bool:
    """Whether a capitalised word that no list has is a name by what stands around it."""
    beside = any(end == token.start() or start == token.end() + 1 for start, end in initials)
    return beside or bool(cues - {"introduction"}) or PATRONYMIC.fullmatch(token[0]) is not None


def _cues_before(before: str) -> set[str]:
    """Which kinds of cues a text ends with."""
    if not before[-1:].isspace():
        return set()
    head = before.rstrip().rstrip(GAP)
    words = _plain(head).split()[-LONGEST_CUE:]
    phrases = [" ".join(words[start:]).lstrip(QUOTES) for start in range(len(words))]
    cues = {kind for phrase in phrases for kind in _cues().get(phrase, ())}
    if head.endswith("Miss"):  # in small letters it is a verb
        cues.add("title")
    return cues & {"title"} if before.rstrip().endswith(".") else cues  # "Mr. Smith", but not "my boss. Monday"


def _name_start(token: re.Match[str], before: str, cues: set[str], initials: list[tuple[int, int]]) -> int:
    """Where a name begins: with its title or initials."""
    if "title" in cues:
        title = before.rstrip().rstrip(GAP).split()[-1].lstrip(QUOTES)
        return token.start() - len(before) + before.rindex(title)
    return next((start for start, end in initials if end == token.start()), token.start())


def _name_end(text: str, tokens: Sequence[re.Match[str]], initials: list[tuple[int, int]]) -> int:
    """Where the name that begins with the first token ends: capitalised words and patronymics after it, two at the
    most, and initials belong to it."""
    first, *others = tokens
    end, capital = first.end(), first[0][0].isupper()
    for token in others:
        surname = capital and token[0][0].isupper() and len(token[0]) > 1 and _plain(token[0]) not in _never()
        if text[end : token.start()] != " " or not (surname or PATRONYMIC.fullmatch(token[0])):
            break
        end = token.end()
    end = next((stop for start, stop in initials if start == end + 1), end) if capital else end
    return end - 2 if text[:end].endswith(("'s", "’s")) else end


def _needs(word: str, forms: dict[str, int]) -> int | None:
    """What a word needs to be a name; a double name needs what the stricter part does. None: it is no known name."""
    if word in forms or "-" not in word:
        return forms.get(word)
    parts = [forms.get(part) for part in word.split("-")]
    return None if None in parts else max(part for part in parts if part is not None)


def _plain(words: str) -> str:
    """As words are in the lists, without a possessive at the end."""
    return words.lower().replace("ё", "е").replace("’", "'").removesuffix("'s")


@cache
def _lists() -> dict[str, dict[str, str]]:
    return tomllib.loads(Path(__file__).with_name("names.toml").read_text(encoding="utf-8"))


@cache
def _cues() -> dict[str, list[str]]:
    """Phrases, each with the kinds of cues that it is."""
    kinds: defaultdict[str, list[str]] = defaultdict(list)
    for kind in ("title", "naming", "introduction", "relation"):
        for phrase in _listed(kind):
            kinds[_plain(phrase)].append(kind)
    return kinds


@cache
def _never() -> frozenset[str]:
    return frozenset(_listed("never"))


def _listed(kind: str) -> list[str]:
    return [phrase for phrase in re.split(r",\s*|\n", _lists()["cues"][kind]) if phrase]


@cache
def _forms() -> dict[str, int]:
    """All forms of all names, each with what it needs."""
    english, russian = _lists()["english"], _lists()["russian"]
    given = russian["sure"].split()
    words = russian["words"].split()
    forms: dict[str, int] = {}
    for needs, some in (
        (CAPITAL, chain.from_iterable(_cases(pet) for name in given for pet in _pet_names(name))),
        (CAPITAL, chain.from_iterable(_surname_cases(name) for name in russian["surnames"].split())),
        (SURE, chain(english["sure"].split(), *map(_cases, given))),
        (INSIDE, chain(english["words"].split(), *map(_cases, words))),
        (CUE, english["places"].split()),
    ):
        forms.update(dict.fromkeys(some, needs))
    forms.update(dict.fromkeys((form for form in russian["doubtful"].split()), INSIDE))
    return {form: needs for form, needs in forms.items() if len(form) > 1 and form not in _never()}


def _cases(name: str) -> list[str]:
    """A Russian given name in all cases."""
    stem, last = name[:-1], name[-1]
    if name in IRREGULAR:
        return [name, *(IRREGULAR[name] + ending for ending in ("а", "у", "ом", "е"))]
    if last == "а":
        soft = "и" if stem[-1] in "гкхжчшщ" else "ы"
        by = "ей" if stem[-1] in "жчшщц" else "ой"
        return [stem + ending for ending in ("а", soft, "е", "у", by)]
    if last == "я":
        return [stem + ending for ending in ("я", "и", "е", "ю", "ей", "ею")]
    if last == "й":
        return [name, *(stem + ending for ending in ("я", "ю", "ем", "е", "и"))]
    if last == "ь":
        return [name, *(stem + ending for ending in ("я", "ю", "ем", "е", "и"))]
    if last in "оеиуыэю":
        return [name]
    return [name, *(name + ending for ending in ("а", "у", "ом", "ем", "е"))]


IRREGULAR = {"петр": "петр", "павел": "павл", "лев": "льв"}
"""Names by whose stem the other cases are made."""


def _pet_names(name: str) -> list[str]:
    """What a Russian name in -а or -я is turned into by affection."""
    if name[-1] not in "ая" or len(name) > 6:
        return []
    stem = name[:-1]
    endings = ["енька", "ечка", "очка", "уша", "юша"]
    return [stem + ending for ending in (*endings, "ька" if name[-1] == "я" else "ка")]


def _surname_cases(name: str) -> list[str]:
    """A man's and a woman's surname in all cases."""
    if name.endswith("ий"):
        return [name[:-2] + ending for ending in ("ий", "ого", "ому", "им", "ом", "ая", "ой", "ую")]
    if name.endswith("о"):
        return [name]
    return [name + ending for ending in ("", "а", "у", "ым", "е", "ой")]
