"""Texts without what tells who somebody is: names, phone numbers, e-mail and postal addresses, links, numbers of cards
and passports, handles, in English and Russian. Each is replaced by what it was: "[name]", "[phone]" ...

What it finds and misses is measured (docs/privacy.md): it lessens what an export tells of people and does not make it
safe to publish.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from storage.addresses import ENGLISH, RUSSIAN
from storage.identity_numbers import find_identity_numbers
from storage.names import find_names

KINDS = ("link", "email", "handle", "card", "passport", "phone", "address", "name")
"""In this order they are looked for; what is of one kind is not of a later one."""

CACHED_TEXTS, CACHED_LENGTH = 16_384, 300
"""Candidates are mostly replies of the pool, which come again and again; 16,384 of them take 10 MB at the most."""

TAKEN = "\0"
"""Stands in the place of what was found; nothing that is looked for has it."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a text, of one of KINDS."""

    start: int
    end: int
    kind: str


def redact(text: str) -> str:
    """A text with placeholders for what tells who somebody is."""
    return _redacted_again(text) if len(text) <= CACHED_LENGTH else _redacted(text)


def find(text: str) -> list[Span]:
    """What is to be redacted of a text, in order, without overlaps."""
    spans: list[Span] = []
    text = text.replace(TAKEN, " ")
    for kind in KINDS:
        for start, end in FINDERS[kind](text):
            if TAKEN not in text[start:end]:
                spans.append(Span(start, end, kind))
                text = text[:start] + TAKEN * (end - start) + text[end:]
    return sorted(spans, key=lambda span: span.start)


def _redacted(text: str) -> str:
    pieces, last = [], 0
    for span in find(text):
        pieces += [text[last : span.start], f"[{span.kind}]"]
        last = span.end
    return "".join([*pieces, text[last:]])


_redacted_again = lru_cache(CACHED_TEXTS)(_redacted)

Finder = Callable[[str], Iterator[tuple[int, int]]]

# Domains that people write without https://. After a full stop without a space, "me" or "so" is a word.
TOP = r"(?:com|org|net|info|ru|рф|su|ua|kz|uk|de|fr|eu|us|ca|dev|app|xyz|site|online|shop|blog|edu|gov)"
LINK = re.compile(
    r"https?://[^\s<>\"«»]+|www\.[^\s<>\"«»]+"
    rf"|(?<![\w@.-])(?:[\w-]+\.)+{TOP}\b(?:/[^\s<>\"«»,]*)?(?![\w@])"
    r"|(?<![\w@.-])(?:[a-z0-9-]+\.)+[a-z]{2,10}/[^\s<>\"«»,]+",
    re.IGNORECASE,
)
NO_LINK = re.compile(r"ASP\.NET|VB\.NET", re.IGNORECASE)

EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
SPELT_EMAIL = re.compile(
    r"\b[\w.-]+\s*(?:\(at\)|\[at\]|\bat\b|\(собака\)|\bсобака\b)\s*[\w-]+\s*(?:\(dot\)|\[dot\]|\bdot\b|\bточка\b)\s*[^\W\d]{2,}",
    re.IGNORECASE,
)

HANDLE = re.compile(r"(?<![\w.@/])@[a-z][\w.]{1,30}\w|\b[\w.]{2,32}#\d{4}\b", re.IGNORECASE)
CUED_HANDLE = re.compile(
    r"\b(?:insta(?:gram)?|snap(?:chat)?|discord|twitter|tik ?tok|telegram|tg|skype|steam|user ?name|nick(?:name)?"
    r"|handle|login"
    r"|инст\w*|телег\w*|тг|дискорд\w*|тик ?ток\w*|скайп\w*|стим\w*|ник\w*|юзернейм|логин|аккаунт)\b"
    r"[^\S\n]*(?:is|it's|:|=|-|—|–|мой|я|под ником)?[^\S\n]*(?P<handle>(?=[\w.]*(?:[\d_]|\.\w))[a-z][\w.]{2,30}\w)",
    re.IGNORECASE,
)

CYRILLIC = re.compile("[а-яё]", re.IGNORECASE)
DIGIT = re.compile(r"\d")
CARD = re.compile(r"(?<![\w.-])[2-6](?:[ -]?\d){12,18}(?![\d-])")

SEVEN_DIGITS = re.compile(r"(?:\d\D*){7}")
YEARS = re.compile(r"(?:1[5-9]|20)\d\d ?[-–—] ?(?:1[5-9]|20)\d\d")
PHONE_WORD = re.compile(
    r"(?:\b(?:(?:tele)?phone|mobile|cell|call|dial|text|ring|whatsapp|number|тел|моб)|номер|звон|набер|вотсап|ватсап)"
    r"[^\d\n]{0,25}$",
    re.IGNORECASE,
)


def _links(text: str) -> Iterator[tuple[int, int]]:
    if "." not in text:
        return
    for link in LINK.finditer(text):
        if not NO_LINK.fullmatch(link[0]):
            yield link.start(), link.start() + len(link[0].rstrip(".,;:!?)…"))


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        yield from _spans(EMAIL, text)
    if "at" in text or "собака" in text:
        yield from _spans(SPELT_EMAIL, text)


def _handles(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text or "#" in text:
        yield from _spans(HANDLE, text)
    yield from (handle.span("handle") for handle in CUED_HANDLE.finditer(text))


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for number in CARD.finditer(text):
        digits = re.sub(r"\D", "", number[0])
        amex = digits[:2] in ("34", "37")
        if (len(digits) == 15) == amex and (digits[0] != "3" or amex) and luhn(digits):
            yield number.span()


def luhn(digits: str) -> bool:
    """Whether the check digit of a card's number is right, which it is by chance for one number in ten."""
    doubled = [int(digit) * (2 if place % 2 else 1) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def _phones(text: str) -> Iterator[tuple[int, int]]:
    if not SEVEN_DIGITS.search(text):
        return
    from phonenumbers import Leniency, PhoneNumberMatcher, is_valid_number

    for region in ("RU", "US", "GB"):
        for number in PhoneNumberMatcher(text, region, leniency=Leniency.POSSIBLE):
            if YEARS.fullmatch(number.raw_string) or not SEVEN_DIGITS.search(number.raw_string):
                continue
            told = text[number.start] == "+" or PHONE_WORD.search(text, 0, number.start)
            if told or is_valid_number(number.number):
                yield number.start, number.end


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    if not DIGIT.search(text):
        return
    for pattern in RUSSIAN + ENGLISH if CYRILLIC.search(text) else ENGLISH:
        yield from _spans(pattern, text)


def _spans(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    return (found.span() for found in pattern.finditer(text))


FINDERS: dict[str, Finder] = {
    "link": _links,
    "email": _emails,
    "handle": _handles,
    "card": _cards,
    "passport": find_identity_numbers,
    "phone": _phones,
    "address": _addresses,
    "name": find_names,
}
