"""Danger that no rule has words for: linear models on the words and letters of a message, in English and Russian, and
what ranking/danger_reader.py knows of its meaning.

Three logistic regressions share their n-grams, which are weighted by how rare they are (tf-idf without the counts, as
each counts once): whether somebody is in danger, of which kind, and whether it is happening now. They are fitted by
ranking/fit_danger.py to lines that several people wrote, and take a millisecond a message by themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ranking.danger_reader import LANGUAGE, Reader, reader_of
from ranking.danger_rules import LONGEST, pieces, plain, sentences
from ranking.ngrams import hashed
from ranking.pretrained import ModelError
from ranking.vector_files import write_table
from ranking.vectors import Encoder

STARTER = Path(__file__).parent / "starter" / "danger.safetensors"

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
both together find are under them, and 72 % of ordinary messages, which then wait for no model."""

SHORT = 2000.0
"""Squared length that each text has besides its own, which is some 40 for a word and 9,000 for a line: a word or two
prove little. With it a fifth fewer Russian jokes are taken for danger, and a tenth more of danger is found."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Guess:
    """What the classifier makes of a message: the log-odds of danger, the likeliest of KINDS, and whether it is now.
    `sure` and `perhaps`: the log-odds from which on such a message is taken for danger, and from which on it may be."""

    odds: float
    kind: str
    acute: bool
    sure: float
    perhaps: float


@dataclass(frozen=True, slots=True)
class Classifier:
    """`rarity`: what each bucket counts, shape (BUCKETS,). `weights`: of danger, of each of KINDS and of now, already
    times that, shape (BUCKETS, 5), and their `intercepts`, (5,). `sure` and `perhaps`: by language, the limits of
    Guess where n-grams tell alone."""

    rarity: Floats
    weights: Floats
    intercepts: Floats
    sure: Mapping[str, float]
    perhaps: Mapping[str, float]
    version: str
    reader: Reader | None = None

    def guess(self, text: str, encoder: Encoder | None = None) -> Guess:
        """Of the piece of a message that sounds most like danger; with the reader's `encoder`, English ones also by
        what they mean."""
        parts = pieces(plain(text[-LONGEST:]), PIECE, STEP)
        if len(parts) > 1:
            parts += map(plain, sentences(text[-LONGEST:], SENTENCE))
        guesses = list(map(self.guess_piece, parts))
        if encoder and self.reader:
            wanted = [place for place, part in enumerate(parts) if readable(part, guesses[place])]
            read = sorted(wanted, key=lambda place: -guesses[place].odds)[:READ]
            texts = [parts[place] for place in read] if len(parts) > 1 else [text] * len(read)  # as the search has it
            odds = self.reader.odds(encoder.encode(texts), np.array([guesses[place].odds for place in read]))
            limits = self.reader.sure, self.reader.perhaps
            for place, number in zip(read, odds, strict=True):
                kept = guesses[place]
                guesses[place] = Guess(float(number), kept.kind, kept.acute, *limits)
        return max(guesses, key=lambda guess: guess.odds - guess.sure)

    def guess_piece(self, text: str) -> Guess:
        """Of a text as one, by its n-grams."""
        found = hashed(text, BUCKETS)
        odds = self.intercepts + self.weights[found].sum(axis=0) * scale(self.rarity[found])
        kind, language = KINDS[int(odds[1:-1].argmax())], language_of(text)
        return Guess(float(odds[0]), kind, bool(odds[-1] > 0), self.sure[language], self.perhaps[language])

    def save(self, file: Path) -> None:
        """Writes it, whole or not at all."""
        tensors = {name: getattr(self, name).astype(np.float16) for name in ("rarity", "weights", "intercepts")}
        limits = {
            f"{name}_{key}": f"{odds:.3f}" for name in ("sure", "perhaps") for key, odds in getattr(self, name).items()
        }
        if self.reader:
            tensors, limits = tensors | self.reader.tensors(), limits | self.reader.facts()
        write_table(file, tensors, {"version": self.version, **limits})


@cache
def classifier(file: Path = STARTER) -> Classifier:
    """The fitted classifier, read once. Raises ModelError when the file is missing, broken or of another shape."""
    try:
        with safe_open(file, framework="numpy") as stored:
            facts = stored.metadata() or {}
            rarity, weights, intercepts = (
                stored.get_tensor(name).astype(np.float32) for name in ("rarity", "weights", "intercepts")
            )
            sure, perhaps = (
                {language: float(facts[f"{name}_{language}"]) for language in LANGUAGES} for name in ("sure", "perhaps")
            )
            version = facts["version"]
            names = [name for name in stored.keys() if name.startswith("reader.")]  # noqa: SIM118 - not a mapping
            reader = reader_of({name: stored.get_tensor(name) for name in names}, facts)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(
            f"The danger classifier {file} cannot be read ({error}): `kith train danger` makes it."
        ) from error
    if (rarity.shape, weights.shape, intercepts.shape) != ((BUCKETS,), (BUCKETS, len(KINDS) + 2), (len(KINDS) + 2,)):
        raise ModelError(f"The danger classifier {file} is of another version of Kith: `kith train danger` makes it.")
    return Classifier(rarity, weights, intercepts, sure, perhaps, version, reader)


def readable(text: str, told: Guess) -> bool:
    """Whether a text, given what its words tell, is read for what it means."""
    return told.odds > UNREAD and language_of(text) == LANGUAGE


def scale(rarity: NDArray[Any]) -> float:
    """What all of a text counts, given what each of its n-grams does: texts have the length 1, short ones less."""
    return float((SHORT + rarity @ rarity) ** -0.5)


def language_of(text: str) -> str:
    """The language whose thresholds hold: ru where most letters are Cyrillic, else en."""
    cyrillic = sum("\u0400" <= letter <= "\u04ff" for letter in text)
    return "ru" if 2 * cyrillic > sum(letter.isalpha() for letter in text) else "en"
