"""The likeness: what it learns of situations and of votes, and what it must not learn from."""

from collections.abc import Sequence

import numpy as np
import pytest
from spoken import spoken

from ranking import likeness as module
from ranking.likeness import fit_likeness, learnable
from ranking.pool import kept_out
from ranking.pool_index import Index, build_index
from ranking.similarity import Search
from ranking.vectors import Encoder, Vectors
from storage.corpora import RatedReply
from storage.dialog import Context, Message, PoolEntry

MOVES = {"ask": 0, "tell": 1, "joke": 2, "wait": 3, "doubt": 4, "thank": 5}
"""What a message does: one number in its vector, small beside its topic's."""
TOPICS = 6


def vector(text: str) -> Vectors:
    """Of "ask cats 3": mostly the topic, a little the move, and something of its own."""
    move, topic, number = text.split()
    found: Vectors = np.random.default_rng(list(text.encode())).normal(scale=0.05, size=24).astype(np.float32)
    found[8 + int(topic[-1])] += 1.0
    found[MOVES[move]] += 0.6
    found /= np.linalg.norm(found)
    assert number
    return found


def embed(texts: Sequence[str]) -> Vectors:
    return np.stack([vector(text) if text else np.zeros(24, np.float32) for text in texts])


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(embed, np.ones(1, np.float32), "moves")


def pool(moves: Sequence[str] = tuple(MOVES)) -> list[PoolEntry]:
    """A situation for each move, its contexts about three topics each, so that topics mislead."""
    return [
        PoolEntry(f"{move}/1", f"{move} topic{TOPICS - 1} 77", tuple(
            f"{move} topic{(place + topic) % TOPICS} {number}" for topic in range(3) for number in range(8)
        ), "curated") for place, move in enumerate(moves)
    ]  # fmt: skip


def right(index: Index, encoder: Encoder) -> float:
    """The share of new messages, about topics that other situations are about, whose own situation is found."""
    asked = [
        (move, f"{move} topic{(place + 4) % TOPICS} {number}")
        for place, move in enumerate(MOVES)
        for number in range(100, 130)
    ]
    search = Search(index, encoder, [Context((Message("user", text),)) for _, text in asked])
    scored = [search.everything(number) for number in range(len(asked))]
    best = [index.entries[entries[scores.argmax()]].id.split("/")[0] for entries, scores in scored]
    return float(np.mean([move == found for (move, _), found in zip(asked, best, strict=True)]))


def fitted(encoder: Encoder, votes: Sequence[RatedReply] = (), entries: Sequence[PoolEntry] | None = None) -> Encoder:
    found = fit_likeness(build_index(entries or pool(), encoder), encoder, votes)
    return Encoder(embed, encoder.lags, "moves", likeness=found)


def test_it_learns_which_messages_want_the_same_replies(encoder: Encoder) -> None:
    learnt = fitted(encoder)
    assert right(build_index(pool(), learnt), learnt) > right(build_index(pool(), encoder), encoder) + 0.1


def rated(move: str, reply: str, liked: bool, number: int) -> RatedReply:
    return RatedReply(f"d{number}", "s", "train", spoken(f"{move} topic{number % TOPICS} {number}"), reply, liked)


def test_votes_tell_what_is_alike_where_the_pool_does_not(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", 60)
    entries = [
        PoolEntry(f"{move}/1", f"{move} topic0 99", (f"{move} topic{n} 5",), "curated") for n, move in enumerate(MOVES)
    ]
    votes = [
        rated(move, f"{said} topic0 99", move == said, number)
        for number in range(40)
        for move in MOVES
        for said in MOVES
    ]
    learnt = fitted(encoder, votes, entries)
    before, after = (right(build_index(entries, model), model) for model in (encoder, learnt))
    assert after > before + 0.1


def test_without_anything_to_learn_from_it_changes_nothing(encoder: Encoder) -> None:
    single = [PoolEntry("a/1", "ask topic0 1", ("ask topic1 1",), "curated")]
    index = build_index(single, encoder)
    unknown = [rated("ask", "tell topic3 3", liked, 1) for liked in (True, False)]
    for votes in ([], unknown, [rated("ask", "ask topic0 1", True, 1)]):
        assert np.array_equal(fit_likeness(index, encoder, votes), np.eye(24, dtype=np.float32))


def test_the_same_seed_gives_the_same_map(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEPS", 5)
    index = build_index(pool(), encoder)
    first, again, other = (fit_likeness(index, encoder, [], seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_contexts_that_are_kept_out_are_not_learnt_from(encoder: Encoder) -> None:
    index = build_index(pool(), encoder)
    learnt = {index.texts[number] for row in learnable(index) for number in row}
    assert learnt == {text for text in index.texts if not kept_out(text)}
    assert 0.05 < 1 - len(learnt) / len(index.texts) < 0.4
