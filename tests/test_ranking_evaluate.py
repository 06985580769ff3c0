"""Measuring retriever and ranker: fair questions, honest baselines, on tiny models."""

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from spoken import context, spoken

from ranking.data import Position
from ranking.evaluate import (
    CANDIDATES,
    Question,
    at_most,
    by_bm25,
    by_encoder,
    by_ranker,
    pool_precision,
    questions,
    selection,
    votes,
)
from ranking.metrics import true_ranks
from ranking.ranker import CrossEncoderRanker
from ranking.retriever import Retriever
from ranking.vectors import Encoder
from storage.corpora import CorpusError, RatedReply
from storage.dialog import PoolEntry

pytest_plugins = ("tiny",)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranking.metrics.RESAMPLES", 20)


@pytest.fixture(scope="module")
def encoder(bi_encoder_folder: str) -> Encoder:
    return Encoder(SentenceTransformer(bi_encoder_folder), "tiny")


@pytest.fixture(scope="module")
def ranker(cross_encoder_folder: str) -> CrossEncoderRanker:
    return CrossEncoderRanker(cross_encoder_folder)


def places(count: int = 30, source: str = "x") -> list[Position]:
    """Each reply takes up two words of the message that nobody else says."""
    return [
        Position(context("hi", "yes", f"apple{i} pear{i} you"), f"my pear{i} and apple{i}", source, f"{source}{i}")
        for i in range(count)
    ]


def test_a_question_holds_the_true_reply_first_and_others_of_its_source() -> None:
    asked = questions([*places(), *places(25, "y"), *places(5, "small")])
    assert {question.place.source for question in asked} == {"x", "y"}
    for question in asked:
        true, *wrong = question.replies
        assert (true, len(wrong)) == (question.place.reply, CANDIDATES - 1)
        assert true not in wrong
    own = {place.reply for place in places()}
    assert all(set(question.replies) <= own for question in asked[:30])
    assert questions(places()) == questions(places())


def test_the_true_reply_in_other_words_of_punctuation_is_no_wrong_answer() -> None:
    same = [Position(context("hi"), text, "x", str(i)) for i, text in enumerate(["Yes!", "yes", "YES..."] * 10)]
    assert questions(same) == []


def test_bm25_finds_the_reply_that_shares_rare_words_and_knows_nothing_without_any() -> None:
    asked = questions(places())
    assert true_ranks(by_bm25(asked)).tolist() == [1] * 30
    strange = [Question(Position(context("qqq zzz"), "a", "x", "1"), ("pizza", "good night", "?"))]
    assert by_bm25(strange).tolist() == [[0.0, 0.0, 0.0]]


def test_an_encoder_scores_the_cosine_of_message_and_reply(encoder: Encoder) -> None:
    asked = [Question(Position(context("hello there"), "x", "x", "1"), ("hello there", "pizza", "good night"))]
    scores = by_encoder(asked, encoder, 0)
    assert scores[0, 0] == pytest.approx(1, abs=1e-4)
    assert (scores[0, 1:] < 1).all()


def test_a_ranker_that_sees_the_reply_alone_scores_at_chance_and_gives_each_reply_one_score(
    ranker: CrossEncoderRanker,
) -> None:
    """Were it better, wrong replies could be told by their looks and the test would leak."""
    asked = questions(places(60))
    blind = by_ranker(asked, ranker, blind=True)
    values: dict[str, set[float]] = {}
    for question, row in zip(asked, blind.tolist(), strict=True):
        for reply, score in zip(question.replies, row, strict=True):
            values.setdefault(reply, set()).add(score)
    assert all(len(scores) == 1 for scores in values.values())
    assert np.mean(true_ranks(blind) <= 10) == pytest.approx(0.5, abs=0.2)
    assert not np.allclose(blind, by_ranker(asked, ranker))


def test_the_table_of_selection_has_every_model_with_intervals(encoder: Encoder, ranker: CrossEncoderRanker) -> None:
    rows = {row.model: row.figures for row in selection(questions(places()), encoder, ranker)}
    assert rows["BM25"]["R@1"].value == rows["BM25"]["MRR"].low == 1
    assert rows["chance"]["R@1"].value < 0.2
    assert {"retriever", "ranker", "ranker, reply alone"} <= set(rows)
    assert all(set(figures) == {"R@1", "R@5", "MRR"} for figures in rows.values())
    with pytest.raises(CorpusError, match="No response-selection questions"):
        selection([], encoder, ranker)


def rating(i: int, source: str) -> RatedReply:
    """Liked when it is long."""
    return RatedReply(f"d{i}", source, "valid", spoken("hi"), "word " * (i % 7 + 1), i % 7 > 3)


def test_votes_are_told_by_source_against_knowing_nothing_and_against_length(ranker: CrossEncoderRanker) -> None:
    rows = {row.model: row.figures for row in votes([rating(i, "xy"[i % 2]) for i in range(60)], ranker)}
    assert [figure.value for figure in rows["majority"].values()] == [0.5, 0.5]
    assert [figure.value for figure in rows["reply length"].values()] == [1, 1]
    assert list(rows["ranker"]) == ["x (30)", "y (30)"]
    with pytest.raises(CorpusError, match="No rated replies"):
        votes([], ranker)


def test_a_sample_of_ratings_is_limited_source_by_source() -> None:
    ratings = [rating(i, "big") for i in range(50)] + [rating(i, "small") for i in range(3)]
    sample = at_most(ratings, 10)
    assert [r.source for r in sample] == ["big"] * 10 + ["small"] * 3
    assert sample == at_most(ratings, 10)


def test_a_pool_is_asked_with_its_own_contexts_each_left_out_in_turn(encoder: Encoder) -> None:
    near = [PoolEntry("a/1", "Hello.", ("hello there", "hello there !"), "curated")]
    far = [PoolEntry("b/1", "Pizza.", ("what shall we eat", "tell me a joke please"), "curated")]
    thresholds, found, right = zip(*pool_precision(Retriever([*near, *far], encoder).index, encoder), strict=True)
    assert list(thresholds) == sorted(thresholds)
    assert list(found) == sorted(found, reverse=True)
    assert all(0 <= share <= 1 for share in (*found, *right))
    alone = pool_precision(Retriever(near, encoder).index, encoder)
    assert all(precision == 1 for _, _, precision in alone)
