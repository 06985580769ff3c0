"""Tests of bot/metrics.py: what Prometheus reads after turns, votes and faults."""

import logging
from dataclasses import replace

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from turn_values import turn_for

from bot.metrics import Metrics, counting_errors
from storage.dialog import Asked, Turn, Vote

ASKED = Asked(1, "dialog", "telegram:42")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def read(metrics: Metrics, name: str, **labels: str) -> float | None:
    """A value as Prometheus reads it from the page."""
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    return None


def turn(*replies: str, source: str = "retrieval") -> Turn:
    return turn_for(ASKED, *replies, source=source)


def test_turns_are_counted_by_the_source_of_what_was_said(metrics: Metrics) -> None:
    for each in (turn("a", "b"), turn("a", source="listening"), turn("c"), turn()):
        metrics.watch(each)
    counted = {
        source: read(metrics, "kith_turns_total", source=source) for source in ("retrieval", "listening", "fallback")
    }
    assert counted == {"retrieval": 2, "listening": 1, "fallback": 1}
    assert read(metrics, "kith_fallbacks_total") == 1


def test_seconds_are_counted_by_stage(metrics: Metrics) -> None:
    metrics.watch(replace(turn("a"), seconds={"retrieval": 0.03, "policy": 0.001}))
    metrics.watch(replace(turn("a"), seconds={"retrieval": 2.0, "policy": 0.001}))
    assert read(metrics, "kith_stage_seconds_count", stage="retrieval") == 2
    assert read(metrics, "kith_stage_seconds_sum", stage="retrieval") == pytest.approx(2.03)
    assert read(metrics, "kith_stage_seconds_bucket", stage="retrieval", le="0.05") == 1


def test_turns_without_slow_sources_are_counted_and_change_nothing_of_what_decides(metrics: Metrics) -> None:
    metrics.watch(replace(turn("a"), versions={"generation": "g1", "policy": "p1"}))
    for why in ({"late": "without generation"}, {"early": "7"}, {"late": "without generation"}):
        metrics.watch(replace(turn("a"), versions={"policy": "p1", **why}))
    assert [read(metrics, "kith_without_slow_total", why=why) for why in ("early", "late")] == [1, 2]
    [info] = [each for each in metrics.registry.collect() if each.name == "kith_versions"]
    assert {k: v for k, v in info.samples[0].labels.items() if k != "kith"} == {"generation": "g1", "policy": "p1"}


def test_votes_are_counted_by_value_and_kind(metrics: Metrics) -> None:
    for value, kind in ((1, "button"), (1, "button"), (-1, "reaction"), (0, "button")):
        metrics.watch(Vote("turn", "telegram:42", value, kind))  # type: ignore[arg-type]
    assert read(metrics, "kith_votes_total", value="1", kind="button") == 2
    assert read(metrics, "kith_votes_total", value="-1", kind="reaction") == 1
    assert read(metrics, "kith_votes_total", value="0", kind="button") == 1


def test_what_decides_is_told_as_it_is_now(metrics: Metrics) -> None:
    metrics.decided_by({"ranker": "r0"})
    metrics.watch(replace(turn("a"), versions={"ranker": "r1", "policy": "p1"}))
    [info] = [each for each in metrics.registry.collect() if each.name == "kith_versions"]
    assert {k: v for k, v in info.samples[0].labels.items() if k != "kith"} == {"ranker": "r1", "policy": "p1"}


def test_the_queue_is_measured_when_somebody_asks(metrics: Metrics) -> None:
    queue = [3.0]
    metrics.measure(lambda: queue[0], lambda: 1.5)
    assert read(metrics, "kith_queue_messages") == 3
    queue[0] = 0
    assert read(metrics, "kith_queue_messages") == 0
    assert read(metrics, "kith_batch_running_seconds") == 1.5


def test_faults_anywhere_are_counted_by_type_while_the_bot_runs(metrics: Metrics) -> None:
    log = logging.getLogger("bot.somewhere")
    with counting_errors(metrics):
        try:
            raise ValueError("Ann's words")
        except ValueError:
            log.exception("the source x failed")
        log.warning("trying again")
        log.info("nothing wrong")
    log.error("after the end")
    assert read(metrics, "kith_errors_total", level="error", logger="bot.somewhere", error="ValueError") == 1
    assert read(metrics, "kith_errors_total", level="warning", logger="bot.somewhere", error="") == 1
    assert read(metrics, "kith_errors_total", level="error", logger="bot.somewhere", error="") is None
    assert b"Ann" not in generate_latest(metrics.registry)


def test_the_memory_of_the_process_is_told(metrics: Metrics) -> None:
    memory = read(metrics, "process_resident_memory_bytes")
    assert memory is not None and memory > 2**20


def test_two_bots_in_a_process_count_apart(metrics: Metrics) -> None:
    other = Metrics()
    metrics.watch(turn("a"))
    assert read(other, "kith_turns_total", source="retrieval") is None
