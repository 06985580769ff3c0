"""Text for the generator: the mixture, the tokenizer, and rows of packed dialogs."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from generation.data import make_tokenizer, mix, pack, swap_sides
from generation.prompt import SPECIAL_TOKENS, as_chat, render
from storage.corpora import CorpusDialog
from storage.dialog import Message

pytest_plugins = ("tiny",)

OURS = make_tokenizer(["hello there my friend", "how are you"], 400, 512)
"""For the property test, which cannot use fixtures."""


def dialog(source: str = "kith", name: str = "d", lang: str = "en") -> CorpusDialog:
    said = Message("user", "hello there"), Message("assistant", "good morning to you")
    return CorpusDialog(name, source, "train", said, ((), ("I am a cat.",)), lang=lang)


BARE = replace(dialog("curated"), personas=((), ()))
FACTS = {"friend": ("I am Kith.",), "wit": ("I am a wit.", "I am dry.")}


def test_a_weight_says_how_often_a_dialog_is_taken() -> None:
    dialogs = [dialog(source, str(i)) for source in ("twice", "some", "never", "unnamed") for i in range(300)]
    sample = mix(dialogs, {"twice": 2.0, "some": 0.3, "never": 0.0}, "en", seed=0)
    counts = Counter(d.source for d in sample)
    assert (counts["twice"], counts["never"], counts["unnamed"]) == (600, 0, 300)
    assert 60 <= counts["some"] <= 120


def test_a_mixture_is_shuffled_and_the_same_for_the_same_seed() -> None:
    dialogs = [dialog(name=str(i)) for i in range(50)]
    sample = mix(dialogs, {}, "en", seed=1)
    assert [d.id for d in sample] != [d.id for d in dialogs]
    assert sample == mix(dialogs, {}, "en", seed=1) != mix(dialogs, {}, "en", seed=2)


def test_dialogs_of_other_languages_are_left_out_and_those_of_none_are_taken() -> None:
    sample = mix([dialog(name="en"), dialog(name="ru", lang="ru"), dialog(name="any", lang="")], {}, "en", seed=0)
    assert {d.id for d in sample} == {"en", "any"}


def test_people_change_sides_in_every_second_copy_and_an_assistant_never_does() -> None:
    first = Counter(d.messages[0].role for d in mix([dialog("talks")] * 400, {}, "en", seed=0))
    assert 150 <= first["assistant"] <= 250
    for source in ("curated", "voice", "kith"):
        assert {d.messages[0].role for d in mix([dialog(source)] * 100, {}, "en", seed=0)} == {"user"}


def test_who_changes_sides_takes_their_facts_along() -> None:
    swapped = swap_sides(dialog())
    assert [m.role for m in swapped.messages] == ["assistant", "user"]
    assert [m.text for m in swapped.messages] == [m.text for m in dialog().messages]
    assert swapped.personas == (("I am a cat.",), ())
    assert swap_sides(swapped) == dialog()


def test_every_second_assistant_without_facts_is_given_a_persona() -> None:
    told = Counter(d.personas[1] for d in mix([BARE] * 400, {}, "en", 0, FACTS))
    assert set(told) == {(), *FACTS.values()}
    assert 150 <= told[()] <= 250
    assert min(told[facts] for facts in FACTS.values()) >= 50
    assert {d.personas[1] for d in mix([dialog("curated")] * 50, {}, "en", 0, FACTS)} == {("I am a cat.",)}


@pytest.mark.parametrize("name", FACTS)
def test_a_dialog_that_names_a_persona_is_always_told_its_facts(name: str) -> None:
    sample = mix([replace(BARE, source="voice", persona=name)] * 50, {}, "en", 0, FACTS)
    assert {d.personas for d in sample} == {((), FACTS[name])}
    assert {d.messages for d in sample} == {BARE.messages}
    assert mix([replace(BARE, source="voice", persona=name)], {}, "en", 0)[0].personas == ((), ())


def test_people_among_themselves_are_told_no_persona() -> None:
    assert {d.personas for d in mix([replace(BARE, source="talks")] * 50, {}, "en", 0, FACTS)} == {((), ())}


@given(st.text())
def test_any_text_survives_the_tokenizer(text: str) -> None:
    """Byte by byte, if need be; nothing is unknown."""
    for token in SPECIAL_TOKENS:
        text = text.replace(token, "")
    assert OURS.decode(OURS.encode(text)) == text


def test_the_tokenizer_has_one_token_a_role_and_comes_back_from_its_folder(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    assert [len(tokenizer.encode(token)) for token in SPECIAL_TOKENS] == [1] * len(SPECIAL_TOKENS)
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|end|>", "<|pad|>")
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    chat = as_chat(dialog().messages, "You are a cat.")
    assert render(loaded, chat, prompt=True) == render(tokenizer, chat, prompt=True)
    assert (loaded.eos_token_id, loaded.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)


def test_packed_rows_hold_all_dialogs_one_after_the_other(tokenizer: PreTrainedTokenizerBase) -> None:
    dialogs = [dialog(), swap_sides(dialog()), dialog()]
    rows = pack(dialogs, tokenizer, length=10)
    flat = [i for d in dialogs for i in render(tokenizer, as_chat(d.messages, " ".join(d.personas[1])), False).ids]
    assert rows.ids.shape == rows.labels.shape == (len(flat) // 10, 10)
    assert rows.ids.ravel().tolist() == flat[: len(flat) // 10 * 10]
    assert np.array_equal(rows.labels, rows.ids)
    assert len(rows) == len(flat) // 10
    assert rows[0]["input_ids"].dtype == rows[0]["labels"].dtype == np.int64


def test_with_the_loss_on_the_assistant_only_its_words_carry_labels(tokenizer: PreTrainedTokenizerBase) -> None:
    rows = pack([dialog()] * 5, tokenizer, length=20, loss_on="assistant")
    spoken = rows.labels[rows.labels != -100]
    assert np.array_equal(rows.ids[rows.labels != -100], spoken)
    assert set(tokenizer.decode(spoken).split("<|end|>")) <= {"good morning to you", "good", "good morning", ""}
    assert "hello" not in tokenizer.decode(spoken)


@pytest.mark.parametrize("plain", [False, True])
def test_a_row_that_is_not_filled_is_padded_without_loss(
    plain: bool, tokenizer: PreTrainedTokenizerBase, plain_tokenizer: PreTrainedTokenizerBase
) -> None:
    chosen = plain_tokenizer if plain else tokenizer
    rows = pack([dialog()], chosen, length=100)
    used = len(render(chosen, as_chat(dialog().messages, "I am a cat."), prompt=False).ids)
    assert rows.ids.shape == (1, 100)
    assert (rows.labels[0, used:] == -100).all()
    assert (rows.ids[0, used:] == (chosen.eos_token_id if plain else chosen.pad_token_id)).all()
    assert np.array_equal(rows.labels[0, :used], rows.ids[0, :used])
