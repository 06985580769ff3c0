"""The connection on which Telegram is asked for updates: it tells each time that it was answered."""

from collections.abc import Callable
from typing import Any

from telegram.request import HTTPXRequest


class Listening(HTTPXRequest):
    """python-telegram-bot's own, for one request at a time, as getUpdates needs it."""

    def __init__(self, heard: Callable[[], None]) -> None:
        super().__init__(connection_pool_size=1)
        self._heard = heard

    async def do_request(self, *arguments: Any, **options: Any) -> tuple[int, bytes]:
        """A request; whoever polls in vain, or not at all any more, is not heard of."""
        code, body = await super().do_request(*arguments, **options)
        if code == 200:
            self._heard()
        return code, body
