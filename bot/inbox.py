"""What was received and is not done yet, so that a front end goes on after a crash where it was, and does nothing
twice.

An update is kept before anything else is done with it, and is done when all that it asks for is: a vote is written
down, a message has its reply. What a crash leaves undone is handled again; what follows here tells how far it had come.
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

from storage.dialog import Asked, Received, Turn


class InboxStore(Protocol):
    """What an inbox needs of a store; `storage.store.SqlDialogStore` says what each method does."""

    def receive(self, received: Received) -> bool: ...
    def unfinished(self, prefix: str) -> list[Received]: ...
    def finish(self, key: str) -> None: ...
    def taken(self, update_key: str) -> Asked | None: ...
    def asked_again(self, update_key: str) -> Asked | None: ...
    def answer_to(self, asked: Asked) -> tuple[Turn, int] | None: ...


@dataclass(frozen=True, slots=True)
class Inbox:
    """The updates in the store. Its calls run in threads, as a conversation's do."""

    store: InboxStore

    async def receive(self, received: Received) -> bool:
        """Keeps an update; False when it came before."""
        return await asyncio.to_thread(self.store.receive, received)

    async def unfinished(self, prefix: str) -> list[Received]:
        """What was left undone, in the order in which it came, of the keys that begin with `prefix`."""
        return await asyncio.to_thread(self.store.unfinished, prefix)

    async def finish(self, key: str) -> None:
        """An update is done: what it said is deleted, its key stays."""
        await asyncio.to_thread(self.store.finish, key)

    async def taken(self, key: str) -> Asked | None:
        """The message that an update brought, when it was taken before."""
        return await asyncio.to_thread(self.store.taken, key)

    async def asked_again(self, key: str) -> Asked | None:
        """What an update asked again, when it came so far before."""
        return await asyncio.to_thread(self.store.asked_again, key)

    async def answer_to(self, asked: Asked) -> tuple[Turn, int] | None:
        """The turn that was logged for it, and how many messages show its reply already."""
        return await asyncio.to_thread(self.store.answer_to, asked)
