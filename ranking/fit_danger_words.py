"""Fits the network on words of danger (ranking/danger_words.py), and makes its vocabulary of word vectors."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from ranking.danger_words import RUNS, Vocabulary, Weights, WordReader, runs_of, words_of
from ranking.fit_danger_reader import Examples
from storage.corpora import CorpusError

WIDTH, UNITS, HIDDEN = 64, 192, 128
EPOCHS, BATCH = 5, 64
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 0.05
MEMBERS = 3
DROPPED = 0.1
"""Words whose vector is taken away while it learns, so that it can do without."""

WORDS, DIMENSIONS = 100_000, 96
"""Of the vocabulary: the most common words, and the main directions of their vectors. With all 230,000 words and 300
dimensions the share found is the same (0.800 of 680 lines of three authors left out, and 0.806 so)."""

CYRILLIC = re.compile("[а-яё]+")


class Network(nn.Module):
    """As Weights, with gradients."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.runs = nn.EmbeddingBag(RUNS, WIDTH, mode="mean")
        nn.init.normal_(self.runs.weight, std=0.1)
        self.word = nn.Linear(dimensions + WIDTH, UNITS)
        self.text, self.out = nn.Linear(2 * UNITS, HIDDEN), nn.Linear(HIDDEN, 1)

    def forward(self, texts: Sequence["Text"]) -> torch.Tensor:
        """Shape (texts,)."""
        lengths = torch.tensor([len(text.runs) for text in texts])
        vectors = torch.cat([text.vectors for text in texts])
        if self.training:
            vectors = vectors * (torch.rand(len(vectors), 1) > DROPPED)
        each = [runs for text in texts for runs in text.runs]
        starts = torch.tensor([0, *(len(runs) for runs in each[:-1])]).cumsum(0)
        runs = self.runs(torch.tensor([run for runs in each for run in runs]), starts)
        read = functional.dropout(torch.relu(self.word(torch.cat([vectors, runs], 1))), 0.2, self.training)
        of = torch.repeat_interleave(torch.arange(len(texts)), lengths)
        zeros = torch.zeros(len(texts), UNITS)
        mean = zeros.index_add(0, of, read) / lengths[:, None]
        greatest = zeros.scatter_reduce(0, of[:, None].expand_as(read), read, "amax")
        both = functional.dropout(torch.cat([mean, greatest], 1), 0.4, self.training)
        odds: torch.Tensor = self.out(functional.dropout(torch.relu(self.text(both)), 0.3, self.training)).squeeze(1)
        return odds

    def weights(self) -> Weights:
        """As they are kept."""
        layers = (
            self.runs.weight, self.word.weight.T, self.word.bias, self.text.weight.T, self.text.bias,
            self.out.weight[0], self.out.bias,
        )  # fmt: skip
        return Weights(*(layer.detach().numpy() for layer in layers))


@dataclass(frozen=True, slots=True)
class Text:
    """The vectors of a text's words, (words, dimensions), and the numbers of their runs of letters."""

    vectors: torch.Tensor
    runs: list[list[int]]


def fit_words(vocabulary: Vocabulary, examples: Examples, seed: int) -> WordReader:
    """Networks after EPOCHS of binary cross-entropy."""
    texts = []
    for text in examples.texts:
        words = words_of(text)
        texts.append(Text(torch.from_numpy(vocabulary.vectors(words)), [runs_of(word) for word in words]))
    with tqdm(total=MEMBERS * EPOCHS, desc="words", disable=None) as bar:
        members = tuple(trained(texts, examples, seed * MEMBERS + number, bar) for number in range(MEMBERS))
    return WordReader(vocabulary, members)


def trained(texts: Sequence[Text], examples: Examples, seed: int, bar: "tqdm[Any]") -> Weights:
    """One member."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    network = Network(texts[0].vectors.shape[1])
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * -(-len(texts) // BATCH)
    pace = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(EPOCHS):
        order = draw.sample(range(len(texts)), len(texts))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            danger = torch.tensor(examples.danger[batch].astype(np.float32))
            odds = network([texts[place] for place in batch])
            loss = functional.binary_cross_entropy_with_logits(odds, danger)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            pace.step()
        bar.update()
    return network.eval().weights()


def vocabulary_of(file: Path) -> Vocabulary:
    """The most common Russian words of a file of navec's, in 8 bits a number. Raises CorpusError."""
    from navec import Navec

    try:
        read = Navec.load(file)
    except Exception as error:  # what is no such file raises all kinds
        raise CorpusError(f"{file} is no file of navec's ({error}).") from error
    counts = dict(zip(read.vocab.words, read.vocab.counts, strict=True))
    common = sorted((word for word in counts if CYRILLIC.fullmatch(word)), key=lambda word: -counts[word])
    spelt: dict[str, str] = {}  # the more common spelling first, where one has ё and one е
    for word in common:
        spelt.setdefault(word.replace("ё", "е"), word)
    words = list(spelt)[:WORDS]
    vectors = np.stack([read[spelt[word]] for word in words]).astype(np.float32)
    vectors -= vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(vectors[::2], full_matrices=False)
    vectors = vectors @ directions[:DIMENSIONS].T
    vectors *= 0.5 / np.sqrt((vectors**2).mean())
    scale = np.abs(vectors).max(axis=0) / 127
    return Vocabulary(
        {word: place for place, word in enumerate(words)}, np.round(vectors / scale).astype(np.int8), scale
    )
