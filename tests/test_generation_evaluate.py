"""Measuring generators: which figures come of which text, next to what, and with which uncertainty."""

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from spoken import context, spoken

from generation.evaluate import (
    ALL,
    NGRAM,
    PEOPLE,
    GeneratorEvaluation,
    Place,
    Said,
    answers,
    at_most,
    bits_by_source,
    compare,
    distinct_in_halves,
    evaluate_generator,
    load,
    ngram,
    places_to_answer,
)
from generation.generator import GeneratorError, GptGenerator
from generation.metrics import bits_per_character
from generation.sampling import Sampling
from storage.corpora import CorpusDialog, CorpusError
from storage.estimates import Estimate

pytest_plugins = ("tiny",)

GREEDY = Sampling(4, 40, top_p=1e-6)
KNOWN = ("what shall we eat", "Pizza!")
SAID = [
    ("it rains, good night", "The cat sleeps all day."),
    ("tell me a joke please", "My dog is ill and I am sad."),
    ("hello", "How are you?"),
    ("good morning", "It rains."),
]


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32 on the CPU, so that figures can be compared."""
    monkeypatch.setattr("generation.generator.place", lambda: ("cpu", torch.float32))


@pytest.fixture
def ours(generator_folder: str) -> GptGenerator:
    return GptGenerator(generator_folder, Sampling(1, 40, top_p=1e-6))


@pytest.fixture
def plain(plain_folder: str) -> GptGenerator:
    return GptGenerator(plain_folder, Sampling(1, 40, top_p=1e-6))


def dialog(source: str, number: int, *texts: str, split: str = "valid", lang: str = "en") -> CorpusDialog:
    return CorpusDialog(str(number), source, split, spoken(*texts), lang=lang)


def written(folder: Path, dialogs: Sequence[CorpusDialog]) -> Path:
    file = folder / "dialogs.jsonl"
    lines = [
        {"id": d.id, "source": d.source, "split": d.split, "lang": d.lang, "turns": [
            {"role": "a" if m.role == "user" else "b", "text": m.text} for m in d.messages
        ]} for d in dialogs
    ]  # fmt: skip
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def some() -> list[CorpusDialog]:
    """Two sources, both splits."""
    return [
        dialog(source, number, *texts, split=split)
        for source in ("cats", "dogs")
        for split in ("train", "valid")
        for number, texts in enumerate([*SAID, KNOWN])
    ]


# The whole


def test_every_model_has_a_row_and_every_source_a_figure(tmp_path: Path, generator_folder: str) -> None:
    run = GeneratorEvaluation((written(tmp_path, some()),), (generator_folder,), GREEDY, most=4, replies=6)
    found = evaluate_generator(run)
    name = Path(generator_folder).name
    assert found.models == {name: name}
    assert found.bits.dialogs == {"cats": 4, "dogs": 4, ALL: 8}
    assert [(row.model, list(row.figures)) for row in found.bits.rows] == [
        (name, ["cats", "dogs", ALL]), (NGRAM, ["cats", "dogs", ALL]),
    ]  # fmt: skip
    assert found.replies is not None
    assert found.replies.contexts == 6
    assert [row.model for row in found.replies.rows] == [PEOPLE, name]
    assert set(found.seconds) == {NGRAM, "bits", "replies"}


def test_the_same_seed_gives_the_same_figures(tmp_path: Path, generator_folder: str) -> None:
    data, sampling = (written(tmp_path, some()),), Sampling(1, 20, temperature=2.0, top_p=1.0)
    first, again = (
        evaluate_generator(GeneratorEvaluation(data, (generator_folder,), sampling, replies=4)) for _ in range(2)
    )
    assert (first.bits, first.replies) == (again.bits, again.replies)


def test_without_a_train_split_there_is_no_5_gram_model(tmp_path: Path, generator_folder: str) -> None:
    held = [d for d in some() if d.split == "valid"]
    found = evaluate_generator(GeneratorEvaluation((written(tmp_path, held),), (generator_folder,), replies=0))
    assert [(row.model, dict(row.against)) for row in found.bits.rows] == [(Path(generator_folder).name, {})]
    assert found.replies is None


@pytest.mark.parametrize(
    ("dialogs", "message"),
    [
        ([dialog("cats", 0, *KNOWN, split="train")], "none of the files has any of the valid split"),
        ([dialog("cats", 0, "привет", "да", lang="ru")], "none of the files has any of the valid split"),
        ([dialog("cats", 0, "x" * 999, "y")], "begins with a text that all of the models can read"),
        ([dialog("cats", 0, "", "")], "begins with a text that all of the models can read"),
    ],
)
def test_data_that_says_nothing_is_a_mistake_in_one_sentence(
    tmp_path: Path, generator_folder: str, dialogs: list[CorpusDialog], message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        evaluate_generator(GeneratorEvaluation((written(tmp_path, dialogs),), (generator_folder,)))


def test_models_are_called_by_their_folders_and_loaded_once(generator_folder: str, tmp_path: Path) -> None:
    twin = tmp_path / Path(generator_folder).name
    twin.symlink_to(generator_folder)
    found = load([generator_folder, str(twin), generator_folder], GREEDY)
    assert list(found) == [twin.name, str(twin)]
    assert {model.sampling.candidates for model in found.values()} == {1}
    with pytest.raises(GeneratorError, match="cannot be loaded"):
        load([str(tmp_path / "nowhere")], GREEDY)


def test_a_sample_has_at_most_so_many_of_each_source() -> None:
    dialogs = [dialog(source, number) for source in ("a", "b") for number in range(9)] + [dialog("c", 0)]
    chosen = at_most(dialogs, 3, seed=0)
    assert [d.source for d in chosen] == ["a"] * 3 + ["b"] * 3 + ["c"]
    assert chosen == at_most(dialogs, 3, seed=0) != at_most(dialogs, 3, seed=1)


# Bits


def test_bits_are_those_of_the_training_s_own_measure_and_differ_by_their_difference(ours: GptGenerator) -> None:
    held = [d for d in some() if d.split == "valid"]
    baseline = ngram([d for d in some() if d.split == "train"], ours)
    model, grams = bits_by_source({"ours": ours}, baseline, held).rows
    expected = bits_per_character(ours.model, ours.tokenizer, held, "en", 128)
    assert model.figures["cats"].value == pytest.approx(expected["cats"], abs=1e-3)
    for source in ("cats", "dogs", ALL):
        gap = model.figures[source].value - grams.figures[source].value
        assert model.against[source].value == pytest.approx(gap)
        assert model.against[source].low <= gap <= model.against[source].high
    assert not grams.against


def test_the_5_gram_model_knows_what_it_was_trained_on(ours: GptGenerator) -> None:
    """And its tokens make words, not characters."""
    held = [dialog("known", 0, *KNOWN), dialog("strange", 0, "zzxq vvqj", "Qqj!")]
    baseline = ngram([dialog("known", number, *KNOWN, split="train") for number in range(20)], ours)
    _, grams = bits_by_source({"ours": ours}, baseline, held).rows
    assert grams.figures["known"].value < 0.2
    assert grams.figures["strange"].value > 4


def test_models_with_other_tokenizers_and_less_room_are_measured_on_the_same_text(
    ours: GptGenerator, plain: GptGenerator
) -> None:
    """The narrow one has no room for the end of the dialog, so that neither is asked about it."""
    long = [dialog("cats", 0, *KNOWN, *KNOWN, "zzxqvvqjzzxqvvqj " * 4)]
    short = [dialog("cats", 0, *KNOWN, *KNOWN)]
    alone = bits_by_source({"ours": ours}, None, long).rows[0].figures["cats"].value
    both = bits_by_source({"ours": ours, "plain": plain}, None, long).rows
    assert [row.model for row in both] == ["ours", "plain"]
    assert both[0].figures == bits_by_source({"ours": ours}, None, short).rows[0].figures
    assert both[0].figures["cats"].value < alone


# Replies


def test_the_answering_side_is_the_assistant_and_is_told_its_facts() -> None:
    facts = {"": "I am Kith.", "sailor": "I love the sea."}
    voice = [
        CorpusDialog("0", "voice", "valid", spoken("hi", "Hello."), persona="sailor"),
        CorpusDialog("1", "voice", "valid", spoken("oh", "Ah.")),
    ]
    people = [
        CorpusDialog(str(n), "people", "valid", spoken("one", "two", "three"), (("first",), ("second",)))
        for n in range(20)
    ]
    found = places_to_answer([*voice, *people], 99, 0, facts)
    told = {place.reply: place.context.persona for place in found}
    assert told == {"Hello.": "I love the sea.", "Ah.": "I am Kith.", "two": "second", "three": "first"}
    assert {place.context.messages[-1].role for place in found} == {"user"}
    assert {place.reply: place.context.said("assistant") for place in found}["three"] == ("one",)


def test_sources_take_turns_and_no_dialog_is_asked_twice() -> None:
    dialogs = [dialog("many", number, "a", "b") for number in range(30)] + [dialog("few", 0, "a", "b")]
    dialogs += [dialog("mute", 0, "a"), dialog("silent", 0, "a", " ")]
    found = places_to_answer(dialogs, 6, 0, {})
    assert sorted(place.dialog.split()[0] for place in found) == ["few", *["many"] * 5]
    assert len({place.dialog for place in found}) == 6
    assert found == places_to_answer(dialogs, 6, 0, {}) != places_to_answer(dialogs, 6, 1, {})


def test_each_place_gets_the_answer_to_its_own_context(ours: GptGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.evaluate.BATCH", 2)
    asked = ["what shall we eat", "my dog is ill and i am sad", "hello there", "what shall we eat"]
    places = [Place(context(text), "?", str(number)) for number, text in enumerate(asked)]
    assert [said.text for said in answers(ours, places, 0, "ours")] == [
        "Pizza!", "Poor dog. I hope it gets well soon.", "Good morning to you. How are you?", "Pizza!",
    ]  # fmt: skip


def test_a_reply_that_ran_out_of_tokens_was_cut_off_and_may_be_empty(generator_folder: str) -> None:
    short = GptGenerator(generator_folder, Sampling(1, 2, top_p=1e-6))
    places = [Place(context("hello there"), "Hi.", "0")]
    said = answers(short, places, 0, "short")
    assert said == [Said("", finished=False)]
    _, row = figures(places, said)
    assert (row["empty"].value, row["cut off"].value) == (1, 1)


def figures(places: Sequence[Place], said: Sequence[Said]) -> list[dict[str, Estimate]]:
    found = compare(places, {"model": said})
    assert found is not None
    return [dict(row.figures) for row in found.rows]


def test_faults_are_shares_of_the_replies_and_people_come_first() -> None:
    before = ("I went to see my aunt", "That is nice of you.", "she has five cats")
    replies = ["She has five cats!", "That is nice of you.", "Cats and cats and cats and cats.", "Which one is yours?"]
    places = [Place(context(*before), "Five cats is a lot of cats.", str(number)) for number in range(4)]
    people, model = figures(places, [Said(text) for text in replies])
    assert [model[key].value for key in ("copies user", "repeats earlier", "repeats itself")] == [0.25] * 3
    assert [people[key].value for key in ("copies user", "repeats earlier", "repeats itself", "empty")] == [0] * 4
    assert model["words"].value == np.mean([len(reply.split()) for reply in replies])
    assert people["words"].value == 7


def test_differences_are_to_what_people_said_there() -> None:
    places = [Place(context("hm"), f"answer {number} of mine", str(number)) for number in range(30)]
    found = compare(places, {"echo of people": [Said(p.reply) for p in places], "dull": [Said("I see what")] * 30})
    assert found is not None
    people, same, dull = found.rows
    assert not people.against
    assert set(same.against) == set(people.figures)
    assert all((gap.value, gap.low, gap.high) == (0, 0, 0) for gap in same.against.values())
    assert dull.against["distinct-2"].high < 0
    assert dull.against["words"].value == -1


def test_without_a_place_there_is_nothing_to_compare() -> None:
    assert compare([], {"model": []}) is None


def words_like_people_s(count: int) -> list[str]:
    """Replies of five words, few of which are said often."""
    draw = random.Random(0)
    return [" ".join(f"w{int(draw.paretovariate(0.7))}" for _ in range(5)) for _ in range(count)]


def test_distinct_n_is_of_equally_many_words_however_long_replies_are() -> None:
    short = words_like_people_s(100)
    long = [f"{first} {second}" for first, second in zip(short, short[1:] + short[:1], strict=True)]
    values, words = distinct_in_halves({PEOPLE: short, "long": long})
    assert words == 250
    assert values[PEOPLE][:, 0].mean() == pytest.approx(values["long"][:, 0].mean(), abs=0.03)


def test_the_interval_of_distinct_n_holds_what_another_sample_gives() -> None:
    texts = words_like_people_s(400)
    values, words = distinct_in_halves({PEOPLE: texts[:200], "others": texts[200:]})
    assert words == 500
    low, high = np.percentile(values[PEOPLE][:, 1], [2.5, 97.5])
    assert low < values["others"][:, 1].mean() < high


def test_a_model_that_says_next_to_nothing_has_no_distinct_n_and_leaves_the_others_theirs() -> None:
    places = [Place(context("hm"), f"answer {number} of mine", str(number)) for number in range(20)]
    found = compare(places, {"mute": [Said("")] * 19 + [Said("so")], "brief": [Said("oh well then")] * 20})
    assert found is not None
    assert found.words == 30
    people, mute, brief = (row.figures["distinct-1"].value for row in found.rows)
    assert people > brief == pytest.approx(0.1)
    assert math.isnan(mute)
    assert math.isnan(found.rows[1].against["distinct-1"].value)
    assert found.rows[1].figures["empty"].value == 0.95


def test_places_without_a_word_are_no_error() -> None:
    found = compare([Place(context("hm"), "?", "0")], {"mute": [Said("")]})
    assert found is not None
    assert [math.isnan(row.figures["distinct-1"].value) for row in found.rows] == [True, True]


# The command


def test_the_command_shows_two_tables_that_fit_120_columns(
    tmp_path: Path, generator_folder: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bot.cli import main

    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("KITH_GENERATOR", generator_folder)
    monkeypatch.setenv("KITH_THREADS", "1")
    data = written(tmp_path, [*some(), *(dialog(name, 0, *KNOWN) for name in ("e", "f", "synthetic_persona_chat"))])
    command = ["evaluate", "generator", "--data", str(data), "--most", "2", "--replies", "4"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "Bits per character, 7 dialogs" in out
    assert "Replies in 4 contexts" in out
    assert max(map(len, out.splitlines())) <= 120
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bits"]["dialogs"][ALL] == 7
    assert document["replies"]["rows"][0]["model"] == PEOPLE
