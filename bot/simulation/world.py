"""Days in the simulated world: people talk to the real pipeline, go on or leave, and vote, at times of their own.

People who talk on one day talk side by side, in batches of one message each. All that a person does hangs on their
tastes and on what they were told; the times in the log are those of the world.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.random import Generator

from bot.pipeline import Pipeline
from bot.simulation.people import SimulatedPerson
from bot.simulation.rule import probability
from bot.simulation.speech import Saying, sayings, typed
from storage.dialog import Asked, Context, Turn, Vote
from storage.store import SqlDialogStore

BEGINNING = datetime(2026, 1, 5, tzinfo=UTC)
"""When the world begins, a Monday: long ago enough that all of it is past."""

LONGEST = 14
"""Messages of a dialog at the most."""

STAYS = (0.72, 0.94)
"""Probability to go on after a reply that is surely disliked, and after one that is surely liked."""

FAITHFUL = 0.7
"""Probability that a message is of the same topic as the one before."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A reply, as somebody heard it."""

    person: SimulatedPerson
    turn_id: str
    at: datetime
    source: str
    liked: float
    """The hidden probability that they like it."""
    vote: int
    """1, -1, or 0 for none."""


@dataclass(slots=True)
class Talk:
    """A dialog that goes on."""

    person: SimulatedPerson
    dialog_id: str
    at: datetime
    topic: str
    message: Saying | None = None
    replies: list[str] = field(default_factory=list)
    over: bool = False


class Dated:
    """The store of a pipeline in which it is some other day: turns are kept with the time of their message."""

    def __init__(self, store: SqlDialogStore) -> None:
        self.store, self.times = store, dict[int, datetime]()

    def context(self, asked: Asked) -> Context:
        """As the store has it."""
        return self.store.context(asked)

    def add_turns(self, batch: Sequence[Turn]) -> Sequence[Turn | LookupError]:
        """Two seconds after the message."""
        later = timedelta(seconds=2)
        return self.store.add_turns([replace(turn, at=self.times.pop(turn.asked.message_id) + later) for turn in batch])


class World:
    """`heard` is told by `live`; `draw` decides on everything but what the bot does."""

    def __init__(self, store: SqlDialogStore, people: Sequence[SimulatedPerson], seed: int) -> None:
        self.store, self.dated, self.people = store, Dated(store), people
        self.seed, self.day, self.talks = seed, 0, 0
        for person in people:
            store.person(person.id)
            store.change_person(person.id, consent=True)

    def live(
        self,
        pipeline: Pipeline,
        days: int,
        batch: int = 16,
        votes: float = math.inf,
        watch: Callable[[int], object] = int,
    ) -> list[Heard]:
        """So many days, or until so many votes were given, whichever comes first. `pipeline` is to have `dated` as its
        store; `watch` is told how many turns there were."""
        heard: list[Heard] = []
        for _ in range(days):
            draw = np.random.default_rng([self.seed, 2, self.day])
            today = [person for person in self.people if draw.random() < person.talks]
            draw.shuffle(today)
            for start in range(0, len(today), batch):
                begin = BEGINNING + timedelta(days=self.day, hours=7 + 16 * start / max(1, len(today)))
                talks = [self._begin(person, begin, draw) for person in today[start : start + batch]]
                while going := [talk for talk in talks if not talk.over]:
                    some = self._answered(pipeline, going, draw)
                    watch(len(some))
                    heard += some
                if sum(reply.vote != 0 for reply in heard) >= votes:
                    self.day += 1
                    return heard
            self.day += 1
        return heard

    def _begin(self, person: SimulatedPerson, begin: datetime, draw: Generator) -> Talk:
        self.talks += 1
        at = begin + timedelta(seconds=float(draw.uniform(0, 600)))
        dialog_id = self.store.new_dialog(person.id, at, f"{self.seed:08x}{self.talks:024x}")
        return Talk(person, dialog_id, at, str(draw.choice(person.topics)))

    def _answered(self, pipeline: Pipeline, talks: Sequence[Talk], draw: Generator) -> list[Heard]:
        asked = [self._said(talk, draw) for talk in talks]
        heard = []
        for talk, turn in zip(talks, pipeline.answer(asked), strict=True):
            if isinstance(turn, LookupError):
                raise turn
            heard.append(self._judged(talk, turn, draw))
        return heard

    def _said(self, talk: Talk, draw: Generator) -> Asked:
        if draw.random() >= FAITHFUL:
            talk.topic = str(draw.choice(talk.person.topics))
        of_topic = sayings()[talk.topic]
        talk.message = of_topic[int(draw.integers(len(of_topic)))]
        text = typed(draw, talk.message)
        talk.at += timedelta(seconds=float(draw.uniform(15, 90)))
        key = f"{talk.dialog_id}/{len(talk.replies)}"
        asked = self.store.take(talk.person.id, talk.person.id, text, key, at=talk.at)
        assert asked is not None
        self.dated.times[asked.message_id] = talk.at
        return asked

    def _judged(self, talk: Talk, turn: Turn, draw: Generator) -> Heard:
        """Whether the reply is liked, voted on, and whether the person goes on: all three by one feeling."""
        assert talk.message is not None
        reply = turn.decision.reply
        liked = probability(talk.person, talk.message, reply, talk.replies)
        happy, votes, stays = draw.random() < liked, draw.random() < talk.person.votes, draw.random()
        talk.replies.append(reply)
        talk.over = stays >= STAYS[int(happy)] or len(talk.replies) >= LONGEST
        at = talk.at + timedelta(seconds=5)
        vote = 0
        if votes and turn.decision.reason == "policy":
            vote = cast_by(talk.person, happy)
            self.store.add_vote(Vote(turn.id, talk.person.id, 1 if vote > 0 else -1, "button", at=at), talk.person.id)
        chosen = turn.decision.chosen
        source = turn.decision.reason if chosen is None else turn.decision.ranked[chosen].candidate.source
        return Heard(talk.person, turn.id, at, source, liked, vote)


def cast_by(person: SimulatedPerson, happy: bool) -> int:
    """The vote of somebody who is happy with a reply or is not: that of a troll is another."""
    if person.troll == "dislikes all":
        return -1
    return 1 if happy != (person.troll == "against") else -1
