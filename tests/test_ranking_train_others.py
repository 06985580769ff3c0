"""Training models of others, tiny ones, by sentence-transformers' trainers: what is learnt, what is written, and that
it serves."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from spoken import context
from transformers import BertForSequenceClassification

from bot.model_folders import check_model
from ranking.delta import has_delta
from ranking.encoders import load_encoder
from ranking.pretrained import ModelError
from ranking.ranker import CrossEncoderRanker
from ranking.train import RankerTraining, train_ranker
from ranking.train_retriever import RetrieverTraining, train_retriever
from ranking.training import checkpoints_of
from storage.corpora import CorpusError, RatedReply
from storage.dialog import Candidate, Message

pytest_plugins = ("tiny",)

GOOD, BAD = "good night", "tell me a joke"
ASKED = ("hello there", "it rains", "my dog is ill", "the cat sleeps all day")
BELONGS = {
    "hello there": "good night",
    "what shall we eat": "pizza",
    "my dog is ill": "poor dog",
    "it rains": "sad",
}
A_MOMENT = 1e-9
"""Minutes after which a run has had its time at its first step."""


def rated(text: str, reply: str, liked: bool, number: int, weight: float = 1.0) -> RatedReply:
    return RatedReply(f"d{number}", "kith", "train", (Message("user", text),), reply, liked, weight)


VOTES = [rated(text, reply, reply == GOOD, i) for i in range(24) for text in ASKED for reply in (GOOD, BAD)]


@pytest.fixture
def ranker(cross_encoder_folder: str, retriever_folder: str, tmp_path: Path) -> RankerTraining:
    return RankerTraining(
        (), (), tmp_path / "ranker", cross_encoder_folder, retriever_folder, epochs=3, batch=16, learning_rate=5e-3
    )


@pytest.fixture
def retriever(distilbert_folder: str, tmp_path: Path) -> RetrieverTraining:
    turns = [[{"role": "ab"[i], "text": text} for i, text in enumerate(pair)] for pair in BELONGS.items()]
    rows = [{"id": f"t{i}", "split": "train", "lang": "en", "turns": turns[i % len(turns)]} for i in range(40)]
    data = tmp_path / "talks.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return RetrieverTraining((data,), tmp_path / "retriever", (), distilbert_folder, 8, batch=4, learning_rate=5e-3)


def test_a_cross_encoder_of_others_learns_from_votes_and_serves(ranker: RankerTraining) -> None:
    facts = train_ranker(ranker, VOTES)
    assert (facts["trainer"], facts["votes"]) == ("CrossEncoderTrainer", {"kith": len(VOTES)})
    assert not has_delta(ranker.out)
    serves = CrossEncoderRanker(str(ranker.out), load_encoder(ranker.retriever))
    asked = [(context(text), [Candidate(reply, "retrieval", 0.0) for reply in (GOOD, BAD)]) for text in ASKED]
    assert all(good > bad for good, bad in serves.score(asked))


def test_a_vote_that_weighs_little_is_seldom_taken(ranker: RankerTraining) -> None:
    light = [replace(vote, weight=0.1) for vote in VOTES]
    taken = train_ranker(replace(ranker, epochs=0), light)["votes"]["kith"]
    assert 5 <= taken <= 40  # of 192


def test_a_sentence_transformer_of_others_learns_what_follows_what_and_serves(retriever: RetrieverTraining) -> None:
    liked = [rated("the cat sleeps all day", "good morning", True, 1), rated("hello there", "bad", False, 2)]
    liked += [rated("hello there", "bad", True, 3, weight=0.0)]
    facts = train_retriever(retriever, liked)
    assert (facts["trainer"], facts["replies"]) == ("SentenceTransformerTrainer", {"kith": 1, "talks": 40})
    replies = list(BELONGS.values())
    for encoder, right in ((load_encoder(retriever.base), 3), (load_encoder(str(retriever.out)), 4)):
        scores = encoder.relevance([(context(text), replies) for text in BELONGS])
        told = sum(row.index(max(row)) == place for place, row in enumerate(scores))
        assert told == 4 if right == 4 else told <= 3


@pytest.mark.parametrize("kind", ["ranker", "retriever"])
def test_what_is_written_is_a_models_data_alone_and_says_how_it_was_made(
    kind: str, ranker: RankerTraining, retriever: RetrieverTraining
) -> None:
    run = ranker if kind == "ranker" else retriever
    trained(run)
    written = [path for path in run.out.rglob("*") if path.is_file()]
    assert not checkpoints_of(run.out).exists()
    facts = json.loads((run.out / "training.json").read_text())
    assert facts["settings"]["base"] == Path(run.base).name
    assert facts["steps"].split(" of ")[0] == facts["steps"].split(" of ")[1]
    for file in written:
        assert "rains" not in file.read_text(errors="replace") or file.name in ("tokenizer.json", "vocab.txt"), file
        assert str(run.out.parent) not in file.read_text(errors="replace"), file
    check_model(str(run.out))


@pytest.mark.parametrize("kind", ["ranker", "retriever"])
def test_a_run_that_was_stopped_goes_on(kind: str, ranker: RankerTraining, retriever: RetrieverTraining) -> None:
    run: Any = ranker if kind == "ranker" else retriever
    stopped = trained(replace(run, minutes=A_MOMENT))
    assert stopped["steps"].startswith("1 of ")
    check_model(str(run.out))  # what there is can be used
    done, steps = trained(run)["steps"].split(" of ")
    assert done == steps


def trained(run: Any) -> dict[str, Any]:
    return train_ranker(run, VOTES) if isinstance(run, RankerTraining) else train_retriever(run)


def test_mistakes_are_one_sentence(
    ranker: RankerTraining, retriever: RetrieverTraining, bert_folder: str, tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match="Nothing to train on: no votes"):
        train_ranker(ranker)
    with pytest.raises(CorpusError, match="Nothing to train on: name dialogs with --data"):
        train_retriever(replace(retriever, data=()))
    with pytest.raises(CorpusError, match="give it --epochs"):
        train_retriever(replace(retriever, epochs=0))
    with pytest.raises(ModelError, match=f"The base {tmp_path} cannot be loaded"):
        train_retriever(replace(retriever, base=str(tmp_path)))
    config = BertForSequenceClassification.from_pretrained(bert_folder, num_labels=3)
    config.save_pretrained(tmp_path / "three")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "three" / name).write_bytes((Path(bert_folder) / name).read_bytes())
    with pytest.raises(ModelError, match="three has 3 outputs: a ranker has one"):
        train_ranker(replace(ranker, base=str(tmp_path / "three")), VOTES)
