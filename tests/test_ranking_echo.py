"""Echo: how far down people's own words are found."""

import numpy as np
import pytest
from spoken import context

from ranking import baselines
from ranking.baselines import PlainMiniLM
from ranking.data import Position
from ranking.echo import BASELINE, echo, echo_ranks
from ranking.encoders import load_encoder
from ranking.selection import Question

pytest_plugins = ("tiny",)


def test_a_rank_counts_what_is_nearer_than_the_message_itself() -> None:
    texts = np.array([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.8, 0.6]], np.float32)
    contexts = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    assert echo_ranks(contexts, texts, np.array([0, 0])).tolist() == [0, 3]
    assert echo_ranks(contexts, texts, np.array([1, 3])).tolist() == [1, 1]


def test_the_message_itself_is_the_first_thing_that_likeness_finds(
    bi_encoder_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "packaged_minilm", lambda: bi_encoder_folder)
    messages = ["it rains", "pizza", "tell me a joke please", "my dog is ill", "hello there"]
    asked = [
        Question(Position(context("good night", "hi", text), "x", "x", str(i)), (f"reply {i}", "what shall we eat"))
        for i, text in enumerate(messages)
    ]
    found = echo(asked, PlainMiniLM(), {"retriever": load_encoder(bi_encoder_folder)}, resamples=20)
    assert (found.contexts, found.candidates) == (5, 5 + 1 + 5)
    alone, whole, ours = found.rows
    assert {name: figure.value for name, figure in alone.figures.items()} == {
        "mean rank": 0,
        "median rank": 0,
        "found first": 1,
    }
    assert (whole.model, whole.against) == (BASELINE, {})
    gap = ours.figures["mean rank"].value - whole.figures["mean rank"].value
    assert ours.against["mean rank"].value == pytest.approx(gap)
