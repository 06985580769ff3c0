"""Telegram's Bot API on loopback: a real HTTP server that refuses what Telegram refuses, with people who use the chats.

    async with BotApi() as api:
        ivan = api.person("Ivan", language="ru")
        ivan.say("hi")                    # an update, handed out by getUpdates or sent to the webhook
        reply = await ivan.chat.hears()   # the next message that the bot sent there
        query = ivan.press(reply, "👍")
        await api.until(lambda: query in api.answers)

`calls` holds each call in order, with its parameters. Message ids begin at 1 in each chat, as in supergroups.
"""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeAlias

from telegram_people import PATIENCE, Chat, Json, Somebody, units
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

TOKEN = "123456:loopback-token"
BOT: Json = {"id": 123456, "is_bot": True, "first_name": "Kith", "username": "kith_bot"}

NUMBERS = {"chat_id", "message_id", "message_thread_id", "offset", "limit", "timeout"}
OBJECTS = {"reply_markup", "reply_parameters", "allowed_updates", "commands"}
UNASKED = {"message_reaction", "message_reaction_count", "chat_member"}
"""Kinds of updates that come only to a bot that names them in `allowed_updates`."""


class ApiError(Exception):
    """What Telegram answers instead of a result."""

    def __init__(self, code: int, description: str, **parameters: float) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters


Mishap: TypeAlias = Literal["lost", "cut", "slow"]
"""A request that is cut before it is read; one that is carried out, and then cut; or never answered."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the bot."""

    method: str
    parameters: Json


class BotApi:
    """The server, the chats, and what the bot did."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, str] = {}
        """Texts that answered presses, by query id."""
        self.queries: set[str] = set()
        self.chats: dict[int, Chat] = {}
        self.commands: dict[str, list[Json]] = {}
        self.documents: list[tuple[str, bytes]] = []
        """Names and contents of the files that the bot sent."""
        self.refusals: list[ApiError] = []
        """Errors for the next messages that the bot sends, whatever they are."""
        self.mishaps: list[Mishap] = []
        """What happens to the next messages on the wire."""
        self.hiccups = 0
        """How many of the next getUpdates fail."""
        self.webhook: Json = {}
        self._updates: list[Json] = []
        self._last_update = 1000
        self._allowed: set[str] | None = None
        self._changed = asyncio.Event()
        self._open = True
        self._polls = 0
        self._pushing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        routes = [(r"/bot([^/]+)/(\w+)", _Method, {"api": self}), (r"/file/bot([^/]+)/(.+)", _File, {})]
        self._server = HTTPServer(Application(routes, log_function=lambda handler: None))
        sockets = bind_sockets(0, "127.0.0.1")
        self._server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._open = False
        self._notify()  # long polls end now
        if self._pushing:
            self._pushing.cancel()
        self._server.stop()
        await self._server.close_all_connections()

    # People

    def person(self, name: str, language: str = "en") -> Somebody:
        """Somebody new, who has opened a private chat."""
        number = 7000 + len(self.chats)
        user = {"id": number, "is_bot": False, "first_name": name, "language_code": language}
        self.chats[number] = Chat({"id": number, "type": "private", "first_name": name})
        return Somebody(user, self.chats[number], self.update, self.queries)

    def group(self, title: str, topics: tuple[int, ...] = ()) -> Chat:
        """A supergroup that the bot is in; with topics it is a forum."""
        number = -1_000_000 - len(self.chats)
        info = {"id": number, "type": "supergroup", "title": title, "is_forum": bool(topics)}
        self.chats[number] = Chat(info, topics)
        return self.chats[number]

    def update(self, kind: str, content: Json) -> None:
        """Something happened that the bot may want to know."""
        if kind not in self._allowed if self._allowed else kind in UNASKED:
            return
        self._last_update += 1
        self.repeat({"update_id": self._last_update, kind: json.loads(json.dumps(content))})

    def repeat(self, update: Json) -> None:
        """Hands out an update, maybe once more: Telegram does so after a crash of the bot."""
        self.latest_update = update
        self._updates.append(update)
        self._notify()

    async def until(self, condition: Callable[[], object], patience: float = PATIENCE) -> None:
        """Waits until something is so: looks at each call and, as the log changes without one, every 20 ms."""
        async with asyncio.timeout(patience):
            while not condition():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), 0.02)

    def called(self, *methods: str) -> list[Call]:
        """The calls of some methods so far."""
        return [call for call in self.calls if call.method in methods]

    def waiting(self) -> int:
        """How many updates are not confirmed."""
        return len(self._updates)

    def forget_the_dead(self) -> None:
        """Ends the long polls of bots that were killed, as Telegram does when their connections end."""
        self._polls += 1
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # What the bot calls

    async def call(self, method: str, parameters: Json, files: list[tuple[str, bytes]]) -> Any:
        """Does what a method does. Raises ApiError."""
        self.calls.append(Call(method, parameters))
        self.documents += files
        self._notify()
        perform = getattr(self, f"_do_{method}", None)
        if perform is None:
            raise ApiError(404, "Not Found: method not found")
        try:
            return await perform(**parameters)
        finally:
            self._notify()

    async def _do_getMe(self) -> Json:
        return BOT

    async def _do_setMyCommands(self, commands: list[Json], language_code: str = "", **_: Any) -> bool:
        for command in commands:
            if not re.fullmatch(r"[a-z0-9_]{1,32}", command["command"]):
                raise ApiError(400, "Bad Request: BOT_COMMAND_INVALID")
            if not 1 <= len(command["description"]) <= 256:
                raise ApiError(400, "Bad Request: BOT_COMMAND_DESCRIPTION_INVALID")
        self.commands[language_code] = commands
        return True

    async def _do_getUpdates(
        self, offset: int = 0, limit: int = 100, allowed_updates: list[str] | None = None, **rest: Any
    ) -> list[Json]:
        if self.webhook:
            raise ApiError(409, "Conflict: can't use getUpdates method while webhook is active")
        self._allowed = set(allowed_updates) if allowed_updates else self._allowed
        if self.hiccups:
            self.hiccups -= 1
            raise ApiError(502, "Bad Gateway")
        self._updates = [update for update in self._updates if update["update_id"] >= offset]
        self._polls += 1
        poll = self._polls
        self._notify()  # ends the one before
        try:
            async with asyncio.timeout(rest.get("timeout", 0)):
                while not self._updates and self._open:
                    await self._changed.wait()
                    if poll != self._polls:
                        raise ApiError(409, "Conflict: terminated by other getUpdates request")
        except TimeoutError:
            return []
        return self._updates[:limit]

    async def _do_setWebhook(self, url: str, allowed_updates: list[str] | None = None, **rest: Any) -> bool:
        if not url.startswith(("https://", "http://127.0.0.1")):  # Telegram itself takes https alone
            raise ApiError(400, "Bad Request: bad webhook: HTTPS url must be provided for webhook")
        self.webhook = {"url": url, **rest}
        self._allowed = set(allowed_updates) if allowed_updates else None
        self._pushing = asyncio.create_task(self._push())
        return True

    async def _do_deleteWebhook(self, **_: Any) -> bool:
        self.webhook = {}
        return True

    async def _push(self) -> None:
        headers = {"Content-Type": "application/json"}
        if "secret_token" in self.webhook:
            headers["X-Telegram-Bot-Api-Secret-Token"] = self.webhook["secret_token"]
        while True:
            while not self._updates:
                await self._changed.wait()
            body = json.dumps(self._updates.pop(0))
            await AsyncHTTPClient().fetch(self.webhook["url"], method="POST", headers=headers, body=body)

    async def _do_sendMessage(
        self,
        chat_id: int,
        text: str,
        message_thread_id: int | None = None,
        reply_markup: Json | None = None,
        reply_parameters: Json | None = None,
        **_: Any,
    ) -> Json:
        chat = self._writable(chat_id, message_thread_id)
        check_text(text)
        check_markup(reply_markup)
        content: Json = {"text": text} | ({"reply_markup": reply_markup} if reply_markup else {})
        if reply_parameters:
            quoted = chat.messages.get(reply_parameters["message_id"])
            if quoted is None and not reply_parameters.get("allow_sending_without_reply"):
                raise ApiError(400, "Bad Request: message to be replied not found")
            content |= {"reply_to_message": quoted} if quoted else {}
        return self._sent(chat, message_thread_id, **content)

    async def _do_sendDocument(
        self, chat_id: int, caption: str = "", message_thread_id: int | None = None, **_: Any
    ) -> Json:
        chat = self._writable(chat_id, message_thread_id)
        name, content = self.documents[-1]
        document = {"file_id": name, "file_unique_id": name, "file_name": name, "file_size": len(content)}
        return self._sent(chat, message_thread_id, caption=caption, document=document)

    async def _do_sendChatAction(self, chat_id: int, action: str, message_thread_id: int | None = None) -> bool:
        self._writable(chat_id, message_thread_id, refuse=False)
        return True

    async def _do_editMessageText(
        self, chat_id: int, message_id: int, text: str, reply_markup: Json | None = None, **_: Any
    ) -> Json:
        check_text(text)
        return self._edited(chat_id, message_id, text=text, reply_markup=reply_markup)

    async def _do_editMessageReplyMarkup(
        self, chat_id: int, message_id: int, reply_markup: Json | None = None, **_: Any
    ) -> Json:
        return self._edited(chat_id, message_id, reply_markup=reply_markup)

    async def _do_answerCallbackQuery(self, callback_query_id: str, text: str = "", **_: Any) -> bool:
        if callback_query_id not in self.queries or callback_query_id in self.answers:
            raise ApiError(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        if len(text) > 200:
            raise ApiError(400, "Bad Request: MESSAGE_TOO_LONG")
        self.answers[callback_query_id] = text
        return True

    async def _do_getFile(self, file_id: str) -> Json:
        return {"file_id": file_id, "file_unique_id": file_id, "file_path": f"files/{file_id}"}

    def _writable(self, chat_id: int, topic: int | None, refuse: bool = True) -> Chat:
        chat = self.chats.get(chat_id)
        if chat is None:
            raise ApiError(400, "Bad Request: chat not found")
        if chat.blocked:
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        if topic is not None and topic not in chat.topics:
            raise ApiError(400, "Bad Request: message thread not found")
        if refuse and self.refusals:
            raise self.refusals.pop(0)
        return chat

    def _sent(self, chat: Chat, topic: int | None, **content: Any) -> Json:
        message = chat.add(BOT, topic, **content)
        chat.unread.put_nowait(message)
        return message

    def _edited(self, chat_id: int, message_id: int, **content: Any) -> Json:
        message = self.chats[chat_id].messages.get(message_id) if chat_id in self.chats else None
        if message is None:
            raise ApiError(400, "Bad Request: message to edit not found")
        if message["from"] != BOT:
            raise ApiError(400, "Bad Request: message can't be edited")
        check_markup(content["reply_markup"])
        if all(message.get(name) == value for name, value in content.items()):
            raise ApiError(400, "Bad Request: message is not modified")
        message |= content
        return message


class _Method(RequestHandler):
    """/bot<token>/<method>"""

    def initialize(self, api: BotApi) -> None:
        self.api = api

    async def post(self, token: str, method: str) -> None:
        parameters = {name: decoded(name, values[-1].decode()) for name, values in self.request.arguments.items()}
        files = [(file.filename, file.body) for files in self.request.files.values() for file in files]
        mishap = self.api.mishaps.pop(0) if self.api.mishaps and method == "sendMessage" else None
        if mishap == "lost":
            self.detach().close()
            return
        try:
            if token != TOKEN:
                raise ApiError(401, "Unauthorized")
            result = await self.api.call(method, parameters, files)
            if mishap == "cut":
                self.detach().close()
                return
            if mishap == "slow":
                await asyncio.sleep(PATIENCE)
        except ApiError as error:
            self.set_status(error.code)
            await self._end(
                {
                    "ok": False,
                    "error_code": error.code,
                    "description": error.description,
                    "parameters": error.parameters,
                }
            )
        else:
            await self._end({"ok": True, "result": result})

    async def _end(self, body: Json) -> None:
        with suppress(StreamClosedError):  # who asked may have been killed
            await self.finish(body)


class _File(RequestHandler):
    """/file/bot<token>/<path>"""

    def get(self, token: str, path: str) -> None:
        if token != TOKEN:
            self.set_status(401)
        self.finish(f"content of {path}")


def decoded(name: str, value: str) -> Any:
    """A parameter as the method takes it: forms carry text only."""
    if name in OBJECTS:
        return json.loads(value)
    return int(value) if name in NUMBERS else value


def check_text(text: str) -> None:
    """Raises what Telegram answers to a text that it does not take."""
    if not text.strip():
        raise ApiError(400, "Bad Request: message text is empty")
    if units(text) > 4096:
        raise ApiError(400, "Bad Request: message is too long")


def check_markup(markup: Json | None) -> None:
    """Raises what Telegram answers to buttons that it does not take."""
    for row in markup["inline_keyboard"] if markup else []:
        for button in row:
            if not button["text"] or not 1 <= len(button["callback_data"].encode()) <= 64:
                raise ApiError(400, "Bad Request: BUTTON_DATA_INVALID")
