"""Rated replies from files as a log: `kith dialogs import FILE`, so that votes which others gathered are trained on and
measured by the same road as one's own.

A record knows the messages before its reply; those of one dialog are put together by the place of each (`turn`). What
the bot said is a turn of the person's last message; where it speaks first, or twice, that message is an empty one.
Times are the source's; without any, dialogs follow each other as in the file, a minute apart, messages by the second.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, func, insert, select

from storage.corpora import RatedReply
from storage.dialog import Message, new_id
from storage.schema import CandidateRow, ChatRow, DialogRow, MessageRow, PersonRow, TurnRow, VoteEventRow, VoteRow
from storage.signals import IMPORTED

FIRST = datetime(2000, 1, 1, tzinfo=UTC)
"""When the first dialog of a file without times is said to have begun."""


@dataclass(frozen=True, slots=True)
class RatedDialog:
    """A dialog with the replies that were rated, by their places; places that no record tells of are left out."""

    id: str
    said: Mapping[int, Message]
    rated: Mapping[int, RatedReply]
    features: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    """Of the rated ones: what a turn of a bot would have logged of its reply."""


class LogNotEmpty(Exception):
    """The log holds dialogs of people already."""

    def __init__(self) -> None:
        super().__init__("The log has dialogs already: name an empty folder in KITH_DATA_DIR for what is imported.")


def rated_dialogs(ratings: Iterable[RatedReply]) -> Iterator[RatedDialog]:
    """The dialogs that rated replies belong to, in the order in which they first appear."""
    of: dict[str, list[RatedReply]] = {}
    for rating in ratings:
        of.setdefault(rating.dialog_id, []).append(rating)
    for name, replies in of.items():
        said: dict[int, Message] = {}
        rated: dict[int, RatedReply] = {}
        for rating in replies:
            place = rating.turn if rating.turn >= len(rating.messages) else len(rating.messages)
            said |= {place - back: message for back, message in enumerate(reversed(rating.messages), 1)}
            said[place] = Message("assistant", rating.reply)
            rated[place] = rating
        yield RatedDialog(name, dict(sorted(said.items())), rated)


def import_dialogs(
    connection: Connection, dialogs: Sequence[RatedDialog], progress: Callable[[int], object] | None = None
) -> dict[str, int]:
    """Writes dialogs into an empty log, and says how many rows of each kind. Each dialog has a chat of its own, and a
    person unless the source names one; all are taken to have said yes, since their words were published to be learnt
    from. Raises LogNotEmpty."""
    if connection.execute(select(func.count()).select_from(DialogRow)).scalar_one():
        raise LogNotEmpty
    people: dict[str, None] = {}
    counts = {"dialog": 0, "message": 0, "turn": 0, "vote": 0}
    for number, dialog in enumerate(dialogs):
        begun = min((r.at for r in dialog.rated.values() if r.at), default=FIRST + timedelta(minutes=number))
        person = f"imported:{next((r.person for r in dialog.rated.values() if r.person), dialog.id)}"
        if person not in people:
            people[person] = None
            given = {"language": "en", "buttons": True, "consent": True, "consent_at": begun, "at": begun}
            connection.execute(insert(PersonRow), {"id": person, **given})
        chat = f"imported:{dialog.id}"
        connection.execute(insert(ChatRow), {"key": chat, "persona": ""})
        end = begun + timedelta(seconds=max(dialog.said, default=0))
        connection.execute(
            insert(DialogRow), {"id": dialog.id, "chat": chat, "at": begun, "active_at": end, "ended_at": end}
        )
        for name, count in _write(connection, dialog, person, begun).items():
            counts[name] += count
        counts["dialog"] += 1
        if progress is not None:
            progress(1)
    return {"person": len(people), **counts}


def _write(connection: Connection, dialog: RatedDialog, person: str, begun: datetime) -> dict[str, int]:
    """The messages, turns and votes of a dialog, which begins where what is known of it does."""
    message_id, answered = 0, True
    turns = votes = messages = 0
    for place, message in dialog.said.items():
        at = begun + timedelta(seconds=place)
        if message.role == "user" or answered:
            text = message.text if message.role == "user" else ""
            row = {"dialog_id": dialog.id, "person_id": person, "text": text, "external_id": "", "at": at}
            added = insert(MessageRow).returning(MessageRow.id)
            message_id = connection.execute(added, {**row, "update_key": f"imported:{new_id()}"}).scalar_one()
            messages += 1
        answered = message.role == "assistant"
        if not answered:
            continue
        turn_id = new_id()
        connection.execute(insert(TurnRow), _turn(turn_id, message_id, message.text, at))
        connection.execute(insert(CandidateRow), _candidate(turn_id, message.text, dialog.features.get(place, {})))
        turns += 1
        if (rating := dialog.rated.get(place)) is not None:
            value = 1 if rating.liked else -1
            vote = {"turn_id": turn_id, "person_id": person, "value": value, "kind": "button", "reason": ""}
            for table in (VoteRow, VoteEventRow):
                connection.execute(insert(table), {**vote, "at": rating.at or at})
            votes += 1
    return {"message": messages, "turn": turns, "vote": votes}


def _turn(turn_id: str, message_id: int, reply: str, at: datetime) -> dict[str, Any]:
    facts = {"reason": "policy", "probability": 1.0, "versions": {}, "seconds": {}, "retry_of": "", "rejected": False}
    return {"id": turn_id, "message_id": message_id, "reply": reply, "at": at, **facts}


def _candidate(turn_id: str, text: str, features: Mapping[str, float]) -> dict[str, Any]:
    judged = {"features": dict(features), "total": 0.0, "probability": 1.0, "veto": "", "chosen": True}
    return {"turn_id": turn_id, "rank": 0, "text": text, "source": IMPORTED, "origin": "", "score": 0.0, **judged}
