"""Training the ranker: `kith train ranker --data DIALOGS --votes RATINGS --out FOLDER`.

A cross-encoder on the packaged BERT first learns what belongs to what (choices: softmax over the true reply and wrong
ones), then what people like, the two mixed (rated replies: binary cross-entropy). Each source of ratings has a bias of
its own, since annotators' marks are not thumbs; at the end the log-odds are scaled to be right for `calibrated_on` on
dialogs that were kept out. transformers' Trainer runs it: progress, checkpoints, resuming after a kill.
"""

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.nn import functional
from transformers import AutoModel, Trainer, set_seed
from transformers.trainer_utils import get_last_checkpoint

from ranking.cross_encoder import CrossEncoder, load_cross_encoder
from ranking.data import Choice, Pair, choices, for_calibration, pool_choices, positions, rated_pairs
from ranking.delta import origin, save_delta, save_facts
from ranking.encoders import load_encoder
from ranking.pool import curated
from ranking.pretrained import ModelError
from ranking.ranker import log_odds
from ranking.training import Deadline, arguments, rise_and_fall
from ranking.vectors import Encoder
from storage.corpora import CorpusError, RatedReply, read_dialogs, read_ratings
from storage.dialog import Context

VOTES = 20
"""Rated replies in a step that has them."""


@dataclass(frozen=True, slots=True)
class RankerTraining:
    """What a run is made of."""

    dialogs: tuple[Path, ...]
    votes: tuple[Path, ...]
    out: Path
    base: str = ""
    """A BERT by folder or hub id ("": the packaged one), or the folder of a ranker or retriever to train onward."""
    retriever: str = ""
    """The bi-encoder whose relevance the ranker adds, and which finds wrong replies that are near."""
    positions: int = 16_000
    pool_replies: int = 2_000
    epochs: float = 1.0
    batch: int = 8
    """Choices a step, of five replies each; half of it in the steps that also have VOTES."""
    votes_from: float = 0.6
    """Share of the choices that is learnt before votes come in."""
    learning_rate: float = 5e-5
    mix_rate: float = 1e-2
    """For what likeness and relevance count, which begins as tens, and for the biases of the sources."""
    calibrated_on: str = "convai2017"
    minutes: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """What one step of training sees."""

    choices: tuple[Choice, ...]
    votes: tuple[Pair, ...] = ()


class LikelyLiked(nn.Module):
    """The cross-encoder with its losses, and a bias for each source of ratings."""

    def __init__(self, model: CrossEncoder, encoder: Encoder, sources: Sequence[str]) -> None:
        super().__init__()
        self.model, self.encoder = model, encoder
        self.places = {source: place for place, source in enumerate(sources)}
        self.biases = nn.Parameter(torch.zeros(max(1, len(sources))))

    def forward(self, steps: list[Step]) -> dict[str, torch.Tensor]:
        """The mean loss of the choices plus that of the votes."""
        asked = [choice for step in steps for choice in step.choices]
        votes = [vote for step in steps for vote in step.votes]
        batch: list[tuple[Context, Sequence[str]]] = [(choice.context, choice.replies) for choice in asked]
        batch += [(vote.context, [vote.reply]) for vote in votes]
        logits = log_odds(self.model, self.encoder, batch)
        losses, start = [], 0
        for choice in asked:
            losses.append(-functional.log_softmax(logits[start : start + len(choice.replies)], dim=0)[0])
            start += len(choice.replies)
        loss = torch.stack(losses).mean() if losses else logits.sum() * 0
        if votes:
            biases = self.biases[[self.places[vote.source] for vote in votes]]
            liked = torch.tensor([float(vote.liked) for vote in votes], device=logits.device)
            loss = loss + functional.binary_cross_entropy_with_logits(logits[start:] + biases, liked)
        return {"loss": loss}


class InOrder(Trainer):
    """A Trainer that takes the steps as they are laid out."""

    def _get_train_sampler(self, *_: Any) -> torch.utils.data.Sampler[int]:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def train_ranker(run: RankerTraining) -> dict[str, Any]:
    """Trains and writes what changed with `training.json`, the arguments and counts. Returns those facts. Raises
    CorpusError on unreadable data and when there is none, ModelError when base or retriever cannot be loaded."""
    started = time.monotonic()
    set_seed(run.seed)
    encoder = load_encoder(run.retriever)
    asked, ratings = training_data(run, encoder)
    pairs = rated_pairs([r for r in ratings if not for_calibration(r)], run.seed)
    steps = laid_out(asked, pairs, run)
    if not steps:
        raise CorpusError("Nothing to train on: neither dialogs nor votes of the train split were found.")
    try:
        model = load_cross_encoder(run.base, new=True)
    except ModelError:
        raise
    except Exception as error:  # as for any model
        raise ModelError(f"The base {run.base} cannot be loaded: {error}") from error
    for parameter in model.model.base_model.embeddings.parameters():
        parameter.requires_grad = False
    learner = LikelyLiked(model, encoder, sorted({pair.source for pair in pairs}))
    fast = [learner.biases] if model.mix is None else [learner.biases, model.mix]
    slow = [p for p in model.model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": slow}, {"params": fast, "lr": run.mix_rate, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=run.learning_rate, weight_decay=0.01)
    checkpoints = run.out / "checkpoints"
    trainer = InOrder(
        model=learner,
        args=arguments(checkpoints, len(steps), 1, run.seed),
        train_dataset=steps,
        data_collator=lambda items: {"steps": items},
        optimizers=(
            optimizer,
            torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rise_and_fall(step, len(steps))),
        ),
        callbacks=[Deadline(run.minutes)],
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
    model.cpu().eval()
    calibration = calibrate(
        model, encoder, [r for r in ratings if for_calibration(r) and r.source == run.calibrated_on]
    )
    seen = steps[: trainer.state.global_step]
    facts = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "retriever": encoder.version,
        "steps": f"{trainer.state.global_step} of {len(steps)}",
        "choices": dict(sorted(Counter(choice.source for step in seen for choice in step.choices).items())),
        "votes": dict(sorted(Counter(vote.source for step in seen for vote in step.votes).items())),
        "loss": [round(row["loss"], 4) for row in trainer.state.log_history if "loss" in row][-1:],
        "calibration": calibration,
        "seconds": round(time.monotonic() - started),
        "torch": torch.__version__,
    }
    save(run, model, facts)
    return facts


def training_data(run: RankerTraining, encoder: Encoder) -> tuple[list[Choice], list[RatedReply]]:
    """Choices out of dialogs of the train split and out of the pool, and the rated replies of the train split. A dialog
    that one file holds back and another does not is held back; one that is kept for calibration gives no choices."""
    dialogs = [d for path in run.dialogs for d in read_dialogs(path)]
    ratings = [r for path in run.votes for r in read_ratings(path)]
    held = {d.id for d in dialogs if d.split != "train"} | {r.dialog_id for r in ratings if r.split != "train"}
    rated = [r for r in ratings if r.dialog_id not in held]
    held |= {r.dialog_id for r in rated if for_calibration(r)}
    places = positions([d for d in dialogs if d.id not in held], run.positions, run.seed)
    made = choices(places, encoder, run.seed) if places else []
    return [*made, *pool_choices(curated(), run.pool_replies, run.seed)], rated


def laid_out(asked: Sequence[Choice], votes: Sequence[Pair], run: RankerTraining) -> list[Step]:
    """The steps: choices alone at first, then the rest of them beside votes; whichever is shorter comes round again."""
    draw = np.random.default_rng(run.seed)
    rounds = [draw.permutation(len(asked)) for _ in range(math.ceil(run.epochs))]
    order = [asked[i] for once in rounds for i in once][: round(len(asked) * run.epochs)]
    alone = round(len(order) * run.votes_from) if votes else len(order)
    steps = [Step(tuple(order[i : min(i + run.batch, alone)])) for i in range(0, alone, run.batch)]
    half = max(1, run.batch // 2)
    mixed = [tuple(order[i : i + half]) for i in range(alone, len(order), half)] or [()]
    rated = [tuple(votes[i : i + VOTES]) for i in range(0, len(votes), VOTES)]
    both = max(len(mixed), len(rated)) if rated else 0
    return steps + [Step(mixed[i % len(mixed)], rated[i % len(rated)]) for i in range(both)]


@torch.inference_mode()
def calibrate(model: CrossEncoder, encoder: Encoder, ratings: Sequence[RatedReply]) -> dict[str, float]:
    """Scales and shifts the last layer so that the log-odds fit ratings that were not trained on (Platt 1999). Leaves
    it alone when there are fewer than 50, when they are of one kind only, and when they would turn the order round."""
    liked = [rating.liked for rating in ratings]
    if len(liked) < 50 or len(set(liked)) < 2:
        return {}
    logits = log_odds(model, encoder, [(Context(r.messages), [r.reply]) for r in ratings]).numpy().reshape(-1, 1)
    fit = LogisticRegression(C=1e6).fit(logits, liked)
    slope, shift = float(fit.coef_[0, 0]), float(fit.intercept_[0])
    if slope <= 0:  # it learnt nothing of these votes, and must not be turned round by them
        return {"replies": float(len(liked)), "slope": slope}
    model.rescale(slope, shift)
    return {"replies": float(len(liked)), "slope": round(slope, 4), "shift": round(shift, 4)}


def save(run: RankerTraining, model: CrossEncoder, facts: dict[str, Any]) -> None:
    """Writes the change from the base that the run, or the run that it goes on from, began with, and the facts. What
    the base lacks (some BERTs have no pooler) is random in each process, so it counts as new."""
    base = origin(run.base)
    known, report = AutoModel.from_pretrained(
        base, dtype=torch.float32, output_loading_info=True, use_safetensors=True, trust_remote_code=False
    )
    before = {name: value for name, value in known.state_dict().items() if name not in report["missing_keys"]}
    save_delta(run.out, base, before, model.state())
    settings = {k: [p.name for p in v] if isinstance(v, tuple) else v for k, v in asdict(run).items() if k != "out"}
    settings |= {"base": Path(run.base).name, "retriever": Path(run.retriever).name}
    save_facts(run.out, {"settings": settings, **facts})
