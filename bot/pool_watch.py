"""A bot that runs takes up what `kith pool` and /forget change in the pool: it looks for it every few seconds."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""Between two looks: who adds a reply wants to try it now, and a look costs 1.3 ms with 1,000 entries, 25 ms with
100,000."""


@asynccontextmanager
async def watching(
    look: Callable[[], object], take_up: Callable[[], Awaitable[None]], seen: object
) -> AsyncIterator[None]:
    """Watches (see `watch`) for as long as the body runs."""
    task = asyncio.create_task(watch(look, take_up, seen))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def watch(look: Callable[[], object], take_up: Callable[[], Awaitable[None]], seen: object) -> None:
    """Calls `take_up` whenever `look`, which runs in a thread, gives something else than before; `seen` is what it gave
    at first. What fails is tried again at the next look, and logged when it fails otherwise than the time before."""
    failure: type[Exception] | None = None
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            found = await asyncio.to_thread(look)
            if found != seen:
                await take_up()
                seen = found
        except Exception as error:  # whatever it is, the bot goes on with the pool that it has
            if type(error) is not failure:
                log.exception("the pool could not be looked at or taken up; it is tried again")
            failure = type(error)
        else:
            if failure:
                log.info("the pool can be looked at again")
            failure = None
