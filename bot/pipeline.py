"""The pipeline: messages that were asked in, decided and logged turns out. Turn-taking lives here, for every front end.

Sources propose, scorers turn proposals into named numbers, the policy decides, the store keeps all of it. A source or a
scorer that fails costs its candidates or its feature, never the person's answer. One that hangs holds its caller; while
it does, another caller goes on without it. What is moderated reaches no model.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from bot.protocols import DialogStore, Fallback, Moderation, Policy, Scorer, Source
from storage.dialog import Asked, Candidate, Context, Decision, Scored, Turn, new_id

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Pipeline:
    """`personas`: by name, what the assistant is told about itself. `versions`: what decides, by name, for the log; it
    is asked for each batch, since parts may change while the bot runs, though not within a batch."""

    store: DialogStore
    sources: Mapping[str, Source]
    scorers: Mapping[str, Scorer]
    policy: Policy
    fallback: Fallback
    personas: Mapping[str, str]
    default_persona: str
    versions: Callable[[], Mapping[str, str]]
    moderation: Moderation | None = None
    busy: set[str] = field(default_factory=set)
    """Sources and scorers at work."""

    def answer(self, batch: Sequence[Asked]) -> list[Turn | LookupError]:
        """One logged turn for each message, in their order, with one pass through each model for all of them. A message
        that was forgotten in between has the store's error in its place: the others still want their answer."""
        contexts = [self._context(asked) for asked in batch]
        known = [(asked, c) for asked, c in zip(batch, contexts, strict=True) if isinstance(c, Context)]
        turns = iter(self._turns(known))
        return [next(turns) if isinstance(context, Context) else context for context in contexts]

    def _turns(self, known: Sequence[tuple[Asked, Context]]) -> list[Turn | LookupError]:
        versions = self.versions()
        seconds: dict[str, float] = {}
        moderated = self._moderate(known, seconds)
        contexts = [context for (_, context), reply in zip(known, moderated, strict=True) if reply is None]
        proposals = self._propose(contexts, seconds)
        considered = zip(proposals, self._score(contexts, proposals, seconds), strict=True)
        turns: list[Turn | LookupError] = []
        for (asked, context), reply in zip(known, moderated, strict=True):
            started = time.perf_counter()
            decision = settled(reply) if reply else self._decide(asked, context, *next(considered))
            spent = {**seconds, "policy": time.perf_counter() - started}
            turn = Turn(new_id(), asked, context.last, decision, versions, spent)
            turns.append(self._logged(turn))
        return turns

    def _moderate(
        self, known: Sequence[tuple[Asked, Context]], seconds: dict[str, float]
    ) -> Sequence[Candidate | None]:
        if self.moderation is None:
            return [None] * len(known)
        started = time.perf_counter()
        moderated: Sequence[Candidate | None] = [None] * len(known)
        try:
            moderated = self.moderation([(context, asked.language) for asked, context in known])
        except Exception:  # the checks of candidates are still there
            log.exception("moderation failed")
        seconds["moderation"] = time.perf_counter() - started
        return moderated

    def _logged(self, turn: Turn) -> Turn | LookupError:
        try:
            self.store.add_turn(turn)
        except LookupError as forgotten:
            return forgotten
        return turn

    def _context(self, asked: Asked) -> Context | LookupError:
        try:
            context = self.store.context(asked)
        except LookupError as forgotten:
            return forgotten
        name = context.persona if context.persona in self.personas else self.default_persona
        return replace(context, persona=self.personas.get(name, ""))

    def _propose(self, contexts: Sequence[Context], seconds: dict[str, float]) -> list[list[Candidate]]:
        proposals: list[list[Candidate]] = [[] for _ in contexts]
        for name, source in self.sources.items() if contexts else ():
            started = time.perf_counter()
            try:
                with self._alone(name):
                    for known, more in zip(proposals, source(contexts), strict=True):
                        known += more
            except Exception:  # whatever a model raises, the other sources answer
                log.exception("the source %s failed", name)
            seconds[name] = time.perf_counter() - started
        return proposals

    def _score(
        self, contexts: Sequence[Context], proposals: Sequence[Sequence[Candidate]], seconds: dict[str, float]
    ) -> list[dict[str, Sequence[float]]]:
        batch = list(zip(contexts, proposals, strict=True))
        features: list[dict[str, Sequence[float]]] = [{} for _ in batch]
        for name, scorer in self.scorers.items() if contexts else ():
            started = time.perf_counter()
            try:
                with self._alone(name):
                    for values, candidates, scores in zip(features, proposals, scorer(batch), strict=True):
                        if len(scores) != len(candidates):
                            raise ValueError(f"{len(scores)} scores for {len(candidates)} candidates")
                        values[name] = scores
            except Exception:  # a feature that is missing counts as 0; the turn goes on without it
                log.exception("the scorer %s failed", name)
            seconds[name] = time.perf_counter() - started
        return features

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Nobody else is with this source or scorer. Raises TimeoutError when somebody is, who was given up."""
        if name in self.busy:
            raise TimeoutError(f"{name} still hangs in an earlier turn")
        self.busy.add(name)
        try:
            yield
        finally:
            self.busy.discard(name)

    def _decide(
        self, asked: Asked, context: Context, candidates: Sequence[Candidate], features: Mapping[str, Sequence[float]]
    ) -> Decision:
        decision = self.policy(candidates, features)
        if decision.chosen is None:
            return replace(decision, reply=self.fallback(context, asked.language), reason="fallback")
        return decision


def settled(reply: Candidate) -> Decision:
    """The decision where there was no choice: the only candidate, said with probability 1."""
    return Decision(reply.text, "moderated", (Scored(reply, {}, 0.0, 1.0),), 0)
