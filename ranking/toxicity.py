"""Toxicity: the probability that a reply is nothing a friend says: an insult, contempt, a threat, sexual, hate, or a
push towards harm. A scorer; the policy has a veto on it.

A logistic regression on the retriever's vector of the reply and on its words and letters, fitted in seconds to lines
that we wrote (unfit_lines.toml) and to the pool's replies, which are fine. Weights for the shipped retriever are in
starter/; for another one they are fitted at the first start. A text classifier of a hub may take its place.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ranking.lines import read_lines
from ranking.listener import replies
from ranking.ngrams import hashed
from ranking.pool import curated
from ranking.pretrained import ModelError
from ranking.vector_files import write_table
from ranking.vectors import Encoder, Vectors
from storage.dialog import Candidate, Context

STARTER = Path(__file__).parent / "starter" / "toxicity.safetensors"
LINES = Path(__file__).parent / "unfit_lines.toml"

BUCKETS = 1 << 14
"""Numbers that words, pairs of words and runs of 3 to 5 letters are hashed to."""

PENALTY = 10.0
"""C of the regression. On the test lines 3 to 30 differ by less than their intervals."""

LINE_WEIGHT, POOL_WEIGHT = 3.0, 1.0
"""What a line counts in fitting, and what a reply of the pool does, of which there are three times as many."""

HARMLESS = ("safe", "neutral", "non", "not", "no_", "normal", "ok", "clean", "label_0", "harmless", "fine")
"""What the names of a hub classifier's labels begin with that speak for a text."""

Batch = Sequence[tuple[Context, Sequence[Candidate]]]

log = logging.getLogger(__name__)


class Toxicity:
    """Scores candidates by P(unfit). `weights` has shape (width + BUCKETS + 1,), the intercept last."""

    def __init__(self, encoder: Encoder, weights: Vectors, version: str = "") -> None:
        self.encoder, self.weights, self.version = encoder, weights, version

    def score(self, batch: Batch) -> list[list[float]]:
        """For each candidate of each context, the probability that it is unfit."""
        found = iter(self.probabilities([c.text for _, candidates in batch for c in candidates]))
        return [[float(next(found)) for _ in candidates] for _, candidates in batch]

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Shape (texts,)."""
        width = self.encoder.width
        by_vector = self.encoder.encode(texts) @ self.weights[:width]
        by_words = np.array(
            [self.weights[width + grams].sum() * scale(grams) for grams in (hashed(text, BUCKETS) for text in texts)]
        )
        odds = by_vector + by_words + self.weights[-1]
        found: NDArray[np.float64] = 1 / (1 + np.exp(-odds.astype(np.float64)))
        return found

    def save(self, file: Path) -> None:
        """Writes the weights, whole or not at all."""
        facts = {"retriever": self.encoder.version, "version": self.version}
        write_table(file, {"weights": self.weights.astype(np.float16)}, facts)


class HubToxicity:
    """The same by a text classifier out of a folder or hub: the largest probability of a label that is not harmless."""

    def __init__(self, name: str) -> None:
        """Raises ModelError when it cannot be loaded, or when none or all of its labels are harmless."""
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        try:
            self.tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
            self.model = AutoModelForSequenceClassification.from_pretrained(
                name, use_safetensors=True, trust_remote_code=False
            ).eval()
        except Exception as error:  # a broken folder makes the libraries raise all kinds, the tokenizers plain ones
            raise ModelError(f"The safety model {name} cannot be loaded: {error}") from error
        labels = self.model.config.id2label
        self.version = Path(name).name
        self.bad = [number for number, label in labels.items() if not str(label).lower().startswith(HARMLESS)]
        if not self.bad or (len(self.bad) == len(labels) and not self._independent):
            raise ModelError(
                f"The safety model {name} has the labels {', '.join(labels.values())}: which are harmless?"
            )

    @property
    def _independent(self) -> bool:
        return bool(self.model.config.problem_type == "multi_label_classification" or self.model.config.num_labels == 1)

    @torch.inference_mode()
    def score(self, batch: Batch) -> list[list[float]]:
        """For each candidate of each context, the probability that it is unfit."""
        texts = [c.text for _, candidates in batch for c in candidates]
        if not texts:
            return [[] for _ in batch]
        read: Any = self.tokenizer(texts, padding=True, truncation=True, max_length=256, return_tensors="pt")
        logits = self.model(**read).logits.float()
        each = logits.sigmoid() if self._independent else logits.softmax(-1)
        found = iter(each[:, self.bad].amax(1).tolist())
        return [[next(found) for _ in candidates] for _, candidates in batch]


def load_toxicity(encoder: Encoder, own: Path) -> Toxicity:
    """The shipped weights when they are of this retriever, else those in `own`, which are made first where they are not
    there or of yet another one."""
    for file in (STARTER, own):
        try:
            with safe_open(file, framework="numpy") as stored:
                facts = stored.metadata() or {}
                weights = stored.get_tensor("weights").astype(np.float32)
        except (OSError, SafetensorError):
            continue
        if facts.get("retriever") == encoder.version and len(weights) == encoder.width + BUCKETS + 1:
            return Toxicity(encoder, weights, facts.get("version", ""))
    log.info("the toxicity check is fitted to the retriever %s", encoder.version)
    made = fit_toxicity(encoder)
    made.save(own)
    return made


def fit_toxicity(encoder: Encoder) -> Toxicity:
    """Weights for a retriever's vectors. Seconds, if those of the pool are known."""
    from scipy.sparse import csr_matrix, hstack
    from sklearn.linear_model import LogisticRegression

    lines = read_lines(LINES)
    pool = [*(entry.reply for entry in curated()), *(text for tone in replies().values() for text in tone)]
    texts = [*(line.text for line in lines), *pool]
    unfit = np.array([*(not line.fine for line in lines), *(False for _ in pool)])
    weight = np.where(np.arange(len(texts)) < len(lines), LINE_WEIGHT, POOL_WEIGHT)
    found = [hashed(text, BUCKETS) for text in texts]
    rows = np.repeat(np.arange(len(texts)), [len(each) for each in found])
    values = np.concatenate([np.full(len(each), scale(each)) for each in found])
    words = csr_matrix((values, (rows, np.concatenate(found))), (len(texts), BUCKETS))
    read = hstack([csr_matrix(encoder.encode(texts)), words]).tocsr()
    fitted = LogisticRegression(C=PENALTY, max_iter=3000).fit(read, unfit, sample_weight=weight)
    weights = np.append(fitted.coef_[0], fitted.intercept_[0]).astype(np.float16).astype(np.float32)
    return Toxicity(encoder, weights, f"{len(lines)} lines, {len(pool)} replies of the pool")


def scale(found: NDArray[np.intp]) -> float:
    """What each of a text's buckets counts, so that all texts have the same length."""
    return float(max(1, len(found)) ** -0.5)
