"""Dialogs of the voice as examples: which, how many, and who is shown them."""

import json
from pathlib import Path

import pytest
from spoken import context

from generation.examples import HEADING, Examples, spread, train_voice
from generation.generator import GptGenerator
from generation.rendering import examples_of
from generation.sampling import Sampling

pytest_plugins = ("tiny",)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_they_are_of_as_many_situations_and_of_the_train_split(count: int) -> None:
    dialogs = spread(count)
    assert len({dialog.id.rpartition("/")[0] for dialog in dialogs}) == count
    assert {dialog.split for dialog in dialogs} == {"train"}


def test_more_than_there_are_situations_is_all_of_them() -> None:
    assert len(spread(10_000)) == len({dialog.id.rpartition("/")[0] for dialog in train_voice()})


def test_whole_dialogs_stand_in_the_room_that_there_is() -> None:
    for room in (0, 300, 2_000, 6_000):
        text = Examples(8, room).text
        assert len(text.removeprefix(HEADING)) <= room + 2
        assert text == "" or text.rpartition("\n")[2].startswith("You: ")
    assert Examples(8, 6_000).text.count("\n\n") > Examples(8, 2_000).text.count("\n\n") > 0


def test_a_persona_comes_before_them_and_alone_without_them() -> None:
    assert Examples(0).told("You are a cat.") == "You are a cat."
    assert Examples(1).told("").startswith(HEADING)
    assert Examples(1).told("You are a cat.").startswith(f"You are a cat.\n\n{HEADING}\n\nPerson: ")


def test_a_model_that_was_not_trained_here_is_shown_them_and_ours_is_not(
    generator_folder: str, plain_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("generation.rendering.CHARACTERS_PER_TOKEN", 100)  # the tiny ones have no room else
    ours, plain = (GptGenerator(folder, Sampling(1, 8), examples=2) for folder in (generator_folder, plain_folder))
    assert ours.rendering.examples.text == ""
    assert plain.rendering.examples.text.startswith(HEADING)
    assert len(plain.sample([context("hello there")])) == 1


@pytest.mark.parametrize(
    ("card", "shown"),
    [({"settings": {"method": "kto", "examples": 1}}, 1), ({"settings": {}}, 0), ({"name": "of others"}, 2), (None, 2)],
)
def test_a_model_that_was_trained_here_is_shown_what_it_was_shown_then(
    card: dict[str, object] | None, shown: int, tmp_path: Path
) -> None:
    if card is not None:
        (tmp_path / "training.json").write_text(json.dumps(card), encoding="utf-8")
    assert examples_of(str(tmp_path), 2) == shown
