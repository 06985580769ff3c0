"""The pipeline: messages that were asked in, decided and logged turns out. Turn-taking lives here, for every front end.

Sources propose, scorers turn proposals into named numbers, the policy decides, the store keeps all of it. A source or a
scorer that fails costs its candidates or its feature, never the person's answer. One that hangs holds its caller; while
it does, another caller goes on without it. What is moderated reaches no model. In an experiment people have parts of
their own: what several share is asked once for all of them.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

from bot.protocols import DialogStore, Fallback, Moderation, Policy, Scorer, Source, Variant
from storage.dialog import Asked, Candidate, Context, Decision, Scored, Turn, new_id

log = logging.getLogger(__name__)

Part = TypeVar("Part", Source, Scorer)


@dataclass(slots=True)
class Work:
    """A message on its way through the parts, and what they made of it so far."""

    asked: Asked
    context: Context
    variant: Variant
    moderated: Candidate | None = None
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
    busy: set[Source | Scorer] = field(default_factory=set)
    """Sources and scorers at work."""

    def answer(self, batch: Sequence[Asked]) -> list[Turn | LookupError]:
        """One logged turn for each message, in their order, with one pass through each model for all of them. A message
        that was forgotten in between has the store's error in its place: the others still want their answer."""
        known = [self._begin(asked) for asked in batch]
        turns = iter(self._turns([work for work in known if isinstance(work, Work)]))
        return [next(turns) if isinstance(work, Work) else work for work in known]

    def _begin(self, asked: Asked) -> Work | LookupError:
        try:
            context = self.store.context(asked)
        except LookupError as forgotten:
            return forgotten
        variant = self.variant_of(asked.person_id) if self.variant_of else Variant()
        default = variant.persona or self.default_persona
        name = context.persona if context.persona in self.personas else default
        return Work(asked, replace(context, persona=self.personas.get(name, "")), variant)

    def _turns(self, known: Sequence[Work]) -> list[Turn | LookupError]:
        versions = self.versions()
        self._moderate(known)
        considered = [work for work in known if work.moderated is None]
        self._propose(considered)
        self._score(considered)
        turns: list[Turn | LookupError] = []
        for work in known:
            started = time.perf_counter()
            decision = settled(work.moderated) if work.moderated else self._decide(work)
            work.seconds["policy"] = time.perf_counter() - started
            decided_by = {**versions, **work.variant.versions}
            turn = Turn(new_id(), work.asked, work.context.last, decision, decided_by, work.seconds)
            turns.append(self._logged(turn))
        return turns

    def _moderate(self, known: Sequence[Work]) -> None:
        if self.moderation is None:
            return
        with timed("moderation", known):
            try:
                replies = self.moderation([(work.context, work.asked.language) for work in known])
                for work, reply in zip(known, replies, strict=True):
                    work.moderated = reply
            except Exception:  # the checks of candidates are still there
                log.exception("moderation failed")

    def _logged(self, turn: Turn) -> Turn | LookupError:
        try:
            self.store.add_turn(turn)
        except LookupError as forgotten:
            return forgotten
        return turn

    def _propose(self, works: Sequence[Work]) -> None:
        for name, source, sharing in shared([({**self.sources, **work.variant.sources}, work) for work in works]):
            with timed(name, sharing):
                try:
                    with self._alone(name, source):
                        proposals = source([work.context for work in sharing])
                        for work, more in zip(sharing, proposals, strict=True):
                            work.candidates += more
                except Exception:  # whatever a model raises, the other sources answer
                    log.exception("the source %s failed", name)

    def _score(self, works: Sequence[Work]) -> None:
        for name, scorer, sharing in shared([({**self.scorers, **work.variant.scorers}, work) for work in works]):
            with timed(name, sharing):
                try:
                    with self._alone(name, scorer):
                        scores = scorer([(work.context, work.candidates) for work in sharing])
                        for work, values in zip(sharing, scores, strict=True):
                            if len(values) != len(work.candidates):
                                raise ValueError(f"{len(values)} scores for {len(work.candidates)} candidates")
                            work.features[name] = values
                except Exception:  # a feature that is missing counts as 0; the turn goes on without it
                    log.exception("the scorer %s failed", name)

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
        decision = (work.variant.policy or self.policy)(work.candidates, work.features)
        if decision.chosen is None:
            return replace(decision, reply=self.fallback(work.context, work.asked.language), reason="fallback")
        return decision


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
        work.seconds[stage] = time.perf_counter() - started


def settled(reply: Candidate) -> Decision:
    """The decision where there was no choice: the only candidate, said with probability 1."""
    return Decision(reply.text, "moderated", (Scored(reply, {}, 0.0, 1.0),), 0)
