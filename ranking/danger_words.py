"""Danger by what the words of a Russian message mean, besides how they are spelt: a small network on word vectors.

No Russian BERT is shipped. Each word has a vector that was learnt from news (navec, see NOTICE), and one of its runs of
letters, which a word that the news do not have has as well. A layer reads each word; the mean and the greatest of what
it makes of them go through another (deep averaging, Iyyer et al. 2015, with the greatest beside the mean).
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ranking.pretrained import ModelError
from ranking.vector_files import write_table

FILE = "words.safetensors"

RUNS = 1 << 14
"""Numbers that runs of letters are hashed to."""

LONGEST = 80
"""Words of a text that are read."""

WORD = re.compile(r"[а-яa-z0-9]+|[^\sа-яa-z0-9]")

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Words by how common they are, and their vectors: `codes`, shape (words, dimensions), times `scale`,
    (dimensions,)."""

    places: dict[str, int]
    codes: NDArray[np.int8]
    scale: Floats

    def vectors(self, words: Sequence[str]) -> Floats:
        """Shape (words, dimensions), zeros for a word that is not there."""
        found = np.zeros((len(words), self.codes.shape[1]), np.float32)
        for row, word in enumerate(words):
            if (place := self.places.get(word)) is not None:
                found[row] = self.codes[place] * self.scale
        return found


@dataclass(frozen=True, slots=True)
class Weights:
    """`runs`: vectors of runs of letters, (RUNS, width). `word` and `word_bias`: the layer that reads a word, by both
    its vectors, (dimensions + width, units) and (units,). `text` and `text_bias`: the one that reads mean and greatest,
    (2 x units, hidden) and (hidden,). `out` and `out_bias`: (hidden,) and (1,)."""

    runs: Floats
    word: Floats
    word_bias: Floats
    text: Floats
    text_bias: Floats
    out: Floats
    out_bias: Floats


@dataclass(frozen=True, slots=True)
class WordReader:
    """Russian texts to the log-odds of danger."""

    vocabulary: Vocabulary
    members: tuple[Weights, ...]

    def odds(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Shape (texts,): the mean of the members' log-odds."""
        return np.array([self._told(words_of(text)) for text in texts])

    def _told(self, words: Sequence[str]) -> float:
        vectors, runs = self.vocabulary.vectors(words), [runs_of(word) for word in words]
        return float(np.mean([told(member, vectors, runs) for member in self.members]))

    def save(self, folder: Path) -> None:
        """Writes it, whole or not at all."""
        words = "\n".join(self.vocabulary.places).encode()
        tensors: dict[str, NDArray[Any]] = {
            "words": np.frombuffer(words, np.uint8),
            "codes": self.vocabulary.codes,
            "scale": self.vocabulary.scale,
        }
        for number, member in enumerate(self.members):
            tensors |= {f"{number}.{f.name}": getattr(member, f.name).astype(np.float16) for f in fields(Weights)}
        write_table(folder / FILE, tensors, {"members": str(len(self.members))})


def told(member: Weights, vectors: Floats, runs: Sequence[Sequence[int]]) -> float:
    """One member's log-odds of a text, given its words' vectors, (words, dimensions), and their runs of letters."""
    letters = np.stack([member.runs[list(numbers)].mean(axis=0) for numbers in runs])
    read = np.maximum(np.concatenate([vectors, letters], axis=1) @ member.word + member.word_bias, 0)
    both = np.concatenate([read.mean(axis=0), read.max(axis=0)])
    return float(np.maximum(both @ member.text + member.text_bias, 0) @ member.out + member.out_bias[0])


def words_of(text: str) -> list[str]:
    """The words and signs of a text, in lower case, ё as е; one where there is none."""
    return WORD.findall(text.lower().replace("ё", "е"))[:LONGEST] or ["."]


def runs_of(word: str) -> list[int]:
    """The numbers of a word's runs of 3 to 5 letters."""
    marked = f"<{word}>"
    runs = [marked[i : i + n] for n in (3, 4, 5) for i in range(len(marked) - n + 1)] or [marked]
    return [zlib.crc32(run.encode(errors="surrogatepass")) % RUNS for run in runs]


@cache
def load_words(folder: Path) -> WordReader:
    """The one in a folder that `kith train danger` wrote, read once. Raises ModelError."""
    vocabulary = load_vocabulary(folder)
    with stored(folder) as file:
        members = tuple(
            Weights(*(file.get_tensor(f"{number}.{f.name}").astype(np.float32) for f in fields(Weights)))
            for number in range(int((file.metadata() or {})["members"]))
        )
        if not members:
            raise ValueError("it has no network")
        for member in members:  # one that does not fit raises here, and not when somebody is in danger
            told(member, vocabulary.vectors(["."]), [runs_of(".")])
    return WordReader(vocabulary, members)


def load_vocabulary(folder: Path) -> Vocabulary:
    """Its words alone. Raises ModelError."""
    with stored(folder) as file:
        words = file.get_tensor("words").tobytes().decode().split("\n")
        codes, scale = file.get_tensor("codes"), file.get_tensor("scale").astype(np.float32)
        if (len(words), len(scale)) != codes.shape:
            raise ValueError("its words and their vectors do not fit together")
    return Vocabulary({word: place for place, word in enumerate(words)}, codes, scale)


@contextmanager
def stored(folder: Path) -> Iterator[Any]:
    """The file in a folder, open. Raises ModelError for what is wrong with it."""
    try:
        with safe_open(folder / FILE, framework="numpy") as file:
            yield file
    except (OSError, SafetensorError, KeyError, ValueError, IndexError) as error:
        raise ModelError(
            f"The words of danger in {folder} cannot be read ({error}): `kith train danger --vectors` makes them."
        ) from error
