"""What a chat can do, the same for every front end: talk, retry, vote, choose, and see or delete what is kept.

Front ends differ only in how they show things. So texts come out of here in the person's language, what may be chosen
comes as a `Question`, and what cannot be done is a `Refused` with the text to show. Store calls run in threads: a vote
waits for neither a model nor another chat.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

from bot.after_talk import AfterTalk
from bot.conversation_store import ConversationStore
from bot.events import Watch, log_event
from bot.inbox import Inbox
from bot.personas import Persona
from bot.questions import Choice, Question
from bot.rights import Refused as Refused
from bot.rights import Rights, Rules
from bot.texts import Texts
from storage.dialog import REASONS, Asked, Person, Turn, Vote, VoteKind, VoteValue
from storage.store import NotAddressed, UnknownTurn

Answerer: TypeAlias = Callable[[Asked], Awaitable[Turn]]
"""A message that was taken in, its logged turn out."""


class Conversation:
    """Everything that a front end may ask for. Blocking work never happens on the caller's thread."""

    def __init__(
        self,
        store: ConversationStore,
        answer: Answerer,
        texts: Texts,
        personas: Mapping[str, Persona],
        persona: str,
        rules: Rules | None = None,
        opted_out_hours: float = 24,
        watch: Watch = log_event,
        forgotten: Callable[[], Awaitable[object]] | None = None,
        in_danger: Callable[[str], bool] | None = None,
    ) -> None:
        """`persona` is the one of chats that chose none. `opted_out_hours` is told to who asks what is kept; `watch` is
        told of votes. `forgotten` is awaited after somebody was: what is kept of them outside the store goes then.
        `in_danger` tells signs of danger, after which nobody is asked how they feel; without it nobody ever is."""
        self.rights = Rights(store, texts, rules or Rules())
        self.inbox = Inbox(store)
        self.after_talk = AfterTalk(store, texts, self.rights, in_danger)
        self._store = store
        self.answer = answer
        self.texts = texts
        self._personas = personas
        self._persona = persona
        self._opted_out_hours = opted_out_hours
        self._watch = watch
        self._forgotten = forgotten

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
        """Commits what somebody said, before anything slow; None when it was taken before. Raises Refused."""
        self.rights.admit(chat, self.stranger(person_id, language))
        over = await asyncio.to_thread(self.rights.over, person_id)
        if over and not await self.inbox.taken(update_key):
            raise self.rights.refused(person_id, await self.person(person_id), over)
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
        self.rights.admit(chat, person)
        last = await asyncio.to_thread(self._store.last_turn, chat)
        if turn_id and (last is None or last.id != turn_id):
            raise Refused(self.say(person, "retry_old"))
        if last is None:
            raise Refused(self.say(person, "retry_nothing"))
        if last.asked.person_id != person.id:
            raise Refused(self.say(person, "not_addressed"))
        if over := await asyncio.to_thread(self.rights.over, person.id, last.asked.message_id):
            raise self.rights.refused(person.id, person, over)
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
        self.rights.admit(chat, person)
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
        vote = Vote(turn_id, person.id, value, kind, reason)
        try:
            standing = await asyncio.to_thread(self._store.add_vote, vote, chat)
        except (UnknownTurn, NotAddressed):  # forgotten in between
            raise Refused(self.say(person, "gone")) from None
        if standing.at == vote.at:  # else the same again
            self._watch(standing)
        return standing

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

    def start(self, chat: str, person: Person) -> str | Question:
        """Who Kith is and, in a private chat, until they have said it, whether it may learn: "on" or "off"."""
        text = self.say(person, "start")
        if chat != person.id and not chat.startswith(f"{person.id}:"):  # a group, whom the answer does not concern
            return text
        text += "\n\n" + self._consent_of(person)
        return text if person.consent is not None else Question(text, self._consents(person))

    def privacy(self, person: Person) -> Question:
        """What is kept and what for. The choices, "on" and "off", are the others than now."""
        return Question(self.say(person, "privacy", state=self._consent_of(person)), self._consents(person))

    async def set_consent(self, person: Person, on: bool) -> Person:
        """Says whether dialogs may be learnt from; the person as they are from now on."""
        return await self._change(person, consent=on)

    def _consent_of(self, person: Person) -> str:
        key = {True: "privacy_in", False: "privacy_out", None: "privacy_ask"}[person.consent]
        return self.say(person, key, hours=f"{self._opted_out_hours:g}")

    def _consents(self, person: Person) -> tuple[Choice, ...]:
        labels = {"on": "privacy_opt_in", "off": "privacy_opt_out"}
        now = {True: "on", False: "off", None: ""}[person.consent]
        return tuple(Choice(value, self.say(person, label)) for value, label in labels.items() if value != now)

    async def export(self, person: Person) -> dict[str, Any]:
        """Everything that is kept about a person, as a document for JSON. Raises Refused."""
        self.rights.admit(person.id, person)
        return await asyncio.to_thread(self._store.personal_data, person.id)

    def ask_to_forget(self, person: Person) -> Question:
        """Whether to delete everything: "yes" or "no"."""
        choices = tuple(Choice(value, self.say(person, f"forget_{value}")) for value in ("yes", "no"))
        return Question(self.say(person, "forget_ask"), choices)

    async def forget(self, person: Person) -> str:
        """Deletes everything of this person for good, and says so when it is done."""
        await asyncio.to_thread(self._store.forget, person.id)
        if self._forgotten:
            await self._forgotten()
        return self.say(person, "forget_done")

    # Texts

    def say(self, person: Person, key: str, **values: str) -> str:
        """A text of the catalogue, in the person's language."""
        return self.texts.say(person.language, key, **values)

    def help(self, person: Person) -> str:
        """What a person can do, with the commands."""
        catalogue = self.texts.of(person.language)
        commands = {**catalogue.commands, **(catalogue.admin if self.rights.is_admin(person.id) else {})}
        return self.say(person, "help", commands="\n".join(f"/{name}: {does}" for name, does in commands.items()))

    async def _change(
        self, person: Person, language: str | None = None, buttons: bool | None = None, consent: bool | None = None
    ) -> Person:
        return await asyncio.to_thread(
            self._store.change_person, person.id, language=language, buttons=buttons, consent=consent
        )
