"""The log of a bot with a life behind it: people come, talk for some days, vote now and then, send replies back, and
like some wordings more than others; in the middle a better ranker was promoted, then an experiment began."""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert

from storage.dialog import REASONS
from storage.schema import Base, CandidateRow, ChatRow, DialogRow, MessageRow, PersonRow, TurnRow, VoteEventRow, VoteRow
from storage.store import SqlDialogStore
from storage.versions import Promotion, Version

END = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)

SOURCES = {"retrieval": 0.5, "listening": 0.32, "generation": 0.1, "fallback": 0.05, "moderation": 0.03}

LIKED = {"retrieval": 0.5, "listening": 0.2, "generation": -1.2, "fallback": -1.5, "moderation": 0.8}
"""Log-odds of a like."""

STAGES = {"retrieval": 0.012, "generation": 0.16, "ranker": 0.055, "taste": 0.004, "policy": 0.0006}
"""Median seconds."""


@dataclass(slots=True)
class Life:
    """What goes into the log."""

    days: int
    wordings: Sequence[str]
    draw: random.Random
    votes: float = 0.12
    """The share of replies that somebody votes on."""
    rows: defaultdict[type[Base], list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))

    def person(self, number: int) -> None:
        """Somebody comes, and some come back."""
        draw, person = self.draw, f"telegram:{1000 + number}"
        came = END - timedelta(days=self.days * draw.random())
        yes = draw.random() < 0.7
        chosen = {"language": "en", "buttons": True, "consent": yes, "consent_at": came}
        self.rows[PersonRow].append({"id": person, "at": came, **chosen})
        self.rows[ChatRow].append({"key": person, "persona": ""})
        mood, day = draw.gauss(0, 0.7), came
        while day < END and draw.random() < 0.9:
            self.dialog(person, day, mood, ("now", "colder")[number % 2])
            if draw.random() < 0.45:
                break
            day += timedelta(days=draw.expovariate(0.4))

    def dialog(self, person: str, at: datetime, mood: float, variant: str) -> None:
        """A talk of some messages."""
        name = f"dialog {len(self.rows[DialogRow])}"
        count = 1 + int(self.draw.expovariate(0.15))
        end = at + timedelta(minutes=count)
        self.rows[DialogRow].append({"id": name, "chat": person, "at": at, "active_at": end, "ended_at": end})
        for number in range(count):
            place = len(self.rows[MessageRow]) + 1
            message = {"id": place, "dialog_id": name, "person_id": person, "text": "well"}
            said = at + timedelta(minutes=number)
            self.rows[MessageRow].append({**message, "update_key": str(place), "external_id": "", "at": said})
            back = self.draw.random() < 0.04
            self.turn(place, person, said, mood, variant, back)
            if back:
                self.turn(place, person, said + timedelta(seconds=20), mood, variant, False)

    def turn(self, message: int, person: str, at: datetime, mood: float, variant: str, back: bool) -> None:
        """A reply, and perhaps a vote on it."""
        draw, name = self.draw, f"turn {len(self.rows[TurnRow])}"
        source = draw.choices(list(SOURCES), list(SOURCES.values()))[0]
        place = min(int(draw.paretovariate(0.6)) - 1, len(self.wordings) - 1)
        late, last = at > END - timedelta(days=0.5 * self.days), at > END - timedelta(days=0.3 * self.days)
        versions = {"retrieval": f"MiniLM 1a2b, {8000 + len(self.rows[TurnRow])} replies", "policy": "2026-10-02"}
        versions["ranker"] = "ranker-2026-11-05-1" if late else "starter"
        if last:
            versions |= {"experiment": "colder", "variant": variant}
        odds = LIKED[source] + mood + math.sin(3.7 * place) + 0.7 * late + (0.5 if last and variant == "colder" else 0)
        reason = source if source == "fallback" else "moderated" if source == "moderation" else "policy"
        seconds = {stage: median * math.exp(draw.gauss(0, 0.4)) for stage, median in STAGES.items()}
        row = {"id": name, "message_id": message, "reply": self.wordings[place], "reason": reason, "probability": 0.5}
        self.rows[TurnRow].append(
            {**row, "versions": versions, "seconds": seconds, "retry_of": "", "rejected": back, "at": at}
        )
        if source != "fallback":
            ranker = {"ranker": odds - 0.8 * mood + draw.gauss(0, 0.6)}
            self.rows[CandidateRow].append(
                {
                    "turn_id": name, "rank": 0, "text": self.wordings[place], "source": source, "origin": "",
                    "score": 0.5, "features": ranker, "total": 1.0, "probability": 0.5, "veto": "", "chosen": True,
                }
            )  # fmt: skip
        if draw.random() < self.votes:
            liked = draw.random() < 1 / (1 + math.exp(-odds))
            because = draw.choices(("", *REASONS), (4, 5, 2, 3, 1, 0.5))[0]
            vote = {"turn_id": name, "person_id": person, "value": 1 if liked else -1, "kind": "button", "at": at}
            for table in (VoteRow, VoteEventRow):
                self.rows[table].append({**vote, "reason": "" if liked else because})


def live(
    store: SqlDialogStore, people: int, days: int, wordings: Sequence[str], votes: float = 0.12, seed: int = 0
) -> None:
    """Fills an empty log."""
    life = Life(days, wordings, random.Random(seed), votes)
    for number in range(people):
        life.person(number)
    with store._writing() as connection:
        for table in (PersonRow, ChatRow, DialogRow, MessageRow, TurnRow, CandidateRow, VoteRow, VoteEventRow):
            if life.rows[table]:
                connection.execute(insert(table), life.rows[table])
    promoted = END - timedelta(days=0.5 * days)
    for name, votes_there in (("ranker-2026-11-05-1", 420), ("taste-2026-11-12-1", 690)):
        kind = name.partition("-")[0]
        store.add_version(Version(name, kind, card={"votes": votes_there, "people": votes_there // 6}, at=promoted))
    store.mark_version("taste-2026-11-12-1", "refused")
    gain = {"value": 0.041, "low": 0.008, "high": 0.073}
    figures = [{"name": "AUC", "gain": gain, "rule": "gain over 0"}]
    verdict = {"passed": True, "votes": 210, "dialogs": 95, "figures": figures, "refusals": []}
    store.promote([Promotion("ranker", "ranker-2026-11-05-1", "anna", verdict=verdict, at=promoted)])
