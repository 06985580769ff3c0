"""Response selection: fair questions, and a table in which each model stands beside the baseline; and retrieval."""

from collections.abc import Sequence

import numpy as np
import pytest
from spoken import context, spoken

from ranking.data import Position
from ranking.encoders import load_encoder
from ranking.evaluate import numbers_of
from ranking.ranker import CrossEncoderRanker
from ranking.selection import (
    ALL,
    CANDIDATES,
    Question,
    among_all,
    by_encoder,
    by_ranker,
    distinct_replies,
    places_to_ask,
    questions,
    retrieval,
    rows_of,
    selection,
)
from ranking.vectors import Encoder
from storage.corpora import CorpusDialog, CorpusError
from storage.estimates import Floats

pytest_plugins = ("tiny",)


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


def test_wrong_replies_come_from_other_dialogs_in_words_of_their_own() -> None:
    """What the same dialog says at another time may well be right here."""
    twice = [Position(context("hi"), f"{word} {i}", "x", str(i)) for i in range(25) for word in ("yes", "YES!")]
    asked = questions(twice)
    assert len(asked) == 50
    for question in asked:
        number = question.place.reply.split()[-1]
        assert [reply for reply in question.replies if reply.split()[-1] == number] == [question.place.reply]
        assert len({reply.split()[-1] for reply in question.replies}) == CANDIDATES


@pytest.mark.parametrize("texts", [["Yes!", "yes", "YES..."] * 10, [f"reply {i}" for i in range(19)]])
def test_without_nineteen_different_wrong_replies_there_is_no_question(texts: list[str]) -> None:
    assert questions([Position(context("hi"), text, "x", str(i)) for i, text in enumerate(texts)]) == []


def test_places_are_drawn_from_each_source_once_and_from_chit_chat_only() -> None:
    dialogs = [
        CorpusDialog(f"{source}{i}", source, "valid", spoken("hi", f"hello {i}", "bye", "see you"), lang="en")
        for source in ("self_dialogue", "taskmaster4", "own")
        for i in range(30)
    ]
    found = places_to_ask(dialogs, 20)
    assert sorted({place.source for place in found}) == ["own", "self_dialogue"]
    assert [sum(place.source == source for place in found) for source in ("own", "self_dialogue")] == [20, 20]
    everything = places_to_ask(dialogs[:30], 1000)
    assert len(everything) == len(set(everything)) > 30


def test_an_encoder_scores_the_cosine_of_context_and_reply(bi_encoder_folder: str) -> None:
    encoder = load_encoder(bi_encoder_folder)
    asked = [Question(Position(context("hello there"), "x", "x", "1"), ("hello there", "pizza", "good night"))]
    scores = by_encoder(asked, encoder)
    assert scores[0, 0] == pytest.approx(1, abs=1e-3)
    assert (scores[0, 1:] < 1).all()


def test_rows_are_put_back_where_their_replies_are() -> None:
    asked = [
        Question(Position(context("hi"), "a", "x", "1"), ("a", "b")),
        Question(Position(context("hi"), "c", "x", "2"), ("c", "a")),
    ]
    texts, at = distinct_replies(asked)
    assert texts == ["a", "b", "c"]
    contexts = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    replies = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)
    assert rows_of(contexts, replies, at).tolist() == [[1, 3], [6, 2]]


def test_a_ranker_of_ours_has_two_rows_and_another_one_its_score(
    ranker_folder: str, cross_encoder_folder: str, bi_encoder: Encoder
) -> None:
    """The cosine to what it expects, and what its BERT says of each reply behind the context."""
    asked = questions(places(25))[:3]
    ranker = CrossEncoderRanker(ranker_folder, bi_encoder)
    rows = numbers_of("ranker", ranker)
    assert list(rows) == ["ranker, what it expects", "ranker, P(like)"]
    expects, likes = (scores(asked) for scores in rows.values())
    assert expects.shape == likes.shape == (3, CANDIDATES)
    batch = [(asked[0].place.context, asked[0].replies)]
    assert expects[0] == pytest.approx(ranker.encoder.relevance(batch)[0], abs=1e-4)
    assert np.array_equal(likes, by_ranker(asked, ranker.score))
    assert not np.allclose(expects, likes)
    other = CrossEncoderRanker(cross_encoder_folder, bi_encoder)
    [(row, score)] = numbers_of("another", other).items()
    assert row == "another"
    assert np.array_equal(score(asked), by_ranker(asked, other.score))


def by_place(asked: list[Question], best: int) -> Floats:
    """A model that prefers reply number `best`."""
    scores = np.zeros((len(asked), CANDIDATES))
    scores[:, best] = 1
    return scores


def test_the_table_has_each_model_over_all_and_by_source_beside_the_baseline() -> None:
    asked = questions([*places(), *places(25, "y")])
    models = {
        "right": lambda items: by_place(items, 0),
        "wrong": lambda items: by_place(items, 1),
        "also wrong": lambda items: by_place(items, 2),
    }
    whole, first, second = selection(asked, models, {"R@1": "wrong", "R@1 less right": "right"}, resamples=20)
    assert [(part.source, part.questions, part.dialogs) for part in (whole, first, second)] == [
        (ALL, 55, 55),
        ("x", 30, 30),
        ("y", 25, 25),
    ]
    right, wrong, other = whole.rows
    assert {name: figure.value for name, figure in right.figures.items()} == {"R@1": 1, "R@2": 1, "R@5": 1, "MRR": 1}
    assert (right.against["R@1"].value, right.against["R@1"].low) == (1, 1)
    assert (wrong.figures["R@1"].value, wrong.against) == (0, {})
    assert list(right.against) == ["R@1"]
    assert {key: gap.value for key, gap in other.against.items()} == {"R@1": 0, "R@1 less right": -1}
    assert (whole.curves["right"][0], whole.curves["wrong"][0], len(whole.curves["wrong"])) == (1, 0, CANDIDATES)
    assert [part.source for part in selection(asked[:30], models, {"R@1": "wrong"}, resamples=2)] == ["x"]
    with pytest.raises(CorpusError, match="No response-selection questions"):
        selection([], models, {"R@1": "wrong"})


def test_retrieval_asks_with_the_last_message_among_the_replies_of_all_questions() -> None:
    asked = [
        Question(Position(context("one", "two", "three"), "a", "x", "1"), ("a", "b")),
        Question(Position(context("four"), "c", "x", "2"), ("c", "A!")),
        Question(Position(context("five"), "a", "y", "3"), ("a", "d")),
    ]
    alone = among_all(asked)
    assert [[m.text for m in question.place.context.messages] for question in alone] == [["three"], ["four"], ["five"]]
    assert [question.replies[0] for question in alone] == ["a", "c", "a"]
    assert {frozenset(question.replies[1:]) for question in alone} == {frozenset("bcd"), frozenset("abd")}


def test_average_precision_is_one_over_the_rank_of_the_true_reply() -> None:
    asked = questions(places(25))
    third = np.array([[2.0, 3.0, 4.0, *[1.0] * 22]])

    def found(items: Sequence[Question]) -> Floats:
        return np.repeat(third, len(items), axis=0)

    made = retrieval(asked, {"base": lambda items: -found(items), "ours": found}, "base", resamples=5)
    assert (made.contexts, made.replies) == (25, 25)
    base, ours = made.rows
    assert ours.figures["MAP"].value == pytest.approx(1 / 3)
    assert base.figures["MAP"].value == pytest.approx(1 / 23)
    assert ours.against["MAP"].value == pytest.approx(1 / 3 - 1 / 23)
    assert base.against == {}
