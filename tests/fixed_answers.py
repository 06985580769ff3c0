"""A bot without models: a real log, real texts, and replies that show what was answered."""

import asyncio
import tempfile
from functools import cache
from pathlib import Path

from telegram_people import PATIENCE
from turn_values import turn_for

from bot.conversation import Conversation
from bot.personas import load_personas
from bot.rights import Rules
from bot.texts import load_texts
from storage.dialog import Asked, Turn
from storage.store import SqlDialogStore


class FixedAnswers:
    """Answers "hi" by "You said: hi", and by "You said (1): hi" when asked again. With `hold` it is slow as a model."""

    def __init__(self, store: SqlDialogStore) -> None:
        self.store = store
        self._asked: asyncio.Queue[Asked] = asyncio.Queue()
        self.error: Exception | None = None
        self.reply = ""
        """Said instead, when it is not empty."""
        self._free = asyncio.Event()
        self._free.set()

    def hold(self) -> None:
        """From now on answers wait."""
        self._free.clear()

    def release(self) -> None:
        """Lets the answers go."""
        self._free.set()

    async def next(self) -> Asked:
        """The next message that is to be answered."""
        return await asyncio.wait_for(self._asked.get(), PATIENCE)

    async def __call__(self, asked: Asked) -> Turn:
        self._asked.put_nowait(asked)
        await self._free.wait()
        if self.error:
            raise self.error
        context = self.store.context(asked)
        again = f" ({len(context.rejected)})" if context.rejected else ""
        turn = turn_for(asked, self.reply or f"You said{again}: {context.last}", "Something else", message=context.last)
        self.store.add_turn(turn)
        return turn


def conversation_with(answers: FixedAnswers, rules: Rules | None = None) -> Conversation:
    """A conversation over the log of the answers; without rules everybody may say as much as they like. "help" in a
    message is a sign of danger."""
    return Conversation(
        answers.store, answers, load_texts(), load_personas(), "friend", rules, in_danger=lambda text: "help" in text
    )


def empty_log(folder: Path) -> SqlDialogStore:
    """An empty log in a folder: a copy of one that is up to date, which saves each test the migrations."""
    path = folder / "kith.db"
    path.write_bytes(_migrated())
    return SqlDialogStore(f"sqlite:///{path}")


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kith.db"
        SqlDialogStore(f"sqlite:///{path}").close()
        return path.read_bytes()
