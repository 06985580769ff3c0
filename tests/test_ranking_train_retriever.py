"""Training the retriever, on a tiny BERT: what counts as wrong, what is learnt and written, and that a run which was
stopped goes on."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from spoken import context, spoken

from bot.model_folders import check_model
from ranking import train_retriever as train_retriever_module
from ranking.delta import FILE, origin
from ranking.dialog_encoder import LAGS, load_dialog_encoder
from ranking.encoders import load_encoder
from ranking.pool import curated, normal
from ranking.pretrained import ModelError
from ranking.train_retriever import (
    STRETCH,
    NextMessage,
    RetrieverTraining,
    Stretch,
    collate,
    stretches,
    train_retriever,
)
from ranking.training import checkpoints_of
from storage.corpora import CorpusDialog, CorpusError

pytest_plugins = ("tiny",)

A_MOMENT = 1e-9
"""Minutes after which a run has had its time at its first step."""

DIALOGS = [
    ("hello there", "good night", "why the cat"),
    ("my dog is ill", "tell me a joke please", "you eat pizza"),
    ("it rains", "poor dog", "i am sad"),
    ("what shall we eat", "pizza", "the cat sleeps all day"),
]
"""What is to be learnt by heart."""


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Likeness is fitted to the pool: a few situations are embedded sooner than thousands, and in a few steps."""
    some = curated()[::500]
    monkeypatch.setattr("ranking.likeness.STEPS", 3)
    monkeypatch.setattr(train_retriever_module, "curated", lambda: some)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The dialogs, six times each, and others that must not be learnt."""
    rows = [{"id": f"d{i}", "split": "train", "turns": turns(texts)} for i, texts in enumerate(DIALOGS * 6)]
    rows += [
        {"id": "held", "split": "valid", "turns": turns(("hello there", "it rains"))},
        {"id": "foreign", "split": "train", "lang": "ru", "turns": turns(("hello there", "it rains"))},
        {"id": "mute", "split": "train", "turns": turns(("hello there",))},
    ]
    file = tmp_path / "talks.jsonl"
    file.write_text("".join(json.dumps({"lang": "en", **row}) + "\n" for row in rows))
    return file


def turns(texts: Sequence[str]) -> list[dict[str, str]]:
    return [{"role": "ab"[i % 2], "text": text} for i, text in enumerate(texts)]


@pytest.fixture
def run(data: Path, tmp_path: Path, bert_folder: str) -> RetrieverTraining:
    return RetrieverTraining((data,), tmp_path / "retriever", base=bert_folder, batch=4, learning_rate=1e-2)


def stored(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / FILE))


def test_a_trained_retriever_finds_the_next_message_of_dialogs_learnt_by_heart(run: RetrieverTraining) -> None:
    facts = train_retriever(replace(run, epochs=12))
    encoder = load_encoder(str(run.out))
    asked = [texts[:length] for texts in DIALOGS for length in (1, 2)]
    replies = [texts[len(said)] for said, texts in zip(asked, (t for t in DIALOGS for _ in (1, 2)), strict=True)]
    _, contexts = encoder.contexts([context(*said) for said in asked])
    scores = contexts @ encoder.encode(replies).T
    for number, said in enumerate(asked):
        others = [place for place, reply in enumerate(replies) if reply not in said and place // 2 != number // 2]
        assert scores[number, number] > scores[number, others].max() + 0.02, said
    assert facts["messages"] == {"talks": 6 * sum(map(len, DIALOGS))}
    assert facts["steps"] == "72 of 72"


def test_what_is_written_says_how_it_was_made_and_names_no_place_of_this_machine(run: RetrieverTraining) -> None:
    facts = train_retriever(run)
    text = (run.out / "training.json").read_text()
    assert json.loads(text) == facts
    assert facts["settings"]["data"] == ["talks.jsonl"]
    assert str(run.out.parent) not in text
    assert {file.name for file in run.out.iterdir()} == {FILE, "training.json"}
    check_model(str(run.out))
    assert not checkpoints_of(run.out).exists()


def test_a_run_that_was_stopped_and_goes_on_ends_like_one_that_was_not(run: RetrieverTraining) -> None:
    whole = train_retriever(run)
    stopped = replace(run, out=run.out.parent / "stopped", minutes=A_MOMENT)
    assert train_retriever(stopped)["steps"] == "1 of 6"
    assert train_retriever(stopped)["steps"] == "2 of 6"
    assert train_retriever(replace(stopped, minutes=0.0))["steps"] == whole["steps"] == "6 of 6"
    one, other = stored(run.out), stored(stopped.out)
    assert one.keys() == other.keys()
    for name, weights in one.items():
        assert torch.allclose(weights.float(), other[name].float(), rtol=1e-4), name


def test_layers_and_lags_are_trained_and_embeddings_are_not(run: RetrieverTraining) -> None:
    train_retriever(run)
    changed = set(stored(run.out))
    assert {"lags", "encoder.layer.0.attention.self.query.weight", "encoder.layer.0.output.dense.bias"} <= changed
    assert not [name for name in changed if name.startswith(("embeddings", "pooler"))]


def test_training_onward_begins_with_what_was_learnt_and_is_told_from_the_same_base(
    run: RetrieverTraining, bert_folder: str
) -> None:
    train_retriever(run)
    still = replace(run, base=str(run.out), out=run.out.parent / "onward", learning_rate=0.0, lag_rate=0.0)
    train_retriever(still)
    assert origin(str(still.out)) == bert_folder
    one, other = load_dialog_encoder(str(run.out)), load_dialog_encoder(str(still.out))
    for name, weights in one.state_dict().items():
        assert torch.allclose(weights, other.state_dict()[name], atol=2e-3), name
    base = load_dialog_encoder(bert_folder).state_dict()
    assert max((w - base[name]).abs().max().item() for name, w in other.state_dict().items()) > 0.02


def test_without_data_or_base_there_is_one_sentence(run: RetrieverTraining, ranker_folder: str, tmp_path: Path) -> None:
    empty = tmp_path / "none.jsonl"
    empty.write_text(json.dumps({"split": "valid", "turns": turns(("hi", "ho"))}) + "\n")
    with pytest.raises(CorpusError, match="No dialogs to train on"):
        train_retriever(replace(run, data=(empty,)))
    with pytest.raises(CorpusError, match="does not exist"):
        train_retriever(replace(run, data=(tmp_path / "nowhere",)))
    with pytest.raises(ModelError, match=f"The base {tmp_path} cannot be loaded"):
        train_retriever(replace(run, base=str(tmp_path)))
    with pytest.raises(ModelError, match="is a ranker: `kith train retriever` makes a retriever"):
        train_retriever(replace(run, base=ranker_folder))


@pytest.fixture(scope="module")
def model(bert_folder: str) -> NextMessage:
    return NextMessage(load_dialog_encoder(bert_folder)).eval()


batches = st.lists(
    st.lists(st.sampled_from(["hello there", "Hello there!", "it rains", "pizza", "why"]), min_size=2, max_size=4),
    min_size=1,
    max_size=4,
)


@settings(max_examples=20)
@given(batches)
def test_the_loss_is_over_other_dialogs_messages_that_say_something_else(
    model: NextMessage, spoken_in: list[list[str]]
) -> None:
    with torch.inference_mode():
        loss = model(**collate([Stretch(tuple(texts), "x") for texts in spoken_in]))["loss"].item()
        vectors = [model.encoder(texts) for texts in spoken_in]
        expected = []
        for number, texts in enumerate(spoken_in):
            for place in range(1, len(texts)):
                said = sum(vectors[number][place - 1 - lag] * 0.5**lag for lag in range(place))
                assert isinstance(said, torch.Tensor)
                wrong = [
                    vectors[other][i]
                    for other, others in enumerate(spoken_in)
                    for i, text in enumerate(others)
                    if other != number and normal(text) != normal(texts[place])
                ]
                scores = torch.stack([vectors[number][place], *wrong]) @ said / said.norm() * np.exp(3.0)
                expected.append(-scores.log_softmax(0)[0].item())
    assert loss == pytest.approx(np.mean(expected), abs=1e-4)


@given(batches)
def test_a_batch_says_what_came_before_each_message(spoken_in: list[list[str]]) -> None:
    batch = collate([Stretch(tuple(texts), "x") for texts in spoken_in])
    texts = batch["texts"]
    assert texts == [text for run in spoken_in for text in run]
    found = [
        ([texts[i] for i in reversed(before) if i >= 0], texts[target], number)
        for before, target, number in zip(
            batch["before"].tolist(), batch["target"].tolist(), batch["run"][batch["target"]].tolist(), strict=True
        )
    ]
    assert found == [
        (run[:place], run[place], number) for number, run in enumerate(spoken_in) for place in range(1, len(run))
    ]
    keys = batch["key"].tolist()
    for one, mine in zip(texts, keys, strict=True):
        for other, theirs in zip(texts, keys, strict=True):
            assert (mine == theirs) == (normal(one) == normal(other))


def test_a_context_reaches_no_further_back_than_its_lags() -> None:
    texts = tuple(f"message {i}" for i in range(12))
    batch = collate([Stretch(("before", "it"), "x"), Stretch(texts, "x")])
    assert batch["before"].shape == (1 + 11, LAGS)
    assert batch["before"][-1].tolist() == [2 + 10 - lag for lag in range(LAGS)]
    assert batch["before"][1].tolist() == [2] + [-1] * (LAGS - 1)


@given(st.lists(st.integers(0, 70), max_size=6), st.integers(0, 9))
def test_stretches_are_runs_of_one_dialog_and_hardly_a_message_is_lost(lengths: list[int], seed: int) -> None:
    dialogs = [
        CorpusDialog(f"d{n}", "x", "train", spoken(*(f"{n}.{i}" for i in range(length))))
        for n, length in enumerate(lengths)
    ]
    found = stretches(dialogs, seed, shares={})
    assert all(2 <= len(stretch.texts) <= STRETCH for stretch in found)
    for n, length in enumerate(lengths):
        own = sorted(
            [[int(t.split(".")[1]) for t in s.texts] for s in found if s.texts[0].startswith(f"{n}.")],
            key=lambda x: x[0],
        )
        together = [i for numbers in own for i in numbers]
        assert together == list(range(len(together)))
        assert len(together) in (length, length - 1)


def test_the_share_of_a_source_says_how_often_its_dialogs_are_taken() -> None:
    dialogs = [
        CorpusDialog(f"{source}{i}", source, "train", spoken("hi", "ho")) for source in "xyz" for i in range(400)
    ]
    found = [stretch.source for stretch in stretches(dialogs, 0, shares={"x": 1.5, "y": 0.25, "z": 0.0})]
    assert 500 < found.count("x") < 700
    assert 60 < found.count("y") < 140
    assert "z" not in found
