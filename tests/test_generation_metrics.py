"""Bits against models of which they are known beforehand, and what counts as wrong with a reply."""

import math

import numpy as np
import pytest
import torch
from spoken import context, spoken
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertLMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from generation.metrics import (
    bits,
    bits_per_character,
    copies_user,
    distinct,
    ngram_bits,
    per_character,
    read,
    readings,
    repeats_earlier,
    repeats_itself,
    word_ngrams,
)
from generation.ngram import fit
from generation.prompt import as_chat, render
from storage.corpora import CorpusDialog

pytest_plugins = ("tiny",)

CHATML = (
    "{% for message in messages %}[{{ message['role'] }}]\n{{ message['content'] | trim }}[done]\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
"""A template with more markup than ours, as many hub models have."""


def dialog(source: str, *texts: str, lang: str = "en") -> CorpusDialog:
    return CorpusDialog("d", source, "valid", spoken(*texts), lang=lang)


@pytest.fixture
def clueless(generator_folder: str) -> PreTrainedModel:
    """To it all tokens are equally likely."""
    model = AutoModelForCausalLM.from_pretrained(generator_folder, dtype=torch.float32)
    torch.nn.init.zeros_(model.lm_head.weight)
    return model


def expected(tokenizer: PreTrainedTokenizerBase, *texts: str) -> float:
    """What the clueless need for a character: each text's tokens and one that ends it."""
    tokens = sum(len(tokenizer.encode(text)) + 1 for text in texts)
    return tokens * math.log2(len(tokenizer)) / sum(map(len, texts))


# What is counted


def shown(tokenizer: PreTrainedTokenizerBase, *texts: str) -> list[str]:
    """Runs of what is counted, as text; a space before it may belong to it or to the markup."""
    reading = read(tokenizer, spoken(*texts))
    starts = np.flatnonzero(np.diff(reading.counted.astype(int), prepend=0))
    runs = np.split(reading.ids, starts)
    return [tokenizer.decode(run).removeprefix(" ") for run in runs[1::2]]


def test_text_and_the_end_of_each_message_count_but_roles_do_not(tokenizer: PreTrainedTokenizerBase) -> None:
    assert shown(tokenizer, "hello there", "How are you? 👍") == ["hello there<|end|>", "How are you? 👍<|end|>"]


def test_a_line_counts_to_its_end_but_the_name_before_it_does_not(plain_tokenizer: PreTrainedTokenizerBase) -> None:
    assert shown(plain_tokenizer, "hello there", "How are you?") == ["hello there\n", "How are you?\n"]


@pytest.mark.parametrize("text", ["s", "end", "Friend", "user"])
def test_a_message_that_reads_like_markup_is_not_mistaken_for_it(
    tokenizer: PreTrainedTokenizerBase, plain_tokenizer: PreTrainedTokenizerBase, text: str
) -> None:
    assert shown(tokenizer, text, text) == [f"{text}<|end|>"] * 2
    assert shown(plain_tokenizer, text, text) == [f"{text}\n"] * 2


def test_of_the_markup_after_a_message_only_the_first_token_counts(
    plain_tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_tokenizer, "chat_template", CHATML)
    first, second = shown(plain_tokenizer, "it rains", "good night")
    assert first.startswith("it rains[")
    assert second.startswith("good night[")
    assert "]" not in first + second


@pytest.mark.parametrize("template", [None, CHATML])
def test_what_is_measured_is_what_is_rendered(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch, template: str | None
) -> None:
    said = spoken("hello there", "Good morning to you.", "my dog is ill", "Poor dog 🐕.")
    assert read(tokenizer, said).ids.tolist() == render(tokenizer, as_chat(said), prompt=False).ids
    monkeypatch.setattr(tokenizer, "chat_template", template)
    assert read(tokenizer, said).ids.tolist() == render(tokenizer, as_chat(said), prompt=False).ids


def test_each_message_is_one_line_of_single_spaces(tokenizer: PreTrainedTokenizerBase) -> None:
    reading = read(tokenizer, spoken(" it  rains,\ngood night ", "Pizza!"))
    assert reading.ids.tolist() == read(tokenizer, spoken("it rains, good night", "Pizza!")).ids.tolist()
    assert reading.characters == len("it rains, good night" + "Pizza!")


def test_all_readers_read_the_messages_that_all_have_room_for(
    tokenizer: PreTrainedTokenizerBase, plain_tokenizer: PreTrainedTokenizerBase
) -> None:
    said = spoken("hello there", "How are you?", "the cat sleeps all day")
    narrow = len(read(plain_tokenizer, said[:2]).ids)
    ours, plain = readings([(tokenizer, 100), (plain_tokenizer, narrow)], said)
    assert ours.ids.tolist() == read(tokenizer, said[:2]).ids.tolist()
    assert ours.characters == plain.characters
    assert readings([(tokenizer, 100), (plain_tokenizer, 3)], said) == []


# Bits


def test_bits_are_counted_for_each_character_of_each_source(
    clueless: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    dialogs = [dialog("a", "hello there", "how are you?"), dialog("b", "zzzzzzzz", "hi")]
    found = bits_per_character(clueless, tokenizer, dialogs, "en", length=100)
    assert list(found) == ["a", "b"]
    assert found["a"] == pytest.approx(expected(tokenizer, "hello there", "how are you?"), abs=1e-3)
    assert found["b"] == pytest.approx(expected(tokenizer, "zzzzzzzz", "hi"), abs=1e-3)


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
        "a": pytest.approx(expected(tokenizer, "hello", "you"), abs=1e-3)
    }
    assert bits_per_character(clueless, tokenizer, [dialog("a", "x" * 99)], "en", length=20) == {}


def test_other_languages_and_what_is_over_the_limit_are_left_out(
    clueless: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    dialogs = [dialog("a", "привет", "да", lang="ru"), dialog("a", "hi", "you"), dialog("a", "zzzzzzzzzzzzzz", "q")]
    found = bits_per_character(clueless, tokenizer, dialogs, "en", 100, most=1)
    assert found == {"a": pytest.approx(expected(tokenizer, "hi", "you"), abs=1e-3)}


def test_a_dialog_without_a_single_character_is_no_figure(
    clueless: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> None:
    assert bits_per_character(clueless, tokenizer, [dialog("a", "", "")], "en", 100) == {}


@pytest.fixture(params=["Llama", "GPT-2", "BERT"])
def model(request: pytest.FixtureRequest) -> PreTrainedModel:
    """Decoders that know where a token stands in three ways."""
    if request.param == "BERT":
        torch.manual_seed(0)
        size = len(request.getfixturevalue("tokenizer"))
        config = BertConfig(
            vocab_size=size, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=128, initializer_range=0.5, is_decoder=True,
        )  # fmt: skip
        return BertLMHeadModel(config)
    folder: str = request.getfixturevalue("plain_folder" if request.param == "GPT-2" else "generator_folder")
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.mark.parametrize("logits", [1, 1 << 25])
def test_dialogs_cost_in_a_batch_what_each_costs_alone(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch, logits: int
) -> None:
    monkeypatch.setattr("generation.metrics.LOGITS", logits)
    small = model.get_input_embeddings().weight.shape[0]
    rows = [
        read(tokenizer, spoken(*texts))
        for texts in (
            ["hello there"],
            ["it rains, good night", "Pizza!", "tell me a joke please"],
            ["what", "Poor dog."],
        )
    ]
    for row in rows:
        row.ids[:] %= small
    alone = [alone_bits(model, row.ids, row.counted) for row in rows]
    assert bits(model, rows) == pytest.approx(alone, rel=1e-4)


def alone_bits(model: PreTrainedModel, ids: np.ndarray, counted: np.ndarray) -> float:
    """Without batch or mask."""
    model.eval()
    with torch.inference_mode():
        likely = model(input_ids=torch.tensor([ids.tolist()])).logits[0].log_softmax(-1)
    own = [float(likely[place - 1, ids[place]]) for place in np.flatnonzero(counted)]
    return -sum(own) / math.log(2)


def test_an_n_gram_model_is_charged_for_the_same_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    """One that knows nothing but how many tokens there are, as the clueless."""
    row = read(tokenizer, spoken("hello there", "how are you?"))
    model = fit([list(range(len(tokenizer)))], len(tokenizer), order=1)
    found = per_character(np.array([[ngram_bits(model, [row])[0], row.characters]]))
    assert found == pytest.approx(expected(tokenizer, "hello there", "how are you?"))


# Replies


TALK = context("I walked my old dog by the lake", "What a fine day for a walk.", "yes it was so warm")


@pytest.mark.parametrize(
    ("reply", "copies", "repeats"),
    [
        ("YES, it was so warm!", True, False),
        ("Yes, it was so warm. Really, truly.", False, False),
        ("You walked my old dog by the lake?", True, False),
        ("Well, what a fine day for a walk!", False, True),
        ("Warm days are made for lakes.", False, False),
        ("", False, False),
        ("...", False, False),
    ],
)
def test_three_quarters_of_the_trigrams_make_a_copy(reply: str, copies: bool, repeats: bool) -> None:
    assert copies_user(TALK, reply) is copies
    assert repeats_earlier(TALK, reply) is repeats


def test_short_replies_are_copies_only_when_they_are_equal() -> None:
    assert copies_user(context("Oh no!"), "oh no")
    assert not copies_user(context("Oh no, not again!"), "oh no")


def test_only_the_last_three_messages_of_the_user_can_be_copied() -> None:
    said = ["it rains cats and dogs", "Oh.", "one", "Two.", "three", "Four.", "five"]
    assert not copies_user(context(*said), "It rains cats and dogs.")
    assert copies_user(context(*said[2:], "six.", *said[:1]), "It rains cats and dogs.")


@pytest.mark.parametrize(
    ("reply", "repeats"),
    [
        ("I like tea and I like tea too", True),
        ("ha ha ha ha", True),
        ("I like tea and you like tea", False),
        ("no no", False),
        ("", False),
    ],
)
def test_a_trigram_that_comes_twice_is_a_repetition(reply: str, repeats: bool) -> None:
    assert repeats_itself(TALK, reply) is repeats


def test_the_rules_are_those_of_the_features() -> None:
    """generation may not import ranking, so that its rules are written twice; this keeps them equal."""
    from ranking import features
    from storage.dialog import Candidate

    for reply in ("yes it was", "a fine day for a walk.", "Warm days", "I walked my old dog by the sea", "so warm"):
        candidate = Candidate(reply, "generation", 0.0)
        assert copies_user(TALK, reply) is (features.echo(TALK, candidate) >= 0.75)
        assert repeats_earlier(TALK, reply) is (features.repetition(TALK, candidate) >= 0.75)


def test_distinct_n_counts_within_the_first_words_and_within_replies() -> None:
    """a b | A b, c: of four words three are different, a-b comes twice, b-c once; b-a is no pair of one reply."""
    replies = word_ngrams(["a b", "A b, c", "d d d d"])
    assert distinct(replies, 5).tolist() == [3 / 5, 2 / 5, 1 / 5]
    assert distinct(replies, 4).tolist() == [2 / 4, 1 / 4, 0]
