"""What the log says about how Kith does."""

import json
from dataclasses import asdict, replace

import pytest
from turn_values import CHAT, PERSON, ask, talk, turn_for

from storage.dialog import Vote, VoteValue
from storage.stats import Latency, Stats, approval, percentile, read_stats
from storage.store import SqlDialogStore


def stats_of(store: SqlDialogStore) -> Stats:
    with store.reading() as connection:
        return read_stats(connection)


def answer(
    store: SqlDialogStore, source: str, ranker: str, value: VoteValue = 0, reason: str = "", seconds: float = 0.1
) -> None:
    turn = replace(
        turn_for(ask(store, "hi"), "hello", "hey", source=source),
        versions={"ranker": ranker, "policy": "p1"},
        seconds={"generation": seconds, "policy": 0.5},
    )
    store.add_turn(turn)
    store.add_vote(Vote(turn.id, PERSON, value, "button", reason), CHAT)


def test_an_empty_log_has_no_opinion(store: SqlDialogStore) -> None:
    stats = stats_of(store)
    assert (stats.people, stats.dialogs, stats.messages, stats.turns) == (0, 0, 0, 0)
    assert (stats.approval.share, stats.approval.low, stats.approval.high) == (None, 0.0, 1.0)
    assert (stats.by_source, stats.by_version, stats.latency) == ((), (), ())


def test_everything_is_counted(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello")
    store.add_turn(turn_for(store.ask_again(turn.id, PERSON), "hey"))
    talk(store, "well", chat="telegram:1", person="telegram:1")
    ask(store, "not answered yet")
    store.new_dialog(CHAT)
    stats = stats_of(store)
    assert (stats.people, stats.dialogs, stats.messages, stats.turns) == (2, 2, 3, 3)
    assert (stats.rejected, stats.fallbacks) == (1, 1)


def test_approval_is_told_apart_by_source_and_by_version(store: SqlDialogStore) -> None:
    answer(store, "retrieval", "r1", 1)
    answer(store, "retrieval", "r2", -1, "boring")
    answer(store, "retrieval", "r2")
    answer(store, "generation", "r2", 1)
    talk(store, "hm")
    stats = stats_of(store)
    assert (stats.approval.likes, stats.approval.dislikes) == (2, 1)
    assert stats.reasons == {"boring": 1}
    assert [(group.name, group.turns, group.likes, group.dislikes) for group in stats.by_source] == [
        ("retrieval", 3, 1, 1), ("fallback", 1, 0, 0), ("generation", 1, 1, 0)
    ]  # fmt: skip
    assert [(group.name, group.turns, group.likes, group.dislikes) for group in stats.by_version] == [
        ("policy p1", 5, 2, 1), ("ranker r2", 3, 1, 1), ("ranker r1", 2, 1, 0)
    ]  # fmt: skip


def test_latency_is_told_by_stage_and_in_all(store: SqlDialogStore) -> None:
    for number in range(1, 21):
        answer(store, "generation", "r1", seconds=float(number))
    assert stats_of(store).latency == (
        Latency("total", 20, 10.5, 19.5), Latency("generation", 20, 10.0, 19.0), Latency("policy", 20, 0.5, 0.5)
    )  # fmt: skip


def test_stats_are_fit_for_json(store: SqlDialogStore) -> None:
    answer(store, "retrieval", "r1", 1)
    assert json.loads(json.dumps(asdict(stats_of(store))))["approval"]["likes"] == 1


@pytest.mark.parametrize("likes, dislikes, low, high", [
    (0, 10, 0.0, 0.2775),
    (10, 0, 0.7225, 1.0),
    (5, 5, 0.2366, 0.7634),
    (81, 182, 0.2553, 0.3662),  # Newcombe (1998), table I
])  # fmt: skip
def test_the_interval_is_wilson_s(likes: int, dislikes: int, low: float, high: float) -> None:
    group = approval("x", likes + dislikes, likes, dislikes)
    assert [group.low, group.high] == pytest.approx([low, high], abs=1e-4)


@pytest.mark.parametrize("values, share, expected", [
    ([1.0], 0.5, 1.0), ([1.0], 0.95, 1.0), ([1.0, 2.0], 0.5, 1.0), ([1.0, 2.0, 3.0], 0.5, 2.0), ([1.0, 2.0], 0.95, 2.0)
])  # fmt: skip
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected
