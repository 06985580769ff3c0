"""Versions of models in the log: what was trained here, and which of them was to serve from when on."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, insert, select, update

from storage.database import insert_new
from storage.dialog import now
from storage.schema import PromotionRow, VersionRow

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


def add_version(connection: Connection, version: Version) -> bool:
    """Keeps a version; False when there is one of that name."""
    values = {"name": version.name, "kind": version.kind, "parent": version.parent, "at": version.at}
    return insert_new(connection, VersionRow, **values, card=dict(version.card), state=version.state)


def find_version(connection: Connection, name: str) -> Version | None:
    """A version by its name, or None."""
    found = connection.execute(select(VersionRow.__table__).where(VersionRow.name == name)).mappings().one_or_none()
    return Version(**found) if found else None


def list_versions(connection: Connection) -> list[Version]:
    """All versions, newest first."""
    rows = connection.execute(select(VersionRow.__table__).order_by(VersionRow.at.desc(), VersionRow.name.desc()))
    return [Version(**row) for row in rows.mappings()]


def mark_version(connection: Connection, name: str, state: State) -> None:
    """Sets what became of a version."""
    connection.execute(update(VersionRow).where(VersionRow.name == name).values(state=state))


def promote(connection: Connection, promotions: Sequence[Promotion]) -> None:
    """Keeps promotions in their order, and marks the versions as promoted."""
    for each in promotions:
        values = {"kind": each.kind, "name": each.name, "at": each.at, "by": each.by}
        facts = {"back": each.back, "forced": each.forced, "verdict": dict(each.verdict)}
        connection.execute(insert(PromotionRow).values(**values, **facts))
        mark_version(connection, each.name, "promoted")


def list_promotions(connection: Connection) -> list[Promotion]:
    """All promotions, oldest first."""
    columns = [column for column in PromotionRow.__table__.c if column.name != "id"]
    return [Promotion(**row) for row in connection.execute(select(*columns).order_by(PromotionRow.id)).mappings()]


def promoted(connection: Connection) -> dict[str, str]:
    """By kind, the version that was promoted last, but for those that could not be taken up, in whose place what served
    before stays. Kinds that shipped models serve are not there."""
    broken = set(connection.scalars(select(VersionRow.name).where(VersionRow.state == "broken")))
    standing = {kind: [name for name in names if name not in broken] for kind, names in _served(connection).items()}
    return {kind: names[-1] for kind, names in standing.items() if names[-1]}


def served_before(connection: Connection, kind: str) -> str | None:
    """What a rollback of this kind goes back to, "" being the shipped model; None when that serves already. Two
    rollbacks in a row go back two promotions."""
    served = _served(connection).get(kind, [""])
    return served[-2] if len(served) > 1 else None


def _served(connection: Connection) -> dict[str, list[str]]:
    """By kind what a rollback would go back to, step by step, and at the end what was promoted last."""
    served: defaultdict[str, list[str]] = defaultdict(lambda: [""])
    for each in list_promotions(connection):
        if not each.back:
            served[each.kind].append(each.name)
        elif len(served[each.kind]) > 1:
            served[each.kind].pop()
    return served
