"""What a reply should be near to, learnt on vectors that stay as they are: what it finds, what it keeps away from."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from spoken import context

from ranking.expected import ECHO_WEIGHT, ExpectedReply, Places, expected_of, fit_expected, scores, state_of
from ranking.vectors import Encoder, Vectors, unit
from storage.corpora import CorpusDialog
from storage.dialog import Message

WIDTH = 24
WORDS = [f"word{n}" for n in range(WIDTH)]


def embed(texts: Sequence[str]) -> Vectors:
    """Each word has a direction of its own, so that nothing but learning tells which word answers which."""
    vectors = np.array([[text.split().count(word) for word in WORDS] for text in texts], np.float32)
    return unit(vectors.reshape(-1, WIDTH))


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(embed, np.array([1.0, 0.5, 0.25], np.float32), "words")


def dialogs(source: str = "own", count: int = 60) -> list[CorpusDialog]:
    """Each word is answered by the one after it, in every dialog."""
    draw = np.random.default_rng(0)
    said = [[WORDS[(start + step) % WIDTH] for step in range(5)] for start in draw.integers(0, WIDTH, count)]
    return [
        CorpusDialog(f"{source} {number}", source, "train", tuple(Message("user", word) for word in words), lang="en")
        for number, words in enumerate(said)
    ]


def fitted(encoder: Encoder, echo_weight: float = ECHO_WEIGHT) -> Encoder:
    model = fit_expected(encoder, dialogs(), echo_weight=echo_weight, batch=16)
    assert model is not None
    return Encoder(embed, encoder.lags, "words", expected=model)


def test_what_answers_is_nearer_than_what_was_said(encoder: Encoder) -> None:
    learnt = fitted(encoder)
    for number in range(WIDTH - 2):
        asked = context(WORDS[number], WORDS[number + 1])
        ((echo, answer, other),) = learnt.relevance([(asked, [WORDS[number + 1], WORDS[number + 2], WORDS[number]])])
        assert answer > max(echo, other) + 0.1
        ((echo, answer, other),) = encoder.relevance([(asked, [WORDS[number + 1], WORDS[number + 2], WORDS[number]])])
        assert echo > answer


def test_before_it_has_learnt_it_is_the_sum_of_the_messages(encoder: Encoder) -> None:
    fresh = Encoder(embed, encoder.lags, "words", expected=untrained(encoder))
    asked = [context("word1", "word2", "word3"), context("word4")]
    assert fresh.asked(asked) == pytest.approx(encoder.contexts(asked)[1], abs=1e-6)
    assert fresh.answering(embed(["word5"])) == pytest.approx(embed(["word5"]), abs=1e-6)


def test_the_vectors_themselves_stay_as_they_are(encoder: Encoder) -> None:
    learnt, asked = fitted(encoder), [context("word1", "word2")]
    for now, before in zip(learnt.contexts(asked), encoder.contexts(asked), strict=True):
        assert np.array_equal(now, before)


def test_nothing_said_and_nothing_to_answer_with_are_no_error(encoder: Encoder) -> None:
    learnt = fitted(encoder)
    assert learnt.asked([]).shape == (0, WIDTH)
    assert learnt.relevance([(context("word1"), [])]) == [[]]
    assert np.isfinite(learnt.asked([context()])).all()


def test_too_few_places_teach_nothing(encoder: Encoder) -> None:
    assert fit_expected(encoder, dialogs(count=3), batch=32) is None
    assert fit_expected(encoder, [], batch=32) is None


def test_sources_that_are_no_chit_chat_are_left_out(encoder: Encoder) -> None:
    assert fit_expected(encoder, dialogs("taskmaster4"), batch=32) is None


def test_the_same_seed_gives_the_same_network(encoder: Encoder) -> None:
    one, same, other = (fit_expected(encoder, dialogs(), seed=seed, batch=64) for seed in (1, 1, 2))
    assert one is not None and same is not None and other is not None
    for name, weights in one.state_dict().items():
        assert torch.equal(weights, same.state_dict()[name]), name
    assert not torch.equal(one.read.weight, other.read.weight)


def test_it_is_kept_beside_the_weights_of_a_bert(encoder: Encoder) -> None:
    model = fit_expected(encoder, dialogs(), batch=64)
    assert model is not None
    state = {"lags": torch.zeros(3), **state_of(model)}
    again = expected_of(state)
    assert again is not None and set(state) == {"lags"}
    messages = torch.randn(2, 3, WIDTH)
    assert torch.equal(again(messages), model(messages))
    assert expected_of(state) is None


def test_it_goes_on_from_one_that_has_learnt(encoder: Encoder) -> None:
    first = fit_expected(encoder, dialogs(), batch=16)
    assert first is not None
    before = {name: weights.clone() for name, weights in first.state_dict().items()}
    onward = fit_expected(encoder, dialogs(count=40), first, batch=64)
    assert onward is not None and not torch.equal(onward.write.weight, before["write.weight"])
    assert torch.equal(first.write.weight, before["write.weight"])
    ((echo, answer),) = Encoder(embed, encoder.lags, "words", expected=onward).relevance(
        [(context("word3"), ["word3", "word4"])]
    )
    assert answer > echo


@torch.inference_mode()
def test_the_message_to_answer_is_a_wrong_reply_when_it_is_to_count(encoder: Encoder) -> None:
    model = untrained(encoder)
    vectors = torch.from_numpy(np.vstack([embed(WORDS[:4]), np.zeros((1, WIDTH), np.float32)]))
    none = -1
    places = Places(torch.tensor([[0, none, none], [1, 0, none]]), torch.tensor([1, 2]), torch.tensor([7, 8]))
    both = torch.tensor([0, 1])
    alone = scores(model, torch.tensor(1.0), vectors, places, both, echo_weight=0)
    assert alone.shape == (2, 2)
    beside = scores(model, torch.tensor(1.0), vectors, places, both, echo_weight=1)
    assert beside.shape == (2, 3) and float(beside[0, 2]) == pytest.approx(1.0)
    louder = scores(model, torch.tensor(1.0), vectors, places, both, echo_weight=4)
    assert float(louder[0, 2]) == pytest.approx(1.0 + np.log(4))


@torch.inference_mode()
def test_the_same_words_and_the_same_dialog_give_no_wrong_replies(encoder: Encoder) -> None:
    vectors = torch.from_numpy(np.vstack([embed(WORDS[:4]), np.zeros((1, WIDTH), np.float32)]))
    before = torch.tensor([[0, -1, -1], [1, -1, -1], [2, -1, -1]])
    places = Places(before, torch.tensor([1, 1, 3]), torch.tensor([7, 8, 8]))
    found = scores(untrained(encoder), torch.tensor(1.0), vectors, places, torch.arange(3), echo_weight=0)
    assert (found == -1).tolist() == [[False, True, False], [True, False, True], [False, True, False]]


def untrained(encoder: Encoder) -> ExpectedReply:
    return ExpectedReply(torch.from_numpy(np.asarray(encoder.lags)), WIDTH).eval()
