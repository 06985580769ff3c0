"""Training the retriever: `kith train retriever --data DIALOGS --votes RATINGS --out FOLDER`.

The dialog encoder learns to tell the next message from the messages of other dialogs in the batch. This is in-batch
softmax (Henderson et al. 2017, arXiv 1705.00652). transformers' Trainer runs it: progress, checkpoints, resuming after
a kill. Then, on the vectors as they are, what a reply should be near to is fitted to the dialogs, and likeness and
listening to the curated pool and to votes, which takes some minutes.
"""

import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import BertModel, Trainer, set_seed

from ranking.data import DIALOG_SHARE
from ranking.delta import origin, save_delta, save_facts
from ranking.dialog_encoder import LAGS, DialogEncoder, is_bert, load_dialog_encoder
from ranking.encoders import encoder_of
from ranking.expected import fit_expected
from ranking.likeness import fit_likeness
from ranking.listener import fit_listening
from ranking.pool import curated, kept_out, normal
from ranking.pool_index import build_index
from ranking.pretrained import loading
from ranking.training import Deadline, arguments, end, go_on, rise_and_fall
from storage.corpora import CorpusDialog, CorpusError, RatedReply, read_dialogs, read_ratings

STRETCH = 16
"""Longest run of messages of one dialog in a batch; the rest of a long dialog is a run of its own."""


@dataclass(frozen=True, slots=True)
class RetrieverTraining:
    """What a run is made of."""

    data: tuple[Path, ...]
    out: Path
    votes: tuple[Path, ...] = ()
    """Rated replies, of which those of the curated pool tell what is alike."""
    base: str = ""
    """A BERT by folder or hub id ("": the packaged MiniLM), or the folder of a retriever to train onward. A
    SentenceTransformer that is no BERT is trained as it is (ranking/train_others.py)."""
    epochs: float = 1.0
    """0 leaves the vectors as they are, and fits to them."""
    batch: int = 24
    """Runs of messages a step; all their messages are candidates. Of other models: messages with their replies."""
    learning_rate: float = 5e-5
    lag_rate: float = 3e-3
    minutes: float = 0.0
    seed: int = 0


class NextMessage(nn.Module):
    """The encoder with its loss."""

    def __init__(self, encoder: DialogEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.log_scale = nn.Parameter(torch.tensor(3.0))

    def forward(
        self, texts: list[str], before: torch.Tensor, target: torch.Tensor, key: torch.Tensor, run: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Cross-entropy over the batch's messages. Those that say the same as the true one do not count (`key`), nor
        those of the same dialog (`run`): telling them apart unlearns the topic."""
        vectors = self.encoder(texts)
        scores = self.encoder.contexts(vectors, before) @ vectors.T * self.log_scale.exp()
        unfair = run[target].unsqueeze(1) == run.unsqueeze(0)
        unfair |= key[target].unsqueeze(1) == key.unsqueeze(0)
        unfair[torch.arange(len(target)), target] = False
        return {"loss": functional.cross_entropy(scores.masked_fill(unfair, -1e4), target)}


def train_retriever(run: RetrieverTraining, log: Sequence[RatedReply] = ()) -> dict[str, Any]:
    """Trains and writes what changed with `training.json`. Returns its facts. `log`: rated replies besides those of the
    files. Raises CorpusError on unreadable data and when there is none, ModelError when the base cannot be loaded."""
    started = time.monotonic()
    set_seed(run.seed)
    rated = [*log, *(r for path in run.votes for r in read_ratings(path))]
    held = {r.dialog_id for r in rated if r.split != "train"}
    rated = [r for r in rated if r.dialog_id not in held]
    with loading(f"The base {run.base}"):
        encoder = load_dialog_encoder(run.base) if is_bert(run.base) else None
    if encoder is None:
        return train_other(run, rated, started)
    dialogs = dialogs_of(run) if run.data or run.epochs else []
    trained = train_vectors(encoder, stretches(dialogs, run.seed), run) if run.epochs else {}
    fitted = fit_to_vectors(encoder, dialogs, rated, run.seed)
    base = origin(run.base)
    bert = BertModel.from_pretrained(base, add_pooling_layer=False, dtype=torch.float32, use_safetensors=True)
    save_delta(run.out, base, bert.state_dict(), encoder.state())
    facts = {
        "settings": settings_of(run),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        **trained,
        **fitted,
        "seconds": round(time.monotonic() - started),
        "torch": torch.__version__,
    }
    save_facts(run.out, facts)
    end(run.out, bool(facts.get("finished")))
    return facts


def train_other(run: RetrieverTraining, rated: Sequence[RatedReply], started: float) -> dict[str, Any]:
    """The same for a SentenceTransformer that is no BERT, which is trained as one: on dialogs, where there are any, and
    on what was liked."""
    from ranking.train_others import train_bi_encoder

    if not run.epochs:
        raise CorpusError("A retriever of others learns by its vectors alone: give it --epochs.")
    dialogs = dialogs_of(run) if run.data else []
    rest = (run.out, run.epochs, run.batch, run.learning_rate, run.minutes, run.seed)
    facts = {"settings": settings_of(run), **train_bi_encoder(run.base, dialogs, rated, *rest)}
    facts |= {"seconds": round(time.monotonic() - started), "torch": torch.__version__}
    save_facts(run.out, facts)
    return facts


def settings_of(run: RetrieverTraining) -> dict[str, Any]:
    """Of a run, without places of this machine."""
    kept = {k: v for k, v in asdict(run).items() if k not in ("out", "data", "votes", "base")}
    return kept | {
        "data": [p.name for p in run.data],
        "votes": [p.name for p in run.votes],
        "base": Path(run.base).name,
    }


def dialogs_of(run: RetrieverTraining) -> list[CorpusDialog]:
    """What the vectors are trained on. Raises CorpusError when there is nothing."""
    dialogs = [d for path in run.data for d in read_dialogs(path) if d.split == "train" and d.lang in ("", "en")]
    dialogs = [d for d in dialogs if len(d.messages) > 1]
    if found := [d for d in dialogs if not (d.source == "curated" and kept_out(d.messages[0].text))]:
        return found
    raise CorpusError("No dialogs to train on: none of the files has any of the train split.")


def fit_to_vectors(
    encoder: DialogEncoder, dialogs: Sequence[CorpusDialog], rated: Sequence[RatedReply], seed: int
) -> dict[str, Any]:
    """What needs the vectors as they are now: expected replies where there are dialogs enough, likeness, and listening
    where the votes tell of it. Returns what each was fitted to."""
    encoder.likeness = None
    fresh = encoder_of(encoder, "in training")
    expected = fit_expected(fresh, dialogs, encoder.expected, seed=seed)
    encoder.expected = expected or encoder.expected
    index = build_index(curated(), fresh)
    encoder.likeness = torch.from_numpy(fit_likeness(index, fresh, rated, seed))
    if (listening := fit_listening(fresh, rated)) is not None:
        encoder.listening = torch.from_numpy(listening)
    return {
        "expected": "fitted" if expected is not None else "as before",
        "likeness": {"situations": len(index.contexts_of), "contexts": len(index.texts), "votes": len(rated)},
        "listening": "fitted" if listening is not None else "as before",
    }


def train_vectors(encoder: DialogEncoder, runs: "Sequence[Stretch]", run: RetrieverTraining) -> dict[str, Any]:
    """Trains everything but the embeddings and the likeness. Returns how it went."""
    bert, model = encoder.bert, NextMessage(encoder)
    for parameter in bert.embeddings.parameters():
        parameter.requires_grad = False
    slow = [p for p in bert.parameters() if p.requires_grad]
    fast = [encoder.lags, model.log_scale]
    groups: list[dict[str, Any]] = [{"params": slow}, {"params": fast, "lr": run.lag_rate}]
    optimizer = torch.optim.AdamW(groups, lr=run.learning_rate, weight_decay=0.01)
    steps = max(1, int(run.epochs * len(runs) / run.batch))
    trainer = Trainer(
        model=model,
        args=arguments(run.out, steps, run.batch, run.seed),
        train_dataset=runs,
        data_collator=collate,
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rise_and_fall(step, steps))),
        callbacks=[Deadline(run.minutes)],
    )
    go_on(trainer, run.out)
    encoder.cpu().eval()
    return {
        "steps": f"{trainer.state.global_step} of {steps}",
        "finished": trainer.state.global_step >= steps,
        "messages": dict(sorted(Counter(r.source for r in runs for _ in r.texts).items())),
        "loss": [round(row["loss"], 4) for row in trainer.state.log_history if "loss" in row][-1:],
    }


@dataclass(frozen=True, slots=True)
class Stretch:
    """Messages of one dialog that follow one another."""

    texts: tuple[str, ...]
    source: str


def stretches(dialogs: Sequence[CorpusDialog], seed: int, shares: Mapping[str, float] = DIALOG_SHARE) -> list[Stretch]:
    """Dialogs as runs of at most STRETCH messages in random order, each source at its share."""
    draw = random.Random(seed)
    found = []
    for dialog in dialogs:
        share = shares.get(dialog.source, 1.0)
        for _ in range(int(share) + (draw.random() < share % 1)):
            texts = tuple(m.text for m in dialog.messages)
            cuts = range(0, max(1, len(texts) - 1), STRETCH)
            found += [Stretch(texts[i : i + STRETCH], dialog.source) for i in cuts if len(texts[i : i + STRETCH]) > 1]
    draw.shuffle(found)
    return found


def collate(runs: Sequence[Stretch]) -> dict[str, Any]:
    """All messages of a batch; for each that has one before it which it is and what came before; and for each what it
    says, as a number, and the run that it is of."""
    texts = [text for run in runs for text in run.texts]
    before, target, start = [], [], 0
    for run in runs:
        for place in range(1, len(run.texts)):
            newest = [start + place - 1 - lag for lag in range(min(place, LAGS))]
            before.append(newest + [-1] * (LAGS - len(newest)))
            target.append(start + place)
        start += len(run.texts)
    keys: dict[str, int] = {}
    key = [keys.setdefault(normal(text), len(keys)) for text in texts]
    of = [number for number, run in enumerate(runs) for _ in run.texts]
    indexes = {"before": before, "target": target, "key": key, "run": of}
    return {"texts": texts, **{name: torch.tensor(values) for name, values in indexes.items()}}
