"""Training the ranker, on a tiny BERT: what is learnt and what is kept out, probabilities that are set right, what is
written, and that a run which was stopped goes on."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from spoken import context, spoken
from transformers import BertModel, PreTrainedTokenizerBase

from ranking import train
from ranking.cross_encoder import CrossEncoder, load_cross_encoder
from ranking.data import Choice, Pair, for_calibration
from ranking.delta import FILE, origin
from ranking.encoders import load_encoder
from ranking.pretrained import ModelError
from ranking.ranker import CrossEncoderRanker, log_odds
from ranking.train import (
    VOTES,
    LikelyLiked,
    RankerTraining,
    Step,
    calibrate,
    laid_out,
    save,
    train_ranker,
    training_data,
)
from ranking.vectors import Encoder
from storage.corpora import CorpusError, RatedReply, held_back
from storage.dialog import Candidate, Context, PoolEntry

pytest_plugins = ("tiny",)

GOOD, BAD = "good night", "tell me a joke"
A_MOMENT = 1e-9
"""Minutes after which a run has had its time at its first step."""

ANSWERS = {
    "hello there": "good night",
    "what shall we eat": "pizza",
    "tell me a joke please": "the cat sleeps all day",
}
"""What belongs to what."""


POOL = [PoolEntry(f"{name}/{i}", f"{name} {i}", (f"{name}?",), "curated") for name in "abc" for i in (1, 2)]


@pytest.fixture(autouse=True)
def small_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """The shipped one has thousands of replies."""
    monkeypatch.setattr(train, "curated", lambda: POOL)


def lines(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """Whatever was said, GOOD is liked and BAD is not."""
    rows = [
        {"context": [{"role": "user", "text": text}], "reply": reply, "label": int(reply == GOOD), "dialog_id": f"v{i}"}
        for i in range(40)
        for text in ("hello there", "it rains", "my dog is ill", "the cat sleeps all day")[: 1 + i % 4]
        for reply in (GOOD, BAD)
    ]
    return lines(tmp_path / "thumbs.jsonl", rows)


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """Ten dialogs of each of ANSWERS."""
    rows = [
        {"id": f"t{i}", "split": "train", "lang": "en", "turns": turns(*pair)}
        for i, pair in enumerate(list(ANSWERS.items()) * 10)
    ]
    return lines(tmp_path / "talks.jsonl", rows)


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"role": "ab"[i % 2], "text": text} for i, text in enumerate(texts)]


@pytest.fixture
def run(votes: Path, tmp_path: Path, bert_folder: str, retriever_folder: str) -> RankerTraining:
    return RankerTraining(
        dialogs=(), votes=(votes,), out=tmp_path / "ranker", base=bert_folder, retriever=retriever_folder,
        positions=40, pool_replies=0, learning_rate=1e-2, mix_rate=1.0, calibrated_on="thumbs",
    )  # fmt: skip


def stored(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / FILE))


def scores(run: RankerTraining, asked: str, *replies: str) -> list[float]:
    """What a trained one makes of replies, with its own retriever."""
    candidates = [Candidate(reply, "retrieval", 0.0) for reply in replies]
    (row,) = CrossEncoderRanker(str(run.out), load_encoder(run.retriever)).score([(context(asked), candidates)])
    return row


def test_a_trained_ranker_prefers_what_people_liked(run: RankerTraining) -> None:
    facts = train_ranker(run)
    for asked in ("it rains", "poor cat"):
        good, bad = scores(run, asked, GOOD, BAD)
        assert good - bad > 1
    assert good > 0 > bad
    assert facts["votes"].keys() == {"thumbs"}
    assert facts["choices"] == {}
    assert facts["calibration"] == {}  # the votes that were kept for it are fewer than 50


def test_a_trained_ranker_knows_what_belongs_to_what(run: RankerTraining, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the answers to other things, and against the same words given back."""
    asked = [
        Choice(context(said), (answer, *(other for other in ANSWERS.values() if other != answer), said), "talks")
        for said, answer in ANSWERS.items()
    ]
    monkeypatch.setattr(train, "training_data", lambda run, encoder: (asked * 10, []))
    facts = train_ranker(replace(run, epochs=4, batch=3))
    for choice in asked:
        true, *wrong = scores(run, choice.context.last, *choice.replies)
        assert true > max(wrong) + 1, choice
    assert facts["choices"] == {"talks": 120}
    assert facts["votes"] == {}


def test_what_is_written_says_how_it_was_made_and_names_no_place_of_this_machine(
    run: RankerTraining, talks: Path
) -> None:
    facts = train_ranker(replace(run, dialogs=(talks,)))
    text = (run.out / "training.json").read_text()
    written = json.loads(text)
    assert {name: written[name] for name in facts} == facts
    assert written["settings"]["votes"] == ["thumbs.jsonl"]
    assert written["settings"]["base"] == "bert0"
    assert str(run.out.parent) not in text
    assert {file.name for file in run.out.iterdir()} == {FILE, "training.json", "checkpoints"}
    assert not [name for name in stored(run.out) if name.startswith("embeddings")]


def test_a_run_that_was_stopped_and_goes_on_ends_like_one_that_was_not(run: RankerTraining, talks: Path) -> None:
    run = replace(run, dialogs=(talks,), votes_from=0.3)
    whole = train_ranker(run)
    stopped = replace(run, out=run.out.parent / "stopped")
    first, second, last = [train_ranker(replace(stopped, minutes=minutes)) for minutes in (A_MOMENT, A_MOMENT, 0.0)]
    assert first["steps"].startswith("1 of ")
    assert second["steps"].startswith("2 of ")
    assert (first["choices"], first["votes"]) == ({"talks": run.batch}, {})  # only what was seen is counted
    for fact in ("steps", "choices", "votes"):
        assert last[fact] == whole[fact]
    one, other = stored(run.out), stored(stopped.out)
    assert one.keys() == other.keys()
    for name, weights in one.items():
        assert torch.allclose(weights.float(), other[name].float(), rtol=1e-4), name


@pytest.mark.parametrize("base", ["retriever_folder", "ranker_folder", "cross_encoder_folder"])
def test_training_onward_begins_with_what_was_learnt_and_is_told_from_the_same_base(
    run: RankerTraining, base: str, bert_folder: str, request: pytest.FixtureRequest
) -> None:
    earlier = request.getfixturevalue(base)
    train_ranker(replace(run, base=earlier, learning_rate=0.0, mix_rate=0.0))
    assert origin(str(run.out)) == (earlier if base == "cross_encoder_folder" else bert_folder)
    torch.manual_seed(0)
    one, other = load_cross_encoder(earlier, new=True).state(), load_cross_encoder(str(run.out)).state()
    fresh = ("pooler", "classifier") if base == "retriever_folder" else ()
    for name, weights in one.items():
        if not name.startswith(fresh):
            assert torch.allclose(weights, other[name], atol=5e-3, rtol=5e-3), name


def test_a_base_without_a_pooler_comes_back_with_the_one_that_was_trained(
    run: RankerTraining, bert_tokenizer: PreTrainedTokenizerBase, bert_folder: str, tmp_path: Path
) -> None:
    """transformers gives it another random one each time it is loaded."""
    base = tmp_path / "headless"
    BertModel.from_pretrained(bert_folder, add_pooling_layer=False).save_pretrained(base)
    bert_tokenizer.save_pretrained(base)
    run = replace(run, base=str(base))
    trained = load_cross_encoder(run.base, new=True)
    save(run, trained, {})
    pairs = [("you: hello there", GOOD), ("you: it rains", BAD)]
    relevance = torch.zeros(len(pairs))
    with torch.inference_mode():
        expected = trained(pairs, relevance).tolist()
        for seed in range(2):
            torch.manual_seed(seed)
            assert load_cross_encoder(str(run.out))(pairs, relevance).tolist() == pytest.approx(expected, abs=0.02)


def test_without_data_or_models_there_is_one_sentence(
    run: RankerTraining, talks: Path, ranker_folder: str, tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match="Nothing to train on"):
        train_ranker(replace(run, votes=()))
    with pytest.raises(CorpusError, match="does not exist"):
        train_ranker(replace(run, votes=(tmp_path / "nowhere",)))
    with pytest.raises(ModelError, match=f"The base {tmp_path} cannot be loaded"):
        train_ranker(replace(run, base=str(tmp_path)))
    with pytest.raises(ModelError, match="is a ranker: `kith train retriever` makes a retriever"):
        train_ranker(replace(run, dialogs=(talks,), retriever=ranker_folder))


def test_held_back_and_calibration_dialogs_are_not_trained_on(
    run: RankerTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every text names its dialog. Some dialogs are known as dialogs, some by their votes, most as both; votes name no
    split, so that a hash holds back some of them."""
    splits = {f"d{i}": ("train", "train", "train", "valid")[i % 4] for i in range(200)}
    dialogs = [
        {"id": name, "split": split, "lang": "en", "turns": turns(f"{name} a", f"{name} b", f"{name} c")}
        for name, split in splits.items()
    ]
    ratings = [
        {
            "context": [{"role": "user", "text": f"{name} a"}], "reply": f"{name} b", "label": i % 2,
            "dialog_id": name, "source": "mine" if i % 3 else "theirs",
        }
        for i, name in enumerate(f"d{i}" for i in range(100, 300))
    ]  # fmt: skip
    seen: dict[str, Any] = {}

    def laid_out(asked: list[Choice], pairs: list[Pair], run: RankerTraining) -> list[Step]:
        seen["choices"] = {name_of(text) for choice in asked for text in (choice.context.last, *choice.replies)}
        seen["votes"] = {name_of(pair.reply) for pair in pairs}
        return [Step((), tuple(pairs[:2]))]

    def calibrate(model: CrossEncoder, encoder: Encoder, ratings: list[RatedReply]) -> dict[str, float]:
        seen["calibration"] = {rating.dialog_id for rating in ratings}
        return {}

    monkeypatch.setattr(train, "laid_out", laid_out)
    monkeypatch.setattr(train, "calibrate", calibrate)
    data, votes = lines(tmp_path / "d.jsonl", dialogs), lines(tmp_path / "v.jsonl", ratings)
    train_ranker(replace(run, dialogs=(data,), votes=(votes,), positions=1000, calibrated_on="mine"))
    rated = {str(row["dialog_id"]) for row in ratings}
    held = {name for name, split in splits.items() if split == "valid"} | {n for n in rated if held_back(n, 0.15)}
    kept = {name for name in rated - held if for_calibration(RatedReply(name, "", "", (), "", True))}
    assert seen["choices"] == set(splits) - held - kept
    assert seen["votes"] == rated - held - kept
    mine = {str(row["dialog_id"]) for row in ratings if row["source"] == "mine"}
    assert seen["calibration"] == kept & mine != set()


def name_of(text: str) -> str:
    return text.split()[0]


def test_the_pool_is_learnt_from_as_well(run: RankerTraining, bi_encoder: Encoder) -> None:
    made, rated = training_data(replace(run, pool_replies=9), bi_encoder)
    assert {choice.source for choice in made} == {"curated"}
    assert {choice.replies[0] for choice in made} <= {entry.reply for entry in POOL}
    assert 5 <= len(made) <= 9
    assert {rating.source for rating in rated} == {"thumbs"}


def choice(number: int) -> Choice:
    return Choice(context(f"q{number}"), (f"a{number}", "no", "never"), "x")


def pair(number: int) -> Pair:
    return Pair(context(f"v{number}"), f"w{number}", number % 2 == 0, "y")


@settings(max_examples=50)
@given(
    asked=st.integers(0, 60),
    rated=st.integers(0, 90),
    batch=st.integers(1, 9),
    votes_from=st.floats(0, 1),
    epochs=st.sampled_from([0.0, 0.5, 1.0, 2.5]),
)
def test_choices_come_first_then_votes_beside_the_rest_and_none_is_forgotten(
    asked: int, rated: int, batch: int, votes_from: float, epochs: float
) -> None:
    run = RankerTraining((), (), Path(), batch=batch, votes_from=votes_from, epochs=epochs)
    made, pairs = [choice(i) for i in range(asked)], [pair(i) for i in range(rated)]
    steps = laid_out(made, pairs, run)
    assert steps == laid_out(made, pairs, run)
    with_votes = [bool(step.votes) for step in steps]
    assert with_votes == sorted(with_votes)
    assert all(len(step.choices) <= (max(1, batch // 2) if step.votes else batch) for step in steps)
    assert all(step.choices or step.votes for step in steps)
    assert all(len(step.votes) <= VOTES for step in steps)
    assert {vote for step in steps for vote in step.votes} == set(pairs)
    counts = Counter(one.replies[0] for step in steps for one in step.choices)
    assert sum(counts.values()) >= round(asked * epochs)
    assert all(counts[one.replies[0]] >= int(epochs) for one in made)
    alone = sum(len(step.choices) for step in steps if not step.votes)
    assert alone == (round(round(asked * epochs) * votes_from) if pairs else round(asked * epochs))


@torch.no_grad()
def test_the_loss_is_that_of_the_choices_and_that_of_the_votes_each_under_its_sources_bias(
    bert_folder: str, bi_encoder: Encoder
) -> None:
    encoder = load_cross_encoder(bert_folder, new=True)
    model = LikelyLiked(encoder, bi_encoder, ["annotators", "thumbs"])
    model.biases[:] = torch.tensor([1.5, -0.5])
    asked = [choice(1), Choice(context("it rains"), ("poor dog", "pizza"), "x")]
    rated = [replace(pair(i), source=("thumbs", "annotators")[i % 3 == 0]) for i in range(7)]

    def logits(context: Context, *replies: str) -> torch.Tensor:
        return log_odds(encoder, bi_encoder, [(context, replies)])

    choosing = np.mean([-logits(c.context, *c.replies).log_softmax(0)[0].item() for c in asked])
    odds = [logits(p.context, p.reply).item() + (1.5 if p.source == "annotators" else -0.5) for p in rated]
    voting = np.mean([np.log1p(np.exp(-o if p.liked else o)) for o, p in zip(odds, rated, strict=True)])
    for step, loss in (
        (Step(tuple(asked), tuple(rated)), choosing + voting),
        (Step(tuple(asked)), choosing),
        (Step((), tuple(rated)), voting),
    ):
        assert model([step])["loss"].item() == pytest.approx(loss, abs=1e-4)


# Calibration


@pytest.fixture
def model(ranker_folder: str) -> CrossEncoder:
    return load_cross_encoder(ranker_folder)


@torch.inference_mode()
def odds_of(model: CrossEncoder, encoder: Encoder, ratings: Sequence[RatedReply]) -> np.ndarray[Any, Any]:
    batch = [(Context(rating.messages), [rating.reply]) for rating in ratings]
    made: np.ndarray[Any, Any] = log_odds(model, encoder, batch).numpy().astype(np.float64)
    return made


def rated_by(model: CrossEncoder, bi_encoder: Encoder, count: int, taste: float) -> list[RatedReply]:
    """Ratings that follow the model's own order (`taste` 1), turn it round (-1), or like it all (0), two in seven of
    them by chance."""
    words = ("hello", "dog", "cat", "pizza", "joke", "sad", "rains")
    ratings = [
        RatedReply(f"d{i}", "x", "train", spoken(words[i % 7]), f"{words[i // 7 % 7]} {words[i // 49 % 7]}", True)
        for i in range(count)
    ]
    odds = odds_of(model, bi_encoder, ratings) * taste
    above = odds >= np.median(odds)
    return [
        replace(r, liked=bool(a) != (taste != 0 and i % 7 < 2))
        for i, (r, a) in enumerate(zip(ratings, above, strict=True))
    ]


def test_calibration_sets_the_probabilities_right_and_leaves_the_order(
    model: CrossEncoder, bi_encoder: Encoder
) -> None:
    ratings = rated_by(model, bi_encoder, 120, 1.0)
    before = odds_of(model, bi_encoder, ratings)
    facts = calibrate(model, bi_encoder, ratings)
    after = odds_of(model, bi_encoder, ratings)
    assert np.argsort(after).tolist() == np.argsort(before).tolist()
    assert after == pytest.approx(facts["slope"] * before + facts["shift"], abs=1e-2)
    assert not np.allclose(after, before, atol=0.1)
    liked = np.array([rating.liked for rating in ratings])
    probabilities = 1 / (1 + np.exp(-after))
    assert probabilities.mean() == pytest.approx(liked.mean(), abs=0.01)
    upper = before >= np.median(before)
    assert probabilities[upper].mean() == pytest.approx(liked[upper].mean(), abs=0.15)
    assert facts["replies"] == 120


@pytest.mark.parametrize(("count", "taste"), [(49, 1.0), (120, 0.0), (120, -1.0)])
def test_with_too_few_votes_or_one_sided_ones_or_ones_that_contradict_it_nothing_changes(
    model: CrossEncoder, bi_encoder: Encoder, count: int, taste: float
) -> None:
    ratings = rated_by(model, bi_encoder, count, taste)
    before = odds_of(model, bi_encoder, ratings)
    facts = calibrate(model, bi_encoder, ratings)
    assert np.array_equal(odds_of(model, bi_encoder, ratings), before)
    assert "shift" not in facts
    assert facts.get("slope", 0.0) <= 0
