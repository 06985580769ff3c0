"""The pipeline: messages that were asked in, decided and logged turns out. Turn-taking lives here, for every front end.

Sources propose, scorers turn proposals into named numbers, the policy decides, the store keeps all of it. A source or a
scorer that fails costs its candidates or its feature, never the person's answer. One that hangs holds its caller; while
it does, another caller goes on without it. What is moderated no model answers. In an experiment people have parts of
their own: what several share is asked once for all of them.

Some sources are slow. A turn goes without them when it is late, or when a reply of the others is so good that a slow
one would hardly be better ("early"); when none of the others is fit to be said they are asked all the same.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import TypeVar

from bot.protocols import DialogStore, Fallback, Moderation, Policy, Scorer, Source, Variant
from storage.dialog import Asked, Candidate, Context, Decision, Scored, Turn, new_id

log = logging.getLogger(__name__)

Part = TypeVar("Part", Source, Scorer)
Made = TypeVar("Made")


SLOW = frozenset({"generation"})
"""The sources that a turn may do without, by name."""

EARLY, LATE = "early", "late"
"""What `versions` of a turn has in place of those of slow sources that were not asked: the bound that its total
reached, or that it was late."""


@dataclass(slots=True)
class Work:
    """A message on its way through the parts, and what they made of it so far."""

    asked: Asked
    context: Context
    variant: Variant
    decision: Decision | None = None
    without: Mapping[str, str] = field(default_factory=dict)
    """For the log, when it was made without the slow sources: EARLY or LATE, and more of it."""
    judged: int = 0
    """How many of the candidates the scorers know."""
    candidates: list[Candidate] = field(default_factory=list)
    features: dict[str, Sequence[float]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Pipeline:
    """`personas`: by name, what the assistant is told about itself. `versions`: what decides, by name, for the log; it
    is asked for each batch, since parts may change while the bot runs, though not within a batch. `variant_of`: what is
    different for a person, by their id."""

    store: DialogStore
    sources: Mapping[str, Source]
    scorers: Mapping[str, Scorer]
    policy: Policy
    fallback: Fallback
    personas: Mapping[str, str]
    default_persona: str
    versions: Callable[[], Mapping[str, str]]
    moderation: Moderation | None = None
    variant_of: Callable[[str], Variant] | None = None
    slow: frozenset[str] = frozenset()
    """Names of sources that a turn may do without."""
    early: float | None = None
    """A total from which a reply is said without asking the slow sources; None: they are always asked. The policy must
    take the best: where it draws, each candidate must have had its chance."""
    cores: Callable[[int], AbstractContextManager[None]] = lambda turns: nullcontext()
    """Where so many turns at once are computed."""
    busy: set[Source | Scorer] = field(default_factory=set)
    """Sources and scorers at work."""

    def answer(
        self, batch: Sequence[Asked], waited: Sequence[float] = (), late: bool = False
    ) -> list[Turn | LookupError]:
        """One logged turn for each message, in their order, with one pass through each model for all of them. A message
        that was forgotten in between, or whose dialog was ended, has the store's error in its place: the others still
        want their answer. `waited`: how many seconds each waited, for the log; `late`: too long for what is slow."""
        known = [self._begin(asked) for asked in batch]
        for work, seconds in zip(known, waited, strict=False):
            if isinstance(work, Work):
                work.seconds["queue"] = seconds
        with self.cores(len(batch)):
            turns = iter(self._turns([work for work in known if isinstance(work, Work)], late))
        return [next(turns) if isinstance(work, Work) else work for work in known]

    def _begin(self, asked: Asked) -> Work | LookupError:
        try:
            context = self.store.context(asked)
        except LookupError as gone:
            return gone
        variant = self.variant_of(asked.person_id) if self.variant_of else Variant()
        default = variant.persona or self.default_persona
        name = context.persona if context.persona in self.personas else default
        return Work(asked, replace(context, persona=self.personas.get(name, "")), variant)

    def _turns(self, known: Sequence[Work], late: bool) -> list[Turn | LookupError]:
        versions = self.versions()
        self._moderate(known)
        self._consider([work for work in known if work.decision is None], late)
        turns = [Turn(new_id(), w.asked, w.context.last, decided(w), self._by(versions, w), w.seconds) for w in known]
        return list(self.store.add_turns(turns))

    def _by(self, versions: Mapping[str, str], work: Work) -> dict[str, str]:
        """What decided a turn, by name, for the log."""
        by = {**versions, **work.variant.versions}
        asked = {name: each for name, each in by.items() if not (work.without and name in self.slow)}
        return {**asked, **work.without}

    def _moderate(self, known: Sequence[Work]) -> None:
        if self.moderation is None:
            return
        with timed("moderation", known):
            try:
                replies = self.moderation([(work.context, work.asked.language) for work in known])
                for work, reply in zip(known, replies, strict=True):
                    work.decision = settled(reply) if reply else None
            except Exception:  # the checks of candidates are still there
                log.exception("moderation failed")

    def _consider(self, works: Sequence[Work], late: bool) -> None:
        """Lets the parts decide. Slow sources are asked on a thread of their own; beside it all other candidates are
        found and scored: a lone turn takes 0.8 of the time, sixteen together 0.9 (two cores, docs/performance.md)."""
        both = bool(self.sources.keys() & self.slow and self.sources.keys() - self.slow)
        hurried: list[Work] = []
        others: list[Work] = []
        for work in works:
            (hurried if both and (late or self._may_be_early(work)) else others).append(work)
        self._propose(hurried)
        self._score(hurried)
        for work in hurried:
            self._decide_without_slow(work, late)
        rest = [*others, *(work for work in hurried if work.decision is None)]
        slow = beside(lambda: self._proposals(rest, slow=True))
        self._propose(others)
        self._score(rest)
        for work, more in slow.result():
            work.candidates += more
        self._score(rest)
        for work in rest:
            decision = self._decide(work)
            if decision.chosen is None:
                reply = self.fallback(work.context, work.asked.language)
                decision = replace(decision, reply=reply, reason="fallback")
            work.decision = decision

    def _may_be_early(self, work: Work) -> bool:
        """Not with parts of one's own: the bound was found for those of everybody else."""
        own = work.variant.policy or work.variant.sources or work.variant.scorers
        return self.early is not None and not own

    def _decide_without_slow(self, work: Work, late: bool) -> None:
        decision = self._decide(work)
        if decision.chosen is None:
            return
        if late:
            work.without = {LATE: f"without {', '.join(sorted(self.slow))}"}
        elif self.early is not None and decision.ranked[0].total >= self.early:
            work.without = {EARLY: f"{self.early:g}"}
        else:
            return
        work.decision = decision

    def _propose(self, works: Sequence[Work]) -> None:
        for work, more in self._proposals(works, slow=False):
            work.candidates += more

    def _proposals(self, works: Sequence[Work], slow: bool) -> list[tuple[Work, Sequence[Candidate]]]:
        """What the slow sources say, or all others."""
        found: list[tuple[Work, Sequence[Candidate]]] = []
        for name, source, sharing in shared([({**self.sources, **work.variant.sources}, work) for work in works]):
            if (name in self.slow) != slow:
                continue
            with timed(name, sharing):
                try:
                    with self._alone(name, source):
                        found += zip(sharing, source([work.context for work in sharing]), strict=True)
                except Exception:  # whatever a model raises, the other sources answer
                    log.exception("the source %s failed", name)
        return found

    def _score(self, works: Sequence[Work]) -> None:
        """Features of the candidates that have none yet."""
        fresh = [work for work in works if len(work.candidates) > work.judged]
        for name, scorer, sharing in shared([({**self.scorers, **work.variant.scorers}, work) for work in fresh]):
            with timed(name, sharing):
                try:
                    with self._alone(name, scorer):
                        scores = scorer([(work.context, work.candidates[work.judged :]) for work in sharing])
                        for work, values in zip(sharing, scores, strict=True):
                            if len(values) != len(work.candidates) - work.judged:
                                raise ValueError(f"{len(values)} scores for {len(work.candidates)} candidates")
                            work.features[name] = [*work.features.get(name, ()), *values]
                except Exception:  # a feature that is missing counts as 0; the turn goes on without it
                    log.exception("the scorer %s failed", name)
        for work in fresh:
            work.judged = len(work.candidates)
            whole = {name: values for name, values in work.features.items() if len(values) == work.judged}
            work.features = whole  # a scorer may have failed at one half of the candidates

    @contextmanager
    def _alone(self, name: str, part: Source | Scorer) -> Iterator[None]:
        """Nobody else is with this source or scorer. Raises TimeoutError when somebody is, who was given up."""
        if part in self.busy:
            raise TimeoutError(f"{name} still hangs in an earlier turn")
        self.busy.add(part)
        try:
            yield
        finally:
            self.busy.discard(part)

    def _decide(self, work: Work) -> Decision:
        with timed("policy", [work]):
            return (work.variant.policy or self.policy)(work.candidates, work.features)


def beside(work: Callable[[], Made]) -> "Future[Made]":
    """Does something on a thread of its own, a daemon: one that hangs must not keep the program."""
    future: Future[Made] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # it goes to whoever waits
            future.set_exception(error)

    Thread(target=run, name="slow sources", daemon=True).start()
    return future


def shared(parts: Sequence[tuple[Mapping[str, Part], Work]]) -> list[tuple[str, Part, list[Work]]]:
    """Each part once, under its name, with the messages that are to pass through it."""
    found: dict[tuple[str, Part], list[Work]] = {}
    for by_name, work in parts:
        for each in by_name.items():
            found.setdefault(each, []).append(work)
    return [(name, part, works) for (name, part), works in found.items()]


@contextmanager
def timed(stage: str, works: Sequence[Work]) -> Iterator[None]:
    """Notes how long the body takes, in each of these turns."""
    started = time.perf_counter()
    yield
    for work in works:
        work.seconds[stage] = work.seconds.get(stage, 0.0) + time.perf_counter() - started


def decided(work: Work) -> Decision:
    """The decision about a message that went through all parts."""
    assert work.decision
    return work.decision


def settled(reply: Candidate) -> Decision:
    """The decision where there was no choice: the only candidate, said with probability 1."""
    return Decision(reply.text, "moderated", (Scored(reply, {}, 0.0, 1.0),), 0)
