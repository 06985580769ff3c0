"""The baselines of response selection: honest, each with what it knows."""

from collections.abc import Sequence

import numpy as np
import pytest
from spoken import context

from ranking import baselines
from ranking.baselines import (
    PlainMiniLM,
    by_bm25,
    by_chance,
    by_reply_alone,
    by_tfidf,
    last_message,
    whole_context,
)
from ranking.data import Position
from ranking.metrics import true_ranks
from ranking.selection import CANDIDATES, Question, questions
from ranking.vectors import Encoder

pytest_plugins = ("tiny",)


def asked(*texts: str) -> list[Question]:
    """Contexts with these messages and an {i} in them; replies take up two words that nobody else says."""
    return questions(
        [
            Position(context(*(text.format(i=i) for text in texts)), f"my pear{i} and apple{i}", "x", str(i))
            for i in range(30)
        ]
    )


def test_chance_is_chance_and_the_same_for_a_seed() -> None:
    ranks = true_ranks(by_chance(asked("hi") * 40))
    assert np.mean(ranks == 1) == pytest.approx(1 / CANDIDATES, abs=0.03)
    assert np.array_equal(by_chance(asked("hi"), 3), by_chance(asked("hi"), 3))
    assert not np.array_equal(by_chance(asked("hi"), 3), by_chance(asked("hi"), 4))


def test_bm25_finds_the_reply_that_shares_rare_words_and_knows_nothing_without_any() -> None:
    assert true_ranks(by_bm25(asked("hi", "yes", "apple{i} pear{i} you"), last_message)).tolist() == [1] * 30
    strange = [Question(Position(context("qqq zzz"), "a", "x", "1"), ("pizza", "good night", "?"))]
    assert by_bm25(strange, last_message).tolist() == [[0.0, 0.0, 0.0]]


def test_only_the_whole_context_knows_what_was_said_before() -> None:
    before = asked("apple{i} pear{i}", "i see", "what else is there")
    assert true_ranks(by_bm25(before, whole_context)).tolist() == [1] * 30
    assert true_ranks(by_tfidf(before)).tolist() == [1] * 30
    assert (true_ranks(by_bm25(before, last_message)) > 1).all()


def test_tfidf_hears_short_words() -> None:
    question = Question(Position(context("u ok"), "a", "x", "1"), ("u 2", "good night", "what else"))
    assert by_tfidf([question])[0].argmax() == 0


def test_plain_minilm_loses_the_oldest_words_of_a_long_context(
    bi_encoder_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "packaged_minilm", lambda: bi_encoder_folder)
    model = PlainMiniLM()
    long = "the cat sleeps " * 200

    def cosine(*texts: str) -> float:
        first, second = model.encode(texts)
        return float(first @ second)

    assert cosine(f"pizza {long}", f"rains {long}") == pytest.approx(1, abs=1e-5)
    assert cosine(f"{long} pizza", f"{long} rains") < 0.99999


def test_plain_minilm_is_asked_what_it_is_told(bi_encoder_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "packaged_minilm", lambda: bi_encoder_folder)
    model = PlainMiniLM()
    items: Sequence[Question] = [
        Question(Position(context("pizza", "good", "it rains"), "x", "x", "1"), ("it rains", "pizza good it rains"))
    ]
    assert model.score(items, last_message)[0].argmax() == 0
    assert model.score(items, whole_context)[0].argmax() == 1


def said(split: str) -> list[Question]:
    """60 questions; replies have from 2 to 7 words."""
    return questions(
        [Position(context("hi"), f"{split} {i} {'eats ' * (i % 6)}", "x", f"{split}{i}") for i in range(60)]
    )


def leaking(asked: Sequence[Question]) -> list[Question]:
    """The same with longer true replies."""
    return [Question(q.place, (f"{q.replies[0]} for many days now, i am sure", *q.replies[1:])) for q in asked]


def test_replies_alone_tell_nothing_of_a_fair_test_and_all_of_one_that_leaks(bi_encoder: Encoder) -> None:
    """The check is worth something only if it can fail."""
    fair = true_ranks(by_reply_alone(said("valid"), said("train"), bi_encoder))
    assert np.mean(fair <= 1) < 0.2
    assert np.mean(fair <= 10) == pytest.approx(0.5, abs=0.2)
    told = true_ranks(by_reply_alone(leaking(said("valid")), leaking(said("train")), bi_encoder))
    assert np.mean(told <= 1) > 0.9


def test_a_reply_alone_has_one_score_whatever_the_context(bi_encoder: Encoder) -> None:
    scores = by_reply_alone(said("valid"), said("train"), bi_encoder)
    values: dict[str, set[float]] = {}
    for question, row in zip(said("valid"), scores.tolist(), strict=True):
        for reply, score in zip(question.replies, row, strict=True):
            values.setdefault(reply, set()).add(round(score, 9))
    assert max(map(len, values.values())) == 1
