"""A bot that runs deletes what is kept no longer: at its start and then every hour, in batches between which others
write."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

log = logging.getLogger(__name__)

PRUNE_SECONDS = 3600.0
"""Between two times: "24 hours" are 25 at the most."""

PAUSE_SECONDS = 0.1
"""Between two batches: others write as long as we do, and longer. A million messages go in half an hour."""


@asynccontextmanager
async def pruning(prune: Callable[[], int], finish: Callable[[], object]) -> AsyncIterator[None]:
    """Prunes (see `keep_pruning`) for as long as the body runs."""
    task = asyncio.create_task(keep_pruning(prune, finish))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def keep_pruning(prune: Callable[[], int], finish: Callable[[], object]) -> None:
    """Calls `prune`, which deletes a batch and says how many messages that were, until it finds nothing, then `finish`;
    every hour again. Both run in threads. What fails is logged, and tried again an hour later."""
    while True:
        try:
            count = 0
            while deleted := await asyncio.to_thread(prune):
                count += deleted
                await asyncio.sleep(PAUSE_SECONDS)
            await asyncio.to_thread(finish)
            if count:
                log.info("%d messages were deleted, whose time was up", count)
        except Exception:  # whatever it is, the bot goes on
            log.exception("what is kept no longer could not be deleted; it is tried again")
        await asyncio.sleep(PRUNE_SECONDS)
