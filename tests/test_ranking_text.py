"""A context as BERT reads it: whole messages, the newest always, its last words when it is too long by itself."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.text import CONTEXT_WORDS, OURS, REPLY_WORDS, as_pair, as_text
from storage.dialog import Context, Message

messages = st.lists(st.builds(Message, st.sampled_from(["user", "assistant"]), st.text()), max_size=6)


def user(text: str) -> Message:
    return Message("user", text)


def test_the_messages_stand_oldest_first_and_those_of_the_assistant_are_marked() -> None:
    said = [user("hi"), Message("assistant", "hello"), user("how are\nyou")]
    assert as_text(said) == "hi > hello how are you"


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ([user("a b"), user("w " * (CONTEXT_WORDS - 1)), user("z")], "w " * (CONTEXT_WORDS - 1) + "z"),
        ([user("a"), user("w " * CONTEXT_WORDS), user("z")], "z"),
        ([user(str(i)) for i in range(9)], "4 5 6 7 8"),
        ([], ""),
    ],
)
def test_what_does_not_fit_goes_by_whole_messages_from_the_left(said: list[Message], text: str) -> None:
    assert as_text(said) == text


def test_of_one_message_that_is_too_long_the_last_words_stay() -> None:
    words = [f"w{i}" for i in range(500)]
    assert as_text([user("before"), user(" ".join(words))]) == " ".join(words[-CONTEXT_WORDS:])


@given(messages, st.text())
def test_the_newest_words_are_always_there_and_the_length_is_bounded(said: list[Message], newest: str) -> None:
    words = as_text([*said, user(newest)]).split()
    kept = newest.split()[-CONTEXT_WORDS:]
    assert words[len(words) - len(kept) :] == kept
    assert len([word for word in words if word != OURS]) <= CONTEXT_WORDS


@given(messages, st.text())
def test_a_pair_is_the_context_and_the_beginning_of_the_reply(said: list[Message], reply: str) -> None:
    assert as_pair(Context(tuple(said)), reply) == (as_text(said), " ".join(reply.split()[:REPLY_WORDS]))
