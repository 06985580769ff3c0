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

WARM = frozenset(
    "sorry glad love lovely proud thank thanks hope kind gentle gently warm warmly wonderful dear hug hugs care caring "
    "happy heart hard rough tough brave sweet well deserve deserved deserves comfort enough good company here".split()
)
COLD_PROGRAM = frozenset("program programs code text software computer machine".split())
"""Words by which Kith says plainly what it is."""
PRETENDS = re.compile(r"\b(me too|same here|i know (?:that|the) feeling|i remember|when i was|my own)\b")
HEAVY = frozenset(
    "sad awful tired alone lonely cry cried crying worst bad hate afraid scared lost died ill sick hurt hurts angry "
    "stress stressed fired broke broken divorce failed fail worse terrible anxious miss".split()
)


def log_odds(tastes: Tastes, message: Saying, reply: str, before: Sequence[str]) -> float:
    """Of liking a reply to a message; `before`: what the bot said earlier in the dialog, oldest first."""
    words = normal(reply).split()
    if not words:
        return -5.0
    asks = "?" in reply
    asked_before = bool(before) and "?" in before[-1]
    heavy = not HEAVY.isdisjoint(normal(message.text).split())
    warm = min(2, sum(word in WARM for word in words))
    value = tastes.bias + fit(tastes, message, reply)
    value -= LENGTH * (math.log(len(words)) - tastes.length) ** 2
    value += tastes.warmth * (warm - 0.5) * (1.5 if heavy else 1.0)
    value += tastes.asking * (0.5 if asks else -0.5) - (0.5 if asks and asked_before else 0.0)
    value += tastes.honesty * (not COLD_PROGRAM.isdisjoint(words)) - abs(tastes.honesty) * pretends(reply)
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


def pretends(reply: str) -> float:
    """1 for what claims a human life, else 0."""
    return float(bool(PRETENDS.search(reply.lower())))


def repeated(words: Sequence[str], before: Sequence[str]) -> float:
    """0 to 1: the largest share of its words that one of the last three replies had too, if that is half or more."""
    shares = [len(set(words) & set(normal(text).split())) / len(set(words)) for text in before[-3:]]
    return max((share for share in shares if share >= 0.5), default=0.0)


def probability(person: SimulatedPerson, message: Saying, reply: str, before: Sequence[str]) -> float:
    """That this person likes a reply, whatever they vote."""
    return 1 / (1 + math.exp(-log_odds(person.tastes, message, reply, before)))
