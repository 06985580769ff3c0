"""How SQLite finds what a turn needs: by an index, however long the log is. A clock tells that on large logs only."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from turn_values import CHAT, PERSON, ask, talk, turn_for

from storage.dialog import Received, Silence, Vote, now
from storage.retention import expiry
from storage.store import SqlDialogStore

LOG = {"dialog", "message", "turn", "candidate", "vote", "vote_event", "delivery", "received"}
"""Tables that grow with every turn."""


SHORT = "ix_received_in_hand"
"""An index of the few rows that wait."""


@contextmanager
def executed() -> Iterator[list[tuple[str, Any]]]:
    """Every statement that is run meanwhile, with its parameters."""
    statements: list[tuple[str, Any]] = []

    def note(connection: object, cursor: object, statement: str, parameters: Any, context: object, many: bool) -> None:
        statements.append((statement, parameters[0] if many else parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def scanned(store: SqlDialogStore, call: Callable[[], object]) -> set[str]:
    """What a call reads from end to end: "table" or "table by index", as SQLite plans it. What has a limit is taken to
    end there: that it need not sort all first is checked."""
    with executed() as statements:
        call()
    found = set()
    with store.reading() as connection:
        for statement, parameters in statements:
            if statement.startswith(("SELECT", "UPDATE", "DELETE")):
                plan = [row[-1] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
                if "LIMIT" not in statement or "USE TEMP B-TREE FOR ORDER BY" in plan:
                    found |= {detail.removeprefix("SCAN ") for detail in plan if detail.startswith("SCAN ")}
    return {each for each in found if each.split()[0] in LOG and not each.endswith(SHORT)}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqlDialogStore]:
    """A log in which somebody talked."""
    with SqlDialogStore(f"sqlite:///{tmp_path / 'kith.db'}") as store:
        talk(store, "hi", "hello", "hey")
        yield store


def test_a_turn_reads_no_table_from_end_to_end(log: SqlDialogStore) -> None:
    def a_turn() -> None:
        log.receive(Received("telegram:1:1", PERSON, "{}"))
        log.person(PERSON)
        assert log.asked_since(PERSON, now() - timedelta(days=1), message_id=1) == 1
        asked = ask(log, "how are you?", external_id="7")
        log.context(asked)
        (turn,) = log.add_turns([turn_for(asked, "fine", "well", message="how are you?")])
        assert turn == log.last_turn(CHAT)
        log.add_delivery(turn.id, CHAT, ["8"])
        assert log.turn_at(CHAT, "8") == turn.id
        assert log.chat_of(turn.id) == CHAT
        log.finish("telegram:1:1")

    assert scanned(log, a_turn) == set()


def test_votes_retries_edits_and_new_dialogs_do_not_either(log: SqlDialogStore) -> None:
    def what_buttons_and_commands_do() -> None:
        asked = ask(log, "tell me a joke", external_id="9")
        log.add_turn(turn_for(asked, "no"))
        turn = log.last_turn(CHAT)
        assert turn and log.answer_to(asked)
        log.add_vote(Vote(turn.id, PERSON, -1, "button"), CHAT)
        assert log.vote_of(turn.id, PERSON)
        log.edit(CHAT, "9", "a joke")
        log.ask_again(turn.id, PERSON, "telegram:1:2")
        log.asked_again("telegram:1:2")
        log.set_persona(CHAT, "friend")
        log.new_dialog(CHAT)

    assert scanned(log, what_buttons_and_commands_do) == set()


def test_what_runs_beside_turns_does_not_either(log: SqlDialogStore) -> None:
    silence = Silence(8, now() - timedelta(hours=1), now())
    looks: dict[str, Callable[[], object]] = {
        "health": log.updates_in_hand,
        "promotions": log.last_promotion,
        "blocked": log.blocked,
        "after talks": lambda: log.ask_after_talk("telegram", silence, lambda talk: False),
        "prune": lambda: log.prune(expiry(30, 24)),
        "forget": lambda: log.forget("telegram:7"),
        "export": lambda: log.personal_data(PERSON),
    }
    assert {name: found for name, look in looks.items() if (found := scanned(log, look))} == {}


def test_stats_read_what_was_said_and_not_all_that_was_considered(log: SqlDialogStore) -> None:
    found = scanned(log, lambda: log.glance(now() - timedelta(days=1)))
    assert "candidate USING COVERING INDEX ix_candidate_chosen" in found
    assert "candidate" not in found
