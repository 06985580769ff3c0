"""What generators say at held-back places: where they are asked, which figures come of what, and how sure those are."""

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from spoken import context, spoken

from generation.generator import GptGenerator
from generation.replies import PEOPLE, Place, Said, answers, compare, distinct_in_halves, places_to_answer
from generation.sampling import Sampling
from storage.corpora import CorpusDialog
from storage.estimates import Estimate

pytest_plugins = ("tiny",)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32 on the CPU, so that figures can be compared."""
    monkeypatch.setattr("generation.generator.place", lambda: ("cpu", torch.float32))


@pytest.fixture
def ours(generator_folder: str) -> GptGenerator:
    return GptGenerator(generator_folder, Sampling(1, 40, top_p=1e-6))


def dialog(source: str, number: int, *texts: str) -> CorpusDialog:
    return CorpusDialog(str(number), source, "valid", spoken(*texts))


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
    monkeypatch.setattr("generation.replies.BATCH", 2)
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
    values, words = distinct_in_halves({PEOPLE: short, "long": long}, PEOPLE)
    assert words == 250
    assert values[PEOPLE][:, 0].mean() == pytest.approx(values["long"][:, 0].mean(), abs=0.03)


def test_the_interval_of_distinct_n_holds_what_another_sample_gives() -> None:
    texts = words_like_people_s(400)
    values, words = distinct_in_halves({PEOPLE: texts[:200], "others": texts[200:]}, PEOPLE)
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
