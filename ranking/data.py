"""Training pairs for the ranker: what people liked and disliked, and what was really said against what was not.

A pair is (context, reply, label). Votes are pairs as they are. From dialogs, the true next message is a positive and
two others are negatives: one from another dialog (at random, or the nearest by a bi-encoder), and one out of the dialog
itself (the user's own message given back, or something said before), because a reply that copies or repeats looks very
relevant to a model that has only seen random negatives.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.pool import normal
from storage.corpora import CorpusDialog, RatedReply
from storage.dialog import Context, Message, PoolEntry

RATED_COPIES = {"convai2017": 2.0, "topical_chat": 1.0, "accentor": 0.08, "convai2018": 0.0}
"""How often each rated reply of a source is taken. Thumbs under a bot's messages are what we want to predict; much of
accentor is which stock phrase it is; convai2018 has no licence file. Sources not named (an owner's) count twice."""

DIALOG_SHARE = {
    "self_dialogue": 1.0, "synthetic_persona_chat": 1.0, "topical_chat": 0.8, "convai2017": 1.0, "chatterbot": 1.0,
    "ms_personality_chat": 0.1, "accentor_sgd": 0.05,
    "taskmaster4": 0.0, "koziev_jokes": 0.0, "rusdracor": 0.0, "convai2018": 0.0,
}  # fmt: skip
"""Chance that a position of a dialog of a source is used, relative to the others."""


SELECTION_SHARE = {source: float(share >= 0.8) for source, share in DIALOG_SHARE.items()}
"""Where response selection asks: chit-chat. In booking dialogs and stock answers many wrong replies would be right."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One training example; `source` says where it came from, for the card."""

    context: Context
    reply: str
    liked: bool
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


def dialog_pairs(places: Sequence[Position], nearest: NDArray[np.int64], seed: int) -> list[Pair]:
    """Three pairs a place. `nearest` has shape (places, k): for each context the places whose replies fit it best by
    the bi-encoder, best first."""
    draw = random.Random(seed)
    pairs: list[Pair] = []
    for number, place in enumerate(places):
        pairs.append(Pair(place.context, place.reply, True, place.source))
        said = [m.text for m in place.context.messages]
        outside = places[int(draw.choice(nearest[number]))] if draw.random() < 0.5 else draw.choice(places)
        inside = said[-1] if draw.random() < 0.5 else draw.choice(said)
        for text in (outside.reply, inside):
            if normal(text) != normal(place.reply):
                pairs.append(Pair(place.context, text, False, place.source))
    return pairs


def pool_pairs(entries: Sequence[PoolEntry], count: int, seed: int) -> list[Pair]:
    """`count` replies of the pool under one of their contexts, each with two replies of other situations."""
    draw = random.Random(seed)
    pairs: list[Pair] = []
    for _ in range(count):
        entry = draw.choice(entries)
        context = Context((Message("user", draw.choice(entry.contexts)),))
        pairs.append(Pair(context, entry.reply, True, "curated"))
        for other in draw.sample(entries, 2):
            if other.contexts != entry.contexts:
                pairs.append(Pair(context, other.reply, False, "curated"))
    return pairs


def rated_pairs(ratings: Sequence[RatedReply], seed: int, copies: Mapping[str, float] = RATED_COPIES) -> list[Pair]:
    """The rated replies as pairs, each source as often as `copies` says."""
    draw = random.Random(seed)
    pairs: list[Pair] = []
    for rating in ratings:
        weight = copies.get(rating.source, 2.0)
        for _ in range(int(weight) + (draw.random() < weight % 1)):
            pairs.append(Pair(Context(rating.messages), rating.reply, rating.liked, rating.source))
    return pairs
