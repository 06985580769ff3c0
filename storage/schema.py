"""The tables of the log. A change here wants a new file in storage/migrations/versions/.

    person -< message >- dialog >- chat        what people said
              message -< turn -< candidate     what was answered, and everything that was considered
                         turn -< vote          the opinion that stands; `vote_event` keeps how it came to be
                         turn -< delivery      where a reply appeared
                         turn -< pool_entry_turn >- pool_entry
    person -< after_talk >- dialog         how people said they feel after it
              received                     updates, until they are done
    model_version, promotion               models that were trained here, and which of them was to serve from when on

A message goes with its dialog, and a turn with its message: deleting the message of a person deletes what answered it.
"""

from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    select,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from storage.columns import AnyText, UtcDateTime

Number = BigInteger().with_variant(Integer, "sqlite")
"""A counter: SQLite counts by itself only on a column that is called INTEGER."""


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {str: AnyText, datetime: UtcDateTime, dict[str, Any]: JSON, list[str]: JSON}


class PersonRow(Base):
    __tablename__ = "person"

    id: Mapped[str] = mapped_column(primary_key=True)  # "telegram:42"
    language: Mapped[str]
    buttons: Mapped[bool]
    consent: Mapped[bool]
    consent_at: Mapped[datetime | None]  # when they said yes or no; null: not yet, and then `consent` is false
    at: Mapped[datetime]


class ChatRow(Base):
    __tablename__ = "chat"

    key: Mapped[str] = mapped_column(primary_key=True)  # "telegram:42", with a topic "telegram:-100:7"
    persona: Mapped[str]  # "": none was chosen


class DialogRow(Base):
    __tablename__ = "dialog"

    id: Mapped[str] = mapped_column(primary_key=True)
    chat: Mapped[str] = mapped_column(ForeignKey("chat.key", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    active_at: Mapped[datetime] = mapped_column(index=True)  # of the last message or reply
    ended_at: Mapped[datetime | None]  # null: the chat's current dialog


# A chat has one current dialog at most, even when two processes begin one at once.
Index(
    "uq_dialog_current",
    DialogRow.chat,
    unique=True,
    sqlite_where=DialogRow.ended_at.is_(None),
    postgresql_where=DialogRow.ended_at.is_(None),
)


class MessageRow(Base):
    """What a person said. By person and time it is looked up for quotas."""

    __tablename__ = "message"
    __table_args__ = (
        Index(None, "dialog_id", "id"),
        Index(None, "person_id", "at"),
        {"sqlite_autoincrement": True},  # an id never comes twice
    )

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    dialog_id: Mapped[str] = mapped_column(ForeignKey("dialog.id", ondelete="CASCADE"))
    person_id: Mapped[str] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    text: Mapped[str]
    update_key: Mapped[str] = mapped_column(unique=True)  # what brought it, such as "telegram:update id"
    external_id: Mapped[str] = mapped_column(index=True)  # the message's id in its chat; "" where there are none
    at: Mapped[datetime] = mapped_column(index=True)
    edited_at: Mapped[datetime | None]


class TurnRow(Base):
    """A reply to a message. After /retry a message has several, of which the last one is not rejected."""

    __tablename__ = "turn"

    id: Mapped[str] = mapped_column(primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("message.id", ondelete="CASCADE"), index=True)
    reply: Mapped[str]
    reason: Mapped[str]  # of the decision: "policy", "fallback" or "moderated"
    probability: Mapped[float]  # with which the reply was drawn; 1 for a fallback and what was moderated
    versions: Mapped[dict[str, Any]]
    seconds: Mapped[dict[str, Any]]
    retry_of: Mapped[str]  # a turn of the same message, or ""
    rejected: Mapped[bool]  # sent back by /retry: a label, not an answer
    at: Mapped[datetime] = mapped_column(index=True)


class CandidateRow(Base):
    """A reply that was considered; `rank` 0 is the best total. A number that is none (NaN, infinite) is null."""

    __tablename__ = "candidate"

    turn_id: Mapped[str] = mapped_column(ForeignKey("turn.id", ondelete="CASCADE"), primary_key=True)
    rank: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str]
    source: Mapped[str]
    origin: Mapped[str]
    score: Mapped[float | None]
    features: Mapped[dict[str, Any]]
    total: Mapped[float | None]
    probability: Mapped[float]
    veto: Mapped[str]
    chosen: Mapped[bool]


# The sources of what was said, without a look at all that was not. SQLite uses it only for a condition in the same
# words, and reads no row besides only if that column is in it too.
Index(
    "ix_candidate_chosen",
    CandidateRow.turn_id,
    CandidateRow.source,
    CandidateRow.chosen,
    sqlite_where=text("chosen = 1"),
    postgresql_where=CandidateRow.chosen,
)


class VoteRow(Base):
    """The vote that stands: value 1 or -1. One that was taken back leaves its row in `vote_event` only."""

    __tablename__ = "vote"

    turn_id: Mapped[str] = mapped_column(ForeignKey("turn.id", ondelete="CASCADE"), primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), primary_key=True, index=True)
    value: Mapped[int]
    kind: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class VoteEventRow(Base):
    """A change of a vote: value 0 took it back."""

    __tablename__ = "vote_event"

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    turn_id: Mapped[str] = mapped_column(ForeignKey("turn.id", ondelete="CASCADE"), index=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"), index=True)
    value: Mapped[int]
    kind: Mapped[str]
    reason: Mapped[str]
    at: Mapped[datetime]


class AfterTalkRow(Base):
    """Somebody was asked how they feel after a talk; a row is there before the question is sent."""

    __tablename__ = "after_talk"
    __table_args__ = (Index(None, "person_id", "at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    dialog_id: Mapped[str] = mapped_column(ForeignKey("dialog.id", ondelete="CASCADE"), index=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("person.id", ondelete="CASCADE"))
    feeling: Mapped[str]  # "better", "same", "worse"; "": they have not said
    at: Mapped[datetime]  # when they were asked
    answered_at: Mapped[datetime | None]  # of the answer that stands


class DeliveryRow(Base):
    """A message of the front end that shows a reply, or a part of it."""

    __tablename__ = "delivery"

    chat: Mapped[str] = mapped_column(primary_key=True)
    external_id: Mapped[str] = mapped_column(primary_key=True)
    turn_id: Mapped[str] = mapped_column(ForeignKey("turn.id", ondelete="CASCADE"), index=True)


class ReceivedRow(Base):
    """An update of a front end. It is done when `body` is null: then the key alone stays, to know it by if it comes
    again."""

    __tablename__ = "received"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Number, primary_key=True)  # in the order in which they came
    key: Mapped[str] = mapped_column(unique=True)  # "telegram:bot id:update id"
    person_id: Mapped[str] = mapped_column(index=True)  # "" when done; nobody need be known to write
    body: Mapped[str | None]  # as the front end reads it
    sent_back: Mapped[str]  # the turn that it sent back, or ""
    tries: Mapped[int]  # starts of the bot that found it undone
    at: Mapped[datetime]


# Of the rows that stay for three days, those that wait.
Index(
    "ix_received_in_hand",
    ReceivedRow.at,
    sqlite_where=ReceivedRow.body.is_not(None),
    postgresql_where=ReceivedRow.body.is_not(None),
)


class BlockRow(Base):
    """A person or chat that an admin shut out by /block. It outlives /forget, or that would open the door again."""

    __tablename__ = "block"

    id: Mapped[str] = mapped_column(primary_key=True)  # "telegram:42", "telegram:-100"
    at: Mapped[datetime]


class PoolEntryRow(Base):
    """A liked or imported reply that retrieval may say; the curated ones live in files."""

    __tablename__ = "pool_entry"

    id: Mapped[str] = mapped_column(primary_key=True)
    reply: Mapped[str]
    contexts: Mapped[list[str]]
    origin: Mapped[str]
    at: Mapped[datetime]


class PoolEntryTurnRow(Base):
    """The turns that a liked entry came from, so that it goes when all of them are forgotten."""

    __tablename__ = "pool_entry_turn"

    entry_id: Mapped[str] = mapped_column(ForeignKey("pool_entry.id", ondelete="CASCADE"), primary_key=True)
    turn_id: Mapped[str] = mapped_column(ForeignKey("turn.id", ondelete="CASCADE"), primary_key=True, index=True)


class VersionRow(Base):
    """A model that was trained here: its folder is in the data folder, under this name."""

    __tablename__ = "model_version"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    parent: Mapped[str]  # the version that it was trained onward from; "": a shipped or an outside one
    at: Mapped[datetime]
    card: Mapped[dict[str, Any]]
    state: Mapped[str]  # "new", "promoted", "refused" by the gate, "broken": it could not be taken up


class PromotionRow(Base):
    """From this time on a version was to serve its kind, or, with `back`, what had served before."""

    __tablename__ = "promotion"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(Number, primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]  # "": the shipped model
    at: Mapped[datetime]
    back: Mapped[bool]
    forced: Mapped[bool]
    verdict: Mapped[dict[str, Any]]  # of the gate; {}: it was not asked
    by: Mapped[str]  # the account of who did it


WITHOUT_CONSENT = select(MessageRow.dialog_id).where(
    MessageRow.person_id.in_(select(PersonRow.id).where(PersonRow.consent.is_(False)))
)
"""The dialogs with a word of somebody who did not say that they may be learnt from: no export has them, nothing is
promoted out of them, and they are soon gone (storage/retention.py)."""
