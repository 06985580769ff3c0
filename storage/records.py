"""Dialogs as records: what each format of `kith export` holds.

Prompts, completions and messages have the shapes that TRL's trainers take. Every record names the dialog that it came
from, so that the records of one dialog can be kept on one side of a split. Votes on a message that was edited later
show it as it reads today.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import TypeAlias

from sqlalchemy import Connection

from storage.dialog import Message
from storage.documents import DOCUMENT, Disguise, read_documents
from storage.files import Columns, Record, Shape
from storage.streaming import FALLBACK, MODERATION, Exchange, Filters, Reply, SpokenDialog

SOURCE = "kith"
"""The corpus that these records are, for those who train on several."""

PROMPT_MESSAGES = 200
"""The newest messages that a prompt holds, as many as an answer looks back on by default."""

CHAT: Shape = [{"role": "string", "content": "string"}]

Maker: TypeAlias = Callable[[Connection, Sequence[SpokenDialog], Filters, Disguise], Iterable[Record]]
"""A batch of dialogs in, their records out."""


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of record: its columns, and how dialogs become such records."""

    columns: Columns
    records: Maker


def log_records(
    connection: Connection, dialogs: Sequence[SpokenDialog], filters: Filters, disguise: Disguise
) -> Iterator[Record]:
    """Everything that the log keeps of a dialog, when one of its replies is wanted (or it has none, and none is asked
    for)."""
    wanted = [
        dialog.id
        for dialog in dialogs
        if any(_wanted_replies(dialog, filters))
        or (not filters.of_replies and any(filters.in_time(exchange) for exchange in dialog.exchanges))
    ]
    return read_documents(connection, wanted, disguise)


def message_records(dialog: SpokenDialog, filters: Filters) -> Iterator[Record]:
    """The dialog up to its last wanted reply, without the replies that were sent back, without fallbacks and what was
    moderated: nobody should learn these."""
    said: list[Message] = []
    end = 0
    for exchange in dialog.exchanges:
        said.append(Message("user", exchange.text))
        for reply in exchange.replies:
            if not reply.rejected and reply.source not in (FALLBACK, MODERATION):
                said.append(Message("assistant", reply.text))
                if filters.in_time(exchange) and filters.take(reply):
                    end = len(said)
    if end:
        yield {"messages": _chat(said[:end]), "id": dialog.id, "source": SOURCE}


def vote_records(dialog: SpokenDialog, filters: Filters) -> Iterator[Record]:
    """Each reply with a vote: TRL's unpaired preference."""
    for context, exchange in _in_time(dialog, filters):
        for reply in exchange.replies:
            if reply.vote != 0 and reply.source != MODERATION and filters.take(reply):
                yield {
                    "prompt": _prompt(context),
                    "completion": _answer(reply),
                    "label": reply.vote > 0,
                    "reply_source": reply.source,
                    **_origin(dialog),
                }


def preference_records(dialog: SpokenDialog, filters: Filters) -> Iterator[Record]:
    """Pairs of replies to one message of which one was preferred, when either is wanted: TRL's preference."""
    for context, exchange in _in_time(dialog, filters):
        for chosen, rejected in permutations(exchange.replies, 2):
            if _preferred(chosen, rejected) and (filters.take(chosen) or filters.take(rejected)):
                yield {
                    "prompt": _prompt(context),
                    "chosen": _answer(chosen),
                    "rejected": _answer(rejected),
                    **_origin(dialog),
                }


def ranking_records(dialog: SpokenDialog, filters: Filters) -> Iterator[Record]:
    """Each reply that was judged: 1 for a 👍, 0 for a 👎 and for one that was sent back."""
    for context, exchange in _in_time(dialog, filters):
        for reply in exchange.replies:
            judged = reply.vote != 0 or reply.rejected
            if judged and reply.source != MODERATION and filters.take(reply):
                said = context[-PROMPT_MESSAGES:]
                yield {
                    "context": [{"role": "user" if m.role == "user" else "bot", "text": m.text} for m in said],
                    "reply": reply.text,
                    "label": int(reply.vote > 0),
                    "reply_source": reply.source,
                    **_origin(dialog),
                }


def _each(records: Callable[[SpokenDialog, Filters], Iterator[Record]]) -> Maker:
    """A maker for a batch from one for a dialog, for records that name nobody."""

    def make(
        connection: Connection, dialogs: Sequence[SpokenDialog], filters: Filters, disguise: Disguise
    ) -> Iterator[Record]:
        for dialog in dialogs:
            yield from records(dialog, filters)

    return make


ORIGIN: Columns = {"dialog_id": "string", "source": "string"}

FORMATS = {
    "dialogs": Format(DOCUMENT, log_records),
    "messages": Format({"messages": CHAT, "id": "string", "source": "string"}, _each(message_records)),
    "votes": Format(
        {"prompt": CHAT, "completion": CHAT, "label": "bool", "reply_source": "string", **ORIGIN}, _each(vote_records)
    ),
    "preferences": Format({"prompt": CHAT, "chosen": CHAT, "rejected": CHAT, **ORIGIN}, _each(preference_records)),
    "ranking": Format(
        {
            "context": [{"role": "string", "text": "string"}],
            "reply": "string",
            "label": "int64",
            "reply_source": "string",
            **ORIGIN,
        },
        _each(ranking_records),
    ),
}


def _preferred(chosen: Reply, rejected: Reply) -> bool:
    """Whether the person showed that one reply pleased them more than the other. Fallbacks are nobody's wish."""
    if {FALLBACK, MODERATION} & {chosen.source, rejected.source} or chosen.text == rejected.text:
        return False
    by_votes = chosen.vote > 0 > rejected.vote
    by_retry = rejected.rejected and not chosen.rejected and chosen.vote >= 0 >= rejected.vote
    return by_votes or by_retry


def _wanted_replies(dialog: SpokenDialog, filters: Filters) -> Iterator[Reply]:
    for exchange in dialog.exchanges:
        if filters.in_time(exchange):
            yield from filter(filters.take, exchange.replies)


def _in_time(dialog: SpokenDialog, filters: Filters) -> Iterator[tuple[list[Message], Exchange]]:
    """The exchanges of the wanted time, each with its context: what was said till then, the message at the end."""
    said: list[Message] = []
    for exchange in dialog.exchanges:
        said.append(Message("user", exchange.text))
        if filters.in_time(exchange):
            yield said, exchange
        said += [Message("assistant", reply.text) for reply in exchange.replies if not reply.rejected]


def _prompt(context: Sequence[Message]) -> list[dict[str, str]]:
    """The newest messages, beginning with the user."""
    newest = list(context[-PROMPT_MESSAGES:])
    while newest[0].role != "user":
        del newest[0]
    return _chat(newest)


def _chat(messages: Iterable[Message]) -> list[dict[str, str]]:
    """Messages as chat templates take them: neighbours of one role are joined, since many insist on alternation."""
    chat: list[dict[str, str]] = []
    for message in messages:
        if chat and chat[-1]["role"] == message.role:
            chat[-1]["content"] += "\n" + message.text
        else:
            chat.append({"role": message.role, "content": message.text})
    return chat


def _answer(reply: Reply) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": reply.text}]


def _origin(dialog: SpokenDialog) -> Record:
    return {"dialog_id": dialog.id, "source": SOURCE}
