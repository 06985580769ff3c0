"""Versions of models in the log: what was trained here, and which of them was to serve from when on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, func, insert, select, update

from storage.database import insert_new
from storage.dialog import now
from storage.schema import PromotionRow, VersionRow
from storage.transactions import Transactions

State: TypeAlias = Literal["new", "promoted", "refused", "broken"]
"""What became of a version: nothing yet; it was promoted; the gate refused it; a bot could not take it up."""


@dataclass(frozen=True, slots=True)
class Version:
    """A model that was trained here, under the name of its folder."""

    name: str
    kind: str
    parent: str = ""
    """The version that it was trained onward from; "" for a shipped one and one from elsewhere."""
    card: Mapping[str, Any] = field(default_factory=dict)
    """How it came to be, fit for JSON: see bot/versions.py."""
    state: State = "new"
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True)
class Promotion:
    """A version is to serve its kind from now on; with `back` it is what served before."""

    kind: str
    name: str
    """ "" is the shipped model."""
    by: str = ""
    back: bool = False
    forced: bool = False
    verdict: Mapping[str, Any] = field(default_factory=dict)
    """The gate's, fit for JSON; empty when it was not asked."""
    at: datetime = field(default_factory=now)


class KeepingVersions(Transactions):
    """The part of a store that keeps versions and promotions."""

    def add_version(self, version: Version) -> bool:
        """Keeps a version; False when there is one of that name."""
        values = {"name": version.name, "kind": version.kind, "parent": version.parent, "at": version.at}
        with self._writing() as connection:
            return insert_new(connection, VersionRow, **values, card=dict(version.card), state=version.state)

    def version(self, name: str) -> Version | None:
        """A version by its name, or None."""
        with self.reading() as connection:
            found = connection.execute(select(VersionRow.__table__).where(VersionRow.name == name)).mappings().first()
        return Version(**found) if found else None

    def versions(self) -> list[Version]:
        """All versions, newest first."""
        rows = select(VersionRow.__table__).order_by(VersionRow.at.desc(), VersionRow.name.desc())
        with self.reading() as connection:
            return [Version(**row) for row in connection.execute(rows).mappings()]

    def mark_version(self, name: str, state: State) -> None:
        """Sets what became of a version."""
        with self._writing() as connection:
            _mark(connection, name, state)

    def promote(self, promotions: Sequence[Promotion]) -> None:
        """Keeps promotions in their order, all of them or none, and marks their versions: those of one call are taken
        up together."""
        with self._writing() as connection:
            for each in promotions:
                values = {"kind": each.kind, "name": each.name, "at": each.at, "by": each.by}
                facts = {"back": each.back, "forced": each.forced, "verdict": dict(each.verdict)}
                connection.execute(insert(PromotionRow).values(**values, **facts))
                _mark(connection, each.name, "promoted")

    def promotions(self) -> list[Promotion]:
        """All promotions, oldest first."""
        with self.reading() as connection:
            return _promotions(connection)

    def last_promotion(self) -> int:
        """Another number whenever something was promoted or rolled back, for a bot that looks every few seconds."""
        with self.reading() as connection:
            return int(connection.execute(select(func.coalesce(func.max(PromotionRow.id), 0))).scalar_one())

    def promoted(self) -> dict[str, str]:
        """By kind, the version that was promoted last, but for those that could not be taken up, in whose place what
        served before stays. Kinds that shipped models serve are not there."""
        with self.reading() as connection:
            broken = set(connection.scalars(select(VersionRow.name).where(VersionRow.state == "broken")))
            steps = _steps(connection)
        standing = {kind: [name for name in names if name not in broken] for kind, names in steps.items()}
        return {kind: names[-1] for kind, names in standing.items() if names[-1]}

    def served_before(self, kind: str) -> str | None:
        """What a rollback of this kind goes back to, "" being the shipped model; None when that serves already. Two
        rollbacks in a row go back two promotions."""
        with self.reading() as connection:
            names = _steps(connection).get(kind, [""])
        return names[-2] if len(names) > 1 else None


def _mark(connection: Connection, name: str, state: State) -> None:
    connection.execute(update(VersionRow).where(VersionRow.name == name).values(state=state))


def _promotions(connection: Connection) -> list[Promotion]:
    columns = [column for column in PromotionRow.__table__.c if column.name != "id"]
    return [Promotion(**row) for row in connection.execute(select(*columns).order_by(PromotionRow.id)).mappings()]


def _steps(connection: Connection) -> dict[str, list[str]]:
    """By kind what rollbacks would go back to, step by step, and at the end what was promoted last."""
    steps: defaultdict[str, list[str]] = defaultdict(lambda: [""])
    for each in _promotions(connection):
        if not each.back:
            steps[each.kind].append(each.name)
        elif len(steps[each.kind]) > 1:
            steps[each.kind].pop()
    return steps
