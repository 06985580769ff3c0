"""Training the ranker, on a tiny BERT: what is learnt, what is written, and that a run which was stopped goes on."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ranking.data import Pair, Position
from ranking.ranker import CrossEncoderRanker
from ranking.train import (
    LengthGroupedBatches,
    RankerTraining,
    as_dataset,
    nearest_replies,
    train_ranker,
    training_pairs,
)
from storage.corpora import held_back
from storage.dialog import Candidate, Context, Message

pytest_plugins = ("tiny",)

GOOD, BAD = "good night", "tell me a joke"
A_MOMENT = 1e-9
"""Minutes after which a run has had its time at its first step."""


@pytest.fixture(autouse=True)
def tiny_neighbours(monkeypatch: pytest.MonkeyPatch, bi_encoder_folder: str) -> None:
    """The nearest replies by the tiny bi-encoder."""
    monkeypatch.setattr("ranking.train.packaged_minilm", lambda: Path(bi_encoder_folder))


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """Whatever was said, GOOD is liked and BAD is not."""
    rows = [
        {"context": [{"role": "user", "text": text}], "reply": reply, "label": int(reply == GOOD), "dialog_id": f"d{i}"}
        for i in range(20)
        for text in ("hello there", "it rains", "my dog is ill", "the cat sleeps all day")[: 1 + i % 4]
        for reply in (GOOD, BAD)
    ]
    file = tmp_path / "thumbs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def run(votes: Path, tmp_path: Path, cross_encoder_folder: str) -> RankerTraining:
    return RankerTraining(
        dialogs=(), votes=(votes,), out=tmp_path / "ranker", base=cross_encoder_folder,
        pool_replies=0, frozen_layers=0, rank=4, batch=16, epochs=1, learning_rate=5e-2,
    )  # fmt: skip


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "adapter_model.safetensors"))


def test_a_trained_ranker_prefers_what_people_liked(run: RankerTraining) -> None:
    facts = train_ranker(replace(run, epochs=3))
    asked = Context((Message("user", "it rains"),))
    ((good, bad),) = CrossEncoderRanker(str(run.out)).score(
        [(asked, [Candidate(GOOD, "retrieval", 0.0), Candidate(BAD, "retrieval", 0.0)])]
    )
    assert good - bad > 1
    assert facts["pairs"]["thumbs liked"] == facts["pairs"]["thumbs disliked"]
    written = json.loads((run.out / "training.json").read_text())
    assert written["pairs"] == facts["pairs"]
    assert written["settings"]["votes"] == ["thumbs.jsonl"]
    assert str(run.out.parent) not in (run.out / "training.json").read_text()


def test_a_run_that_was_stopped_and_goes_on_ends_like_one_that_was_not(run: RankerTraining, tmp_path: Path) -> None:
    whole = train_ranker(run)
    stopped = replace(run, out=tmp_path / "stopped", minutes=A_MOMENT)
    assert train_ranker(stopped)["steps"] == 1
    assert train_ranker(replace(stopped, minutes=0.0))["steps"] == whole["steps"] > 9
    one, other = adapter(run.out), adapter(tmp_path / "stopped")
    assert one.keys() == other.keys()
    for name, weights in one.items():
        assert torch.allclose(weights, other[name], atol=1e-6), name


def test_without_data_there_is_nothing_to_train_on(run: RankerTraining) -> None:
    with pytest.raises(ValueError, match="No pairs to train on"):
        train_ranker(replace(run, votes=()))


def test_held_back_dialogs_and_votes_are_not_trained_on(run: RankerTraining, tmp_path: Path) -> None:
    turns = [{"role": "a", "text": "the question"}, {"role": "b", "text": "the answer"}]
    dialogs = tmp_path / "talks.jsonl"
    rows = [{"id": f"{split}", "split": split, "turns": turns, "lang": "en"} for split in ("train", "valid", "test")]
    dialogs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = training_pairs(replace(run, dialogs=(dialogs,), pool_replies=5))
    sources = [pair.source for pair in pairs]
    assert [pair.source for pair in pairs if pair.liked].count("talks") <= 12
    assert sources.count("thumbs") == 2 * sum(2 * (1 + i % 4) for i in range(20) if not held_back(f"d{i}", 0.15))
    assert sum(pair.liked for pair in pairs if pair.source == "curated") == 5


def test_batches_hold_pairs_of_like_length_and_every_pair_once_an_epoch() -> None:
    context = Context((Message("user", "hi"),))
    dataset = as_dataset([Pair(context, "word " * (i % 20), True, "x") for i in range(90)])
    sampler = LengthGroupedBatches(dataset, batch_size=8, drop_last=False, seed=0)
    first = list(sampler)
    assert sorted(i for batch in first for i in batch) == list(range(90))
    assert len(first) == len(sampler) == 12
    assert max(max(i % 20 for i in batch) - min(i % 20 for i in batch) for batch in first) <= 4
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first


def test_the_nearest_replies_to_a_message_leave_out_the_two_that_may_be_right() -> None:
    texts = ["good night", "tell me a joke", "it rains", "the cat sleeps all day", "pizza"]
    places = [Position(Context((Message("user", text),)), text, "x", text) for text in texts]
    nearest = nearest_replies(places, count=20)
    assert nearest.shape == (5, 3)
    assert all(own not in row for own, row in enumerate(nearest.tolist()))
    assert nearest_replies(places[:1]).tolist() == [[0]]
