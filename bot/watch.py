"""A bot that runs takes up what others change in the log, the pool and what is promoted: it looks every few seconds."""

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
    what: str, look: Callable[[], object], take_up: Callable[[], Awaitable[None]], seen: object
) -> AsyncIterator[None]:
    """Watches (see `watch`) for as long as the body runs."""
    task = asyncio.create_task(watch(what, look, take_up, seen))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def watch(what: str, look: Callable[[], object], take_up: Callable[[], Awaitable[None]], seen: object) -> None:
    """Calls `take_up` whenever `look`, which runs in a thread, gives something else than before; `seen` is what it gave
    at first, `what` is what the log calls it. What fails is tried again at the next look, and logged when it fails
    otherwise than the time before."""
    failure: type[Exception] | None = None
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            found = await asyncio.to_thread(look)
            if found != seen:
                await take_up()
                seen = found
        except Exception as error:  # whatever it is, the bot goes on with what it has
            if type(error) is not failure:
                log.exception("%s could not be looked at or taken up; it is tried again", what)
            failure = type(error)
        else:
            if failure:
                log.info("%s can be looked at again", what)
            failure = None
