"""What a message asks for, and whether it takes leave, thanks, praises or wants luck, as people type it."""

import time

import pytest

from ranking.dialog_acts import LUCK, PRAISE, QUESTIONS, STAKES, THANKS, asked_for, asks, greets


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
        "hello",
        "hi hi",
        "Hey there, I'm new to this.",
        "good morning! the tram was late again",
        "oh hello again",
        "yo",
        "evening all. long shift",
        "hiii my team won",
        "Привет! как дела",
    ],
)
def test_who_says_hello_greets(text: str) -> None:
    assert greets(text)


@pytest.mark.parametrize(
    "text",
    [
        "hello is all she ever wrote to me",
        "hi-fi shop closed down",
        "morning trains are the worst",
        "good evening shoes cost a fortune",
        "he said hi",
        "highly unlikely",
        "yoga was full",
        "",
    ],
)
def test_what_only_looks_like_a_greeting_is_none(text: str) -> None:
    assert not greets(text)


ASKED = [
    ("can i tell you something", "tell"),
    ("want to hear how it went?", "tell"),
    ("Slept badly. And you?", "back"),
    ("how are you today", "back"),
    ("lol. what if i freeze", "what_if"),
    ("is it silly to cry over a hamster", "self_doubt"),
    ("I keep her voicemail. Am I strange?", "self_doubt"),
    ("so what do you think", "opinion"),
    ("don't you think it's odd?", "opinion"),
    ("good evening. Help me choose: pub quiz or bath?", "choice"),
    ("should i go before or after work", "choice"),
    ("should I text him", "should"),
    ("any tips for getting a puppy to sleep", "advice"),
    ("how do people do this", "advice"),
    ("what's a good way to save on food", "advice"),
    ("the dog again. why", "why"),
    ("how come you never start the conversation", "why"),
    ("give me a line for the team talk", "request"),
    ("could you write it for me", "request"),
    ("say something in pirate speak", "request"),
    ("what would you do with him", "opinion"),
    ("What am I doing wrong?", "advice"),
    ("do you like cheese", "liking"),
    ("whats ur fav song", "liking"),
    ("do you know anything about slugs?", "knowing"),
    ("have you ever seen a baby pigeon", "knowing"),
    ("u play any games?", "doing"),
    ("do you sleep", "doing"),
    ("how long does hair need", "fact"),
    ("WHO PUTS AN EMPTY MILK CARTON BACK", "fact"),
    ("is there a moon tonight", "whether"),
    ("It’s a bit much, isn’t it?", "whether"),
    ("and the otter?", ""),
    ("?", ""),
    ("", ""),
]


@pytest.mark.parametrize(("text", "kind"), ASKED)
def test_what_is_asked_is_told_by_words(text: str, kind: str) -> None:
    assert asked_for(text) == kind


def test_all_kinds_of_questions_are_told() -> None:
    assert {kind for _, kind in ASKED} == {*QUESTIONS, ""}


@pytest.mark.parametrize("text", ["am i overreacting", "can’t you just say it", "won't you stay", "don’t you think so"])
def test_turned_verbs_ask_also_with_a_bent_apostrophe(text: str) -> None:
    assert asks(text)


@pytest.mark.parametrize(
    "text",
    [
        "is this milk bad?",
        "is that the only one left?",
        "do i have to tell my boss",
        "how are the kids",
    ],
)
def test_words_of_a_kind_are_not_the_kind(text: str) -> None:
    assert asked_for(text) not in ("self_doubt", "tell", "advice")


def test_no_message_takes_long() -> None:
    started = time.process_time()
    for text in ("or " * 1365 + "x.y", "am i " * 819, "is it a " * 512, "you're so " * 409, "can u " * 682):
        asked_for(text)
        all(words.search(text) for words in (THANKS, PRAISE, LUCK, STAKES))
    assert time.process_time() - started < 5, "or one message would stop the bot for all"


def test_thanks_praise_and_a_wish_for_luck_are_told() -> None:
    assert all(map(THANKS.search, ["thx", "ok thanks", "cheers mate", "ty so much!"]))
    not_only = ["he said thanks and left", "thanks, my mum died today", "thanks for nothing", "ty, i hate you"]
    assert not any(map(THANKS.search, not_only))
    assert all(map(PRAISE.search, ["You're more patient than most people", "youre funny", "I like you. You may stay."]))
    not_kith = [
        "i like pizza",
        "you said it",
        "he is so nice",
        "i don't think i like you",
        "ur best friend died",
        "not a good bot",
    ]
    assert not any(map(PRAISE.search, not_kith))
    assert all(map(LUCK.search, ["gotta study, wish me luck", "fingers crossed"]))
    assert not any(map(LUCK.search, ["i wish i had", "no luck today"]))
