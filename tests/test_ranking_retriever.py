"""The retriever: what it finds, when it keeps silent, and what it never says. Its bi-encoder here knows words only."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from spoken import context as said

from ranking import retriever as retrieving
from ranking.danger_classifier import Guess
from ranking.pool_index import Index, build_index
from ranking.retriever import FINE, OF_ONE_SITUATION, Retriever
from ranking.similarity import CONTEXT_WEIGHT, NEAREST, Search
from ranking.vectors import Encoder, Vectors
from storage.dialog import Candidate, Context, PoolEntry

POOL = [
    PoolEntry("greeting/1", "Good morning to you.", ("hello there", "good morning"), "curated"),
    PoolEntry("greeting/2", "How are you?", ("hello there", "good morning"), "curated"),
    PoolEntry("joke/1", "The cat sleeps all day, that is the joke.", ("tell me a joke please",), "curated"),
    PoolEntry("food/1", "Pizza!", ("what shall we eat",), "liked"),
]
ALWAYS = -1.0
"""A threshold that everything reaches."""
SURE = CONTEXT_WEIGHT - 0.1
"""One that only a message in the pool's own words reaches."""


def by_words(texts: Sequence[str]) -> Vectors:
    """Texts are as alike as the words that they share, give or take a twentieth."""
    words = [["", *re.findall(r"\w+", text.lower())] for text in texts]
    vectors: Vectors = np.stack([np.sum([word_vector(word) for word in row], axis=0) for row in words])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def word_vector(word: str) -> Vectors:
    """A random direction of 512, the same for the same word; short for no word."""
    drawn: Vectors = np.random.default_rng(list(word.encode())).normal(size=512).astype(np.float32)
    drawn *= 1 if word else 0.01
    return drawn


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(by_words, np.array([1.0, 0.5, 0.25], np.float32), "words")


def texts(candidates: list[Candidate]) -> set[str]:
    return {candidate.text for candidate in candidates}


def test_a_message_in_the_pools_own_words_finds_its_situation_first(encoder: Encoder) -> None:
    retriever = Retriever(POOL, encoder, top_k=2, threshold=ALWAYS)
    joke, greeting = retriever.propose([said("tell me a joke please"), said("hello there")])
    assert joke[0].origin == "joke/1"
    assert {candidate.origin for candidate in greeting} == {"greeting/1", "greeting/2"}
    assert all(candidate.source == "retrieval" for candidate in joke + greeting)
    assert [c.score for c in joke] == sorted((c.score for c in joke), reverse=True)


def test_a_batch_gives_what_each_message_gets_alone(encoder: Encoder) -> None:
    retriever = Retriever(POOL, encoder, top_k=3, threshold=ALWAYS)
    asked = [said("hello there"), said("x", "y", "what shall we eat"), said("tell me a joke please")]
    for context, together in zip(asked, retriever.propose(asked), strict=True):
        (alone,) = retriever.propose([context])
        assert [c.origin for c in alone] == [c.origin for c in together]
        assert [c.score for c in alone] == pytest.approx([c.score for c in together], abs=1e-5)


def test_it_abstains_below_its_threshold(encoder: Encoder) -> None:
    loose, strict = (Retriever(POOL, encoder, threshold=threshold) for threshold in (ALWAYS, 1.1))
    asked = [said("hello there")]
    assert strict.propose(asked) == [[]]
    scores = [candidate.score for candidate in loose.propose(asked)[0]]
    between = Retriever(POOL, encoder, threshold=(scores[0] + scores[-1]) / 2)
    (found,) = between.propose(asked)
    assert 0 < len(found) < len(scores)
    assert all(candidate.score >= between.threshold for candidate in found)


@pytest.mark.parametrize("count", [1, 3, 10])
def test_it_proposes_at_most_as_many_as_asked_for(encoder: Encoder, count: int) -> None:
    (found,) = Retriever(POOL, encoder, top_k=count, threshold=ALWAYS).propose([said("hello there")])
    assert len(found) == min(count, len(POOL))


def test_nothing_that_was_said_in_this_dialog_comes_again(encoder: Encoder) -> None:
    retriever = Retriever(POOL, encoder, top_k=2, threshold=ALWAYS)
    (found,) = retriever.propose([said("GOOD morning, to you", "hello there", "how are you", "hello there")])
    assert texts(found) == {"The cat sleeps all day, that is the joke.", "Pizza!"}


def test_a_reply_that_was_sent_back_does_not_come_again(encoder: Encoder) -> None:
    retriever = Retriever(POOL, encoder, top_k=1, threshold=SURE)
    (found,) = retriever.propose([said("what shall we eat")])
    assert texts(found) == {"Pizza!"}
    assert "Pizza!" not in texts(retriever.propose([said("what shall we eat", rejected=("pizza",))])[0])


def test_what_the_person_said_is_not_given_back(encoder: Encoder) -> None:
    retriever = Retriever(POOL, encoder, top_k=4, threshold=ALWAYS)
    for asked in (said("pizza"), said("Pizza?", "why not", "what shall we eat")):
        assert "Pizza!" not in texts(retriever.propose([asked])[0])


def test_what_another_dialog_has_heard_may_still_be_said_here(encoder: Encoder) -> None:
    retriever = Retriever(POOL, encoder, top_k=4, threshold=ALWAYS)
    heard, fresh = retriever.propose([said("Pizza!", "what shall we eat"), said("what shall we eat")])
    assert "Pizza!" not in texts(heard)
    assert "Pizza!" in texts(fresh)


def test_a_pool_of_nothing_and_a_batch_of_nothing_give_nothing(encoder: Encoder) -> None:
    assert Retriever([], encoder).propose([said("hi"), said("ho")]) == [[], []]
    assert Retriever([PoolEntry("1", "...", ("hi",), "imported")], encoder).propose([said("hi")]) == [[]]
    assert Retriever(POOL, encoder).propose([]) == []


def test_an_entry_without_contexts_is_found_by_its_reply(encoder: Encoder) -> None:
    entries = [*POOL, PoolEntry("imported/1", "my dog is ill, the dog", (), "imported")]
    asked, reply = encoder.encode(["my dog is ill", "my dog is ill, the dog"])
    for pool in (entries, entries[-1:], entries[::-1]):
        (found,) = Retriever(pool, encoder, top_k=1, threshold=ALWAYS).propose([said("my dog is ill")])
        assert found[0].origin == "imported/1"
        assert found[0].score == pytest.approx(float(asked @ reply), abs=1e-5)


def by_definition(index: Index, encoder: Encoder, asked: Context) -> Vectors:
    """The similarity of every entry, one at a time."""
    last, whole = (vectors[0] for vectors in encoder.contexts([asked]))
    between = (last + whole) / np.linalg.norm(last + whole)
    scores = []
    for entry in index.entries:
        to_reply = float(encoder.remembered([entry.reply])[0] @ whole)
        nearest = np.sort(encoder.remembered(entry.contexts) @ between)[-NEAREST:]
        weight = CONTEXT_WEIGHT if entry.contexts else 0
        scores.append(weight * float(nearest.mean()) + (1 - weight) * to_reply if entry.contexts else to_reply)
    return np.array(scores, np.float32)


def test_an_entry_is_as_like_as_its_nearest_contexts_on_average(encoder: Encoder) -> None:
    many = PoolEntry("cats/1", "Cats!", ("cats", "my cat", "the cat sleeps", "a dog and a cat", "no"), "curated")
    index = Retriever([*POOL, many], encoder).index
    asked = [said("good morning"), said("tell me a joke please"), said("it rains", "oh", "the cat")]
    search = Search(index, encoder, asked)
    for number, context in enumerate(asked):
        entries, scores = search.everything(number)
        assert sorted(entries) == list(range(len(index.entries)))
        assert scores == pytest.approx(by_definition(index, encoder, context)[entries], abs=1e-5)


def test_no_better_reply_is_overlooked(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that begins with few situations finds what comparing everything finds."""
    monkeypatch.setattr(retrieving, "FIRST", 3)
    monkeypatch.setattr(retrieving, "FIRST_SITUATIONS", 2)
    draw = np.random.default_rng(0)
    words = "cat dog tea rain work sleep joke song train tired happy home late food red".split()  # noqa: SIM905

    def text() -> str:
        return " ".join(draw.choice(words, 3))

    situations = [tuple({text() for _ in range(draw.integers(0, 6))}) for _ in range(60)]
    pool = [PoolEntry(f"s{n % 60}/{n}", f"{text()} {n}", situations[n % 60], "curated") for n in range(200)]
    retriever = Retriever(pool, encoder, top_k=8, threshold=0.3)
    asked = [said(text(), text(), text()) for _ in range(40)]
    for context, found in zip(asked, retriever.propose(asked), strict=True):
        scores = by_definition(retriever.index, encoder, context)
        best, taken = [], [0] * len(retriever.index.contexts_of)
        for entry in np.argsort(-scores, kind="stable"):
            situation = retriever.index.situation[entry]
            if scores[entry] < 0.3 or (
                retriever.index.entries[entry].contexts and taken[situation] == OF_ONE_SITUATION
            ):
                continue
            taken[situation] += 1
            best.append(scores[entry])
        assert [candidate.score for candidate in found] == pytest.approx(best[:8], abs=1e-5)


def test_a_context_that_is_left_out_finds_nothing_and_its_fellows_still_do(encoder: Encoder) -> None:
    index = Retriever(POOL, encoder).index
    asked = [said("good morning")]
    place, alone = (index.texts.index(text) for text in ("good morning", "what shall we eat"))
    with_it, without, bare = (
        dict(zip(*Search(index, encoder, asked, left_out).everything(0), strict=True))
        for left_out in (None, place, alone)
    )
    assert without[0] < with_it[0]
    assert all(without[entry] == pytest.approx(with_it[entry], abs=1e-6) for entry in (2, 3))
    own, reply = encoder.encode(["good morning", POOL[3].reply])
    assert bare[3] == pytest.approx(float(own @ reply), abs=1e-5)


def test_what_is_alike_is_told_by_the_likeness(encoder: Encoder) -> None:
    greeting, dinner = encoder.encode(["good morning", "what shall we eat"])
    swapped = np.eye(encoder.width, dtype=np.float32) + 4 * np.outer(dinner, greeting)
    mapped = Encoder(by_words, encoder.lags, "words", likeness=swapped)
    for model, first in ((encoder, "greeting/1"), (mapped, "food/1")):
        (found,) = Retriever(POOL[:1] + POOL[2:], model, top_k=1, threshold=ALWAYS).propose([said("good morning")])
        assert found[0].origin == first


def test_one_situation_leaves_room_for_others(encoder: Encoder) -> None:
    same = [PoolEntry(f"same/{n}", f"Reply number {n}.", ("hello there",), "curated") for n in range(9)]
    loose = [PoolEntry(f"loose/{n}", f"hello {n}", (), "imported") for n in range(9)]
    (found,) = Retriever([*same, *POOL, *loose], encoder, top_k=30, threshold=ALWAYS).propose([said("hello there")])
    assert len([c for c in found if c.origin.startswith("same")]) == OF_ONE_SITUATION
    assert len([c for c in found if c.origin.startswith("loose")]) == 9
    assert {c.origin for c in found} >= {entry.id for entry in POOL}


def test_a_new_index_takes_the_old_ones_place_at_once(encoder: Encoder) -> None:
    retriever = Retriever(POOL, encoder, top_k=1, threshold=ALWAYS)
    retriever.index = build_index([PoolEntry("new/1", "Soup.", ("what shall we eat",), "liked")], encoder)
    assert retriever.propose([said("what shall we eat")])[0][0].origin == "new/1"
    assert retriever.version == "words, 1 replies"


def test_equal_replies_are_proposed_once_for_the_contexts_of_both(encoder: Encoder) -> None:
    twice = [*POOL, PoolEntry("liked/9", "pizza", ("my dog is ill",), "liked")]
    retriever = Retriever(twice, encoder, top_k=9, threshold=ALWAYS)
    (found,) = retriever.propose([said("my dog is ill")])
    assert [c.origin for c in found].count("food/1") == 1
    assert "liked/9" not in [c.origin for c in found]
    assert found[0].origin == "food/1"


def test_where_somebody_is_in_danger_only_what_was_written_for_it_is_proposed_and_fit(encoder: Encoder) -> None:
    contexts = ("i cannot go on", "i want to go")
    help_ = PoolEntry("danger.cannot_go_on/1", "Please call somebody now.", contexts, "curated")
    retriever = Retriever([*POOL, help_], encoder, top_k=9, threshold=ALWAYS)
    asked = [said("hello there", "Good.", "i cannot go on"), said("what shall we eat")]
    grave, fine = retriever.propose(asked)
    assert [c.origin for c in grave] == [help_.id]
    assert {c.origin for c in fine} >= {entry.id for entry in POOL}
    both = [Candidate("Ha!", "listening", 1.0, "listening.laugh/1"), grave[0]]
    assert retriever.careless([(context, both) for context in asked]) == [[1.0, 0.0], [0.0, 0.0]]
    assert Retriever(POOL, encoder).careless([(asked[0], both)]) == [[0.0, 0.0]]


class Told:
    """Signs of danger by given log-odds."""

    def __init__(self, odds: float, by_meaning: bool) -> None:
        self.odds, self.readers = odds, by_meaning

    def guess(self, text: str) -> Guess:
        return Guess(self.odds, "danger", False, 2.0, 1.0)

    def sign(self, text: str) -> None:
        return None


@pytest.mark.parametrize(
    ("odds", "by_meaning", "text", "grave"),
    [
        (FINE - 0.1, True, "my finger hurts now", False),
        (FINE + 0.1, True, "my finger hurts now", True),
        (FINE - 0.1, False, "my finger hurts now", True),
        (FINE - 9.0, True, "my finger hurts", True),
        (FINE - 9.0, True, "my finger hurts, cut", True),
    ],
)
def test_what_is_nearer_elsewhere_and_fine_by_its_meaning_is_no_danger(
    encoder: Encoder, monkeypatch: pytest.MonkeyPatch, odds: float, by_meaning: bool, text: str, grave: bool
) -> None:
    help_ = PoolEntry("danger.pain/1", "Please see a doctor.", ("my finger hurts",), "curated")
    cold = PoolEntry("cold/1", "Gloves!", ("my finger hurts now",), "curated")
    retriever = Retriever([*POOL, help_, cold], encoder, top_k=9, threshold=ALWAYS)
    monkeypatch.setattr(retriever, "danger", Told(odds, by_meaning))
    (found,) = retriever.propose([said(text)])
    assert ({c.origin for c in found} == {help_.id}) == grave
    assert retriever.careless([(said(text), [Candidate("x", "listening", 0.0, "listening.joy/1")])]) == [[float(grave)]]


def test_nobody_smiles_at_somebody_who_mourns(encoder: Encoder) -> None:
    loss = PoolEntry("grief.pet_died/1", "I'm so sorry.", ("my dog died", "my cat died"), "curated")
    retriever = Retriever([*POOL, loss], encoder)
    origins = ("listening.smile/1", "listening.laugh/2", "listening.comfort/1", "greeting/1")
    candidates = [Candidate("x", "listening", 0.0, origin) for origin in origins]
    mourns = [said("my dog died"), said("my dog died", "Oh.", "he was old", "Yes.", "he slept on my bed")]
    fine = [said("hello there"), said("my dog died", "a", "b", "c", "d", "e", "what shall we eat")]
    asked = [(context, candidates) for context in (*mourns, *fine)]
    assert retriever.careless(asked) == [[1, 1, 0, 0]] * 2 + [[0, 0, 0, 0]] * 2


def test_a_pet_is_no_grief_because_pets_die(encoder: Encoder) -> None:
    loss = PoolEntry("grief.pet_died/1", "I'm so sorry.", ("my dog is gone", "my dog has left us"), "curated")
    pet = PoolEntry("pets.new/1", "What is its name?", ("my dog is home",), "curated")
    smile = [Candidate("x", "listening", 0.0, "listening.joy/1")]
    told = ["my dog is gone", "my dog is home", "my dog is dead"]
    asked = [(said(text), smile) for text in told]
    assert Retriever([*POOL, loss, pet], encoder).careless(asked) == [[1.0], [0.0], [1.0]]
    assert Retriever([*POOL, loss], encoder).careless(asked) == [[1.0]] * 3


def test_the_nearest_is_of_the_last_message_and_of_what_a_reply_was_written_for(encoder: Encoder) -> None:
    retriever = Retriever(POOL, encoder, threshold=ALWAYS)
    context = said("what shall we eat", "Pizza!", "good morning")
    (found,) = retriever.propose([context])
    others = [Candidate("How are you?", "generation", 0.0), Candidate("Gone.", "retrieval", 0.5, "gone/1")]
    nearest, nothing = retriever.nearest([(context, [*found, *others]), (said("hm"), [])])
    near = dict(zip([candidate.origin for candidate in found], nearest, strict=False))
    assert near["greeting/1"] == near["greeting/2"] == pytest.approx(1.0, abs=1e-3)
    assert near["joke/1"] < 0.5
    assert near["greeting/1"] > {candidate.origin: candidate.score for candidate in found}["greeting/1"]
    assert nearest[-2:] == [0.0, 0.0]
    assert nothing == []
