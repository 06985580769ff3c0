"""The listener: it says what fits the tone, never twice in a dialog, and nothing before it was taught."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from spoken import context, spoken

from ranking.dialog_acts import asks
from ranking.features import unsafe, wordless
from ranking.listener import CALM, LISTENING, PROPOSED, Listener, fit_listening, replies
from ranking.pool import PoolError, curated, normal
from ranking.vectors import Encoder, Vectors
from storage.corpora import RatedReply
from storage.dialog import Candidate, Context

KISSES = {kind: "x" * number for number, kind in enumerate(replies(), 1)}

ASKS_FOR = {
    "question": "hm?",
    "question_back": "how are you",
    "question_what_if": "what if it rains",
    "question_self_doubt": "am i silly",
    "question_opinion": "what do you think",
    "question_choice": "tea or coffee?",
    "question_should": "should i go",
    "question_advice": "any tips",
    "question_why": "but why",
    "question_request": "can you sing me a song",
    "question_liking": "do you like tea",
    "question_knowing": "do you know it",
    "question_doing": "do you sleep",
    "question_fact": "when is it",
    "question_whether": "is it true",
    "question_tell": "guess what",
    "greeting": "hello,",
    "farewell": "bye",
    "parting": "bye",
    "thanks": "thanks",
    "praised": "you are sweet",
}
"""Words that ask for a kind; all others are told by the vector."""

TOGETHER = {
    "farewell": ("farewell", "parting"),
    "parting": ("farewell", "parting"),
    "greeting": ("greeting", *(kind for kind in replies() if kind not in ASKS_FOR)),
}
"""Kinds that the same words ask for, or that may be said there too."""


def fitting(kind: str) -> list[str]:
    """All replies that fit where that kind does."""
    return [text for each in TOGETHER.get(kind, (kind,)) for text in replies()[each]]


def asking(kind: str, kisses: str = "") -> str:
    """A message that a reply of that kind may answer, whose vector is that of the kind with so many kisses."""
    return f"{ASKS_FOR.get(kind, 'something new')} {kisses or KISSES[kind]}"


def embed(texts: Sequence[str]) -> Vectors:
    """A message that ends in the kisses of a kind points that way, with a little of its own."""
    vectors: Vectors = np.stack(
        [np.random.default_rng(list(text.encode())).normal(scale=0.02, size=32).astype(np.float32) for text in texts]
    )
    for row, text in enumerate(texts):
        vectors[row, len(text) - len(text.rstrip("x"))] += 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def vote(kind: str, kisses: str, which: int) -> RatedReply:
    text = replies()[kind][which % len(replies()[kind])]
    return RatedReply(f"d{which}", "s", "train", spoken(asking(kind, kisses)), text, kisses == KISSES[kind])


VOTES = [vote(kind, kisses, i) for i in range(20) for kind in KISSES for kisses in KISSES.values()]


@pytest.fixture
def encoder() -> Encoder:
    fresh = Encoder(embed, np.ones(1, np.float32), "tones")
    fresh.listening = fit_listening(fresh, VOTES)
    return fresh


@pytest.mark.parametrize("kind", KISSES)
def test_the_tone_that_votes_liked_after_such_messages_comes_first(encoder: Encoder, kind: str) -> None:
    (found,) = Listener(encoder, seed=0).propose([context(asking(kind))])
    assert found[0].text in replies()[kind]
    assert (found[0].source, found[0].origin.split("/")[0]) == ("listening", f"listening.{kind}")
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)
    assert len(found) == (min(PROPOSED, len(fitting(kind)) + 1) if kind in ASKS_FOR else PROPOSED)


def test_a_reply_that_is_liked_more_than_its_fellows_is_proposed_more(encoder: Encoder) -> None:
    kind, (favourite, other, *_) = next((kind, texts) for kind, texts in replies().items() if len(texts) > PROPOSED)
    asked = asking(kind)
    more = [
        RatedReply(f"x{n}", "s", "train", spoken(asked), text, text == favourite)
        for n in range(99)
        for text in (favourite, other)
    ]
    encoder.listening = fit_listening(encoder, [*VOTES, *more])
    found = [c.text for row in Listener(encoder, seed=0).propose([context(asked)] * 50) for c in row]
    assert found.count(favourite) > found.count(other) + 10


def test_nothing_is_said_twice_in_a_dialog(encoder: Encoder) -> None:
    every = [text for kind, texts in replies().items() if kind not in ASKS_FOR for text in texts]
    for used in (1, 10, len(every) - 2, len(every)):
        heard = Context(spoken(*(text for reply in every[:used] for text in ("x", reply)), "ok x"))
        (found,) = Listener(encoder).propose([heard])
        assert {c.text for c in found}.isdisjoint(every[:used])
        assert len(found) == min(PROPOSED, len(every) - used)
    (rejected,) = Listener(encoder).propose([context("ok x", rejected=tuple(every[1:]))])
    assert [c.text for c in rejected] == every[:1]


@pytest.mark.parametrize("kind", ASKS_FOR)
def test_what_words_ask_for_is_said_and_when_all_of_it_was_another_answer(encoder: Encoder, kind: str) -> None:
    calm = {text for tone in CALM for text in replies()[tone]}
    for kisses in KISSES.values():
        (found,) = Listener(encoder, seed=0).propose([context(asking(kind, kisses))])
        assert {c.text for c in found} - calm <= set(fitting(kind))
        assert {c.text for c in found} & calm
    own = replies()[kind] if kind == "greeting" else fitting(kind)
    said = [text for reply in own for text in ("x", reply)]
    (found,) = Listener(encoder, seed=0).propose([Context(spoken(*said, asking(kind)))])
    left = {c.origin.split("/")[0].removeprefix("listening.") for c in found}
    assert left
    assert left <= ({"question", *CALM} if kind.startswith("question") else set(replies()) - set(ASKS_FOR))


def test_to_who_takes_leave_something_calm_to_say_then_is_always_proposed(encoder: Encoder) -> None:
    for seed in range(5):
        (found,) = Listener(encoder, seed).propose([context(asking("farewell"))])
        assert {"parting", "farewell"} < {c.origin.split("/")[0].removeprefix("listening.") for c in found}
        assert {c.text for c in found} & {text for tone in CALM for text in replies()[tone]}


def test_what_sounds_like_something_that_was_said_comes_last(encoder: Encoder) -> None:
    """Six others of its tone are left, so none of those that begin alike is proposed."""
    said = "That made me smile, as far as a program can."
    alike = {text for text in replies()["smile"] if text.startswith("That made me smile")}
    assert len(alike) > 1
    for seed in range(5):
        (before,) = Listener(encoder, seed).propose([context(asking("smile"))])
        (found,) = Listener(encoder, seed).propose([Context(spoken("x", said, asking("smile")))])
        assert len(before) == len(found) == PROPOSED
        assert alike.isdisjoint(c.text for c in found)


@pytest.mark.parametrize(
    "text",
    [
        "is it safe to drive after 4 beers?",
        "what if it's cancer",
        "is it wrong that i like kids",
        "should i cut deeper or stop?",
        "i'm stopping my meds, what do you think?",
        "can you call an ambulance",
        "fingers crossed it is not cancer",
    ],
)
def test_where_much_hangs_on_an_answer_there_is_no_ready_made_one(encoder: Encoder, text: str) -> None:
    tones = set(replies()) - set(ASKS_FOR)
    for seed in range(5):
        (found,) = Listener(encoder, seed=seed).propose([context(text)])
        kinds = {c.origin.split("/")[0].removeprefix("listening.") for c in found}
        assert kinds <= (CALM if asks(text) else tones)


def test_nobody_is_answered_who_does_not_ask_or_sent_off_who_stays(encoder: Encoder) -> None:
    barred = {text for kind in ASKS_FOR for text in replies()[kind]}
    for kisses in KISSES.values():
        (found,) = Listener(encoder, seed=0).propose([context(f"so tired {kisses}")])
        assert len(found) == PROPOSED
        assert barred.isdisjoint(c.text for c in found)
    (found,) = Listener(encoder, seed=0).propose([context("wish me luck")])
    assert [c.origin.split("/")[0] for c in found].count("listening.luck") == len(found) - 1


def test_votes_where_a_reply_would_not_be_said_teach_nothing(encoder: Encoder) -> None:
    elsewhere = [
        RatedReply(f"e{n}", "s", "train", spoken("so tired"), text, True)
        for n, text in enumerate(replies()["question_why"])
    ]
    assert encoder.listening is not None
    again = fit_listening(encoder, [*VOTES, *elsewhere])
    assert again is not None
    assert np.array_equal(again, encoder.listening)


def test_a_kind_that_was_only_liked_is_likely_as_far_as_its_few_votes_tell(encoder: Encoder) -> None:
    def of_why(v: RatedReply) -> bool:
        return v.reply in replies()["question_why"]

    liked = [v for v in VOTES if of_why(v) and v.liked][:4]
    votes = [*(v for v in VOTES if not of_why(v)), *liked]
    fitted = fit_listening(Encoder(embed, np.ones(1, np.float32), "untaught"), votes)
    assert fitted is not None
    of_kind = [n for n, kind in enumerate(k for k, texts in replies().items() for _ in texts) if kind == "question_why"]
    assert fitted[of_kind, -1] == pytest.approx(np.log(5.0), rel=1e-3)
    assert not fitted[of_kind, :-1].any()
    kept = fit_listening(encoder, votes)
    assert kept is not None
    assert encoder.listening is not None
    assert np.array_equal(kept[of_kind], encoder.listening[of_kind])


def test_replies_vary_and_the_same_seed_gives_the_same(encoder: Encoder) -> None:
    asked = [context("something x")] * 20
    texts = [[[c.text for c in row] for row in Listener(encoder, seed=seed).propose(asked)] for seed in (1, 1, 2)]
    assert len({text for row in texts[0] for text in row}) > PROPOSED
    assert texts[0] == texts[1] != texts[2]


def test_before_it_is_taught_it_proposes_nothing(encoder: Encoder) -> None:
    untaught = Encoder(embed, np.ones(1, np.float32), "tones")
    assert Listener(untaught).propose([context("hello x"), context("hello")]) == [[], []]
    other = Encoder(embed, np.ones(1, np.float32), "tones", listening=np.zeros((2, 33), np.float32))
    assert Listener(other).propose([context("hello x")]) == [[]]
    assert Listener(encoder).propose([]) == []


def test_without_votes_on_a_tone_nothing_is_begun_and_what_was_known_stays(encoder: Encoder) -> None:
    untaught = Encoder(embed, np.ones(1, np.float32), "untaught")
    assert fit_listening(untaught, [v for v in VOTES if v.reply not in replies()["question"]]) is None
    assert fit_listening(untaught, []) is None
    kept = fit_listening(encoder, [])
    assert kept is not None
    assert encoder.listening is not None
    assert np.array_equal(kept, encoder.listening)


def test_shipped_replies_are_fit_to_be_said_and_not_in_the_pool() -> None:
    pool = {normal(entry.reply) for entry in curated()}
    texts = [text for kind in replies().values() for text in kind]
    assert len({normal(text) for text in texts}) == len(texts)
    assert [text for text in texts if normal(text) in pool] == []
    for text in texts:
        candidate = Candidate(text, "listening", 0.0)
        assert unsafe(Context(()), candidate) == wordless(Context(()), candidate) == 0
        assert len(text.split()) <= 20


@pytest.mark.parametrize("content", [b"[[x", b"kind = 3", b"\xff"])
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "listening.toml"
    file.write_bytes(content)
    with pytest.raises(PoolError, match=r"listening\.toml"):
        replies(file)
    assert replies(LISTENING)
