"""Training the ranker: `kith train ranker --data DIALOGS --votes RATINGS --out FOLDER`.

First what belongs to what: a network on the retriever's vectors learns from dialogs to expect the reply
(ranking/expected.py). Then what people like: the packaged BERT, or one that was trained on dialogs, reads context and
reply together and learns from rated replies by binary cross-entropy. Each kind of votes has a head of its own, since
annotators' marks are not thumbs; at the end each head's log-odds are scaled to be right on dialogs that were kept out.
transformers' Trainer runs it: progress, checkpoints, resuming after a kill.
"""

import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional
from transformers import BertModel, Trainer, set_seed

from ranking.cross_encoder import CrossEncoder, begin_cross_encoder, reads_pairs
from ranking.data import Pair, for_calibration, head_of, rated_pairs
from ranking.delta import origin, save_delta, save_facts
from ranking.encoders import load_encoder
from ranking.expected import fit_expected
from ranking.pretrained import loading
from ranking.ranker import log_odds, seen_by
from ranking.training import Deadline, arguments, end, go_on, rise_and_fall
from ranking.vectors import Encoder
from storage.corpora import CorpusDialog, CorpusError, RatedReply, read_dialogs, read_ratings
from storage.dialog import Context, Message

ALIKE = 16
"""Batches whose pairs are sorted by length together, so that little of the work is padding."""
FEWEST = 50
"""Kept-out ratings of a head, for its log-odds to be scaled by them."""


@dataclass(frozen=True, slots=True)
class RankerTraining:
    """What a run is made of."""

    dialogs: tuple[Path, ...]
    """Those that the expected replies are learnt from; none: they stay those of `base`, or of the retriever."""
    votes: tuple[Path, ...]
    out: Path
    base: str = ""
    """A BERT by folder or hub id ("": the packaged one), or the folder of a ranker or retriever to train onward. Any
    other cross-encoder with one output is trained as it is (ranking/train_others.py)."""
    retriever: str = ""
    """The bi-encoder on whose vectors the ranker stands."""
    epochs: float = 2.0
    batch: int = 64
    """Rated replies in a step, those to one context together: that is read once for all of them."""
    learning_rate: float = 8e-5
    head_rate: float = 1e-3
    minutes: float = 0.0
    seed: int = 0


class LikelyLiked(nn.Module):
    """The cross-encoder with its loss."""

    def __init__(self, model: CrossEncoder, encoder: Encoder) -> None:
        super().__init__()
        self.model, self.encoder = model, encoder

    def forward(self, steps: list[tuple[Pair, ...]]) -> dict[str, torch.Tensor]:
        """The mean loss of rated replies, each by the head of its votes and times its weight."""
        groups = by_context([vote for step in steps for vote in step])
        votes = [vote for group in groups for vote in group]
        asked = [(group[0].context, [vote.reply for vote in group]) for group in groups]
        logits = log_odds(self.model, self.encoder, asked)
        columns = torch.tensor([self.model.column(head_of(vote.source)) for vote in votes], device=logits.device)
        liked = torch.tensor([float(vote.liked) for vote in votes], device=logits.device)
        weights = torch.tensor([vote.weight for vote in votes], device=logits.device)
        own = logits.gather(1, columns[:, None]).squeeze(1)
        return {"loss": functional.binary_cross_entropy_with_logits(own, liked, weights)}


class InOrder(Trainer):
    """A Trainer that takes the steps as they are laid out."""

    def _get_train_sampler(self, *_: Any) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def train_ranker(run: RankerTraining, log: Sequence[RatedReply] = ()) -> dict[str, Any]:
    """Trains and writes what changed with `training.json`, the arguments and counts. Returns those facts. `log`: rated
    replies besides those of the files. Raises CorpusError on unreadable data and when there is none, ModelError when
    base or retriever cannot be loaded."""
    started = time.monotonic()
    set_seed(run.seed)
    encoder = load_encoder(run.retriever)
    dialogs, ratings = training_data(run, log)
    with loading(f"The base {run.base}"):
        other = reads_pairs(run.base)
    if other:
        return train_other(run, ratings, started)
    pairs = rated_pairs([r for r in ratings if not for_calibration(r)], run.seed)
    steps = laid_out(pairs, run)
    if not steps:
        raise CorpusError("Nothing to train on: no votes of the train split were found.")
    with loading(f"The base {run.base}"):
        model = begin_cross_encoder(run.base, sorted({head_of(pair.source) for pair in pairs}))
    expected = fit_expected(encoder, dialogs, model.expected, echo_weight=0, seed=run.seed)
    model.expected = expected or model.expected
    encoder = seen_by(model, encoder)
    seen = steps[: learn(model, encoder, steps, run)]
    calibration = {
        head: calibrate(model, encoder, [r for r in ratings if for_calibration(r) and head_of(r.source) == head], head)
        for head in model.heads
    }
    facts = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "retriever": encoder.version,
        "expected": "fitted" if expected is not None else "as before",
        "steps": f"{len(seen)} of {len(steps)}",
        "votes": dict(sorted(Counter(vote.source for step in seen for vote in step).items())),
        "calibration": calibration,
        "seconds": round(time.monotonic() - started),
        "torch": torch.__version__,
    }
    save(run, model, facts)
    end(run.out, len(seen) == len(steps))
    return facts


def train_other(run: RankerTraining, ratings: Sequence[RatedReply], started: float) -> dict[str, Any]:
    """The same for a cross-encoder of others, which is trained as one and has one number for all kinds of votes."""
    from ranking.train_others import train_cross_encoder

    votes = rated_pairs(ratings, run.seed)
    rest = (run.out, run.epochs, run.batch, run.learning_rate, run.minutes, run.seed)
    facts = train_cross_encoder(run.base, votes, *rest)
    facts |= {"seconds": round(time.monotonic() - started), "torch": torch.__version__}
    save_facts(run.out, {"settings": settings_of(run), **facts})
    return facts


def learn(model: CrossEncoder, encoder: Encoder, steps: Sequence[tuple[Pair, ...]], run: RankerTraining) -> int:
    """Trains everything but the embeddings and the expected replies. Returns how many of the steps were taken, those
    of an earlier start with them."""
    for frozen in (model.bert.embeddings, model.expected):
        for parameter in frozen.parameters() if frozen is not None else ():
            parameter.requires_grad = False
    slow = [p for p in model.bert.parameters() if p.requires_grad]
    fast = [*model.read.parameters(), *model.heads.parameters()]
    groups: list[dict[str, Any]] = [{"params": slow}, {"params": fast, "lr": run.head_rate}]
    optimizer = torch.optim.AdamW(groups, lr=run.learning_rate, weight_decay=0.01)
    pace = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rise_and_fall(step, len(steps)))
    trainer = InOrder(
        model=LikelyLiked(model, encoder),
        args=arguments(run.out, len(steps), 1, run.seed),
        train_dataset=steps,
        data_collator=lambda items: {"steps": items},
        optimizers=(optimizer, pace),
        callbacks=[Deadline(run.minutes)],
    )
    go_on(trainer, run.out)
    model.cpu().eval()
    return int(trainer.state.global_step)


def training_data(run: RankerTraining, log: Sequence[RatedReply] = ()) -> tuple[list[CorpusDialog], list[RatedReply]]:
    """Dialogs and rated replies of the train split. A dialog that one file holds back and another does not is held
    back; one that is kept for calibration is not learnt from."""
    dialogs = [d for path in run.dialogs for d in read_dialogs(path)]
    ratings = [*log, *(r for path in run.votes for r in read_ratings(path))]
    held = {d.id for d in dialogs if d.split != "train"} | {r.dialog_id for r in ratings if r.split != "train"}
    rated = [r for r in ratings if r.dialog_id not in held]
    held |= {r.dialog_id for r in rated if for_calibration(r)}
    return [d for d in dialogs if d.id not in held and d.lang in ("", "en")], rated


def laid_out(votes: Sequence[Pair], run: RankerTraining) -> list[tuple[Pair, ...]]:
    """The steps: replies to one context together, contexts of like length beside each other, in random order, as often
    as the run has epochs."""
    draw = random.Random(run.seed)
    steps: list[tuple[Pair, ...]] = []
    size = run.batch * ALIKE
    for _ in range(math.ceil(run.epochs)):
        groups = by_context(votes)
        order = [vote for group in draw.sample(groups, len(groups)) for vote in group]
        parts = [by_context(order[i : i + size]) for i in range(0, len(order), size)]
        sorted_parts = [[vote for group in sorted(part, key=length) for vote in group] for part in parts]
        batches = [tuple(part[i : i + run.batch]) for part in sorted_parts for i in range(0, len(part), run.batch)]
        steps += draw.sample(batches, len(batches))
    return steps[: round(len(steps) * run.epochs / max(1, math.ceil(run.epochs)))]


def by_context(votes: Sequence[Pair]) -> list[list[Pair]]:
    """Those of each context together."""
    groups: dict[Context, list[Pair]] = {}
    for vote in votes:
        groups.setdefault(vote.context, []).append(vote)
    return list(groups.values())


def length(group: Sequence[Pair]) -> int:
    """Characters that are about to be read."""
    return sum(len(m.text) for m in group[0].context.messages) + sum(len(vote.reply) for vote in group)


@torch.inference_mode()
def calibrate(model: CrossEncoder, encoder: Encoder, ratings: Sequence[RatedReply], head: str) -> dict[str, float]:
    """Scales and shifts a head so that its log-odds fit ratings that were not trained on (Platt 1999), those that
    somebody gave. Leaves it alone when there are fewer than FEWEST, when they are of one kind only, and when they would
    turn the order round."""
    at: dict[tuple[Message, ...], list[RatedReply]] = {}  # what stands at one place is read with its context read once
    for rating in ratings:
        if not rating.implicit:
            at.setdefault(rating.messages, []).append(rating)
    ratings = [rating for rated in at.values() for rating in rated]
    liked = [rating.liked for rating in ratings]
    if len(liked) < FEWEST or len(set(liked)) < 2:
        return {}
    batch = [(Context(messages), [rating.reply for rating in rated]) for messages, rated in at.items()]
    logits = log_odds(model, encoder, batch)[:, model.column(head)]
    weights = [rating.weight for rating in ratings]
    fit = LogisticRegression(C=1e6).fit(logits.numpy().reshape(-1, 1), liked, weights)
    slope, shift = float(fit.coef_[0, 0]), float(fit.intercept_[0])
    if slope <= 0:  # it learnt nothing of these votes, and must not be turned round by them
        return {"replies": float(len(liked)), "slope": slope}
    model.rescale(head, slope, shift)
    return {"replies": float(len(liked)), "slope": round(slope, 4), "shift": round(shift, 4)}


def save(run: RankerTraining, model: CrossEncoder, facts: dict[str, Any]) -> None:
    """Writes the change from the base that the run, or the run that it goes on from, began with, and the facts."""
    base = origin(run.base)
    bert = BertModel.from_pretrained(base, add_pooling_layer=False, dtype=torch.float32, use_safetensors=True)
    save_delta(run.out, base, bert.state_dict(), model.state())
    save_facts(run.out, {"settings": settings_of(run), **facts})


def settings_of(run: RankerTraining) -> dict[str, Any]:
    """Of a run, without places of this machine."""
    settings = {k: [p.name for p in v] if isinstance(v, tuple) else v for k, v in asdict(run).items() if k != "out"}
    return settings | {"base": Path(run.base).name, "retriever": Path(run.retriever).name}
