"""Whether somebody takes leave, as people type it."""

import time

import pytest

from ranking.leave_taking import takes_leave


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
        "brb!!",
        "right, match is on. Ta ta",
        "the bus is here, bye mate",
        "dad wants the phone bye \N{WAVING HAND SIGN}",
        "That's enough for tonight.",
        "Well, I've kept you long enough.",
        "my stop. later",
        "kind regards, Olga",
        "The soup is ready. Good night, friend.",
        "gotta go the ferry is boarding",
        "this essay won't write itself",
        "Over and out.",
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
        "he said see you in june, and i said nothing",
        "we said goodbye to the old car",
        "i have to go to the dentist tomorrow",
        "i have to run a marathon next year",
        "i never got a good night out of that bed",
        "she just said bye",
        "should i say goodbye?",
        "good evening at the cinema, mostly",
        "we had a good season",
        "пока не знаю",
        "I hope they have a good team this year",
        "what is the best way to leave",
        "it was good",
        "haha good one",
        "good afternoon",
        "good evening",
        "i wish you were real",
        "they have to go to court in march",
        "he can't talk now",
        "you have to go there once",
        "i have to go through this alone",
        "i really need to sleep, it's been three nights",
        "i'm scared i'll lose you",
        "that's it for me",
        "back to drinking",
        "i have to run from him",
        "",
    ],
)
def test_who_stays_does_not(text: str) -> None:
    assert not takes_leave(text)


@pytest.mark.parametrize(
    "part", ["bye ", "ok ", "good night now then ", "have to ", "yours in ", "now, ", "(", "a b c for today "]
)
def test_no_message_takes_long(part: str) -> None:
    started = time.process_time()
    takes_leave(part * 10_000)
    assert time.process_time() - started < 1, "or one message would stop the bot for all"
