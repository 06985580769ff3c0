"""Bits per character, against a model of which they are known beforehand."""

import math

import pytest
import torch
from spoken import spoken
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from generation.metrics import bits_per_character
from generation.prompt import as_chat, render
from storage.corpora import CorpusDialog

pytest_plugins = ("tiny",)


def dialog(source: str, *texts: str, lang: str = "en") -> CorpusDialog:
    return CorpusDialog("d", source, "valid", spoken(*texts), lang=lang)


@pytest.fixture
def clueless(generator_folder: str) -> PreTrainedModel:
    """To it all tokens are equally likely."""
    model = AutoModelForCausalLM.from_pretrained(generator_folder, dtype=torch.float32)
    torch.nn.init.zeros_(model.lm_head.weight)
    return model


def bits(tokenizer: PreTrainedTokenizerBase, *texts: str) -> float:
    ids = render(tokenizer, as_chat(dialog("x", *texts).messages), prompt=False).ids
    return (len(ids) - 1) * math.log2(len(tokenizer)) / sum(map(len, texts))


def test_bits_are_counted_for_each_character_of_each_source(
    clueless: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    dialogs = [dialog("a", "hello there", "how are you?"), dialog("b", "zzzzzzzz", "hi")]
    found = bits_per_character(clueless, tokenizer, dialogs, "en", length=100)
    assert list(found) == ["a", "b"]
    assert found["a"] == pytest.approx(bits(tokenizer, "hello there", "how are you?"), abs=1e-3)
    assert found["b"] == pytest.approx(bits(tokenizer, "zzzzzzzz", "hi"), abs=1e-3)


def test_a_model_that_knows_the_dialog_needs_fewer_bits(
    clueless: PreTrainedModel, generator_folder: str, tokenizer: PreTrainedTokenizerBase
) -> None:
    model = AutoModelForCausalLM.from_pretrained(generator_folder, dtype=torch.float32)
    known = [dialog("a", "what shall we eat", "Pizza!")]
    found = (bits_per_character(m, tokenizer, known, "en", 100)["a"] for m in (model, clueless))
    assert next(found) < next(found)


def test_a_dialog_that_is_too_long_is_read_from_its_start(
    clueless: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    length = len(render(tokenizer, as_chat(dialog("a", "hello", "you").messages), prompt=False).ids)
    long = dialog("a", "hello", "you", "tell me a joke please")
    assert bits_per_character(clueless, tokenizer, [long], "en", length) == {
        "a": pytest.approx(bits(tokenizer, "hello", "you"), abs=1e-3)
    }
    assert bits_per_character(clueless, tokenizer, [dialog("a", "x" * 99)], "en", length=20) == {}


def test_other_languages_and_what_is_over_the_limit_are_left_out(
    clueless: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    dialogs = [dialog("a", "привет", "да", lang="ru"), dialog("a", "hi", "you"), dialog("a", "zzzzzzzzzzzzzz", "q")]
    found = bits_per_character(clueless, tokenizer, dialogs, "en", 100, most=1)
    assert found == {"a": pytest.approx(bits(tokenizer, "hi", "you"), abs=1e-3)}


def test_a_dialog_without_a_single_character_is_no_figure(
    clueless: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    assert bits_per_character(clueless, tokenizer, [dialog("a", "", "")], "en", 100) == {}
