"""The connection on which Telegram is asked for updates: it tells each time that it was answered, and leaves out what
cannot be read."""

from collections.abc import Callable
from typing import Any

from telegram.error import TelegramError
from telegram.request import HTTPXRequest

from bot.telegram_chat.reading import readable


class UpdateRequest(HTTPXRequest):
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

    @staticmethod
    def parse_json_payload(payload: bytes) -> dict[str, Any]:
        """An answer of Telegram's, in which an update that cannot be read is an empty one with its number, so that the
        next call confirms it. Raises TelegramError for what is no answer, after which the library waits a little."""
        answer = HTTPXRequest.parse_json_payload(payload)
        if not isinstance(answer, dict) or ("result" not in answer and answer.get("ok", True)):
            raise TelegramError("what came is no answer of a Bot API")
        if isinstance(answer.get("result"), list):
            answer["result"] = [update for each in answer["result"] if (update := readable(each))]
        return answer
