"""Training the ranker, on a tiny BERT: what is learnt and what is kept out, probabilities that are set right, what is
written, and that a run which was stopped goes on."""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from spoken import context, spoken

from bot.model_folders import check_model
from ranking import train
from ranking.cross_encoder import CrossEncoder, begin_cross_encoder
from ranking.data import OWN, Pair, for_calibration
from ranking.delta import FILE, origin
from ranking.encoders import load_encoder
from ranking.expected import fit_expected
from ranking.pretrained import ModelError
from ranking.ranker import CrossEncoderRanker, log_odds, seen_by
from ranking.train import LikelyLiked, RankerTraining, calibrate, laid_out, train_ranker
from ranking.training import checkpoints_of
from ranking.vectors import Encoder
from storage.corpora import CorpusDialog, CorpusError, RatedReply, held_back
from storage.dialog import Candidate, Context

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


@pytest.fixture(autouse=True)
def few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is expected is learnt from fewer dialogs than a batch of the shipped ones needs."""
    monkeypatch.setattr(train, "fit_expected", partial(fit_expected, batch=8))


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
        epochs=3, batch=16, learning_rate=1e-2, head_rate=1e-2,
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
    assert facts["expected"] == "as before"
    assert facts["calibration"] == {OWN: {}}  # the votes that were kept for it are fewer than 50


def test_a_rated_reply_counts_by_its_weight(run: RankerTraining) -> None:
    """Those of a log come beside the files', and here say the opposite."""
    log = [
        RatedReply(f"l{i}", "kith", "train", spoken("it rains"), reply, reply == BAD, weight=weight)
        for i in range(60) for reply, weight in ((GOOD, 0.01), (BAD, 0.01))
    ]  # fmt: skip
    train_ranker(run, log)
    good, bad = scores(run, "it rains", GOOD, BAD)
    assert good - bad > 1
    heavy = replace(run, out=run.out.parent / "other", seed=1)
    train_ranker(heavy, [replace(rating, weight=3.0) for rating in log])
    good, bad = scores(heavy, "it rains", GOOD, BAD)
    assert good < bad


def test_a_trained_ranker_knows_what_belongs_to_what(run: RankerTraining, talks: Path) -> None:
    assert train_ranker(replace(run, dialogs=(talks,), epochs=0.1))["expected"] == "fitted"
    ranker = CrossEncoderRanker(str(run.out), load_encoder(run.retriever))
    for said, answer in ANSWERS.items():
        texts = [answer, *(other for other in ANSWERS.values() if other != answer)]
        ((true, *wrong),) = ranker.choose([(context(said), [Candidate(text, "", 0.0) for text in texts])])
        assert true > max(wrong) + 0.1, said


def test_votes_of_each_kind_are_learnt_by_a_head_of_their_own(run: RankerTraining, tmp_path: Path) -> None:
    """The contest's people like what one's own do not."""
    rows = [
        {
            "context": [{"role": "user", "text": text}], "reply": reply, "dialog_id": f"{source}{i}", "source": source,
            "label": int((reply == GOOD) == (source == "kith")),
        }
        for i in range(40) for text in ("hello there", "it rains") for reply in (GOOD, BAD)
        for source in ("kith", "convai2017")
    ]  # fmt: skip
    facts = train_ranker(replace(run, votes=(lines(tmp_path / "both.jsonl", rows),), epochs=4))
    assert facts["calibration"].keys() == {OWN, "convai2017"}
    ranker = CrossEncoderRanker(str(run.out), load_encoder(run.retriever))
    batch = [(context("it rains"), [Candidate(GOOD, "", 0.0), Candidate(BAD, "", 0.0)])]
    ((good, bad),), ((theirs_good, theirs_bad),) = ranker.score(batch), ranker.score(batch, "convai2017")
    assert good > bad + 1
    assert theirs_bad > theirs_good + 1


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
    assert {file.name for file in run.out.iterdir()} == {FILE, "training.json"}
    check_model(str(run.out))
    assert not checkpoints_of(run.out).exists()
    assert not [name for name in stored(run.out) if name.startswith("embeddings")]


def test_a_run_that_was_stopped_and_goes_on_ends_like_one_that_was_not(run: RankerTraining, talks: Path) -> None:
    run = replace(run, dialogs=(talks,))
    whole = train_ranker(run)
    stopped = replace(run, out=run.out.parent / "stopped")
    first, second, last = [train_ranker(replace(stopped, minutes=minutes)) for minutes in (A_MOMENT, A_MOMENT, 0.0)]
    assert first["steps"].startswith("1 of ")
    assert second["steps"].startswith("2 of ")
    assert first["votes"] == {"thumbs": run.batch}  # only what was seen is counted
    for fact in ("steps", "votes"):
        assert last[fact] == whole[fact]
    one, other = stored(run.out), stored(stopped.out)
    assert one.keys() == other.keys()
    for name, weights in one.items():
        assert torch.allclose(weights.float(), other[name].float(), rtol=1e-4), name


@pytest.mark.parametrize("base", ["retriever_folder", "ranker_folder"])
def test_training_onward_begins_with_what_was_learnt_and_is_told_from_the_same_base(
    run: RankerTraining, base: str, bert_folder: str, request: pytest.FixtureRequest
) -> None:
    earlier = request.getfixturevalue(base)
    train_ranker(replace(run, base=earlier, learning_rate=0.0, head_rate=0.0))
    assert origin(str(run.out)) == bert_folder
    one, other = begin_cross_encoder(earlier, (OWN,)).state(), begin_cross_encoder(str(run.out), ()).state()
    for name, weights in one.items():
        if base == "ranker_folder" or not name.startswith(("read", "heads")):
            assert torch.allclose(weights, other[name], atol=5e-3, rtol=5e-3), name


def test_without_data_or_models_there_is_one_sentence(
    run: RankerTraining, ranker_folder: str, cross_encoder_folder: str, tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match="Nothing to train on"):
        train_ranker(replace(run, votes=()))
    with pytest.raises(CorpusError, match="does not exist"):
        train_ranker(replace(run, votes=(tmp_path / "nowhere",)))
    with pytest.raises(ModelError, match=f"The base {tmp_path} cannot be loaded"):
        train_ranker(replace(run, base=str(tmp_path)))
    with pytest.raises(ModelError, match="is a ranker: `kith train retriever` makes a retriever"):
        train_ranker(replace(run, retriever=ranker_folder))


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
    seen: dict[str, Any] = {"calibration": set()}

    def laid_out(pairs: list[Pair], run: RankerTraining) -> list[tuple[Pair, ...]]:
        seen["votes"] = {name_of(pair.reply) for pair in pairs}
        return [tuple(pairs[:2])]

    def expect(encoder: Encoder, dialogs: list[CorpusDialog], *_: object, **__: object) -> None:
        seen["dialogs"] = {dialog.id for dialog in dialogs}

    def calibrate(model: CrossEncoder, encoder: Encoder, ratings: list[RatedReply], head: str) -> dict[str, float]:
        seen["calibration"] |= {rating.dialog_id for rating in ratings}
        return {}

    monkeypatch.setattr(train, "laid_out", laid_out)
    monkeypatch.setattr(train, "fit_expected", expect)
    monkeypatch.setattr(train, "calibrate", calibrate)
    data, votes = lines(tmp_path / "d.jsonl", dialogs), lines(tmp_path / "v.jsonl", ratings)
    train_ranker(replace(run, dialogs=(data,), votes=(votes,)))
    rated = {str(row["dialog_id"]) for row in ratings}
    held = {name for name, split in splits.items() if split == "valid"} | {n for n in rated if held_back(n, 0.15)}
    kept = {name for name in rated - held if for_calibration(RatedReply(name, "", "", (), "", True))}
    assert seen["dialogs"] == set(splits) - held - kept
    assert seen["votes"] == rated - held - kept
    assert seen["calibration"] == kept != set()


def name_of(text: str) -> str:
    return text.split()[0]


def pair(number: int) -> Pair:
    return Pair(context(f"v{number}" * (1 + number % 7)), f"w{number}", number % 2 == 0, "y")


@settings(max_examples=50)
@given(rated=st.integers(0, 90), batch=st.integers(1, 9), epochs=st.sampled_from([0.0, 0.5, 1.0, 2.5]))
def test_every_vote_comes_as_often_as_there_are_epochs_beside_those_of_like_length(
    rated: int, batch: int, epochs: float
) -> None:
    run = RankerTraining((), (), Path(), batch=batch, epochs=epochs)
    pairs = [pair(i) for i in range(rated)]
    steps = laid_out(pairs, run)
    assert steps == laid_out(pairs, run)
    assert all(0 < len(step) <= batch for step in steps)
    counts = Counter(vote for step in steps for vote in step)
    assert all(counts[each] <= math.ceil(epochs) for each in pairs)
    if epochs in (0.0, 1.0):
        assert sum(counts.values()) == rated * epochs


@torch.no_grad()
def test_the_loss_is_that_of_each_vote_by_its_head(ranker_folder: str, bi_encoder: Encoder) -> None:
    cross_encoder = begin_cross_encoder(ranker_folder, ("convai2017",))
    encoder = seen_by(cross_encoder, bi_encoder)
    model = LikelyLiked(cross_encoder, encoder).eval()
    rated = [replace(pair(i), source=("kith", "convai2017")[i % 3 == 0]) for i in range(7)]
    losses = []
    for each in rated:
        (numbers,) = log_odds(cross_encoder, encoder, [(each.context, [each.reply])]).tolist()
        odds = numbers[list(cross_encoder.heads).index(each.source)]
        losses.append(np.log1p(np.exp(-odds if each.liked else odds)))
    assert model([tuple(rated[:3]), tuple(rated[3:])])["loss"].item() == pytest.approx(np.mean(losses), abs=1e-4)


# Calibration


@pytest.fixture
def model(ranker_folder: str) -> CrossEncoder:
    return begin_cross_encoder(ranker_folder, ())


@torch.inference_mode()
def odds_of(model: CrossEncoder, encoder: Encoder, ratings: Sequence[RatedReply]) -> np.ndarray[Any, Any]:
    batch = [(Context(rating.messages), [rating.reply]) for rating in ratings]
    made: np.ndarray[Any, Any] = log_odds(model, encoder, batch)[:, model.column(OWN)].numpy().astype(np.float64)
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
    facts = calibrate(model, bi_encoder, ratings, OWN)
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
    facts = calibrate(model, bi_encoder, ratings, OWN)
    assert np.array_equal(odds_of(model, bi_encoder, ratings), before)
    assert "shift" not in facts
    assert facts.get("slope", 0.0) <= 0
