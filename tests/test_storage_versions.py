"""Versions and promotions in the log: what serves, and what a rollback goes back to."""

from datetime import UTC, datetime

from storage.store import SqlDialogStore
from storage.versions import Promotion, Version

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def add(store: SqlDialogStore, *names: str) -> None:
    for name in names:
        assert store.add_version(Version(name, name.partition("-")[0], card={"votes": 7}))


def promote(store: SqlDialogStore, *names: str) -> None:
    store.promote([Promotion(name.partition("-")[0], name) for name in names])


def roll_back(store: SqlDialogStore, kind: str) -> None:
    before = store.served_before(kind)
    assert before is not None
    store.promote([Promotion(kind, before, back=True)])


def test_a_version_is_kept_as_it_was_given_and_never_overwritten(store: SqlDialogStore) -> None:
    version = Version("ranker-1", "ranker", "ranker-0", {"votes": 2000, "seeds": [1, 2]}, at=NOON)
    assert store.add_version(version)
    assert not store.add_version(Version("ranker-1", "taste"))
    assert store.version("ranker-1") == version
    assert store.versions() == [version]
    assert store.version("ranker-2") is None


def test_the_newest_promotion_of_each_kind_serves(store: SqlDialogStore) -> None:
    add(store, "ranker-1", "ranker-2", "policy-1")
    assert store.promoted() == {}
    promote(store, "ranker-1", "policy-1")
    promote(store, "ranker-2")
    assert store.promoted() == {"ranker": "ranker-2", "policy": "policy-1"}
    assert {version.state for version in store.versions()} == {"promoted"}


def test_rollbacks_go_back_step_by_step_to_the_shipped_model_and_no_further(store: SqlDialogStore) -> None:
    add(store, "ranker-1", "ranker-2", "policy-1")
    promote(store, "ranker-1", "policy-1", "ranker-2")
    for left in ({"ranker": "ranker-1", "policy": "policy-1"}, {"policy": "policy-1"}):
        roll_back(store, "ranker")
        assert store.promoted() == left
    assert store.served_before("ranker") is None
    promote(store, "ranker-2")
    assert store.served_before("ranker") == ""


def test_what_could_not_be_taken_up_leaves_its_place_to_what_served_before(store: SqlDialogStore) -> None:
    add(store, "ranker-1", "ranker-2")
    promote(store, "ranker-1", "ranker-2")
    store.mark_version("ranker-2", "broken")
    assert store.promoted() == {"ranker": "ranker-1"}
    roll_back(store, "ranker")
    assert store.promoted() == {"ranker": "ranker-1"}
    promote(store, "ranker-2")  # mended
    assert store.promoted() == {"ranker": "ranker-2"}


def test_promotions_are_kept_with_their_verdict(store: SqlDialogStore) -> None:
    add(store, "ranker-1")
    made = Promotion("ranker", "ranker-1", "anna", forced=True, verdict={"passed": False}, at=NOON)
    store.promote([made])
    assert store.promotions() == [made]
