"""Whether a model finds likelier what people liked."""

import math

import numpy as np
import pytest

from generation.generator import GptGenerator
from generation.preferences import Judged, auc, figures, held_judged, log_probabilities
from generation.sampling import Sampling
from storage.corpora import Preference, RatedReply
from storage.dialog import Message

pytest_plugins = ("tiny",)

ASKED = (Message("user", "what shall we eat"),)


def judged() -> Judged:
    """The tiny model has learnt to say Pizza! here."""
    votes = [RatedReply(f"d{n}", "kith", "valid", ASKED, text, text == "Pizza!")
             for n, text in enumerate(("Pizza!", "It rains all day.", "Good night."))]  # fmt: skip
    pairs = [Preference("d0", "kith", "valid", ASKED, "Pizza!", "The cat sleeps."),
             Preference("d1", "kith", "valid", ASKED, "It rains all day.", "Pizza!")]  # fmt: skip
    return Judged(votes, pairs)


def test_what_a_model_knows_by_heart_is_likelier(generator_folder: str) -> None:
    model = GptGenerator(generator_folder, Sampling(1, 8))
    found = log_probabilities(model.model, model.rendering, judged(), "", "")
    told = figures(judged(), found, found, 0, 50)
    assert told["vote AUC"][0] == 1.0
    assert told["preference accuracy"][0] == 0.5
    assert told["preference accuracy, implicit reward"][0] == told["vote AUC, implicit reward"][0] == 0.5


def test_accuracy_is_by_the_mean_and_the_reward_by_the_sum() -> None:
    pairs = judged().pairs[:1]
    before = {"preference accuracy": np.array([[[-4.0, 2.0], [-6.0, 4.0]]])}
    after = {"preference accuracy": np.array([[[-3.0, 2.0], [-6.5, 4.0]]])}
    told = figures(Judged([], pairs), after, before, 0, 10)
    assert told["preference accuracy"][0] == 1.0  # -1.5 and -1.625 a token
    assert told["preference accuracy, implicit reward"][0] == 1.0
    assert "vote AUC" not in told


def test_votes_of_one_kind_have_no_auc() -> None:
    votes = judged().votes[:1]
    found = {"vote AUC": np.array([[[-4.0, 2.0]]])}
    assert figures(Judged(votes, []), found, found, 0, 10) == {}


def test_of_all_that_was_judged_the_held_back_part_is_taken() -> None:
    votes = [RatedReply(f"d{n}", "kith", "train" if n % 2 else "valid", ASKED, "x", True) for n in range(20)]
    held = held_judged(votes, [], 4, 0)
    assert len(held.votes) == 4
    assert {vote.split for vote in held.votes} == {"valid"}
    assert not held_judged([], [], 4, 0)


@pytest.mark.parametrize(
    ("scores", "liked", "expected"),
    [([3, 2, 1], [1, 0, 0], 1.0), ([1, 2, 3], [1, 0, 0], 0.0), ([1, 1], [1, 0], 0.5), ([3, 1, 2], [1, 1, 0], 0.5)],
)
def test_auc_counts_pairs(scores: list[float], liked: list[float], expected: float) -> None:
    assert auc(np.stack([np.array(scores, float), np.array(liked, float)], axis=1)) == expected


def test_auc_of_one_label_is_none() -> None:
    assert math.isnan(auc(np.array([[1.0, 1.0], [2.0, 1.0]])))
