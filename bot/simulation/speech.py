"""What simulated people say, and what they understand: messages and replies by topic and situation.

They say the contexts of the curated pool and the person's lines of the voice dialogs, some of them as somebody in a
hurry would type them. The bot is told nothing of topic and situation; the person knows what they meant.
"""

import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from numpy.random import Generator

from ranking.listener import replies as listening
from ranking.pool import curated, normal
from storage.corpora import read_dialogs

VOICE = Path(__file__).parents[2] / "generation" / "voice"

APART = ("danger", "grief", "goodbyes")
"""Topics that nobody talks about here: the first two are moderated, with the third a dialog is over."""

VARIED = 0.2
"""Share of messages that are typed in another way than anything that the bot has seen."""

OPENERS = ("well ", "so ", "hm. ", "honestly ", "yeah ", "oh ")
ENDINGS = (" lol", " haha", "...", " tbh", " i guess", "!")

LISTENING = "listening"
"""The topic of replies that fit whatever was told."""


@dataclass(frozen=True, slots=True)
class Saying:
    """A message, with what the person means by it."""

    text: str
    topic: str
    situation: str
    """"" where the pool has no such situation."""


@cache
def sayings() -> Mapping[str, Sequence[Saying]]:
    """What can be said, by topic."""
    found: dict[Saying, None] = {}
    for entry in curated():
        situation = entry.id.rpartition("/")[0]
        found.update(dict.fromkeys(Saying(text, topic_of(situation), situation) for text in entry.contexts))
    for dialog in read_dialogs(VOICE):
        topic = topic_of(dialog.id)
        found.update(dict.fromkeys(Saying(m.text, topic, "") for m in dialog.messages if m.role == "user"))
    by_topic: defaultdict[str, list[Saying]] = defaultdict(list)
    for saying in found:
        if saying.topic not in APART:
            by_topic[saying.topic].append(saying)
    return by_topic


@cache
def understood() -> Mapping[str, frozenset[str]]:
    """The situations that a reply was written for, by its normalised text: what a reader makes of it."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for entry in curated():
        found[normal(entry.reply)].add(entry.id.rpartition("/")[0])
    for texts in listening().values():
        for text in texts:
            found[normal(text)].add(LISTENING)
    return {text: frozenset(situations) for text, situations in found.items()}


def topic_of(situation: str) -> str:
    """The topic that a situation belongs to."""
    return situation.partition(".")[0]


def typed(draw: Generator, saying: Saying) -> str:
    """The message as it is typed this time. Each has one other way, so that what was embedded once is known."""
    if draw.random() >= VARIED:
        return saying.text
    key = zlib.crc32(saying.text.encode())
    if key % 3 == 0:
        return OPENERS[key % len(OPENERS)] + saying.text
    if key % 3 == 1:
        return saying.text.rstrip(".!") + ENDINGS[key % len(ENDINGS)]
    place = key % len(saying.text)  # a letter is missing
    return (saying.text[:place] + saying.text[place + 1 :]).strip() or saying.text
