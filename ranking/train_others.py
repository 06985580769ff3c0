"""Training rankers and retrievers of other kinds than ours, where they are named as the base: any cross-encoder with
one output, any SentenceTransformer that is no BERT. sentence-transformers' trainers and losses do it, and write a model
of the same kind.
"""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datasets import Dataset
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
from sentence_transformers.sentence_transformer import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from ranking.data import DIALOG_SHARE, Pair, rated_pairs
from ranking.dialog_encoder import MESSAGE_TOKENS
from ranking.pretrained import ModelError, loading
from ranking.text import CUT_SIDE, PAIR_TOKENS, as_pair
from ranking.training import Deadline, end, go_on, options
from storage.corpora import CorpusDialog, CorpusError, RatedReply

SAFE = {"use_safetensors": True}
"""No pickles are read."""


class WithoutCard:
    """Keeps words of people out of the card that the library writes: it would show some of what was learnt from."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Nothing is gathered for the card."""


class PairTrainer(WithoutCard, CrossEncoderTrainer):
    """For cross-encoders."""


class TextTrainer(WithoutCard, SentenceTransformerTrainer):
    """For bi-encoders."""


def train_cross_encoder(
    base: str, votes: Sequence[Pair], out: Path, epochs: float, batch: int, rate: float, minutes: float, seed: int
) -> dict[str, Any]:
    """Trains a cross-encoder of pairs on rated replies, by binary cross-entropy, and writes it. Returns the facts.
    Raises CorpusError when there is nothing to learn, and ModelError when the base cannot be loaded."""
    taken = by_weight(votes, seed)
    if not taken:
        raise CorpusError("Nothing to train on: no votes of the train split were found.")
    with loading(f"The base {base}"):
        model = CrossEncoder(base, max_length=PAIR_TOKENS, trust_remote_code=False, model_kwargs=SAFE)
    if model.num_labels != 1:
        raise ModelError(f"{base} has {model.num_labels} outputs: a ranker has one.")
    model.tokenizer.truncation_side = CUT_SIDE
    pairs = [as_pair(vote.context, vote.reply) for vote in taken]
    data = {
        "context": [context for context, _ in pairs],
        "reply": [reply for _, reply in pairs],
        "label": [float(vote.liked) for vote in taken],
    }
    steps = max(1, round(epochs * len(taken) / batch))
    trainer = PairTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(**options(out, steps, batch, seed), **pace(rate)),
        train_dataset=Dataset.from_dict(data),
        loss=BinaryCrossEntropyLoss(model),
        callbacks=[Deadline(minutes)],
    )
    facts = {"trainer": CrossEncoderTrainer.__name__, "votes": counts([vote.source for vote in taken])}
    return finish(trainer, model, out, steps, facts)


def train_bi_encoder(
    base: str,
    dialogs: Sequence[CorpusDialog],
    rated: Sequence[RatedReply],
    out: Path,
    epochs: float,
    batch: int,
    rate: float,
    minutes: float,
    seed: int,
) -> dict[str, Any]:
    """Trains a bi-encoder to tell the next message of dialogs, and replies that were liked, from those of others in the
    batch (Henderson et al. 2017, arXiv 1705.00652), and writes it. Returns and raises as `train_cross_encoder`."""
    liked = [vote for vote in rated_pairs(rated, seed) if vote.liked]
    replies = [(vote.context.last, vote.reply, vote.source) for vote in by_weight(liked, seed)]
    pairs = [*next_messages(dialogs, seed), *replies]
    if not pairs:
        raise CorpusError("Nothing to train on: name dialogs with --data.")
    with loading(f"The base {base}"):
        model = SentenceTransformer(base, trust_remote_code=False, model_kwargs=SAFE)
    model.max_seq_length = MESSAGE_TOKENS
    data = {"message": [message for message, _, _ in pairs], "reply": [reply for _, reply, _ in pairs]}
    steps = max(1, round(epochs * len(pairs) / batch))
    arguments = options(out, steps, batch, seed) | pace(rate) | {"batch_sampler": "no_duplicates"}
    trainer = TextTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(**arguments),
        train_dataset=Dataset.from_dict(data),
        loss=MultipleNegativesRankingLoss(model),
        callbacks=[Deadline(minutes)],
    )
    facts = {"trainer": SentenceTransformerTrainer.__name__, "replies": counts([source for _, _, source in pairs])}
    return finish(trainer, model, out, steps, facts)


def by_weight(votes: Sequence[Pair], seed: int) -> list[Pair]:
    """Those that weigh one or more, and each other one with that probability: the library's losses know no weights."""
    draw = random.Random(seed)
    return [vote for vote in votes if draw.random() < vote.weight]


def next_messages(dialogs: Sequence[CorpusDialog], seed: int) -> list[tuple[str, str, str]]:
    """Each message with the next one, and the source of its dialog; dialogs of each source at its share."""
    draw = random.Random(seed)
    found = []
    for dialog in dialogs:
        share = DIALOG_SHARE.get(dialog.source, 1.0)
        texts = [message.text for message in dialog.messages] * (int(share) + (draw.random() < share % 1) > 0)
        found += [(texts[i], texts[i + 1], dialog.source) for i in range(len(texts) - 1)]
    return found


def pace(rate: float) -> dict[str, Any]:
    """The learning rate: up over 5 % of the steps, then down in a line."""
    return {"learning_rate": rate, "warmup_steps": 0.05, "lr_scheduler_type": "linear"}


def counts(sources: Sequence[str]) -> dict[str, int]:
    """How many there are of each."""
    return {source: sources.count(source) for source in sorted(set(sources))}


def finish(trainer: Any, model: Any, out: Path, steps: int, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Runs a trainer, on from its last checkpoint, and writes the model. Returns the facts."""
    go_on(trainer, out)
    model.save_pretrained(str(out), create_model_card=False)
    end(out, trainer.state.global_step >= steps)
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": f"{trainer.state.global_step} of {steps}",
        **facts,
        "loss": [round(row["loss"], 4) for row in trainer.state.log_history if "loss" in row][-1:],
    }
