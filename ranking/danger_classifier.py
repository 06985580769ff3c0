"""Danger that no rule has words for: linear models on the words and letters of a message, in English and Russian, and
what is made of its meaning by ranking/danger_reader.py (English) and ranking/danger_words.py (Russian).

Three logistic regressions share their n-grams, which are weighted by how rare they are (tf-idf without the counts, as
each counts once): whether somebody is in danger, of which kind, and whether it is happening now. They are fitted by
ranking/fit_danger.py to lines that several people wrote, and take a millisecond a message by themselves.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from json import dumps, loads
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ranking.danger_rules import LONGEST, pieces, plain, sentences
from ranking.ngrams import hashed
from ranking.pretrained import ModelError
from ranking.vector_files import write_table

STARTER = Path(__file__).parent / "starter" / "danger"
"""The folder of the shipped one, with those that read meaning."""

FILE = "ngrams.safetensors"

BUCKETS = 1 << 17
"""Numbers that n-grams are hashed to; the lines have about as many."""

KINDS = ("self_harm", "abuse", "danger")
"""Kinds of danger, as the lines call them that it is fitted to."""

LANGUAGES = ("en", "ru")

PIECE, STEP = 250, 150
"""Letters that are read at once, about as long as the longest lines that it is fitted to."""

SENTENCE = 20
"""Letters of the sentences that are read by themselves besides, in what is longer: among small talk they drown. Of 400
lines of danger with eight sentences of chat before and after, 0.56 are found, 0.03 without; of 4,000 public messages of
over 150 letters 0.0073 are taken for danger, 0.0070 without."""

READ = 4
"""Parts of a long message that are read for what they mean, those that sound most like danger: each costs 4 ms."""

UNREAD = -3.0
"""Log-odds by words under which meaning changes nothing. Told by the words of other authors, 0.1 % of the lines that
both together find are under them, and 69 % of ordinary messages, which then wait for no model."""

SHORT = 2000.0
"""Squared length that each text has besides its own, which is some 40 for a word and 9,000 for a line: a word or two
prove little. With it a fifth fewer Russian jokes are taken for danger, and a tenth more of danger is found."""

SIGNS = re.compile(r"([^\w\s])\1{3,}")

Floats = NDArray[np.float32]


class Meaning(Protocol):
    """What tells the log-odds of danger by meaning."""

    def odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Shape (texts,)."""
        ...


NONE: Mapping[str, Meaning] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Joint:
    """What the n-grams' log-odds count, what those by meaning, and what is added; and the limits of Guess then."""

    ngrams: float
    meaning: float
    added: float
    sure: float
    perhaps: float

    def odds(self, ngrams: NDArray[Any], meaning: NDArray[Any]) -> NDArray[Any]:
        """The joint log-odds, shape (texts,)."""
        both: NDArray[Any] = ngrams * self.ngrams + meaning * self.meaning + self.added
        return both


@dataclass(frozen=True, slots=True)
class Guess:
    """What the classifier makes of a message: the log-odds of danger, the likeliest of KINDS, and whether it is now.
    `sure` and `perhaps`: the log-odds from which on such a message is taken for danger, and from which on it may be.
    `read`: whether they also tell what it means."""

    odds: float
    kind: str
    acute: bool
    sure: float
    perhaps: float
    read: bool = False


@dataclass(frozen=True, slots=True)
class Classifier:
    """`rarity`: what each bucket counts, shape (BUCKETS,). `weights`: of danger, of each of KINDS and of now, already
    times that, shape (BUCKETS, 5), and their `intercepts`, (5,). `sure` and `perhaps`: by language, the limits of
    Guess where n-grams tell alone. `joint`: by language, how those weigh that read meaning."""

    rarity: Floats
    weights: Floats
    intercepts: Floats
    sure: Mapping[str, float]
    perhaps: Mapping[str, float]
    joint: Mapping[str, Joint]
    version: str

    def guess(self, text: str, readers: Mapping[str, Meaning] = NONE) -> Guess:
        """Of the piece of a message that sounds most like danger, by what it means too where its language has one of
        the `readers`. Raises what these raise."""
        parts = pieces(plain(text[-LONGEST:]), PIECE, STEP)
        if len(parts) > 1:
            parts += map(plain, sentences(text[-LONGEST:], SENTENCE))
        guesses = list(map(self.guess_piece, parts))
        for language, joint in self.joint.items():
            if (reader := readers.get(language)) is None:
                continue
            wanted = [place for place, part in enumerate(parts) if readable(part, guesses[place], language)]
            read = sorted(wanted, key=lambda place: -guesses[place].odds)[:READ]
            texts = [as_read(text)] * len(read) if len(parts) == 1 else [parts[place] for place in read]
            odds = joint.odds(np.array([guesses[place].odds for place in read]), reader.odds(texts))
            if not np.isfinite(odds).all():
                raise ValueError("what reads meaning tells no number")
            for place, number in zip(read, odds.tolist(), strict=True):
                guesses[place] = Guess(
                    number, guesses[place].kind, guesses[place].acute, joint.sure, joint.perhaps, read=True
                )
        return max(guesses, key=lambda guess: guess.odds - guess.sure)

    def guess_piece(self, text: str) -> Guess:
        """Of a text as one, by its n-grams."""
        found = hashed(text, BUCKETS)
        odds = self.intercepts + self.weights[found].sum(axis=0) * scale(self.rarity[found])
        kind, language = KINDS[int(odds[1:-1].argmax())], language_of(text)
        return Guess(float(odds[0]), kind, bool(odds[-1] > 0), self.sure[language], self.perhaps[language])

    def save(self, folder: Path) -> None:
        """Writes it, whole or not at all."""
        tensors = {name: getattr(self, name).astype(np.float16) for name in ("rarity", "weights", "intercepts")}
        limits = {"sure": dict(self.sure), "perhaps": dict(self.perhaps)}
        joint = {language: asdict(each) for language, each in self.joint.items()}
        write_table(folder / FILE, tensors, {"version": self.version, "limits": dumps(limits), "joint": dumps(joint)})


@cache
def classifier(folder: Path = STARTER) -> Classifier:
    """The fitted classifier, read once. Raises ModelError when its file is missing, broken or of another shape."""
    file = folder / FILE
    try:
        with safe_open(file, framework="numpy") as stored:
            facts = stored.metadata() or {}
            rarity, weights, intercepts = (
                stored.get_tensor(name).astype(np.float32) for name in ("rarity", "weights", "intercepts")
            )
            limits, joint = loads(facts["limits"]), loads(facts["joint"])
            sure, perhaps = ({name: float(limits[kind][name]) for name in LANGUAGES} for kind in ("sure", "perhaps"))
            found = Classifier(
                rarity, weights, intercepts, sure, perhaps, {k: Joint(**v) for k, v in joint.items()}, facts["version"]
            )
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"The danger classifier {file} cannot be read ({error}): `kith train danger` makes it."
        ) from error
    if (rarity.shape, weights.shape, intercepts.shape) != ((BUCKETS,), (BUCKETS, len(KINDS) + 2), (len(KINDS) + 2,)):
        raise ModelError(f"The danger classifier {file} is of another version of Kith: `kith train danger` makes it.")
    return found


def as_read(text: str) -> str:
    """A short text as it is read for what it means: of a run of one sign three, or they would take all the room."""
    return SIGNS.sub(r"\1\1\1", text)


def readable(text: str, told: Guess, language: str) -> bool:
    """Whether a text, given what its words tell, is read for what it means in a language."""
    return told.odds > UNREAD and language_of(text) == language


def scale(rarity: NDArray[Any]) -> float:
    """What all of a text counts, given what each of its n-grams does: texts have the length 1, short ones less."""
    return float((SHORT + rarity @ rarity) ** -0.5)


def language_of(text: str) -> str:
    """The language whose thresholds hold: ru where most letters are Cyrillic, else en."""
    cyrillic = sum("\u0400" <= letter <= "\u04ff" for letter in text)
    return "ru" if 2 * cyrillic > sum(letter.isalpha() for letter in text) else "en"
