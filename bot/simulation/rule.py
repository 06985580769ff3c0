"""The hidden rule: how likely somebody likes a reply, by what they see of it, its words and those before it.

None of its parts is a feature of the bot. Fit is known of the meaning, of which the bot has a similarity; length is
liked best in the middle; warmth counts for who complains; asking again annoys; interest is in topics. All of it is
added up to log-odds, so that nobody's opinion on one reply is certain.
"""

import math
import re
from collections.abc import Sequence

from bot.simulation.people import SimulatedPerson, Tastes
from bot.simulation.speech import LISTENING, Saying, topic_of, understood
from ranking.pool import normal

FITS, OF_THE_TOPIC, EVASIVE, ELSEWHERE = 1.2, 0.2, -1.0, -1.2
"""Log-odds for a reply of the message's situation, for one of another situation of its topic, for one that fits all
where something was asked, and for one that belongs elsewhere."""

LENGTH = 2.0
"""Log-odds lost by a reply e times as long as is liked, or as short: for half or twice as long half of that."""

WARM = re.compile(
    r"\b(sorry|glad|love|lovely|proud|thanks?|hope|kind|gentl[ey]|warm|warmly|wonderful|dear|hugs?|care|caring|happy|"
    r"heart|hard|rough|tough|brave|sweet|well|deserved?|deserves|comfort|enough|good|company|here)\b"
)
PROGRAM = re.compile(r"\b(programs?|code|text|software|computer|machine)\b")
"""Words by which Kith says plainly what it is."""
PRETENDS = re.compile(r"\b(me too|same here|i know (?:that|the) feeling|i remember|when i was|my own)\b")
HEAVY = re.compile(
    r"\b(sad|awful|tired|alone|lonely|cr(?:y|ied|ying)|worst|bad|hate|afraid|scared|lost|died|ill|sick|hurts?|angry|"
    r"stress|stressed|fired|broken?|divorce|fail|failed|worse|terrible|anxious|miss)\b"
)


def log_odds(tastes: Tastes, message: Saying, reply: str, before: Sequence[str]) -> float:
    """Of liking a reply to a message; `before`: what the bot said earlier in the dialog, oldest first."""
    words = normal(reply).split()
    if not words:
        return -5.0
    asks = "?" in reply
    asked_before = bool(before) and "?" in before[-1]
    said = " ".join(words)
    heavy = bool(HEAVY.search(normal(message.text)))
    warm = min(2, len(WARM.findall(said)))
    value = tastes.bias + fit(tastes, message, reply)
    value -= LENGTH * (math.log(len(words)) - tastes.length) ** 2
    value += tastes.warmth * (warm - 0.5) * (1.5 if heavy else 1.0)
    value += tastes.asking * (0.5 if asks else -0.5) - (0.5 if asks and asked_before else 0.0)
    value += tastes.honesty * bool(PROGRAM.search(said)) - abs(tastes.honesty) * bool(PRETENDS.search(said))
    return value + tastes.repetition * repeated(words, before)


def fit(tastes: Tastes, message: Saying, reply: str) -> float:
    """Whether it answers the message, and how much its topic interests; what nobody wrote before is of no topic."""
    situations = understood().get(normal(reply), frozenset())
    if LISTENING in situations:
        return EVASIVE if "?" in message.text else OF_THE_TOPIC
    topics = {topic_of(situation) for situation in situations}
    interest = max((tastes.interest.get(topic, 0.0) for topic in topics), default=0.0)
    if message.situation in situations:
        return FITS + interest
    return interest + (OF_THE_TOPIC if message.topic in topics or not topics else ELSEWHERE)


def repeated(words: Sequence[str], before: Sequence[str]) -> float:
    """0 to 1: the largest share of its words that one of the last three replies had too, if that is half or more."""
    shares = [len(set(words) & set(normal(text).split())) / len(set(words)) for text in before[-3:]]
    return max((share for share in shares if share >= 0.5), default=0.0)


def probability(person: SimulatedPerson, message: Saying, reply: str, before: Sequence[str]) -> float:
    """That this person likes a reply, whatever they vote."""
    return 1 / (1 + math.exp(-log_odds(person.tastes, message, reply, before)))
