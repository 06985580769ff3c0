"""Training the ranker: `kith train ranker --data DIALOGS --votes RATINGS --out FOLDER`.

A cross-encoder on the packaged BERT learns P(👍 | context, reply) with a LoRA adapter (Hu et al. 2021, arXiv
2106.09685), by sentence-transformers' own trainer: 2 MB to ship instead of 90. It shows progress, keeps
checkpoints, goes on from the last one after a kill, and stops after `minutes`.
"""

import json
import math
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from peft import LoraConfig
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.cross_encoder.losses import BinaryCrossEntropyLoss
from sentence_transformers.util import semantic_search
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from ranking.data import Pair, Position, dialog_pairs, pool_pairs, positions, rated_pairs
from ranking.pool import curated
from ranking.pretrained import HUB_ID, minilm_or, packaged_minilm
from ranking.text import CUT_SIDE, PAIR_TOKENS, as_pair
from storage.corpora import CorpusError, read_dialogs, read_ratings


@dataclass(frozen=True, slots=True)
class RankerTraining:
    """What a run is made of."""

    dialogs: tuple[Path, ...]
    votes: tuple[Path, ...]
    out: Path
    base: str = ""
    """A pretrained BERT by folder or hub id ("": the packaged one), or the folder of an adapter to train onward."""
    positions: int = 10_000
    pool_replies: int = 4_000
    rank: int = 16
    frozen_layers: int = 2
    epochs: float = 1.0
    batch: int = 32
    learning_rate: float = 5e-4
    minutes: float = 0.0
    seed: int = 0


class LengthGroupedBatches(DefaultBatchSampler):
    """Batches of pairs of like length, in random order: less padding, so less time. Shuffles, sorts
    stretches of 50 batches by length, then shuffles the batches; each epoch differently."""

    def __iter__(self) -> Iterator[list[int]]:
        draw = np.random.default_rng((self.seed, self.epoch))
        lengths = np.array(
            [len(c) + len(r) for c, r in zip(self.sampler["context"], self.sampler["reply"], strict=True)]
        )
        order = draw.permutation(len(lengths))
        stretch = 50 * self.batch_size
        batches: list[list[int]] = []
        for start in range(0, len(order), stretch):
            part = order[start : start + stretch]
            part = part[np.argsort(lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size].tolist() for i in range(0, len(part), self.batch_size)]
        return iter([batches[i] for i in draw.permutation(len(batches))])


class Deadline(TrainerCallback):
    """Stops a run after so many minutes, with a checkpoint, so that the next one goes on from there."""

    def __init__(self, minutes: float) -> None:
        self.ends = time.monotonic() + minutes * 60 if minutes else math.inf

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        if time.monotonic() > self.ends:
            control.should_save = control.should_training_stop = True
        return control


def train_ranker(run: RankerTraining) -> dict[str, Any]:
    """Trains and writes the adapter with `training.json`, the arguments and counts. Returns those facts. Raises
    CorpusError on unreadable data, and when there is none."""
    started = time.monotonic()
    set_seed(run.seed)
    pairs = training_pairs(run)
    if not pairs:
        raise CorpusError("No pairs to train on: neither dialogs nor votes of the train split were found.")
    model = start(run)
    checkpoints = run.out / "checkpoints"
    trainer = CrossEncoderTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=run.epochs,
            per_device_train_batch_size=run.batch,
            learning_rate=run.learning_rate,
            warmup_steps=50,
            bf16=torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
            batch_sampler=LengthGroupedBatches,
            logging_steps=25,
            save_steps=200,
            save_total_limit=2,
            report_to="none",
            seed=run.seed,
        ),
        train_dataset=as_dataset(pairs),
        loss=BinaryCrossEntropyLoss(model),
        callbacks=[Deadline(run.minutes)],
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
    counts = Counter(f"{pair.source} {'liked' if pair.liked else 'disliked'}" for pair in pairs)
    facts = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "steps": trainer.state.global_step,
        "pairs": dict(sorted(counts.items())),
        "seconds": round(time.monotonic() - started),
        "torch": torch.__version__,
    }
    save(run, model, facts)
    return facts


def start(run: RankerTraining) -> CrossEncoder:
    """The model to train: the adapter of an earlier run, or a new one on the base."""
    earlier = Path(run.base) / "adapter_config.json"
    onward = bool(run.base) and earlier.exists()
    base = json.loads(earlier.read_text())["base_model_name_or_path"] if onward else run.base
    model = CrossEncoder(minilm_or(base), num_labels=1, max_length=PAIR_TOKENS)
    model.tokenizer.truncation_side = CUT_SIDE
    if onward:
        model.load_adapter(run.base, is_trainable=True)
        return model
    model.add_adapter(
        LoraConfig(
            r=run.rank,
            lora_alpha=2 * run.rank,
            target_modules=["query", "key", "value", "dense"],
            layers_to_transform=list(range(run.frozen_layers, model.model.config.num_hidden_layers)),
            modules_to_save=["classifier"],
        )
    )
    return model


def training_pairs(run: RankerTraining) -> list[Pair]:
    """All pairs of the train split; a rated reply's dialog is held back by its id where the file names no split."""
    dialogs = [d for path in run.dialogs for d in read_dialogs(path) if d.split == "train"]
    ratings = [r for path in run.votes for r in read_ratings(path) if r.split == "train"]
    places = positions(dialogs, run.positions, run.seed)
    pairs = rated_pairs(ratings, run.seed) + pool_pairs(curated(), run.pool_replies, run.seed)
    if places:
        pairs += dialog_pairs(places, nearest_replies(places), run.seed)
    return pairs


def nearest_replies(places: list[Position], count: int = 20) -> np.ndarray[Any, np.dtype[np.int64]]:
    """For each place the `count` places whose replies are nearest to its last message, the first two left out, since
    they may well be right: shape (places, <= count)."""
    encoder = SentenceTransformer(str(packaged_minilm()))
    encoder.max_seq_length = 64
    asked = encoder.encode([p.context.last for p in places], convert_to_tensor=True, show_progress_bar=None)
    replies = encoder.encode([p.reply for p in places], convert_to_tensor=True, show_progress_bar=None)
    hits = semantic_search(asked, replies, top_k=min(count + 2, len(places)))
    return np.array([[int(hit["corpus_id"]) for hit in row[2:] or row] for row in hits], dtype=np.int64)


def as_dataset(pairs: Iterable[Pair]) -> Dataset:
    """Columns `context`, `reply`, `label`, as the trainer takes them."""
    rows = [(*as_pair(pair.context, pair.reply), float(pair.liked)) for pair in pairs]
    return Dataset.from_dict(
        {"context": [r[0] for r in rows], "reply": [r[1] for r in rows], "label": [r[2] for r in rows]}
    )


def save(run: RankerTraining, model: CrossEncoder, facts: dict[str, Any]) -> None:
    """The adapter under its public base's name, so that it does not depend on where this machine keeps it."""
    model.save_pretrained(str(run.out), create_model_card=False)
    config = run.out / "adapter_config.json"
    adapter = json.loads(config.read_text())
    if adapter["base_model_name_or_path"] == str(packaged_minilm()):
        adapter["base_model_name_or_path"] = HUB_ID
    config.write_text(json.dumps(adapter, indent=2, sort_keys=True) + "\n")
    settings = {k: [p.name for p in v] if isinstance(v, tuple) else v for k, v in asdict(run).items() if k != "out"}
    settings["base"] = Path(run.base).name
    (run.out / "training.json").write_text(json.dumps({"settings": settings, **facts}, indent=2) + "\n")
