"""The cheap features: what each of them sees, and that no text is too strange for them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spoken import context, spoken

from ranking.features import (
    IN_A_ROW,
    cheap_features,
    echo,
    evades,
    length,
    listened,
    overlap,
    own_score,
    question,
    rejected,
    repetition,
    scorer,
    script,
    unsafe,
    unsafe_phrases,
    wordless,
    wrong_script,
)
from ranking.listener import replies
from ranking.policy import ScoringPolicy, load_weights
from ranking.pool import normal
from storage.dialog import Candidate, Context, Message

JOIN = "I went to the sea with my brother last week"


def reply(text: str, source: str = "retrieval", score: float = 0.5) -> Candidate:
    return Candidate(text, source, score)


messages = st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), st.text()), max_size=5)
contexts = st.builds(Context, messages.map(tuple), st.text(), st.lists(st.text(), max_size=2).map(tuple))


@given(contexts, st.text(), st.sampled_from(["retrieval", "generation", "other"]))
def test_every_feature_of_every_text_is_a_finite_number(asked: Context, text: str, source: str) -> None:
    for name, feature in cheap_features().items():
        assert math.isfinite(feature(asked, reply(text, source))), name


@given(st.text(), st.text())
def test_overlap_is_a_share_and_whole_for_a_text_with_itself(text: str, other: str) -> None:
    assert 0 <= overlap(text, other) <= 1
    assert overlap(text, text) == float(bool(normal(text)))
    assert overlap(text, text.upper().lower() + " !") == overlap(text, text.upper().lower())


@pytest.mark.parametrize(
    ("candidate", "value"),
    [
        (JOIN, 1.0),
        (JOIN.upper() + "!!!", 1.0),
        ("went to the sea", 1.0),
        ("I went to the cinema", 2 / 3),
        ("Nice. Was the water warm?", 0.0),
    ],
)
def test_echo_is_how_much_of_the_candidate_the_user_has_just_said(candidate: str, value: float) -> None:
    assert echo(context(JOIN), reply(candidate)) == pytest.approx(value)


def test_echo_looks_back_on_three_messages_of_the_user_and_on_none_of_the_bot() -> None:
    asked = context("the first of all", "I am a bot indeed", "b", "x", "c", "y", "d")
    assert echo(asked, reply("the first of all")) == 0
    assert echo(context(*(m.text for m in asked.messages[:-2])), reply("the first of all")) == 1
    assert echo(asked, reply("I am a bot indeed")) == 0


def test_repetition_looks_back_on_the_whole_dialog_of_the_bot_and_on_nothing_of_the_user() -> None:
    asked = context("I like trains a lot", "So do I, my friend!", *"abcdefghijk")
    assert repetition(asked, reply("so do i my friend")) == 1
    assert repetition(asked, reply("I like trains a lot")) == 0


@pytest.mark.parametrize("text", ["I like trains a lot", "i LIKE trains, a lot...", "You tell me everything, friend!"])
def test_echoes_and_repeats_are_vetoed_by_the_shipped_policy(text: str) -> None:
    asked = context("hello", "You tell me everything, friend.", "I like trains a lot")
    candidates = [reply(text, score=0.99), reply("Steam or diesel?", score=0.1)]
    features = {name: scorer(feature)([(asked, candidates)])[0] for name, feature in cheap_features().items()}
    decision = ScoringPolicy(load_weights())(candidates, features)
    assert decision.reply == "Steam or diesel?"
    assert decision.ranked[-1].veto in ("echo", "repetition")


def test_a_reply_that_was_sent_back_is_known_whatever_its_punctuation() -> None:
    asked = context("hi", rejected=("Hello, you!",))
    assert rejected(asked, reply("hello you")) == 1
    assert rejected(asked, reply("hello")) == 0


@pytest.mark.parametrize("text", ["kill yourself", "Just KILL, yourself!!", "Ну и сука же ты", "well kys then"])
def test_what_is_on_the_safety_list_is_unsafe_in_any_dress(text: str) -> None:
    assert unsafe(context("hi"), reply(text)) == 1


@pytest.mark.parametrize("text", ["Hello!", "Her cockatoo is cumbersome.", "I could kill for a coffee, yourself?", "!"])
def test_words_that_only_look_like_those_on_the_safety_list_are_safe(text: str) -> None:
    assert unsafe(context("hi"), reply(text)) == 0


def test_every_phrase_of_the_safety_list_holds_words_and_is_found() -> None:
    assert len(unsafe_phrases()) > 50
    for phrase in unsafe_phrases():
        assert unsafe(context("hi"), reply(f"Oh, {phrase.upper()}!")) == 1


@pytest.mark.parametrize(
    ("asked", "offered", "wrong"),
    [
        ("how are you", "Fine!", 0),
        ("как дела", "Хорошо!", 0),
        ("как дела", "Fine!", 1),
        ("how are you", "Хорошо!", 1),
        ("как дела с iPhone", "Хорошо!", 0),
        ("¿cómo estás?", "Fine!", 0),
        ("👍", "Хорошо!", 0),
        ("как дела", "👍", 0),
        ("元気", "Fine!", 0),
    ],
)
def test_only_latin_and_cyrillic_are_held_against_each_other(asked: str, offered: str, wrong: float) -> None:
    assert wrong_script(context(asked), reply(offered)) == wrong


@given(st.text())
def test_a_script_has_most_of_the_letters(text: str) -> None:
    assert script(text) in ("", "latin", "cyrillic")
    assert script("abc" * (len(text) + 1) + text) == "latin"


@pytest.mark.parametrize(("text", "value"), [("", 1), ("...", 1), ("🙂", 1), ("__", 1), ("7", 0), ("да", 0)])
def test_a_reply_without_any_letter_or_digit_is_wordless(text: str, value: float) -> None:
    assert wordless(context("hi"), reply(text)) == value


def test_length_grows_with_the_words_and_is_nothing_for_none() -> None:
    assert length(context("hi"), reply("")) == 0
    assert length(context("hi"), reply("one two three")) == pytest.approx(math.log(4))


def test_a_source_gives_its_score_to_its_own_candidates_only_and_zero_stays_zero() -> None:
    likelihood = own_score("generation")
    assert likelihood(context("hi"), reply("x", "generation", -1.5)) == -1.5
    assert likelihood(context("hi"), reply("x", "generation", 0.0)) == 0.0
    assert likelihood(context("hi"), reply("x", "retrieval", 0.9)) == 0.0


def test_the_prior_of_a_source_is_a_feature_of_its_candidates() -> None:
    features = cheap_features()
    for source, name in (("retrieval", "retrieved"), ("generation", "generated")):
        assert features[name](context("hi"), reply("x", source)) == 1
        assert features[name](context("hi"), reply("x", "another")) == 0


def test_a_scorer_keeps_the_shape_of_its_batch() -> None:
    batch = [(context("hi"), [reply("a"), reply("b c")]), (context("hi"), []), (context("hi"), [reply("d")])]
    assert [len(scores) for scores in scorer(length)(batch)] == [2, 0, 1]
    assert scorer(length)([]) == []


def test_an_empty_dialog_has_neither_echo_nor_repetition() -> None:
    assert echo(Context(()), reply("hi")) == repetition(Context(()), reply("hi")) == 0


def test_listening_is_counted_over_the_last_replies_and_for_the_listener_only() -> None:
    heard = [text for texts in replies().values() for text in texts][:IN_A_ROW]
    listening, other = Candidate("x", "listening", 0.0), Candidate("x", "retrieval", 0.0)

    def after(*said: str) -> Context:
        return Context(spoken("a", *(text for reply in said for text in (reply, "and"))))

    counted = [listened(after("Something else.", *heard[:n]), listening) for n in range(IN_A_ROW + 1)]
    assert [round(IN_A_ROW * share) for share in counted] == list(range(IN_A_ROW + 1))
    assert listened(after(*heard, "Something else."), listening) < 1
    assert listened(after(*heard), other) == 0
    assert listened(after(*heard), Candidate("x", "listening", 0.0, "listening.farewell/1")) == 0


@pytest.mark.parametrize(("text", "asks"), [("Why?", 1.0), ("Why? I see.", 1.0), ("I see.", 0.0), ("", 0.0)])
def test_a_question_is_told_by_its_mark(text: str, asks: float) -> None:
    assert question(Context(()), Candidate(text, "x", 0.0)) == asks


@pytest.mark.parametrize(
    ("asked", "origin", "evading"),
    [
        ("what do you eat?", "listening.go_on/1", 1.0),
        ("what do you eat?", "listening.question/1", 0.0),
        ("what do you eat?", "food/1", 0.0),
        ("i eat bread", "listening.go_on/1", 0.0),
    ],
)
def test_a_question_is_evaded_by_a_sign_of_listening(asked: str, origin: str, evading: float) -> None:
    candidate = Candidate("I see.", "listening" if origin.startswith("listening") else "retrieval", 0.0, origin)
    assert evades(context(asked), candidate) == evading
