"""SqlDialogStore: the one door to the log. Rows in, values out; one method is one transaction.

It is synchronous and thread-safe. What the methods do is in the modules of this package that they call.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from storage import admission, browse, importing, messages, people, pool_rows, rights, turns, updates, votes
from storage.after_talk import AskingAfterTalks
from storage.browse import DialogSummary, LoggedDialog, LoggedMessage, LoggedTurn
from storage.database import StoreError
from storage.deleting import Deleting
from storage.dialog import Asked, Context, Glance, Person, PoolEntry, Received, Turn, Vote
from storage.pool_rows import LikedReply, PoolState
from storage.stats import read_glance
from storage.turns import AlreadyAnswered, NotAddressed, UnknownTurn
from storage.versions import KeepingVersions

__all__ = [
    "AlreadyAnswered",
    "DialogSummary",
    "LikedReply",
    "LoggedDialog",
    "LoggedMessage",
    "LoggedTurn",
    "NotAddressed",
    "PoolState",
    "SqlDialogStore",
    "StoreError",
    "UnknownTurn",
]


class SqlDialogStore(KeepingVersions, AskingAfterTalks, Deleting):
    """The log of dialogs in a SQL database.

    A chat is called "telegram:<chat id>", with a topic "telegram:<chat id>:<topic id>", or "console:<name>"; a person
    "telegram:<user id>" or "console:<name>".
    """

    def __init__(self, url: str, idle_hours: float = 12, context_messages: int = 200) -> None:
        """Opens the database, made where there is none and brought up to date. Raises StoreError."""
        super().__init__(url)
        self._idle = timedelta(hours=idle_hours)
        self._context_messages = context_messages

    # Updates

    def receive(self, received: Received) -> bool:
        """Keeps an update of a front end until `finish`; False when it came before."""
        with self._writing() as connection:
            return updates.receive(connection, received)

    def unfinished(self, prefix: str) -> list[Received]:
        """The updates whose keys begin with `prefix` and that were never done, in order; each is tried once more."""
        with self._writing() as connection:
            return updates.unfinished(connection, prefix)

    def finish(self, key: str) -> None:
        """Marks an update as done and deletes what it said."""
        with self._writing() as connection:
            updates.finish(connection, key)

    def updates_in_hand(self) -> int:
        """How many updates are not done yet."""
        with self.reading() as connection:
            return updates.in_hand(connection)

    # People and chats

    def person(self, person_id: str, language: str = "") -> Person:
        """A person, made when unknown; only then `language` is used ("" is English)."""
        with self.reading() as connection:
            person = people.find_person(connection, person_id)
        if person:
            return person
        with self._writing() as connection:
            return people.ensure_person(connection, person_id, language)

    def change_person(
        self, person_id: str, *, language: str | None = None, buttons: bool | None = None, consent: bool | None = None
    ) -> Person:
        """Sets what a person chose; None leaves it as it is."""
        changes = {"language": language, "buttons": buttons, "consent": consent}
        given = {name: value for name, value in changes.items() if value is not None}
        with self._writing() as connection:
            return people.change_person(connection, person_id, given)

    def persona(self, chat: str) -> str:
        """The name of the persona that a chat chose, "" when none."""
        with self.reading() as connection:
            return people.persona_of(connection, chat)

    def set_persona(self, chat: str, name: str) -> None:
        """Sets the persona of a chat."""
        with self._writing() as connection:
            people.set_persona(connection, chat, name)

    # Talking

    def take(
        self,
        chat: str,
        person_id: str,
        text: str,
        update_key: str,
        external_id: str = "",
        language: str = "",
        at: datetime | None = None,
    ) -> Asked | None:
        """Keeps a user's message, before anything slow is done with it. None: this update was taken before.

        After `idle_hours` of silence it begins a fresh dialog. `external_id` is its id in the front end, for edits;
        `at` when it was said, by default now: simulated people have a time of their own.
        """
        with self._writing() as connection:
            return messages.take(
                connection, chat, person_id, text, update_key, external_id, language, idle=self._idle, at=at
            )

    def taken(self, update_key: str) -> Asked | None:
        """A message that `take` kept before."""
        with self.reading() as connection:
            return messages.taken(connection, update_key)

    def edit(self, chat: str, external_id: str, text: str) -> bool:
        """Gives a user's message its new text; False when it is unknown."""
        with self._writing() as connection:
            return messages.edit(connection, chat, external_id, text)

    def ask_again(self, turn_id: str, person_id: str, update_key: str = "") -> Asked:
        """Marks a reply as sent back, which keeps its row, and asks the same message again.

        Only the latest turn of a dialog can be asked again. `asked_again` knows what the update `update_key` asked.
        Raises UnknownTurn, NotAddressed.
        """
        with self._writing() as connection:
            asked = turns.ask_again(connection, turn_id, person_id)
            updates.note_sent_back(connection, update_key, turn_id)
            return asked

    def asked_again(self, update_key: str) -> Asked | None:
        """What this unfinished update asked again already."""
        with self.reading() as connection:
            return updates.asked_again(connection, update_key)

    def new_dialog(self, chat: str, at: datetime | None = None, dialog_id: str = "") -> str:
        """Begins a fresh dialog in a chat, now and with a new id unless these are given, and returns its id."""
        with self._writing() as connection:
            return messages.new_dialog(connection, chat, at, dialog_id)

    def context(self, asked: Asked) -> Context:
        """The dialog up to the message that was asked: its newest `context_messages` messages.

        `persona` is the NAME of the chat's persona. Raises UnknownTurn when the message was forgotten, or `new_dialog`
        ended its dialog.
        """
        with self.reading() as connection:
            context = turns.context_of(connection, asked, self._context_messages)
            turns.check_goes_on(connection, asked.dialog_id, self._idle)
            return context

    def add_turn(self, turn: Turn) -> None:
        """Keeps a turn with all its candidates. Raises UnknownTurn when its message was forgotten, AlreadyAnswered."""
        (outcome,) = self.add_turns([turn])
        if not isinstance(outcome, Turn):
            raise outcome

    def add_turns(self, batch: Sequence[Turn]) -> list[Turn | UnknownTurn | AlreadyAnswered]:
        """Keeps turns with all their candidates, in one transaction: for each the turn, or in its place the error that
        `add_turn` raises for it. Whatever else goes wrong is raised, and none of them is kept."""
        with self._writing() as connection:
            return turns.add_turns(connection, batch)

    def add_delivery(self, turn_id: str, chat: str, external_ids: Sequence[str]) -> None:
        """Keeps which messages of the front end show a reply. Raises UnknownTurn."""
        with self._writing() as connection:
            turns.add_delivery(connection, turn_id, chat, external_ids)

    def answer_to(self, asked: Asked) -> tuple[Turn, int] | None:
        """The turn that answers what was asked, if it has one, and how many messages show its reply already."""
        with self.reading() as connection:
            return turns.answer_to(connection, asked)

    def turn(self, turn_id: str) -> Turn | None:
        """A turn as it was logged, or None."""
        with self.reading() as connection:
            return turns.find_turn(connection, turn_id)

    def chat_of(self, turn_id: str) -> str | None:
        """The chat of a turn, or None."""
        with self.reading() as connection:
            return turns.chat_of(connection, turn_id)

    def last_turn(self, chat: str) -> Turn | None:
        """The latest turn of the chat's current dialog that was not sent back."""
        with self.reading() as connection:
            return turns.last_turn(connection, chat)

    def turn_at(self, chat: str, external_id: str) -> str | None:
        """The turn whose reply this message of the front end shows."""
        with self.reading() as connection:
            return turns.turn_at(connection, chat, external_id)

    # Who may talk

    def blocked(self) -> frozenset[str]:
        """The persons and chats that were shut out by `block`."""
        with self.reading() as connection:
            return admission.blocked(connection)

    def block(self, name: str) -> bool:
        """Shuts a person or chat out; False when they were already."""
        with self._writing() as connection:
            return admission.block(connection, name)

    def unblock(self, name: str) -> bool:
        """Lets them in again; False when they were not shut out."""
        with self._writing() as connection:
            return admission.unblock(connection, name)

    def asked_since(self, person_id: str, since: datetime, message_id: int | None = None) -> int:
        """How many replies somebody asked for; `message_id` is the message that they want answered again."""
        with self.reading() as connection:
            return admission.asked_since(connection, person_id, since, message_id)

    # Votes

    def add_vote(self, vote: Vote, chat: str) -> Vote:
        """Makes a vote the one that stands, and returns that one; the history is kept.

        Value 0 takes the vote back, or, with a reason, gives the reason to the 👎 that stands. The same vote again
        changes nothing. Raises UnknownTurn when the turn is not of this chat, NotAddressed.
        """
        with self._writing() as connection:
            return votes.add_vote(connection, vote, chat)

    def vote_of(self, turn_id: str, person_id: str) -> Vote | None:
        """The vote that stands; None when there was none, or it was taken back."""
        with self.reading() as connection:
            return votes.vote_of(connection, turn_id, person_id)

    # Rights

    def personal_data(self, person_id: str) -> dict[str, Any]:
        """Everything kept about a person, fit for JSON: person, chats, dialogs > messages > replies > votes ..."""
        with self.reading() as connection:
            return rights.personal_data(connection, person_id)

    # Pool

    def pool_entries(self) -> list[PoolEntry]:
        """Liked and imported entries, oldest first (the curated ones live in files)."""
        with self.reading() as connection:
            return pool_rows.pool_entries(connection)

    def pool_state(self) -> PoolState:
        """Another one whenever `pool_entries` became others, be it by this process or by another; cheap to ask."""
        with self.reading() as connection:
            return pool_rows.pool_state(connection)

    def add_pool_entries(
        self, entries: Sequence[PoolEntry], from_turns: Mapping[str, Sequence[str]] | None = None
    ) -> int:
        """Adds entries that are new by their id; how many. `from_turns`: by entry id, the turns that it came from."""
        with self._writing() as connection:
            return pool_rows.add_pool_entries(connection, entries, from_turns or {})

    def remove_pool_entry(self, entry_id: str) -> bool:
        """Removes an entry; False when it is unknown."""
        with self._writing() as connection:
            return pool_rows.remove_pool_entry(connection, entry_id)

    def liked_replies(self, people: int = 2) -> list[LikedReply]:
        """Replies that at least this many consenting people gave a 👍, and no more a 👎."""
        with self.reading() as connection:
            return pool_rows.liked_replies(connection, people)

    # For the owner

    def glance(self, since: datetime) -> Glance:
        """What happened since then, and the votes of all times."""
        with self.reading() as connection:
            return read_glance(connection, since)

    def dialogs(self, limit: int = 20) -> list[DialogSummary]:
        """The latest dialogs, newest first."""
        with self.reading() as connection:
            return browse.list_dialogs(connection, limit)

    def dialog(self, dialog_id: str) -> LoggedDialog | None:
        """A whole dialog with its turns and votes, or None."""
        with self.reading() as connection:
            return browse.read_dialog(connection, dialog_id)

    def import_dialogs(
        self, dialogs: Sequence[importing.RatedDialog], progress: Callable[[int], object] | None = None
    ) -> dict[str, int]:
        """Fills an empty log with rated dialogs; how many rows of each kind. Raises LogNotEmpty."""
        with self._writing() as connection:
            return importing.import_dialogs(connection, dialogs, progress)
