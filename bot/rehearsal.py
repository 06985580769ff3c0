"""Rehearsals: the real pipeline in talks that nobody has, kept in memory, to measure the whole bot, and to try a part
before it serves.

Three kinds of talks: single replies at places of held-back dialogs, dialogs with scripted users, who say ten things
whatever they hear, and the bot with itself. Many dialogs go on side by side, so that a round of them is one batch.
"""

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bot.pipeline import Pipeline
from storage.dialog import Asked, Candidate, Context, Message, Turn

SCRIPTED_USERS = Path(__file__).parent / "scripted_users.toml"

Watch = Callable[[int], object]
"""Told how many turns were answered, after each batch."""

TRIED: tuple[Context, ...] = (
    Context((Message("user", "Hi! How are you today?"),), persona="I am Kith, and I like to talk."),
    Context((Message("user", "I lost my job today and I feel awful."),)),
    Context(
        (
            Message("user", "ok"),
            Message("assistant", "Tell me more."),
            Message("user", "what is your favourite film? 🎬"),
        )
    ),
)
"""Where a part is tried."""

SAID = tuple(Candidate(text, "rehearsal", 0.0) for text in ("I'm so sorry. Do you want to talk?", "la la la", "ок"))
"""What a scorer has to judge there."""


@dataclass(frozen=True, slots=True)
class ScriptedUser:
    """Somebody who says the same things in each dialog. `opening` is the kind of the first one."""

    name: str
    opening: str
    says: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A turn and what it answered."""

    dialog: str
    context: Context
    turn: Turn


class InMemory:
    """The store of a rehearsal: contexts that are there from the start, turns that stay here."""

    def __init__(self, contexts: Sequence[Context]) -> None:
        self.contexts = contexts

    def context(self, asked: Asked) -> Context:
        """The one that was asked."""
        return self.contexts[asked.message_id]

    def add_turns(self, batch: Sequence[Turn]) -> Sequence[Turn]:
        """As they are: the pipeline returns its turns."""
        return batch


def scripted_users(file: Path = SCRIPTED_USERS) -> list[ScriptedUser]:
    """The scripted users of a file, by default the shipped forty."""
    users = tomllib.loads(file.read_text(encoding="utf-8"))["user"]
    counted: dict[str, int] = {}
    found = []
    for user in users:
        number = counted[user["opening"]] = counted.get(user["opening"], 0) + 1
        found.append(ScriptedUser(f"{user['opening']}/{number}", user["opening"], tuple(user["says"])))
    return found


def answer(pipeline: Pipeline, places: Sequence[tuple[str, Context]], watch: Watch, batch: int = 16) -> list[Answered]:
    """A turn at each place, `batch` in one pass; a place is the name of its dialog and a context."""
    answered: list[Answered] = []
    for start in range(0, len(places), batch):
        part = places[start : start + batch]
        rehearsed = replace(pipeline, store=InMemory([context for _, context in part]))
        turns = rehearsed.answer([Asked(number, dialog, "rehearsal") for number, (dialog, _) in enumerate(part)])
        for (dialog, context), turn in zip(part, turns, strict=True):
            if isinstance(turn, LookupError):
                raise turn
            answered.append(Answered(dialog, context, turn))
        watch(len(part))
    return answered


def talk(pipeline: Pipeline, users: Sequence[ScriptedUser], watch: Watch) -> list[Answered]:
    """Dialogs with scripted users; turns in the order of rounds."""
    said: dict[str, tuple[Message, ...]] = {user.name: () for user in users}
    answered: list[Answered] = []
    for number in range(max((len(user.says) for user in users), default=0)):
        speaking = [user for user in users if number < len(user.says)]
        places = [(u.name, Context((*said[u.name], Message("user", u.says[number])))) for u in speaking]
        answered += (turns := answer(pipeline, places, watch))
        said.update((turn.dialog, reached(turn)) for turn in turns)
    return answered


def self_play(pipeline: Pipeline, openings: Mapping[str, str], turns: int, watch: Watch) -> list[Answered]:
    """The bot with itself: a first message, by dialog, and then `turns` replies, each side in its turn. In a context
    the side that is to reply is the assistant."""
    said: dict[str, tuple[Message, ...]] = {dialog: (Message("user", opening),) for dialog, opening in openings.items()}
    answered: list[Answered] = []
    for _ in range(turns):
        answered += (round_of := answer(pipeline, [(d, Context(messages)) for d, messages in said.items()], watch))
        said = {turn.dialog: tuple(map(other_side, reached(turn))) for turn in round_of}
    return answered


def reached(answered: Answered) -> tuple[Message, ...]:
    """A dialog with its newest reply."""
    return (*answered.context.messages, Message("assistant", answered.turn.decision.reply))


def other_side(message: Message) -> Message:
    """The same message as the other side has it."""
    return Message("assistant" if message.role == "user" else "user", message.text)


def rehearse(pipeline: Pipeline, name: str) -> None:
    """Tries one source, one scorer or the policy by its name; others may be at work meanwhile, and are left alone.
    Raises what it raises, and ValueError for what can serve nobody."""
    if name in pipeline.sources:
        proposals = pipeline.sources[name](TRIED)
        if len(proposals) != len(TRIED) or (name == "generation" and not any(proposals)):
            raise ValueError("it has nothing to say")
    if name in pipeline.scorers:
        scores = pipeline.scorers[name]([(context, SAID) for context in TRIED])
        if [len(row) for row in scores] != [len(SAID)] * len(TRIED):
            raise ValueError("it does not judge every reply")
        if not all(math.isfinite(score) for row in scores for score in row):
            raise ValueError("it judges by what is no number")
    if name == "policy":
        decision = pipeline.policy(SAID, {scorer: [0.0] * len(SAID) for scorer in pipeline.scorers})
        if decision.chosen is None:
            raise ValueError("it lets nothing be said")
