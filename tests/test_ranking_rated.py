"""Votes on held-back dialogs: baselines that know what they say they know, and figures by source."""

import math

import numpy as np
import pytest
import torch
from spoken import spoken

from ranking.ranker import CrossEncoderRanker
from ranking.rated import at_most, by_length, by_majority, by_ranker, by_wording, votes
from ranking.taste import Network, Taste
from ranking.vectors import Encoder
from storage.corpora import CorpusError, RatedReply

pytest_plugins = ("tiny",)


@pytest.fixture(scope="module")
def ranker(cross_encoder_folder: str, bi_encoder: Encoder) -> CrossEncoderRanker:
    return CrossEncoderRanker(cross_encoder_folder, bi_encoder)


def rating(reply: str, liked: bool, source: str = "x", dialog: str = "d") -> RatedReply:
    return RatedReply(dialog, source, "", spoken("hi"), reply, liked)


def test_a_sample_of_ratings_is_limited_source_by_source() -> None:
    ratings = [rating(f"{i}", True, "big") for i in range(50)] + [rating(f"{i}", True, "small") for i in range(3)]
    sample = at_most(ratings, 10)
    assert [r.source for r in sample] == ["big"] * 10 + ["small"] * 3
    assert sample == at_most(ratings, 10)


def test_the_majority_is_the_share_of_the_source_in_the_train_split() -> None:
    train = [rating("a", True), rating("b", True), rating("c", True), rating("d", False), rating("e", False, "y")]
    asked = [rating("z", False), rating("z", True, "y"), rating("z", True, "new")]
    assert by_majority(train, asked).tolist() == [0.75, 0, 0.5]


def test_length_learns_from_the_train_split_of_its_source() -> None:
    long, short = "word " * 12, "word"
    train = [rating(long, True), rating(short, False)] * 20 + [rating(long, False, "y"), rating(short, True, "y")] * 20
    likes = by_length(
        train, [rating(long, False), rating(short, True), rating(long, True, "y"), rating(short, True, "y")]
    )
    assert likes[0] > 0.5 > likes[1]
    assert likes[2] < 0.5 < likes[3]
    only_likes = [rating("a", True, "z")]
    assert by_length(only_likes, [rating("b", True, "z")]).tolist() == [1]


def test_wording_is_how_often_the_same_words_were_liked_drawn_to_the_share() -> None:
    train = [rating("Sure!", True)] * 6 + [rating("never", False)] * 2
    sure, never, new, elsewhere = by_wording(
        train, [rating("sure", False), rating("Never.", False), rating("hm", False), rating("sure", True, "y")]
    )
    assert sure == pytest.approx((6 + 2 * 0.75) / 8)
    assert never == pytest.approx((0 + 2 * 0.75) / 4)
    assert (new, elsewhere) == (0.75, 0.5)


def test_a_ranker_tells_probabilities(ranker: CrossEncoderRanker) -> None:
    found = by_ranker([rating("pizza", True), rating("good night", True)], ranker)
    assert ((found > 0) & (found < 1)).all()
    assert found[0] != found[1]


def test_votes_are_told_by_source_and_once_more_in_new_wordings(ranker: CrossEncoderRanker) -> None:
    """The train split likes what begins with yes; half of what is asked uses its words."""
    train = [rating(f"{'yes' if i % 2 else 'no'} {i}", bool(i % 2), "xy"[i % 4 // 2]) for i in range(80)]
    asked = [
        rating(f"{'yes' if i % 2 else 'no'} {i}", bool(i % 2), "xy"[i % 4 // 2], f"d{i // 4}") for i in range(40, 120)
    ]
    found = votes(train, asked, {"ranker": ranker}, resamples=20)
    assert [(part.source, part.unseen, part.replies, part.dialogs) for part in found] == [
        ("x", False, 40, 20),
        ("x", True, 20, 10),
        ("y", False, 40, 20),
        ("y", True, 20, 10),
    ]
    rows = {row.model: row for row in found[0].rows}
    assert list(rows) == ["majority", "reply length", "wording", "ranker"]
    assert rows["majority"].figures["AUC"].value == 0.5
    assert rows["majority"].figures["Brier score"].value == pytest.approx(0.25)
    assert rows["wording"].figures["AUC"].value > 0.8
    assert rows["wording"].against == {}
    gap = rows["ranker"].figures["AUC"].value - rows["wording"].figures["AUC"].value
    assert rows["ranker"].against["AUC"].value == pytest.approx(gap)
    gap = rows["ranker"].figures["AUC"].value - rows["reply length"].figures["AUC"].value
    assert rows["ranker"].against["AUC less reply length"].value == pytest.approx(gap)
    assert list(rows["reply length"].against) == ["AUC"]
    assert {row.model: row for row in found[1].rows}["wording"].figures["AUC"].value == 0.5
    assert sum(part.items for part in found[0].bins) == 40
    assert 0 < found[0].floor < 1


def test_a_taste_is_measured_beside_the_rankers(ranker: CrossEncoderRanker) -> None:
    torch.manual_seed(0)
    taste = Taste(ranker.encoder, [Network(ranker.encoder.width)])
    asked = [rating(f"{i} pizza", bool(i % 2), dialog=f"d{i}") for i in range(20)]
    [part] = votes(asked, asked, {"ranker": ranker}, taste, resamples=5)
    assert [row.model for row in part.rows][-2:] == ["ranker", "taste"]
    assert part.rows[-1].figures["Brier score"].value != part.rows[-2].figures["Brier score"].value


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_one_label_alone_has_no_auc_but_a_brier_score(ranker: CrossEncoderRanker) -> None:
    [part, _] = votes([rating("a", True), rating("b", False)], [rating("c", True)] * 5, {"ranker": ranker}, resamples=5)
    assert math.isnan(part.rows[-1].figures["AUC"].value)
    assert np.isfinite(part.rows[-1].figures["Brier score"].value)


@pytest.mark.parametrize(
    ("train", "asked", "missing"), [([], [rating("a", True)], "train"), ([rating("a", True)], [], "held-back")]
)
def test_nothing_to_ask_or_to_fit_on_is_said(
    train: list[RatedReply], asked: list[RatedReply], missing: str, ranker: CrossEncoderRanker
) -> None:
    with pytest.raises(CorpusError, match=f"No rated replies of the {missing} part"):
        votes(train, asked, {"ranker": ranker})
