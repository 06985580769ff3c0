"""Whether a message asks or takes leave, as people type it."""

import pytest

from ranking.dialog_acts import asks, takes_leave


@pytest.mark.parametrize(
    "text",
    [
        "is that so?",
        "whats the best way to learn names",
        "ok so what did you do today",
        "and what colour was it",
        "I mean it, is there anybody",
        "do u like rain",
        "spell cat backwards",
        "tell me a joke",
        "any tips",
        "guess what",
        "i need to tell you something",
        "when is it over",
        "who are you then",
        "haha why",
        "расскажи анекдот",
        "ну а как ты, как дела",
    ],
)
def test_who_asks_does_so_with_or_without_a_question_mark(text: str) -> None:
    assert asks(text)
    assert not takes_leave(text)


@pytest.mark.parametrize(
    "text",
    [
        "what a day",
        "when i was little we had a cat",
        "that's nice. when mine were small they slept",
        "how i love this",
        "he is loud, which isn't helping",
        "she says do what makes you happy, which is no help",
        "so who cares",
        "i know what you mean",
        "",
    ],
)
def test_who_tells_does_not_ask(text: str) -> None:
    assert not asks(text)


@pytest.mark.parametrize(
    "text",
    [
        "bye",
        "ok byeee",
        "Goodbye for now.",
        "night night x",
        "right, gtg",
        "catch you later!",
        "see you",
        "i have to go now",
        "off to bed",
        "thanks for the company",
        "It was nice talking to you.",
        "speak soon",
        "пока",
        "спокойной ночи",
    ],
)
def test_who_goes_takes_leave(text: str) -> None:
    assert takes_leave(text)


@pytest.mark.parametrize(
    "text",
    [
        "just got in from a night shift",
        "playing since two, no breaks",
        "he said see you do that",
        "i have to go to the dentist tomorrow",
        "we had a good season",
        "пока не знаю",
        "I hope they have a good team this year",
        "",
    ],
)
def test_who_stays_does_not(text: str) -> None:
    assert not takes_leave(text)
