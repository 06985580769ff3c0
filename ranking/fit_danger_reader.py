"""Fits what reads danger by meaning (ranking/danger_reader.py): a BERT, fine-tuned on lines, and how much it counts
beside the n-grams: each message is told by one that did not see its author or situation, and a regression of both
log-odds on whether it was danger weighs them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from ranking.danger_classifier import Joint, Meaning
from ranking.danger_reader import DangerReader, begin_reader
from ranking.delta import origin, save_delta
from ranking.training import rise_and_fall

PARTS = 2
"""Of authors and situations, each told by the others: a part takes some seven minutes on two cores."""

EPOCHS, BATCH = 2, 48
LEARNING_RATE, WEIGHT_DECAY = 1.5e-4, 0.05
ALIKE = 32
"""Batches whose texts are sorted by length, so that little of a batch is padding."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Messages of one language, and shape (texts,) each: whether it is danger, what it counts where n-grams and meaning
    are weighed, the number of its author or situation (negative: always learnt from), and the n-grams' log-odds by
    those who did not see it (nan where all did)."""

    texts: list[str]
    danger: NDArray[np.bool_]
    counts: NDArray[np.float64]
    fold: NDArray[np.intp]
    ngrams: NDArray[np.float64]

    def some(self, places: NDArray[Any]) -> "Examples":
        """Those at these places."""
        texts = [self.texts[place] for place in np.flatnonzero(places)]
        return Examples(texts, self.danger[places], self.counts[places], self.fold[places], self.ngrams[places])


M = TypeVar("M", bound=Meaning)


def fit_joint(examples: Examples, train: Callable[[Examples, int], M]) -> tuple[M, Joint, NDArray[Any]]:
    """What `train` makes of all examples, what it counts beside the n-grams, its limits still nought, and the joint
    log-odds of each message by what the others taught; nan where those of the n-grams are."""
    own = np.full(len(examples.texts), np.nan)
    for number in range(PARTS):
        held = (examples.fold >= 0) & (examples.fold % PARTS == number)
        if held.any():
            own[held] = train(examples.some(~held), number).odds(examples.some(held).texts)
    known = np.isfinite(examples.ngrams) & np.isfinite(own)
    both = np.stack([examples.ngrams, own], axis=1)
    fit = LogisticRegression(C=1e6).fit(both[known], examples.danger[known], examples.counts[known])
    odds = np.full(len(own), np.nan)
    odds[known] = fit.decision_function(both[known])
    ngrams, meaning = fit.coef_[0].tolist()
    joint = Joint(ngrams, meaning, float(fit.intercept_[0]), sure=0.0, perhaps=0.0)
    return train(examples, PARTS), joint, odds


def fine_tuned(base: str, examples: Examples, seed: int) -> DangerReader:
    """A reader on a BERT by the name of `begin_reader`, after EPOCHS of binary cross-entropy, in bf16 where hardware
    computes in it, on a GPU where there is one. Ordinary messages count as much as lines: at a fifth of it twice as
    many others were taken for danger. Vectors of tokens stay as they are. Raises as `begin_reader`."""
    torch.manual_seed(seed)
    draw = random.Random(seed)
    gpu = torch.cuda.is_available()
    device = torch.device("cuda" if gpu else "cpu")
    bf16 = gpu or bool(torch.cpu.get_capabilities().get("avx512_bf16"))
    model = begin_reader(base).to(device).train()
    model.bert.embeddings.requires_grad_(False)
    learnt = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for _, weight in learnt if weight.ndim >= 2], "weight_decay": WEIGHT_DECAY},
        {"params": [weight for _, weight in learnt if weight.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE)
    steps = EPOCHS * -(-len(examples.texts) // BATCH)
    pace = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rise_and_fall(step, steps))
    with tqdm(total=steps, desc="reader", disable=None) as bar:
        for _ in range(EPOCHS):
            for batch in batches(examples.texts, draw):
                danger = torch.tensor(examples.danger[batch].astype(np.float32), device=device)
                with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                    odds = model([examples.texts[place] for place in batch])
                loss = functional.binary_cross_entropy_with_logits(odds.float(), danger)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_([weight for _, weight in learnt], 1.0)
                optimizer.step()
                pace.step()
                bar.update()
    return model.cpu().eval()


def save_reader(model: DangerReader, base: str, folder: Path) -> None:
    """Writes what training changed, whole or not at all. `base`: the name it was begun with."""
    before = begin_reader(origin(base)).bert.state_dict()
    save_delta(folder, origin(base), before, model.state())


def batches(texts: Sequence[str], draw: random.Random) -> list[list[int]]:
    """All places of texts, in batches of like length and random order."""
    order = draw.sample(range(len(texts)), len(texts))
    made = []
    for start in range(0, len(order), BATCH * ALIKE):
        part = sorted(order[start : start + BATCH * ALIKE], key=lambda place: len(texts[place]))
        made += [part[i : i + BATCH] for i in range(0, len(part), BATCH)]
    return draw.sample(made, len(made))
