"""The values that everything in Kith speaks: frozen, comparable, and free of any library but the standard one.

A `Message` is said, a `Context` is what was said so far, sources propose `Candidate`s, scorers turn them into `Scored`
ones, the policy makes a `Decision`, and a `Turn` is all of this together, as it is logged. `Feedback` is what a person
thought of it.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, TypeAlias

Role: TypeAlias = Literal["user", "assistant"]

VoteValue: TypeAlias = Literal[-1, 0, 1]
"""1 is 👍, -1 is 👎, 0 takes an earlier one back."""

VoteKind: TypeAlias = Literal["button", "reaction", "console"]
"""How a vote reached us. One person has one vote on a turn, whatever the road; the road is kept in the history."""

REASONS = ("off_topic", "repeats", "boring", "untrue", "rude")
"""What a person may say was wrong with a reply, after a 👎."""


Feeling: TypeAlias = Literal["better", "same", "worse"]
"""How somebody feels after a talk, against before."""

FEELINGS: tuple[Feeling, ...] = ("better", "same", "worse")


def now() -> datetime:
    """The time, aware and in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh id for a turn or a dialog, given at birth: 32 hex digits, so that callback data stays under 64 bytes."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that was said."""

    role: Role
    text: str


@dataclass(frozen=True, slots=True)
class Context:
    """What a reply is to be found for. `messages` are oldest first; the last one, by the user, is the one to answer."""

    messages: tuple[Message, ...]
    persona: str = ""
    """What the assistant is told about itself: a system message for the generator."""
    rejected: tuple[str, ...] = ()
    """Replies to this very message that the person sent back (/retry): they must not come again."""

    @property
    def last(self) -> str:
        """The text to answer; empty when there is none."""
        return self.messages[-1].text if self.messages else ""

    def said(self, role: Role) -> tuple[str, ...]:
        """The texts of one side, oldest first."""
        return tuple(message.text for message in self.messages if message.role == role)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A reply that a source proposes. `score` is the source's own opinion, on its own scale."""

    text: str
    source: str
    score: float
    origin: str = ""
    """Where it came from: the pool entry, or the version of the model."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A candidate with every feature, the policy's total, and the probability with which it could be drawn."""

    candidate: Candidate
    features: Mapping[str, float]
    total: float
    probability: float
    veto: str = ""
    """The feature that excluded it; empty when nothing did."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is said and why. `chosen` indexes `ranked` (best total first), or is None when a fallback was said. What was
    "moderated" was not chosen: the message was one that no model answers, and the reply is its only candidate."""

    reply: str
    reason: Literal["policy", "fallback", "moderated"]
    ranked: tuple[Scored, ...] = ()
    chosen: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A user's message that was taken into the log and waits for its answer."""

    message_id: int
    dialog_id: str
    person_id: str
    language: str = "en"
    """What the interface speaks with this person: for the fallback reply."""
    retry_of: str = ""
    """The turn whose reply was sent back, when the same message is to be answered again."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message and its answer, with everything that was considered: the unit of the log."""

    id: str
    asked: Asked
    message: str
    decision: Decision
    versions: Mapping[str, str]
    """What decided: the version of each model and of the policy, by name."""
    seconds: Mapping[str, float]
    """What it cost: seconds by stage (one entry a source and a scorer, and "policy")."""
    at: datetime = field(default_factory=now)

    def asked_again(self) -> Asked:
        """Its message, to be answered anew because the reply was sent back."""
        return replace(self.asked, retry_of=self.id)


@dataclass(frozen=True, slots=True)
class Received:
    """An update as a front end received it, to be kept until it is done."""

    key: str
    """What it is known by when it comes again."""
    person_id: str
    body: str
    tries: int = 0
    """How many starts of the bot found it undone."""
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Vote:
    """A person's opinion on a turn."""

    turn_id: str
    person_id: str
    value: VoteValue
    kind: VoteKind
    reason: str = ""
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who writes, and what they chose."""

    id: str
    """Front end and account, such as "telegram:42"."""
    language: str = "en"
    buttons: bool = True
    """Whether vote buttons are shown under replies (/feedback)."""
    consent: bool | None = None
    """Whether their dialogs may be exported and trained on (/privacy). None: they have not said, which counts as no."""


@dataclass(frozen=True, slots=True)
class Silence:
    """When a talk counts as one, and as over."""

    least: int
    """Messages of the person in the last day."""
    since: datetime
    """The last message or reply was not before then, or the talk is too long over to be asked about."""
    until: datetime
    """Nothing was said by the person after then, in no chat."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A talk in a private chat that fell silent, whose person is asked how they feel."""

    id: str
    """Of the question, given at birth."""
    dialog_id: str
    chat: str
    person: Person
    said: tuple[str, ...]
    """What the person said in it in the last day, oldest first."""


@dataclass(frozen=True, slots=True)
class Glance:
    """The log at a glance, for who owns it."""

    people: int
    """Those who wrote since some time, as all but the last field."""
    messages: int
    turns: int
    fallbacks: int
    by_source: Mapping[str, tuple[int, int, int]]
    """Turns, 👍 and 👎 of all times, by where the reply came from."""


@dataclass(frozen=True, slots=True)
class PoolEntry:
    """A reply that retrieval may say, with messages that it answers."""

    id: str
    reply: str
    contexts: tuple[str, ...]
    origin: Literal["curated", "liked", "imported"]
