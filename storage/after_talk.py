"""How people feel after a talk: whom to ask, that they were asked, and what they said.

A dialog can go on for weeks, so a talk is what somebody said in a dialog within a day. Asked about are talks in private
chats, of people who said yes to learning and did not hide the buttons, in which no moderated words were said.
"""

from collections.abc import Callable
from datetime import timedelta

from sqlalchemy import Connection, exists, func, insert, or_, select, update
from sqlalchemy.orm import aliased

from storage.dialog import Feeling, Person, Silence, Talk, new_id, now
from storage.schema import AfterTalkRow, DialogRow, MessageRow, PersonRow, TurnRow
from storage.transactions import Transactions

DAY = timedelta(days=1)
"""For how long nobody is asked again, and how far a talk reaches back."""


class AskingAfterTalks(Transactions):
    """The part of a store that keeps how people feel after talks."""

    def ask_after_talk(self, whose: str, silence: Silence, spare: Callable[[Talk], bool]) -> Talk | None:
        """The latest talk that is over and whose person is to be asked, but for those that `spare` is true of; None
        when there is none. From now on that person counts as asked, for a day, whatever becomes of the question.

        `whose`: a front end, such as "telegram", or one person of it, "console:me".
        """
        with self._writing() as connection:
            talk = next((talk for talk in _due(connection, whose, silence) if not spare(talk)), None)
            if talk:
                values = {"id": talk.id, "dialog_id": talk.dialog_id, "person_id": talk.person.id}
                connection.execute(insert(AfterTalkRow).values(**values, feeling="", at=now()))
            return talk

    def asked_after_talk(self, question_id: str) -> str | None:
        """The person who was asked that question; None when it is not there any more."""
        with self.reading() as connection:
            return connection.scalar(select(AfterTalkRow.person_id).where(AfterTalkRow.id == question_id))

    def feels(self, question_id: str, person_id: str, feeling: Feeling) -> bool:
        """Keeps an answer in the place of an earlier one; False when this person was not asked that."""
        asked = AfterTalkRow.id == question_id, AfterTalkRow.person_id == person_id
        with self._writing() as connection:
            if connection.scalar(select(AfterTalkRow.id).where(*asked).with_for_update()) is None:
                return False
            changed = update(AfterTalkRow).where(*asked, AfterTalkRow.feeling != feeling)
            connection.execute(changed.values(feeling=feeling, answered_at=now()))
            return True


def _due(connection: Connection, whose: str, silence: Silence) -> list[Talk]:
    """Talks that are over and may be asked about, the latest first."""
    day = now() - DAY
    later, answered, asked = aliased(MessageRow), aliased(MessageRow), aliased(AfterTalkRow)
    moderated = (
        select(TurnRow.id)
        .join(answered, answered.id == TurnRow.message_id)
        .where(answered.dialog_id == DialogRow.id, TurnRow.at > day, TurnRow.reason == "moderated")
        .correlate(DialogRow)
    )
    due = (
        select(DialogRow.id, DialogRow.chat, PersonRow.id.label("person_id"), PersonRow.language)
        .join(MessageRow, MessageRow.dialog_id == DialogRow.id)
        .join(PersonRow, PersonRow.id == MessageRow.person_id)
        .where(
            DialogRow.active_at.between(silence.since, silence.until),
            MessageRow.at > day,
            or_(PersonRow.id == whose, PersonRow.id.startswith(f"{whose}:", autoescape=True)),
            or_(DialogRow.chat == PersonRow.id, DialogRow.chat.startswith(PersonRow.id + ":")),
            PersonRow.buttons,
            PersonRow.consent,
            ~exists().where(later.person_id == PersonRow.id, later.at > silence.until),
            ~exists().where(asked.person_id == PersonRow.id, asked.at > day),
            ~moderated.exists(),
        )
        .group_by(DialogRow.id, DialogRow.chat, PersonRow.id, PersonRow.language)
        .having(func.count(MessageRow.id) >= silence.least)
        .order_by(DialogRow.active_at.desc())
    )
    said = select(MessageRow.text).where(MessageRow.at > day).order_by(MessageRow.id)
    return [
        Talk(
            new_id(),
            row.id,
            row.chat,
            Person(row.person_id, row.language, buttons=True, consent=True),
            tuple(connection.scalars(said.where(MessageRow.dialog_id == row.id))),
        )
        for row in connection.execute(due).all()
    ]
