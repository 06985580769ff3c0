"""People in Telegram, as the loopback Bot API of tests/bot_api.py has them: they write, press, react, edit and send."""

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

PATIENCE = 60
"""Seconds until a test gives up waiting for the bot."""

FILES: dict[str, Any] = {
    "voice": {"file_id": "voice-1", "file_unique_id": "v1", "duration": 3},
    "photo": [{"file_id": "photo-1", "file_unique_id": "p1", "width": 90, "height": 90}],
    "sticker": {
        "file_id": "sticker-1", "file_unique_id": "s1", "type": "regular", "width": 512, "height": 512,
        "is_animated": False, "is_video": False,
    },
    "location": {"latitude": 55.75, "longitude": 37.62},
}  # fmt: skip
"""What people send besides text."""


@dataclass(slots=True)
class Chat:
    """A chat and all that was said in it."""

    info: Json
    topics: tuple[int, ...] = ()
    messages: dict[int, Json] = field(default_factory=dict)
    unread: "asyncio.Queue[Json]" = field(default_factory=asyncio.Queue)
    blocked: bool = False

    async def hears(self) -> Json:
        """The bot's next message here."""
        return await asyncio.wait_for(self.unread.get(), PATIENCE)

    def add(self, sender: Json, topic: int | None = None, **content: Any) -> Json:
        """Appends a message."""
        number = len(self.messages) + 1
        message = {"message_id": number, "date": int(time.time()), "chat": self.info, "from": sender, **content}
        if topic is not None:
            message |= {"message_thread_id": topic, "is_topic_message": True}
        self.messages[number] = message
        return message


async def heard(chat: Chat) -> str:
    """The bot's next words in a chat."""
    return str((await chat.hears())["text"])


@dataclass(slots=True)
class Somebody:
    """A person with a private chat, who may also write elsewhere."""

    user: Json
    chat: Chat
    update: Callable[[str, Json], None]
    """Tells the bot that something happened."""
    queries: set[str]
    """The ids of all presses in this Telegram."""

    def say(self, text: str, chat: Chat | None = None, topic: int | None = None, reply_to: Json | None = None) -> Json:
        """Writes a text; commands at its start and @names are marked as Telegram marks them."""
        marks = [("bot_command", found) for found in re.finditer(r"^/\w+(@\w+)?", text)]
        marks += [("mention", found) for found in re.finditer(r"(?<![\w/])@\w+", text)]
        entities = [
            {"type": kind, "offset": units(text[: found.start()]), "length": units(found[0])} for kind, found in marks
        ]
        return self.post(chat, topic, reply_to, text=text, entities=entities)

    def send(self, kind: str, chat: Chat | None = None, **content: Any) -> Json:
        """Sends one of FILES."""
        return self.post(chat, **{kind: FILES[kind]}, **content)

    def post(
        self, chat: Chat | None = None, topic: int | None = None, reply_to: Json | None = None, **content: Any
    ) -> Json:
        """Sends a message of any content."""
        if reply_to is not None:
            content["reply_to_message"] = reply_to
        message = (chat or self.chat).add(self.user, topic, **content)
        self.update("message", message)
        return message

    def edit(self, message: Json, text: str) -> None:
        """Changes an own message."""
        message |= {"text": text, "edit_date": int(time.time())}
        self.update("edited_message", message)

    def press(self, message: Json, label: str) -> str:
        """Presses the button that begins with `label`, and returns the id of the query."""
        buttons = [button for row in message["reply_markup"]["inline_keyboard"] for button in row]
        return self.forge(message, next(each["callback_data"] for each in buttons if each["text"].startswith(label)))

    def forge(self, message: Json, data: str) -> str:
        """Sends callback data of one's own making."""
        query_id = f"query-{len(self.queries) + 1}"
        self.queries.add(query_id)
        query = {"id": query_id, "from": self.user, "chat_instance": "1", "message": message, "data": data}
        self.update("callback_query", query)
        return query_id

    def react(self, message: Json, *emoji: str, before: Iterable[str] = ()) -> None:
        """Sets the reactions to a message; no `emoji` takes them away."""
        reaction = {"chat": message["chat"], "message_id": message["message_id"], "user": self.user}
        old, new = ([{"type": "emoji", "emoji": each} for each in some] for some in (before, emoji))
        reaction |= {"date": int(time.time()), "old_reaction": old, "new_reaction": new}
        self.update("message_reaction", reaction)


def units(text: str) -> int:
    """Length as Telegram counts it."""
    return len(text.encode("utf-16-le")) // 2
