"""What rankers learn from and are asked: rated replies, and places in dialogs."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from storage.corpora import CorpusDialog, RatedReply, held_back
from storage.dialog import Context, Message

RATED_COPIES = {"convai2017": 1.0, "topical_chat": 1.0, "accentor": 0.12, "convai2018": 0.0}
"""How often each rated reply of a public source is taken. Much of accentor is which stock phrase it is; convai2018 has
no licence file. All others, which are about one's own bot, count once."""

OWN = "kith"
"""Who rates one's own bot."""
SAME_RATERS = {"convai2018": "convai2017"}
"""Two rounds of one contest."""

DIALOG_SHARE = {
    "self_dialogue": 1.0, "synthetic_persona_chat": 1.0, "topical_chat": 1.0, "convai2017": 1.0, "chatterbot": 1.0,
    "ms_personality_chat": 0.1, "accentor_sgd": 0.05, "voice": 1.0, "curated": 1.0,
    "taskmaster4": 0.0, "koziev_jokes": 0.0, "rusdracor": 0.0, "convai2018": 0.0,
}  # fmt: skip
"""Chance that a dialog of a source is used, relative to the others."""


SELECTION_SHARE = {source: float(share >= 0.8) for source, share in DIALOG_SHARE.items()} | {"curated": 0.0}
"""Where response selection asks: chit-chat. In booking dialogs and stock answers many wrong replies would be right."""

CALIBRATION_SHARE = 0.1
"""Of the rated dialogs of the train split: never trained on, so that probabilities can be set right on them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A rated reply; `source` says whose rating it is, since annotators' marks are not thumbs."""

    context: Context
    reply: str
    liked: bool
    source: str
    weight: float = 1.0


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


def head_of(source: str) -> str:
    """Whose votes they are: those of a public set by its name, all others are one's own people's."""
    return SAME_RATERS.get(source, source) if source in RATED_COPIES else OWN


def rated_pairs(ratings: Sequence[RatedReply], seed: int, copies: Mapping[str, float] = RATED_COPIES) -> list[Pair]:
    """The rated replies in random order, each source as often as `copies` says."""
    draw = random.Random(seed)
    pairs: list[Pair] = []
    for rating in ratings:
        count = copies.get(rating.source, 1.0)
        for _ in range(int(count) + (draw.random() < count % 1)):
            pairs.append(Pair(Context(rating.messages), rating.reply, rating.liked, rating.source, rating.weight))
    draw.shuffle(pairs)
    return pairs


def for_calibration(rating: RatedReply) -> bool:
    """Whether a rated reply of the train split is kept out of training, by its dialog."""
    return held_back(f"calibration {rating.dialog_id}", CALIBRATION_SHARE)
