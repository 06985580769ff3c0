"""Turns in the log: the context of a message, the reply with all that was considered, and sending a reply back."""

import math
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Connection, Select, and_, bindparam, func, insert, select, update

from storage.database import insert_new
from storage.dialog import Asked, Candidate, Context, Decision, Message, Scored, Turn
from storage.messages import CHANGE_DIALOG
from storage.schema import CandidateRow, ChatRow, DeliveryRow, DialogRow, MessageRow, PersonRow, TurnRow

DIALOG_ID: BindParameter[str] = bindparam("dialog_id")
MESSAGE_ID: BindParameter[int] = bindparam("message_id")
KEPT = and_(TurnRow.message_id == MessageRow.id, TurnRow.rejected.is_(False), MessageRow.id != MESSAGE_ID)
SAID = (
    select(MessageRow.id, MessageRow.text, TurnRow.reply)
    .outerjoin(TurnRow, KEPT)
    .where(MessageRow.dialog_id == DIALOG_ID, MessageRow.id <= MESSAGE_ID)
    .order_by(MessageRow.id.desc(), TurnRow.at.desc())
    .limit(bindparam("limit"))
)
PERSONA = select(ChatRow.persona).join(DialogRow).where(DialogRow.id == DIALOG_ID)
DIALOG = select(DialogRow.active_at, DialogRow.ended_at).where(DialogRow.id == DIALOG_ID)
SENT_BACK = (
    select(TurnRow.reply).where(TurnRow.message_id == MESSAGE_ID, TurnRow.rejected.is_(True)).order_by(TurnRow.at)
)
MESSAGE_IDS: BindParameter[int] = bindparam("message_ids", expanding=True)
HOLD_MESSAGES = (
    select(MessageRow.id)
    .where(MessageRow.id.in_(MESSAGE_IDS))
    .order_by(MessageRow.id)
    .with_for_update(read=True, key_share=True)  # a message that is forgotten meanwhile would spoil the whole batch
)
FIND_ANSWERS = select(TurnRow.message_id, TurnRow.retry_of).where(TurnRow.message_id.in_(MESSAGE_IDS))
FIND_ANSWER = select(TurnRow.id).where(TurnRow.message_id == MESSAGE_ID, TurnRow.retry_of == bindparam("retry_of"))
ADD_TURN = insert(TurnRow)
ADD_CANDIDATE = insert(CandidateRow)


class UnknownTurn(LookupError):
    """There is no such turn, it is not of this chat, its dialog was ended, or it was forgotten."""


class AlreadyAnswered(LookupError):
    """This message has its turn: another one for it came too late."""


class NotAddressed(PermissionError):
    """This person is not the one who was answered."""


def context_of(connection: Connection, asked: Asked, limit: int) -> Context:
    """The newest `limit` messages up to the one that was asked, each followed by the reply that was kept.

    Raises UnknownTurn when the message was forgotten.
    """
    where = {"dialog_id": asked.dialog_id, "message_id": asked.message_id}
    messages: list[Message] = []
    last_id = None
    for message_id, text, reply in reversed(connection.execute(SAID, {**where, "limit": limit}).all()):
        if message_id != last_id:
            messages.append(Message("user", text))
        if reply is not None:
            messages.append(Message("assistant", reply))
        last_id = message_id
    if last_id != asked.message_id:
        raise UnknownTurn(f"message {asked.message_id} was forgotten")
    return Context(
        messages=tuple(messages[-limit:]),
        persona=connection.scalar(PERSONA, where) or "",
        rejected=tuple(connection.scalars(SENT_BACK, where)),
    )


def check_goes_on(connection: Connection, dialog_id: str, idle: timedelta) -> None:
    """Raises UnknownTurn for a dialog that somebody ended, rather than its being `idle`."""
    dialog = connection.execute(DIALOG, {"dialog_id": dialog_id}).one_or_none()
    if dialog is None or (dialog.ended_at and dialog.ended_at - dialog.active_at <= idle):
        raise UnknownTurn(f"the dialog {dialog_id} was ended")


def add_turns(connection: Connection, turns: Sequence[Turn]) -> list[Turn | UnknownTurn | AlreadyAnswered]:
    """Keeps turns with their candidates; for each the turn, or why it alone was not kept: its message was forgotten, or
    has its turn already."""
    asked = {"message_ids": sorted({turn.asked.message_id for turn in turns})}
    known = set(connection.scalars(HOLD_MESSAGES, asked))
    answered = {(row.message_id, row.retry_of) for row in connection.execute(FIND_ANSWERS, asked)}
    outcomes: list[Turn | UnknownTurn | AlreadyAnswered] = []
    for turn in turns:
        message_id, question = turn.asked.message_id, (turn.asked.message_id, turn.asked.retry_of)
        if message_id not in known:
            outcomes.append(UnknownTurn(f"message {message_id} was forgotten"))
        elif question in answered:
            outcomes.append(AlreadyAnswered(f"message {message_id} has its turn"))
        else:
            answered.add(question)
            outcomes.append(turn)
    kept = [outcome for outcome in outcomes if isinstance(outcome, Turn)]
    if kept:
        connection.execute(ADD_TURN, [_turn_row(turn) for turn in kept])
        connection.execute(CHANGE_DIALOG, [{"dialog_id": turn.asked.dialog_id, "active_at": turn.at} for turn in kept])
    if candidates := [row for turn in kept for row in _candidate_rows(turn)]:
        connection.execute(ADD_CANDIDATE, candidates)
    return outcomes


def find_turn(connection: Connection, turn_id: str) -> Turn | None:
    """A turn as it was logged, or None. Its message is the one of today, should it have been edited."""
    return next(iter(read_turns(connection, TurnRow.id == turn_id)), None)


def read_turns(connection: Connection, which: ColumnElement[bool]) -> list[Turn]:
    """The turns for which a condition on their or their message's columns holds, in the order of what they answer."""
    ranked: defaultdict[str, list[Scored]] = defaultdict(list)
    chosen: dict[str, int] = {}
    considered = select(CandidateRow.__table__).join(TurnRow).join(MessageRow).where(which)
    for row in connection.execute(considered.order_by(CandidateRow.turn_id, CandidateRow.rank)):
        candidate = Candidate(row.text, row.source, _number(row.score), row.origin)
        features = {name: _number(value) for name, value in row.features.items()}
        ranked[row.turn_id].append(Scored(candidate, features, _number(row.total), row.probability, row.veto))
        if row.chosen:
            chosen[row.turn_id] = row.rank
    answered = (
        select(TurnRow.__table__, MessageRow.text, MessageRow.dialog_id, MessageRow.person_id, PersonRow.language)
        .join(MessageRow, TurnRow.message_id == MessageRow.id)
        .join(PersonRow, MessageRow.person_id == PersonRow.id)
        .where(which)
    )
    return [
        Turn(
            id=row.id,
            asked=Asked(row.message_id, row.dialog_id, row.person_id, row.language, row.retry_of),
            message=row.text,
            decision=Decision(row.reply, row.reason, tuple(ranked[row.id]), chosen.get(row.id)),
            versions=row.versions,
            seconds=row.seconds,
            at=row.at,
        )
        for row in connection.execute(answered.order_by(TurnRow.message_id, TurnRow.at))
    ]


def answer_to(connection: Connection, asked: Asked) -> tuple[Turn, int] | None:
    """The turn that answers what was asked, and how many messages show its reply already."""
    turn_id = connection.scalar(FIND_ANSWER, {"message_id": asked.message_id, "retry_of": asked.retry_of})
    turn = find_turn(connection, turn_id) if turn_id else None
    if turn is None:
        return None
    shown = select(func.count()).select_from(DeliveryRow).where(DeliveryRow.turn_id == turn.id)
    return turn, connection.execute(shown).scalar_one()


def last_turn(connection: Connection, chat: str) -> Turn | None:
    """The latest kept turn of the chat's current dialog."""
    current = select(DialogRow.id).where(DialogRow.chat == chat, DialogRow.ended_at.is_(None)).scalar_subquery()
    latest = _latest_first(MessageRow.dialog_id == current).where(TurnRow.rejected.is_(False)).limit(1)
    turn_id = connection.scalar(latest)
    return find_turn(connection, turn_id) if turn_id else None


def ask_again(connection: Connection, turn_id: str, person_id: str) -> Asked:
    """Marks a reply as sent back and asks its message again. Raises UnknownTurn, NotAddressed."""
    turn = find_turn(connection, turn_id)
    if turn is None:
        raise UnknownTurn(f"there is no turn {turn_id}")
    if turn.asked.person_id != person_id:
        raise NotAddressed(f"turn {turn_id} answered somebody else")
    if connection.scalar(_latest_first(MessageRow.dialog_id == turn.asked.dialog_id).limit(1)) != turn_id:
        raise UnknownTurn(f"turn {turn_id} is not the latest of its dialog")
    connection.execute(update(TurnRow).where(TurnRow.id == turn_id).values(rejected=True))
    return turn.asked_again()


def add_delivery(connection: Connection, turn_id: str, chat: str, external_ids: Sequence[str]) -> None:
    """Keeps under which ids the front end shows a reply. Raises UnknownTurn when it was forgotten."""
    if connection.scalar(select(TurnRow.id).where(TurnRow.id == turn_id)) is None:
        raise UnknownTurn(f"there is no turn {turn_id}")
    for external_id in external_ids:
        insert_new(connection, DeliveryRow, chat=chat, external_id=external_id, turn_id=turn_id)


def turn_at(connection: Connection, chat: str, external_id: str) -> str | None:
    """The turn whose reply a message of the front end shows."""
    shown = DeliveryRow.chat == chat, DeliveryRow.external_id == external_id
    return connection.scalar(select(DeliveryRow.turn_id).where(*shown))


def chat_of(connection: Connection, turn_id: str) -> str | None:
    """The chat that a turn belongs to."""
    chat = select(DialogRow.chat).join(MessageRow).join(TurnRow).where(TurnRow.id == turn_id)
    return connection.scalar(chat)


def _latest_first(which: ColumnElement[bool]) -> Select[str]:
    ordered = select(TurnRow.id).join(MessageRow).where(which)
    return ordered.order_by(MessageRow.id.desc(), TurnRow.at.desc())


def _turn_row(turn: Turn) -> dict[str, Any]:
    decision = turn.decision
    return {
        "id": turn.id,
        "message_id": turn.asked.message_id,
        "reply": decision.reply,
        "reason": decision.reason,
        "probability": 1.0 if decision.chosen is None else decision.ranked[decision.chosen].probability,
        "versions": dict(turn.versions),
        "seconds": dict(turn.seconds),
        "retry_of": turn.asked.retry_of,
        "rejected": False,
        "at": turn.at,
    }


def _candidate_rows(turn: Turn) -> list[dict[str, Any]]:
    return [
        {
            "turn_id": turn.id,
            "rank": rank,
            "text": scored.candidate.text,
            "source": scored.candidate.source,
            "origin": scored.candidate.origin,
            "score": _finite(scored.candidate.score),
            "features": {name: _finite(value) for name, value in scored.features.items()},
            "total": _finite(scored.total),
            "probability": scored.probability,
            "veto": scored.veto,
            "chosen": rank == turn.decision.chosen,
        }
        for rank, scored in enumerate(turn.decision.ranked)
    ]


def _finite(value: float) -> float | None:
    """Null for what is no number: SQLite keeps no NaN, and JSON neither that nor the infinite."""
    return value if math.isfinite(value) else None


def _number(value: float | None) -> float:
    return math.nan if value is None else value
