"""What a chat can do, the same for every front end: talk, retry, vote, choose, and see or delete what is kept.

Front ends differ only in how they show things. So texts come out of here in the person's language, what may be chosen
comes as a `Question`, and what cannot be done is a `Refused` with the text to show. Store calls run in threads: a vote
waits for neither a model nor another chat.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from bot.inbox import Inbox, InboxStore
from bot.personas import Persona
from bot.texts import Texts
from storage.dialog import REASONS, Asked, Person, Turn, Vote, VoteKind, VoteValue
from storage.store import NotAddressed, UnknownTurn

Answerer: TypeAlias = Callable[[Asked], Awaitable[Turn]]
"""A message that was taken in, its logged turn out."""


class ConversationStore(InboxStore, Protocol):
    """What a conversation needs of a store; `storage.store.SqlDialogStore` says what each method does."""

    def person(self, person_id: str, language: str = "") -> Person: ...
    def change_person(
        self,
        person_id: str,
        *,
        language: str | None = None,
        buttons: bool | None = None,
        consent: bool | None = None,
    ) -> Person: ...
    def persona(self, chat: str) -> str: ...
    def set_persona(self, chat: str, name: str) -> None: ...
    def take(
        self, chat: str, person_id: str, text: str, update_key: str, external_id: str = "", language: str = ""
    ) -> Asked | None: ...
    def edit(self, chat: str, external_id: str, text: str) -> bool: ...
    def ask_again(self, turn_id: str, person_id: str, update_key: str = "") -> Asked: ...
    def new_dialog(self, chat: str) -> str: ...
    def add_delivery(self, turn_id: str, chat: str, external_ids: Sequence[str]) -> None: ...
    def turn(self, turn_id: str) -> Turn | None: ...
    def chat_of(self, turn_id: str) -> str | None: ...
    def last_turn(self, chat: str) -> Turn | None: ...
    def turn_at(self, chat: str, external_id: str) -> str | None: ...
    def add_vote(self, vote: Vote, chat: str) -> Vote: ...
    def vote_of(self, turn_id: str, person_id: str) -> Vote | None: ...
    def personal_data(self, person_id: str) -> dict[str, Any]: ...
    def forget(self, person_id: str) -> dict[str, int]: ...


class Refused(Exception):
    """Something that this person cannot do here. Its text, in their language, says why."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several things to choose: `value` goes back to the method that makes the choice, `label` is shown."""

    value: str
    label: str
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """Something to choose from."""

    text: str
    choices: tuple[Choice, ...]


class Conversation:
    """Everything that a front end may ask for. Blocking work never happens on the caller's thread."""

    def __init__(
        self,
        store: ConversationStore,
        answer: Answerer,
        texts: Texts,
        personas: Mapping[str, Persona],
        persona: str,
    ) -> None:
        """`persona` is the one of chats that chose none."""
        self._store = store
        self.inbox = Inbox(store)
        self.answer = answer
        self.texts = texts
        self._personas = personas
        self._persona = persona

    async def person(self, person_id: str, language: str | None = None) -> Person:
        """Somebody who writes. `language` is what their app speaks; it counts when they are new."""
        return await asyncio.to_thread(self._store.person, person_id, self.texts.language(language))

    def stranger(self, person_id: str, language: str | None = None) -> Person:
        """Somebody as they come, not written down: who is refused leaves no trace."""
        return Person(person_id, self.texts.language(language))

    # Talking

    async def take(
        self,
        chat: str,
        person_id: str,
        text: str,
        update_key: str,
        external_id: str = "",
        language: str | None = None,
    ) -> Asked | None:
        """Commits what somebody said, before anything slow; None when it was taken before."""
        spoken = self.texts.language(language)
        return await asyncio.to_thread(self._store.take, chat, person_id, text, update_key, external_id, spoken)

    async def hear(
        self,
        chat: str,
        person_id: str,
        text: str,
        update_key: str,
        external_id: str = "",
        language: str | None = None,
    ) -> Turn | None:
        """`take` and `answer` at once, for a front end that does one thing after the other."""
        asked = await self.take(chat, person_id, text, update_key, external_id, language)
        return None if asked is None else await self.answer(asked)

    async def last_turn(self, chat: str) -> Turn | None:
        """The chat's latest reply that was not sent back."""
        return await asyncio.to_thread(self._store.last_turn, chat)

    async def edit(self, chat: str, external_id: str, text: str) -> bool:
        """The log follows an edited message; False when it is not in it."""
        return await asyncio.to_thread(self._store.edit, chat, external_id, text)

    async def new(self, chat: str, person: Person) -> str:
        """Begins a fresh dialog."""
        await asyncio.to_thread(self._store.new_dialog, chat)
        return self.say(person, "new")

    async def may_retry(self, chat: str, person: Person, turn_id: str = "") -> str:
        """The chat's latest turn, which must be `turn_id` if that is given. Raises Refused. Only reads."""
        last = await asyncio.to_thread(self._store.last_turn, chat)
        if turn_id and (last is None or last.id != turn_id):
            raise Refused(self.say(person, "retry_old"))
        if last is None:
            raise Refused(self.say(person, "retry_nothing"))
        if last.asked.person_id != person.id:
            raise Refused(self.say(person, "not_addressed"))
        return last.id

    async def ask_again(self, chat: str, person: Person, turn_id: str = "", update_key: str = "") -> Asked:
        """Sends back the reply that `may_retry` tells, and asks its message again. Raises Refused."""
        last_id = await self.may_retry(chat, person, turn_id)
        try:
            return await asyncio.to_thread(self._store.ask_again, last_id, person.id, update_key)
        except (UnknownTurn, NotAddressed):  # forgotten or answered anew in between
            raise Refused(self.say(person, "retry_old")) from None

    async def retry(self, chat: str, person: Person, turn_id: str = "") -> Turn:
        """`ask_again` and `answer` at once. Raises Refused."""
        return await self.answer(await self.ask_again(chat, person, turn_id))

    async def shown(self, turn_id: str, chat: str, external_ids: Sequence[str]) -> None:
        """Notes where a reply appeared."""
        await asyncio.to_thread(self._store.add_delivery, turn_id, chat, external_ids)

    async def shown_at(self, chat: str, external_id: str) -> str | None:
        """The turn whose reply appeared there."""
        return await asyncio.to_thread(self._store.turn_at, chat, external_id)

    # Voting

    async def chat_of(self, turn_id: str) -> str | None:
        """The chat that a turn belongs to."""
        return await asyncio.to_thread(self._store.chat_of, turn_id)

    async def vote_of(self, turn_id: str, person: Person) -> Vote | None:
        """The vote of a person that stands."""
        return await asyncio.to_thread(self._store.vote_of, turn_id, person.id)

    async def may_vote(self, turn_id: str, chat: str, person: Person, reason: str = "") -> None:
        """Raises Refused unless the turn answered this person in this chat, and a reason has a 👎 to go with.

        Only reads, which waits for nobody: so a front end can answer before `vote` writes.
        """
        turn = await asyncio.to_thread(self._store.turn, turn_id)
        if turn is None or await self.chat_of(turn_id) != chat:
            raise Refused(self.say(person, "gone"))
        if turn.asked.person_id != person.id:
            raise Refused(self.say(person, "not_addressed"))
        standing = await self.vote_of(turn_id, person) if reason else None
        if reason and (reason not in REASONS or standing is None or standing.value != -1):
            raise Refused(self.say(person, "vote_reason_late"))

    async def vote(
        self, turn_id: str, chat: str, person: Person, value: VoteValue, kind: VoteKind, reason: str = ""
    ) -> Vote:
        """Sets a vote, takes it back with 0, or gives a reason to the 👎 that stands with 0 and that reason.

        The same again changes nothing. Returns the vote that stands now. Raises Refused.
        """
        await self.may_vote(turn_id, chat, person, reason)
        try:
            return await asyncio.to_thread(self._store.add_vote, Vote(turn_id, person.id, value, kind, reason), chat)
        except (UnknownTurn, NotAddressed):  # forgotten in between
            raise Refused(self.say(person, "gone")) from None

    # Choosing

    async def personas(self, chat: str, person: Person) -> Question:
        """The personas, with the one of this chat marked."""
        current = await asyncio.to_thread(self._store.persona, chat)
        current = current if current in self._personas else self._persona
        names = {name: persona.called(person.language) for name, persona in self._personas.items()}
        lines = [f"{names[name]}: {persona.described(person.language)}" for name, persona in self._personas.items()]
        text = "\n".join([self.say(person, "persona_ask"), "", *lines])
        return Question(text, tuple(Choice(name, label, name == current) for name, label in names.items()))

    async def set_persona(self, chat: str, person: Person, name: str) -> str:
        """Chooses a persona for the chat. Raises Refused."""
        if name not in self._personas:
            raise Refused(self.say(person, "persona_unknown"))
        await asyncio.to_thread(self._store.set_persona, chat, name)
        return self.say(person, "persona_set", name=self._personas[name].called(person.language))

    def languages(self, person: Person) -> Question:
        """The languages of the interface, with the person's own marked."""
        catalogues = self.texts.catalogues.items()
        choices = tuple(Choice(code, text.language, code == person.language) for code, text in catalogues)
        return Question(self.say(person, "language_ask"), choices)

    async def set_language(self, person: Person, language: str) -> str:
        """Chooses the interface's language. Raises Refused."""
        if language not in self.texts.catalogues:
            raise Refused(self.say(person, "language_unknown"))
        return self.say(await self._change(person, language=language), "language_set")

    def feedback(self, person: Person) -> str:
        """Whether vote buttons are shown."""
        return self.say(person, "feedback_on" if person.buttons else "feedback_off")

    async def set_feedback(self, person: Person, on: bool) -> str:
        """Shows or hides vote buttons."""
        return self.feedback(await self._change(person, buttons=on))

    # What is kept

    def privacy(self, person: Person) -> Question:
        """What is kept and what for. The one choice, "on" or "off", is the other one than now."""
        state = self.say(person, "privacy_in" if person.consent else "privacy_out")
        value, label = ("off", "privacy_opt_out") if person.consent else ("on", "privacy_opt_in")
        return Question(self.say(person, "privacy", state=state), (Choice(value, self.say(person, label)),))

    async def set_consent(self, person: Person, on: bool) -> Question:
        """Says whether dialogs may be learnt from; `privacy` as it is from now on."""
        return self.privacy(await self._change(person, consent=on))

    async def export(self, person: Person) -> dict[str, Any]:
        """Everything that is kept about a person, as a document for JSON."""
        return await asyncio.to_thread(self._store.personal_data, person.id)

    def ask_to_forget(self, person: Person) -> Question:
        """Whether to delete everything: "yes" or "no"."""
        choices = tuple(Choice(value, self.say(person, f"forget_{value}")) for value in ("yes", "no"))
        return Question(self.say(person, "forget_ask"), choices)

    async def forget(self, person: Person) -> str:
        """Deletes everything of this person for good."""
        await asyncio.to_thread(self._store.forget, person.id)
        return self.say(person, "forget_done")

    # Texts

    def say(self, person: Person, key: str, **values: str) -> str:
        """A text of the catalogue, in the person's language."""
        return self.texts.say(person.language, key, **values)

    def help(self, person: Person) -> str:
        """What a person can do, with the commands."""
        commands = self.texts.of(person.language).commands.items()
        return self.say(person, "help", commands="\n".join(f"/{name}: {does}" for name, does in commands))

    async def _change(
        self, person: Person, language: str | None = None, buttons: bool | None = None, consent: bool | None = None
    ) -> Person:
        return await asyncio.to_thread(
            self._store.change_person, person.id, language=language, buttons=buttons, consent=consent
        )
