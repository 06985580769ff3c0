"""People's names in English and Russian texts, by lists, the Russian dictionary, and the words around them.

How much a name needs to be taken for one depends on what else it may be: "anna" nothing, "Rose" and "Вера" a capital
letter inside a sentence or company that only people have, as in "rose said", "Paris" a cue, as in "my name is".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from storage import english_names, russian_names
from storage.name_lists import Need, cues_before, listed, plain

REACH = 40
"""How many characters before a name are looked at for a cue."""
LONGEST = 3
"""Words of a name after its first."""
SHORT = 4
"""Letters that in capitals are no name by that."""

TOKEN = re.compile(r"[^\W\d_]+(?:[-’'][^\W\d_]+)*")
CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)
INITIALS = re.compile(
    r"(?<!\w)(?:[A-ZА-ЯЁ]\.\s?){1,2}(?=[A-ZА-ЯЁ][a-zа-яё]{2})|(?<=[a-zа-яё] )(?:[А-ЯЁ]\.\s?){1,2}(?!\w)"
    r"|(?<=[a-z] )[A-Z]\.(?=\s*$)"
)
PARTICLES = {"van", "der", "den", "de", "la", "del", "da", "dos", "di", "von", "bin", "al", "el"}
AND = re.compile(r" (?:and|и|&) ")
AND_I = re.compile(r" and (?:i|me)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a text, with what it needs to be a name."""

    plain: str
    capital: bool
    start: int
    end: int
    russian: bool
    need: Need | None


@dataclass(frozen=True, slots=True)
class Place:
    """A word with what stands around it."""

    words: list[Word]
    number: int
    before: str  # at most REACH characters, back to the last name
    cues: set[str]
    longer: bool  # a surname follows, or initials stand beside
    coordinated: bool  # with a name, by "and"

    def near(self, steps: int) -> str:
        """A neighbour; "" where there is none."""
        number = self.number + steps
        return self.words[number].plain if 0 <= number < len(self.words) else ""

    def after(self) -> str:
        """The next word that says what somebody does, without "never" and "just"."""
        between = listed("russian" if self.words[self.number].russian else "english", "between")
        return self.near(2) if self.near(1) in between else self.near(1)


def find_names(text: str) -> Iterator[tuple[int, int]]:
    """Where names are, each with its surname and title, in order."""
    words = _words(text)
    initials = [found.span() for found in INITIALS.finditer(text)]
    taken = named = 0
    for number, word in enumerate(words):
        if word.start < taken or not _may_be(word):
            continue
        end = _name_end(text, words[number : number + LONGEST + 1], initials)
        place = _place(text, words, number, taken, named == taken, end > word.end or _beside(word, initials))
        if not _is_name(place):
            continue
        start = _name_start(place, initials)
        public = _public_end(text, words, number, end)
        if not public:
            yield start, end
            named = end
        taken = public or end


def _words(text: str) -> list[Word]:
    shouted = text.isupper()  # then a capital letter says nothing
    return [_word(token, shouted) for token in TOKEN.finditer(text)]


def _word(token: re.Match[str], shouted: bool) -> Word:
    word, russian = plain(token[0]), CYRILLIC.search(token[0]) is not None
    need = russian_names.need(word) if russian else english_names.need(word)
    shouted = shouted or (len(word) <= SHORT and token[0].isupper())  # "ID", "BMW"
    return Word(word, token[0][0].isupper() and not shouted, *token.span(), russian, need)


def _may_be(word: Word) -> bool:
    never = listed("russian" if word.russian else "english", "never")
    return word.need is not None or word.plain.removesuffix("'s") not in never


def _place(text: str, words: list[Word], number: int, taken: int, after_name: bool, longer: bool) -> Place:
    word = words[number]
    before = text[max(taken, word.start - REACH) : word.start]
    cues = cues_before(before)
    if word.russian and number and re.fullmatch(r"[\s,:—–-]+", text[words[number - 1].end : word.start]):
        cues |= russian_names.cues(words[number - 1].plain)
    along = AND.match(text, word.end) is not None and (
        AND_I.match(text, word.end) is not None or (number + 2 < len(words) and words[number + 2].need is Need.NOTHING)
    )
    coordinated = along or (after_name and taken > 0 and AND.fullmatch(text[taken : word.start]) is not None)
    return Place(words, number, before, cues, longer, coordinated)


def _is_name(place: Place) -> bool:
    word = place.words[place.number]
    if word.need is None:
        return _is_called(place, word)
    if word.need is Need.NOTHING or "naming" in place.cues:
        return True
    if word.need is Need.CUE:
        return word.capital and (bool(place.cues) or _is_called(place, word))
    inside = word.capital and (bool(place.cues) or place.longer or _inside_a_sentence(place.before))
    coordinated = place.coordinated and place.near(-1) not in listed("english", "determiner")  # "he is rich and i ..."
    return inside or coordinated or _in_company(place, word)


def _in_company(place: Place, word: Word) -> bool:
    if word.russian:
        return russian_names.in_company([place.near(-2), place.near(-1)], word.plain, place.after(), place.cues)
    return english_names.in_company(place.near(-1), word.plain, place.after(), place.cues)


def _is_called(place: Place, word: Word) -> bool:
    """Whether a word that no list has is a name by what stands around it."""
    if word.russian and russian_names.is_patronymic(word.plain):
        return True
    if not word.capital:
        return not word.russian and english_names.called(place.near(-1), word.plain, place.after(), place.cues)
    said = (
        not word.russian
        and _inside_a_sentence(place.before)
        and english_names.in_company(place.near(-1), word.plain, place.after(), set())
    )
    return said or bool(place.cues - {"introduction"})


def _inside_a_sentence(before: str) -> bool:
    said = before.rstrip()
    return said != "" and (said[-1].isalnum() or said[-1] in ",'’-") and "\n" not in before[len(said) :]


def _beside(word: Word, initials: list[tuple[int, int]]) -> bool:
    return any(stop == word.start or start == word.end + 1 for start, stop in initials)


def _name_start(place: Place, initials: list[tuple[int, int]]) -> int:
    """Where a name begins: with its title or initials."""
    word, last = place.words[place.number], place.words[max(place.number - 1, 0)]
    if "title" in place.cues and (word.need is not Need.COMPANY or word.capital or last.plain):
        return last.start
    return next((start for start, end in initials if end == word.start), word.start)


def _name_end(text: str, words: list[Word], initials: list[tuple[int, int]]) -> int:
    """Where the name that begins with the first word ends: capitalised words, patronymics and surnames after it, three
    at the most, and initials belong to it."""
    first, *others = words
    end = reach = first.end
    for word in others:
        surname = _is_surname(first, word)
        if text[reach : word.start] != " " or not (surname or word.plain in PARTICLES):
            break
        reach = word.end
        end = reach if surname else end
    end = next((stop for start, stop in initials if start == end + 1), end) if first.capital else end
    return end - 2 if text[:end].endswith(("'s", "’s")) else end


def _is_surname(first: Word, word: Word) -> bool:
    if word.plain in listed("russian" if word.russian else "english", "never") or first.russian != word.russian:
        return False
    if first.capital and word.capital and word.end - word.start > 1:
        return True
    if first.need is None or first.need is Need.CUE:
        return False
    return russian_names.is_surname(word.plain) if word.russian else english_names.is_surname(word.plain)


def _public_end(text: str, words: list[Word], number: int, end: int) -> int:
    """Where a name ends that is of somebody whom all know, or part of a place; 0: it is none."""
    for word in words[max(number - 1, 0) : number + 1]:  # "San Jose", "Dr Pepper"
        found = _public().match(plain(text), word.start)
        if found and found.end() >= words[number].end:
            return max(found.end(), end)
    name = [word.plain for word in words[number:] if word.start < end and word.russian]
    return end if name and russian_names.is_public(name) else 0


@cache
def _public() -> re.Pattern[str]:
    return re.compile(rf"(?:{'|'.join(map(re.escape, listed('english', 'public')))})(?!\w)")
