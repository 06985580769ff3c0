"""How are you after this talk? Asked when a longer talk has fallen silent, at most once a day a person.

As Replika measures whether talks do people good. Not asked are groups, people who did not say yes to learning, who
chose /feedback off or whom the owner shut out; and after a sign of danger, or moderated words, silence is kinder.
"""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, cast

from bot.questions import Choice, Question
from bot.rights import Refused, Rights
from bot.texts import Texts
from storage.dialog import FEELINGS, Feeling, Person, Silence, Talk, now

LEAST = 8
"""Messages of the person in the last day that make up a longer talk."""

SILENT = timedelta(minutes=10)
"""After the last message or reply: then most people are done."""

LATEST = timedelta(hours=1)
"""After that a talk is too long over to be asked about, as when the bot did not run meanwhile."""


class AfterTalkStore(Protocol):
    """What is needed of a store; `storage.store.SqlDialogStore` says what each method does."""

    def ask_after_talk(self, whose: str, silence: Silence, spare: Callable[[Talk], bool]) -> Talk | None: ...
    def asked_after_talk(self, question_id: str) -> str | None: ...
    def feels(self, question_id: str, person_id: str, feeling: Feeling) -> bool: ...


class AfterTalk:
    """Whom to ask, and what they answer. Its calls of the store run in threads, as a conversation's do."""

    def __init__(
        self, store: AfterTalkStore, texts: Texts, rights: Rights, in_danger: Callable[[str], bool] | None
    ) -> None:
        """`in_danger` tells a message that is a sign of danger; without it nobody is asked."""
        self._store, self._texts, self._rights, self._in_danger = store, texts, rights, in_danger

    async def next(self, whose: str, silent: timedelta | None = None) -> Talk | None:
        """Somebody to be asked now, who counts as asked from here on: so after a crash nobody is asked twice.

        `whose` is a front end, "telegram", or one person of it; `silent` is for a talk that is known to be over.
        """
        if self._in_danger is None:
            return None
        at = now()
        silence = Silence(LEAST, at - LATEST, at - (SILENT if silent is None else silent))
        return await asyncio.to_thread(self._store.ask_after_talk, whose, silence, self._spare)

    def question(self, person: Person, feeling: str = "") -> Question:
        """What is asked, with the answer that stands marked."""
        choices = (Choice(each, self._say(person, each), each == feeling) for each in FEELINGS)
        return Question(self._say(person, "ask"), tuple(choices))

    async def may_answer(self, question_id: str, person: Person, feeling: str) -> str:
        """What is said to that answer. Raises Refused unless it is one, and this person was asked. Only reads."""
        if feeling not in FEELINGS:
            raise Refused(self._texts.say(person.language, "unknown_button"))
        asked = await asyncio.to_thread(self._store.asked_after_talk, question_id)
        if asked is None:
            raise Refused(self._say(person, "gone"))
        if asked != person.id:
            raise Refused(self._texts.say(person.language, "not_addressed"))
        return self._say(person, f"said_{feeling}")

    async def answer(self, question_id: str, person: Person, feeling: str) -> str:
        """Keeps an answer that `may_answer` allows, in the place of an earlier one; what is said to it. Raises
        Refused."""
        said = await self.may_answer(question_id, person, feeling)
        if not await asyncio.to_thread(self._store.feels, question_id, person.id, cast(Feeling, feeling)):
            raise Refused(self._say(person, "gone"))  # forgotten in between
        return said

    def _spare(self, talk: Talk) -> bool:
        in_danger = self._in_danger or bool
        return bool(self._rights.shut_out(talk.chat, talk.person.id)) or any(map(in_danger, talk.said))

    def _say(self, person: Person, key: str) -> str:
        return self._texts.say(person.language, f"after_talk_{key}")
