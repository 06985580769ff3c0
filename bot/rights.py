"""Who may talk to Kith and how much, as its owner said: by settings, and by /block. The same for every front end.

Who is blocked is told nothing, and who is on no allow-list is told so once; neither is written down. Quotas are counted
in the log, so that a restart gives nobody more. Whoever sits at the terminal has the log itself, so an allow-list and
quotas are for those who come over a network.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from bot.texts import Texts
from storage.dialog import Glance, Person, now

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

WINDOWS = {"quota_minute": MINUTE, "quota_day": DAY}
"""For how long a quota counts, by the key of what is said when it is used up."""

TOLD_AT_MOST = 10_000
"""People of whom it is remembered that they were told; of more, the first ones might be told again."""


class RightsStore(Protocol):
    """What is needed of a store; `storage.store.SqlDialogStore` says what each method does."""

    def blocked(self) -> frozenset[str]: ...
    def block(self, name: str) -> bool: ...
    def unblock(self, name: str) -> bool: ...
    def asked_since(self, person_id: str, since: datetime, message_id: int | None = None) -> int: ...
    def glance(self, since: datetime) -> Glance: ...


class Refused(Exception):
    """Something that this person cannot do here. Its text, in their language, says why; "" is for saying nothing."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say. Names are ids of people and chats, such as "telegram:42" or "telegram:-100"."""

    allowed: frozenset[str] = frozenset()
    """Empty: everybody."""
    blocked: frozenset[str] = frozenset()
    admins: frozenset[str] = frozenset()
    a_minute: int = 0
    """Replies that one person may ask for; 0: any number."""
    a_day: int = 0


class Rights:
    """The rules, and whom an admin blocked since. Who is shut out costs no look into the log, however often they
    write."""

    def __init__(self, store: RightsStore, texts: Texts, rules: Rules, clock: Callable[[], datetime] = now) -> None:
        self._store, self._texts, self._rules, self._clock = store, texts, rules, clock
        self._blocked = store.blocked()
        self._told: dict[tuple[str, str], datetime] = {}

    def is_admin(self, person_id: str) -> bool:
        """Whether somebody runs this bot. Nothing keeps an admin out."""
        return person_id in self._rules.admins

    def shut_out(self, chat: str, person_id: str) -> str:
        """Why somebody may not talk here: "blocked", "not_allowed", or "" when they may."""
        group = ":".join(chat.split(":")[:2])  # of one of its topics
        names = {person_id, chat, group}
        if self.is_admin(person_id):
            return ""
        if names & (self._rules.blocked | self._blocked):
            return "blocked"
        allowed = not self._rules.allowed or _is_here(person_id) or bool(names & self._rules.allowed)
        return "" if allowed else "not_allowed"

    def admit(self, chat: str, person: Person) -> None:
        """Raises Refused for who is shut out."""
        if key := self.shut_out(chat, person.id):
            raise self.refused(chat, person, key)

    def over(self, person_id: str, message_id: int | None = None) -> str:
        """The quota that somebody has used up: "quota_minute", "quota_day", or "". Waits for the log.

        `message_id` is the message that they want answered again.
        """
        if self.is_admin(person_id) or _is_here(person_id):
            return ""
        for key, most in (("quota_minute", self._rules.a_minute), ("quota_day", self._rules.a_day)):
            if most and self._store.asked_since(person_id, self._clock() - WINDOWS[key], message_id) >= most:
                return key
        return ""

    def refused(self, who: str, person: Person, key: str) -> Refused:
        """The refusal to raise. `who`, a person or chat, is told of a quota once in its time, of an allow-list once."""
        at, told = self._clock(), self._told.get((who, key))
        again = told is not None and (key not in WINDOWS or at - told < WINDOWS[key])
        if again or key == "blocked":
            return Refused("")
        self._told[who, key] = at
        if len(self._told) > TOLD_AT_MOST:
            del self._told[next(iter(self._told))]
        return Refused(self._texts.say(person.language, key, number=who.split(":")[1]))

    # For admins

    def glance(self) -> Glance:
        """What happened in the last day, and the votes of all times. Waits for the log."""
        return self._store.glance(self._clock() - DAY)

    def blocked(self) -> list[str]:
        """Who was blocked by `block`."""
        return sorted(self._blocked)

    def block(self, name: str) -> bool:
        """Shuts a person or chat out from now on; False for an admin. Waits for the log."""
        if self.is_admin(name):
            return False
        self._store.block(name)
        self._blocked |= {name}
        return True

    def unblock(self, name: str) -> bool:
        """Lets them in again; False when they are blocked by the settings or not at all. Waits for the log."""
        known = self._store.unblock(name)
        self._blocked -= {name}
        return known and name not in self._rules.blocked


def full_id(text: str) -> str | None:
    """A person or chat as the log names it: of "42" and "-100" those of Telegram. None for what is no id."""
    if re.fullmatch(r"-?[0-9]{1,20}", text):
        return f"telegram:{int(text)}"
    return text if re.fullmatch(r"telegram:-?[0-9]{1,20}(:[0-9]{1,20})?|console:[\w.-]{1,64}", text) else None


def _is_here(person_id: str) -> bool:
    return person_id.startswith("console:")
