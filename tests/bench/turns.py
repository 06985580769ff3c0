"""Turns of the whole bot as it ships: places of dialogs, and a log in which they wait for their replies."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.assemble import open_store, set_up_libraries
from bot.pipeline import Pipeline
from bot.rehearsal import scripted_users
from bot.settings import Settings
from bot.taking_up import load_promoted
from ranking.pool import curated
from storage.dialog import Asked, Context, Decision, Message, Turn, new_id
from storage.store import SqlDialogStore

DEPTHS = (1, 2, 3, 5)
"""Messages of the person at a place, the one to answer included."""


@dataclass(frozen=True, slots=True)
class Kith:
    """The pipeline as shipped, and its log."""

    settings: Settings
    store: SqlDialogStore
    pipeline: Pipeline

    def answer(self, asked: Sequence[Asked]) -> list[Turn]:
        """A turn for each, as the batcher has them made."""
        turns = self.pipeline.answer(asked)
        assert all(isinstance(turn, Turn) for turn in turns)
        return [turn for turn in turns if isinstance(turn, Turn)]


@contextmanager
def opened(folder: Path) -> Iterator[Kith]:
    """Kith with an empty log in a folder."""
    settings = Settings(data_dir=folder)
    set_up_libraries(settings)
    with open_store(settings) as store:
        yield Kith(settings, store, load_promoted(settings, store).pipeline)


def asked_in(store: SqlDialogStore, context: Context) -> Asked:
    """A person of their own says what the context holds, and waits for the reply to the last message."""
    name, asked = f"telegram:{new_id()}", None
    for message in context.messages:
        if message.role == "user":
            asked = store.take(name, name, message.text, update_key=new_id())
        elif asked:
            store.add_turn(Turn(new_id(), asked, "", Decision(message.text, "fallback"), {}, {}))
    assert asked
    return asked


def dialog(says: Sequence[str], draw: random.Random) -> Context:
    """What somebody says, with replies out of the pool between."""
    replies = [entry.reply for entry in curated()]
    messages = [Message("user", says[0])]
    for text in says[1:]:
        messages += [Message("assistant", draw.choice(replies)), Message("user", text)]
    return Context(tuple(messages))


def places(pipeline: Pipeline, count: int, seed: int = 0) -> list[Context]:
    """Places in dialogs with the scripted users, at DEPTHS; none that is moderated, as it would cost no model."""
    draw = random.Random(seed)
    found: list[Context] = []
    users = scripted_users()
    while len(found) < count:
        depth, user = DEPTHS[len(found) % len(DEPTHS)], draw.choice(users)
        start = draw.randrange(len(user.says) - depth + 1)
        context = dialog(user.says[start : start + depth], draw)
        if pipeline.moderation is None or pipeline.moderation([(context, "en")])[0] is None:
            found.append(context)
    return found
