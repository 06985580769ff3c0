"""The ranker on a tiny random BERT: shape, order, and what it reads of a long context."""

import json
import math
from pathlib import Path

import pytest
from transformers import AutoConfig, BertForSequenceClassification, PreTrainedTokenizerBase

from ranking.pretrained import ModelError
from ranking.ranker import CrossEncoderRanker, starter_version
from storage.dialog import Candidate, Context, Message

pytest_plugins = ("tiny",)


@pytest.fixture(scope="module")
def ranker(cross_encoder_folder: str) -> CrossEncoderRanker:
    return CrossEncoderRanker(cross_encoder_folder)


def asked(*texts: str) -> Context:
    return Context(tuple(Message("user", text) for text in texts))


def replies(*texts: str) -> list[Candidate]:
    return [Candidate(text, "retrieval", 0.0) for text in texts]


def test_each_candidate_of_each_context_gets_its_own_log_odds(ranker: CrossEncoderRanker) -> None:
    batch = [
        (asked("hello there"), replies("good night", "tell me a joke")),
        (asked("it rains"), []),
        (asked("it rains"), replies("good night")),
    ]
    scores = ranker.score(batch)
    assert [len(row) for row in scores] == [2, 0, 1]
    assert len({round(score, 5) for row in scores for score in row}) == 3
    assert all(math.isfinite(score) for row in scores for score in row)


def test_a_batch_gives_the_scores_that_each_pair_has_alone_and_equal_pairs_are_equal(
    ranker: CrossEncoderRanker,
) -> None:
    batch = [
        (asked("hello"), replies("good night", "the cat sleeps all day and tell me a joke please")),
        (asked("hello"), replies("good night")),
    ]
    together = ranker.score(batch)
    assert together[0][0] == together[1][0]
    for (context, candidates), row in zip(batch, together, strict=True):
        for candidate, score in zip(candidates, row, strict=True):
            assert ranker.score([(context, [candidate])])[0][0] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("batch", [[], [(Context(()), [])]])
def test_nothing_to_score_is_no_error(ranker: CrossEncoderRanker, batch: list[tuple[Context, list[Candidate]]]) -> None:
    assert ranker.score(batch) == [[] for _ in batch]


def test_strange_texts_get_a_number(ranker: CrossEncoderRanker) -> None:
    batch = [(asked(""), replies("", "👍", "x" * 9000)), (Context(()), replies("hello"))]
    assert all(math.isfinite(score) for row in ranker.score(batch) for score in row)


def test_of_a_context_that_is_too_long_the_newest_words_are_read(ranker: CrossEncoderRanker) -> None:
    """Forty words of three tokens and more are over the limit of a pair."""
    long = "supercalifragilistic " * 60
    (joke,), (cat,), (again,) = ranker.score(
        [(asked(long + end), replies("good night")) for end in ("tell me a joke", "the cat sleeps", "tell me a joke")]
    )
    assert joke != pytest.approx(cat, abs=1e-4)
    assert joke == again


def test_the_folder_names_the_version(ranker: CrossEncoderRanker, cross_encoder_folder: str) -> None:
    assert ranker.version == Path(cross_encoder_folder).name


def test_a_ranker_that_is_not_there_or_broken_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=f"The ranker {tmp_path} cannot be loaded"):
        CrossEncoderRanker(str(tmp_path))


def test_a_model_of_several_outputs_is_no_ranker(
    cross_encoder_folder: str, bert_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    config = AutoConfig.from_pretrained(cross_encoder_folder, num_labels=3)
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    bert_tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="has 3 outputs: one is needed"):
        CrossEncoderRanker(str(tmp_path))


def test_the_version_of_a_shipped_ranker_is_the_day_it_was_made(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not whole"):
        starter_version(tmp_path)
    (tmp_path / "training.json").write_text(json.dumps({"made": "2026-11-20T10:00:00+00:00"}))
    assert starter_version(tmp_path) == "starter 2026-11-20"
