"""Features of a candidate, each a `Scorer`: cheap ones from the words alone, and its relevance. What the policy should
know about a conversation must be a feature; one without a weight is still computed and logged."""

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeAlias

from ranking.dialog_acts import asks
from ranking.listener import ASKED_FOR, FOR_QUESTIONS, replies
from ranking.pool import normal
from ranking.vectors import Encoder
from storage.dialog import Candidate, Context

UNSAFE_WORDS = Path(__file__).parent / "unsafe_words.txt"

IN_A_ROW = 5
"""Replies of the listener after which another source is to have a turn. With three, 0.49 of the replies that were said
for that reason alone were liked, where of the listener's own 0.77 are."""

Feature: TypeAlias = Callable[[Context, Candidate], float]
Batch: TypeAlias = Sequence[tuple[Context, Sequence[Candidate]]]


def scorer(feature: Feature) -> Callable[[Batch], list[list[float]]]:
    """A feature of one candidate as a scorer of batches."""

    def score(batch: Batch) -> list[list[float]]:
        return [[feature(context, candidate) for candidate in candidates] for context, candidates in batch]

    return score


def relevance(encoder: Encoder) -> Callable[[Batch], list[list[float]]]:
    """The cosine of the context to the reply, by the retriever's bi-encoder, whichever source the reply is from."""
    return lambda batch: encoder.relevance([(context, [c.text for c in candidates]) for context, candidates in batch])


def repetition(context: Context, candidate: Candidate) -> float:
    """0 to 1: how much of the candidate the bot has said before in this dialog; 1 when it is a reply word for word."""
    return max((overlap(candidate.text, said) for said in context.said("assistant")), default=0.0)


def echo(context: Context, candidate: Candidate) -> float:
    """0 to 1: how much of the candidate is the user's own words, of any of their last three messages."""
    return max((overlap(candidate.text, said) for said in context.said("user")[-3:]), default=0.0)


def rejected(context: Context, candidate: Candidate) -> float:
    """1 when the person has sent this very reply back, else 0."""
    return float(normal(candidate.text) in {normal(text) for text in context.rejected})


def length(context: Context, candidate: Candidate) -> float:
    """The logarithm of one plus its words."""
    return math.log1p(len(candidate.text.split()))


def length_squared(context: Context, candidate: Candidate) -> float:
    """The square of `length`: what people like best is neither the shortest nor the longest."""
    return length(context, candidate) ** 2


def question(context: Context, candidate: Candidate) -> float:
    """1 when it asks something, else 0."""
    return float("?" in candidate.text)


def unsafe(context: Context, candidate: Candidate) -> float:
    """1 when it holds a word or phrase of the safety list, else 0."""
    text = f" {normal(candidate.text)} "
    return float(any(f" {phrase} " in text for phrase in unsafe_phrases()))


def wrong_script(context: Context, candidate: Candidate) -> float:
    """1 when it is written in another script than the message it answers (a Latin reply to a Cyrillic one), else 0."""
    asked, offered = script(context.last), script(candidate.text)
    return float(bool(asked) and bool(offered) and asked != offered)


def wordless(context: Context, candidate: Candidate) -> float:
    """1 when it has no letter or digit at all, else 0."""
    return float(not normal(candidate.text))


def from_source(source: str) -> Feature:
    """The feature that is 1 for one source's candidates: its weight is the prior of that source."""
    return lambda context, candidate: float(candidate.source == source)


def listened(context: Context, candidate: Candidate) -> float:
    """0 to 1: of the listener's candidates, which share of the bot's last IN_A_ROW messages was the listener's too; of
    those that words ask for, as an answer or a goodbye, 0."""
    if candidate.source != "listening" or candidate.origin.startswith(ASKED_FOR):
        return 0.0
    return sum(normal(said) in listening_keys() for said in context.said("assistant")[-IN_A_ROW:]) / IN_A_ROW


def evades(context: Context, candidate: Candidate) -> float:
    """1 for a listener's reply to a message that asks something, but for those that were written for questions."""
    listening = candidate.source == "listening" and not candidate.origin.startswith(FOR_QUESTIONS)
    return float(listening and asks(context.last))


@cache
def listening_keys() -> frozenset[str]:
    """What the listener says, normalised."""
    return frozenset(normal(text) for texts in replies().values() for text in texts)


def own_score(source: str) -> Feature:
    """The feature that is the source's own score for its candidates, and 0 for those of others."""
    return lambda context, candidate: candidate.score if candidate.source == source else 0.0


def overlap(text: str, other: str) -> float:
    """The share of the text's word trigrams (whole texts when shorter) that the other text has too."""
    mine, theirs = trigrams(normal(text)), trigrams(normal(other))
    return len(mine & theirs) / len(mine) if mine else 0.0


def trigrams(text: str) -> frozenset[str]:
    """The word trigrams of a normalised text; one of under three words is its own only one."""
    words = text.split()
    if len(words) < 3:
        return frozenset([text]) if text else frozenset()
    return frozenset(" ".join(words[i : i + 3]) for i in range(len(words) - 2))


def script(text: str) -> str:
    """ "latin", "cyrillic" or "" when neither has most of the letters."""
    letters = [c for c in text.lower() if c.isalpha()]
    latin = sum("a" <= c <= "z" or "\u00df" <= c <= "\u024f" for c in letters)
    cyrillic = sum("\u0400" <= c <= "\u04ff" for c in letters)
    if 2 * latin > len(letters):
        return "latin"
    return "cyrillic" if 2 * cyrillic > len(letters) else ""


@cache
def unsafe_phrases() -> frozenset[str]:
    """The safety list, normalised; lines that begin with # are comments."""
    lines = UNSAFE_WORDS.read_text(encoding="utf-8").splitlines()
    return frozenset(normal(line) for line in lines if line.strip() and not line.startswith("#"))


def cheap_features() -> dict[str, Feature]:
    """All of them, by the name under which they are logged and weighted."""
    return {
        "retrieved": from_source("retrieval"),
        "similarity": own_score("retrieval"),
        "generated": from_source("generation"),
        "likelihood": own_score("generation"),
        "listening": from_source("listening"),
        "tone": own_score("listening"),
        "listened": listened,
        "evades": evades,
        "question": question,
        "length": length,
        "length_squared": length_squared,
        "repetition": repetition,
        "echo": echo,
        "rejected": rejected,
        "unsafe": unsafe,
        "wrong_script": wrong_script,
        "wordless": wordless,
    }
