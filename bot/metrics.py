"""What a bot counts for Prometheus, in a registry of its own. Labels are names of parts, never of people."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from bot.events import source_of
from bot.pipeline import EARLY, LATE
from storage.dialog import Turn, Vote

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Bounds of the histogram: a stage of the shipped models takes 0.001 to 0.5 s, a remote generator up to a minute."""


class Metrics(logging.Handler):
    """Counts turns and votes that it is told of, and as a handler of the log whatever goes wrong anywhere."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.registry = registry = CollectorRegistry()
        self._turns = Counter(
            "kith_turns", "Turns answered, by where the reply came from.", ["source"], registry=registry
        )
        self._fallbacks = Counter(
            "kith_fallbacks", "Turns in which no candidate was fit to be said.", registry=registry
        )
        self._without = Counter(
            "kith_without_slow", "Turns that went without slow sources, by why.", ["why"], registry=registry
        )
        self._seconds = Histogram(
            "kith_stage_seconds", "Seconds of a turn, by stage.", ["stage"], registry=registry, buckets=SECONDS
        )
        self._votes = Counter(
            "kith_votes", "Votes, by value (0 takes one back) and kind.", ["value", "kind"], registry=registry
        )
        self._errors = Counter(
            "kith_errors", "Warnings and errors in the log.", ["level", "logger", "error"], registry=registry
        )
        self._versions = Info("kith_versions", "What decides.", registry=registry)
        ProcessCollector(registry=registry)

    def watch(self, event: Turn | Vote) -> None:
        """Counts a turn or a vote."""
        if isinstance(event, Vote):
            self._votes.labels(str(event.value), event.kind).inc()
            return
        self._turns.labels(source_of(event)).inc()
        if event.decision.reason == "fallback":
            self._fallbacks.inc()
        for stage, seconds in event.seconds.items():
            self._seconds.labels(stage).observe(seconds)
        hurried = event.versions.keys() & {EARLY, LATE}
        for why in hurried:
            self._without.labels(why).inc()
        if not hurried:  # the versions of the others say nothing of the slow sources
            self.decided_by(event.versions)

    def decided_by(self, versions: Mapping[str, str]) -> None:
        """Notes what decides from now on."""
        self._versions.info({"kith": version("kith"), **versions})

    def measure(self, waiting: Callable[[], float], running: Callable[[], float]) -> None:
        """Measures the queue whenever somebody asks."""
        queue = Gauge("kith_queue_messages", "Messages that wait for the models.", registry=self.registry)
        queue.set_function(waiting)
        batch = Gauge(
            "kith_batch_running_seconds", "How long the models have been at this batch.", registry=self.registry
        )
        batch.set_function(running)

    def emit(self, record: logging.LogRecord) -> None:
        """Counts a warning or an error."""
        error = record.exc_info[0] if record.exc_info else None
        self._errors.labels(record.levelname.lower(), record.name, error.__name__ if error else "").inc()


@contextmanager
def counting_errors(metrics: Metrics) -> Iterator[None]:
    """Counts what goes wrong for as long as the body runs."""
    logging.getLogger().addHandler(metrics)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(metrics)
