"""What the ranker learns from: choices (which of these replies came next) and rated replies (did people like it).

Choices teach what belongs to what. Their wrong replies are drawn from the same source, at random and from those that
the retriever finds near, because what merely shares the topic looks right to a model that has only seen random ones.
The user's own words are not among them: as negatives they teach to avoid all likeness (docs/experiments.md), and copies
are vetoed by the policy.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from ranking.pool import normal
from ranking.vectors import Encoder, Vectors
from storage.corpora import CorpusDialog, RatedReply, held_back
from storage.dialog import Context, Message, PoolEntry

RATED_COPIES = {"convai2017": 1.5, "topical_chat": 1.0, "accentor": 0.08, "convai2018": 0.0}
"""How often each rated reply of a source is taken. Thumbs under a bot's messages are what we want to predict; much of
accentor is which stock phrase it is; convai2018 has no licence file. Sources not named (an owner's) count twice."""

DIALOG_SHARE = {
    "self_dialogue": 1.0, "synthetic_persona_chat": 1.0, "topical_chat": 1.0, "convai2017": 1.0, "chatterbot": 1.0,
    "ms_personality_chat": 0.1, "accentor_sgd": 0.05, "voice": 1.0, "curated": 1.0,
    "taskmaster4": 0.0, "koziev_jokes": 0.0, "rusdracor": 0.0, "convai2018": 0.0,
}  # fmt: skip
"""Chance that a dialog of a source is used, relative to the others."""


SELECTION_SHARE = {source: float(share >= 0.8) for source, share in DIALOG_SHARE.items()} | {"curated": 0.0}
"""Where response selection asks: chit-chat. In booking dialogs and stock answers many wrong replies would be right."""

NEAR_AMONG = 80
"""Out of so many random replies of the source the nearest are taken as hard ones: near, but hardly ever as good."""
NEAREST = 8

PART = 256
"""Places that are embedded between two steps of the progress bar."""

CALIBRATION_SHARE = 0.1
"""Of the rated dialogs of the train split: never trained on, so that probabilities can be set right on them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A rated reply; `source` says whose rating it is, since annotators' marks are not thumbs."""

    context: Context
    reply: str
    liked: bool
    source: str


@dataclass(frozen=True, slots=True)
class Choice:
    """A context with replies, the true one first."""

    context: Context
    replies: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a dialog: what was said before, and what came next."""

    context: Context
    reply: str
    source: str
    dialog_id: str


def positions(
    dialogs: Sequence[CorpusDialog], count: int, seed: int, lang: str = "en", shares: Mapping[str, float] = DIALOG_SHARE
) -> list[Position]:
    """`count` places, at most one a dialog and pass, the answering side as the assistant; contexts of up to 8
    messages. Fewer when the dialogs have fewer."""
    draw = random.Random(seed)
    found: list[Position] = []
    usable = [d for d in dialogs if d.lang in ("", lang) and len(d.messages) > 1 and shares.get(d.source, 1.0) > 0]
    for _ in range(12):
        for dialog in draw.sample(usable, len(usable)):
            if len(found) == count:
                return found
            if draw.random() < shares.get(dialog.source, 1.0):
                found.append(position(dialog, draw.randrange(1, len(dialog.messages))))
    return found


def position(dialog: CorpusDialog, index: int) -> Position:
    """The place before message `index`, seen by the one who says it."""
    reply = dialog.messages[index]
    before = tuple(
        Message("assistant" if m.role == reply.role else "user", m.text)
        for m in dialog.messages[max(0, index - 8) : index]
    )
    return Position(Context(before), reply.text, dialog.source, dialog.id)


def choices(places: Sequence[Position], encoder: Encoder, seed: int) -> list[Choice]:
    """For each place the true reply, and of two near and two random ones those that say something else; a place where
    none does gives no choice."""
    draw = random.Random(seed)
    by_source: dict[str, list[int]] = {}
    for number, place in enumerate(places):
        by_source.setdefault(place.source, []).append(number)
    replies, contexts = embedded(places, encoder)
    made = []
    for number, place in enumerate(places):
        others = by_source[place.source]
        drawn = np.array(draw.sample(others, min(NEAR_AMONG, len(others))))
        nearest = drawn[np.argsort(-(replies[drawn] @ contexts[number]))][:NEAREST]
        wrong = [places[int(near)].reply for near in draw.sample(list(nearest), min(2, len(nearest)))]
        wrong += [places[draw.choice(others)].reply for _ in range(2)]
        distinct = {normal(text): text for text in wrong if normal(text) != normal(place.reply)}
        if distinct:
            made.append(Choice(place.context, (place.reply, *distinct.values()), place.source))
    return made


def embedded(places: Sequence[Position], encoder: Encoder) -> tuple[Vectors, Vectors]:
    """The vectors of the places' replies and contexts: each (places, dimensions)."""
    replies, contexts = [encoder.encode([])], [encoder.contexts([])[1]]
    for start in tqdm(range(0, len(places), PART), desc="places", disable=None):
        part = places[start : start + PART]
        replies.append(encoder.encode([place.reply for place in part]))
        contexts.append(encoder.contexts([place.context for place in part])[1])
    return np.concatenate(replies), np.concatenate(contexts)


def pool_choices(entries: Sequence[PoolEntry], count: int, seed: int) -> list[Choice]:
    """`count` replies of the pool under one of their contexts, each with up to four replies of other situations; fewer
    where none of another situation was drawn."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        entry = draw.choice(entries)
        drawn = draw.sample(entries, min(4, len(entries)))
        others = [other.reply for other in drawn if other.contexts != entry.contexts]
        if others and entry.contexts:
            context = Context((Message("user", draw.choice(entry.contexts)),))
            made.append(Choice(context, (entry.reply, *others), "curated"))
    return made


def rated_pairs(ratings: Sequence[RatedReply], seed: int, copies: Mapping[str, float] = RATED_COPIES) -> list[Pair]:
    """The rated replies in random order, each source as often as `copies` says."""
    draw = random.Random(seed)
    pairs: list[Pair] = []
    for rating in ratings:
        weight = copies.get(rating.source, 2.0)
        for _ in range(int(weight) + (draw.random() < weight % 1)):
            pairs.append(Pair(Context(rating.messages), rating.reply, rating.liked, rating.source))
    draw.shuffle(pairs)
    return pairs


def for_calibration(rating: RatedReply) -> bool:
    """Whether a rated reply of the train split is kept out of training, by its dialog."""
    return held_back(f"calibration {rating.dialog_id}", CALIBRATION_SHARE)
