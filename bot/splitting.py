"""Long texts in pieces that a front end can show, cut where a reader would pause."""

import re

SENTENCE_END = re.compile(r"""[.!?…]+["'”»)\]]*\s|\n""")


def split(text: str, limit: int) -> list[str]:
    """Pieces of at most `limit` UTF-16 units, as Telegram counts: cut after a sentence, else at a space, else anywhere.

    The space at a cut is dropped. An empty text has no pieces.
    """
    pieces = []
    rest = text.strip()
    while rest:
        head = rest[: _fitting(rest, limit)]
        if len(head) < len(rest):
            head = head[: _pause(rest[: len(head) + 1])]
        pieces.append(head.rstrip())
        rest = rest[len(head) :].lstrip()
    return pieces


def _fitting(text: str, limit: int) -> int:
    """How many characters of a text fit; those beyond the basic plane (most emoji) are two units."""
    units = 0
    for number, character in enumerate(text):
        units += 2 if ord(character) > 0xFFFF else 1
        if units > limit:
            return number
    return len(text)


def _pause(text: str) -> int:
    """Where to cut a text whose last character is already too much."""
    most = len(text) - 1
    sentences = [end.end() for end in SENTENCE_END.finditer(text)]
    if sentences:
        return min(sentences[-1], most)
    space = text.rfind(" ")
    return space if space > 0 else most
