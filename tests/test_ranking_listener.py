"""The listener: it says what fits the tone, never twice in a dialog, and nothing before it was taught."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from spoken import context, spoken

from ranking.features import unsafe, wordless
from ranking.listener import LISTENING, PROPOSED, Listener, fit_listening, replies
from ranking.pool import PoolError, curated, normal
from ranking.vectors import Encoder, Vectors
from storage.corpora import RatedReply
from storage.dialog import Candidate, Context

NUMBER = {kind: f"{number:02}" for number, kind in enumerate(replies())}


def embed(texts: Sequence[str]) -> Vectors:
    """A message that begins with the number of a kind points that way, with a little of its own."""
    vectors: Vectors = np.stack(
        [np.random.default_rng(list(text.encode())).normal(scale=0.02, size=16).astype(np.float32) for text in texts]
    )
    for row, text in enumerate(texts):
        if text[:2].isdigit():
            vectors[row, int(text[:2])] += 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def vote(asked: str, kind: str, number: int) -> RatedReply:
    text = replies()[kind][number % len(replies()[kind])]
    return RatedReply(f"d{number}", "s", "train", spoken(asked), text, asked[:2] == NUMBER[kind])


VOTES = [vote(f"{n} message {i}", kind, i) for i in range(20) for kind in NUMBER for n in NUMBER.values()]


@pytest.fixture
def encoder() -> Encoder:
    fresh = Encoder(embed, np.ones(1, np.float32), "tones")
    fresh.listening = fit_listening(fresh, VOTES)
    return fresh


@pytest.mark.parametrize("kind", NUMBER)
def test_the_tone_that_votes_liked_after_such_messages_comes_first(encoder: Encoder, kind: str) -> None:
    said = "something new?" if kind.startswith("question") else "bye" if kind == "farewell" else "something new"
    (found,) = Listener(encoder, seed=0).propose([context(f"{NUMBER[kind]} {said}")])
    assert len(found) == PROPOSED
    assert found[0].text in replies()[kind]
    assert (found[0].source, found[0].origin.split("/")[0]) == ("listening", f"listening.{kind}")
    assert [c.score for c in found] == sorted((c.score for c in found), reverse=True)


def test_a_reply_that_is_liked_more_than_its_fellows_is_proposed_more(encoder: Encoder) -> None:
    kind, (favourite, other, *_) = next((kind, texts) for kind, texts in replies().items() if len(texts) > PROPOSED)
    asked = f"{NUMBER[kind]} hello"
    more = [
        RatedReply(f"x{n}", "s", "train", spoken(asked), text, text == favourite)
        for n in range(99)
        for text in (favourite, other)
    ]
    encoder.listening = fit_listening(encoder, [*VOTES, *more])
    found = [c.text for row in Listener(encoder, seed=0).propose([context(asked)] * 50) for c in row]
    assert found.count(favourite) > found.count(other) + 10


def test_nothing_is_said_twice_in_a_dialog(encoder: Encoder) -> None:
    every = [text for texts in replies().values() for text in texts]
    for used in (1, 10, len(every) - 2, len(every)):
        heard = Context(spoken(*(text for reply in every[:used] for text in ("x", reply)), "00 ok"))
        (found,) = Listener(encoder).propose([heard])
        assert {c.text for c in found}.isdisjoint(every[:used])
        assert len(found) == min(PROPOSED, len(every) - used)
    (rejected,) = Listener(encoder).propose([context("00 ok", rejected=tuple(every[1:]))])
    assert [c.text for c in rejected] == every[:1]


def test_who_asks_gets_what_was_written_for_questions_while_there_is_some(encoder: Encoder) -> None:
    written = [text for kind, texts in replies().items() if kind.startswith("question") for text in texts]
    (found,) = Listener(encoder, seed=0).propose([context("00 something new?")])
    assert {c.text for c in found} <= set(written)
    heard = Context(spoken(*(text for reply in written for text in ("x", reply)), "00 something new?"))
    (found,) = Listener(encoder, seed=0).propose([heard])
    assert len(found) == PROPOSED


def test_nobody_is_sent_off_who_stays_or_told_that_nobody_knows_who_asked_nothing(encoder: Encoder) -> None:
    for said, kinds in (("so tired", ("question", "farewell")), ("bye then", ("question", "go_on", "comfort"))):
        barred = {text for kind, texts in replies().items() if kind.startswith(kinds) for text in texts}
        for number in NUMBER.values():
            (found,) = Listener(encoder, seed=0).propose([context(f"{number} {said}")])
            assert len(found) == PROPOSED
            assert barred.isdisjoint(c.text for c in found)


def test_replies_vary_and_the_same_seed_gives_the_same(encoder: Encoder) -> None:
    asked = [context("00 something")] * 20
    texts = [[[c.text for c in row] for row in Listener(encoder, seed=seed).propose(asked)] for seed in (1, 1, 2)]
    assert len({text for row in texts[0] for text in row}) > PROPOSED
    assert texts[0] == texts[1] != texts[2]


def test_before_it_is_taught_it_proposes_nothing(encoder: Encoder) -> None:
    untaught = Encoder(embed, np.ones(1, np.float32), "tones")
    assert Listener(untaught).propose([context("00 hello"), context("1 hello")]) == [[], []]
    other = Encoder(embed, np.ones(1, np.float32), "tones", listening=np.zeros((2, 17), np.float32))
    assert Listener(other).propose([context("00 hello")]) == [[]]
    assert Listener(encoder).propose([]) == []


def test_too_few_votes_teach_nothing(encoder: Encoder) -> None:
    without_questions = [v for v in VOTES if v.reply not in replies()["question"]]
    assert fit_listening(encoder, without_questions) is None
    assert fit_listening(encoder, []) is None


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
