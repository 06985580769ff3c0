"""Fits what ranking/danger_reader.py knows: networks on vectors, each message told by those that did not see its author
or situation, and a regression of both log-odds on whether it was danger."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from ranking.danger_reader import HIDDEN, MEMBERS, PROBE, Reader
from ranking.vectors import Encoder

PARTS = 5
"""Of authors and situations, each told by the others."""

EPOCHS, BATCH = 12, 256
LEARNING_RATE, WEIGHT_DECAY = 1.5e-3, 0.01
DROPOUT = 0.3
LENGTH = 20.0
"""Of a vector as the networks read it."""


@dataclass(frozen=True, slots=True)
class Examples:
    """English messages: unit vectors (texts, width), and shape (texts,) each: whether it is danger, what it counts,
    the number of its author or situation (negative: always learnt from), and the n-grams' log-odds by those who did
    not see it (nan where all did)."""

    vectors: NDArray[np.float32]
    danger: NDArray[np.bool_]
    counts: NDArray[np.float64]
    fold: NDArray[np.intp]
    ngrams: NDArray[np.float64]


def fit_reader(examples: Examples, encoder: Encoder, seed: int = 0) -> tuple[Reader, NDArray[np.float64]]:
    """The reader, its limits still nought, and the joint log-odds of each message by what the others taught; nan where
    those of the n-grams are."""
    own = np.full(len(examples.danger), np.nan)
    every = np.ones(len(own), bool)
    with tqdm(total=(PARTS + MEMBERS) * EPOCHS, desc="reader", disable=None) as bar:
        for number in range(PARTS):
            held = (examples.fold >= 0) & (examples.fold % PARTS == number)
            own[held] = odds_of(trained(examples, ~held, seed * PARTS + number, bar), examples.vectors[held])
        members = [trained(examples, every, seed * MEMBERS + number, bar) for number in range(MEMBERS)]
    known = np.isfinite(examples.ngrams) & np.isfinite(own)
    both = np.stack([examples.ngrams, own], axis=1)
    fit = LogisticRegression(C=1e6).fit(both[known], examples.danger[known], examples.counts[known])
    joint = np.full(len(own), np.nan)
    joint[known] = fit.decision_function(both[known])
    # The members side by side are one layer; the last bias goes into what is added.
    hidden = torch.cat([first(member).weight * LENGTH for member in members]).T
    bias = torch.cat([first(member).bias for member in members])
    out = torch.cat([last(member).weight[0] / MEMBERS for member in members])
    ngrams, meaning = fit.coef_[0]
    added = fit.intercept_[0] + meaning * float(np.mean([last(member).bias.item() for member in members]))
    reader = Reader(
        hidden.detach().numpy(),
        bias.detach().numpy(),
        out.detach().numpy(),
        joint=np.array([ngrams, meaning, added], np.float32),
        probe=encoder.encode([PROBE])[0],
        sure=0.0,
        perhaps=0.0,
    )
    return reader, joint


def trained(examples: Examples, seen: NDArray[np.bool_], seed: int, bar: "tqdm[Any]") -> nn.Sequential:
    """One member after EPOCHS of binary cross-entropy, each message times what it counts."""
    torch.manual_seed(seed)
    width = examples.vectors.shape[1]
    member = nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, 1))
    vectors = torch.from_numpy(examples.vectors) * LENGTH
    danger, counts = torch.from_numpy(examples.danger).float(), torch.from_numpy(examples.counts).float()
    places = torch.from_numpy(np.flatnonzero(seen))
    optimizer = torch.optim.AdamW(member.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = EPOCHS * -(-len(places) // BATCH)
    pace = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    for _ in range(EPOCHS):
        for some in torch.split(places[torch.randperm(len(places))], BATCH):
            odds = member(vectors[some]).squeeze(1)
            loss = functional.binary_cross_entropy_with_logits(odds, danger[some], counts[some])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            pace.step()
        bar.update()
    return member.eval()


@torch.inference_mode()
def odds_of(member: nn.Sequential, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """The log-odds of one member."""
    odds: NDArray[np.float64] = member(torch.from_numpy(vectors) * LENGTH).squeeze(1).double().numpy()
    return odds


def first(member: nn.Sequential) -> nn.Linear:
    """The layer that reads."""
    assert isinstance(member[0], nn.Linear)
    return member[0]


def last(member: nn.Sequential) -> nn.Linear:
    """The layer that tells."""
    assert isinstance(member[-1], nn.Linear)
    return member[-1]
