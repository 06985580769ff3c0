"""What `kith report` reads of the log: groups of replies, wordings, reasons, and who stays; in both databases."""

import math
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
from lived_log import END, live
from turn_values import ask, talk, turn_for

from storage.dialog import Vote, VoteValue
from storage.report import Report, read_report
from storage.store import SqlDialogStore


def read(store: SqlDialogStore, days: float | None = None) -> Report:
    with store.reading() as connection:
        return read_report(connection, None if days is None else END - timedelta(days=days))


def said(
    store: SqlDialogStore, person: str, reply: str, value: VoteValue, reason: str = "", source: str = "retrieval"
) -> None:
    turn = turn_for(ask(store, "well", person, person), reply, message="well", source=source)
    store.add_turn(turn)
    store.add_vote(Vote(turn.id, person, value, "button", reason), person)


def test_an_empty_log_has_no_figures(store: SqlDialogStore) -> None:
    found = read(store)
    assert (found.people, found.replied.all.turns, found.replied.periods, found.judged.best) == (0, 0, (), ())
    assert math.isnan(found.replied.all.approval.value)
    assert {step.people for step in found.funnel} == {0}


def test_each_person_counts_once_for_a_wording(store: SqlDialogStore) -> None:
    for _ in range(5):
        said(store, "telegram:1", "Go on.", 1)
    said(store, "telegram:1", "Go on.", -1, "repeats")
    said(store, "telegram:2", "Go  on.", -1, "boring")
    said(store, "telegram:3", "Go on.", -1, "boring")
    said(store, "telegram:3", "Tell me.", 1)
    judged = read(store).judged
    (worst,) = judged.worst
    assert (worst.text, worst.likes, worst.dislikes, worst.reason) == ("Go on.", 0, 3, "boring")
    assert [(best.text, best.likes) for best in judged.best] == [("Tell me.", 1)]


def test_one_vote_says_less_than_many_that_agree(store: SqlDialogStore) -> None:
    said(store, "telegram:1", "Once.", 1)
    for person in range(4):
        said(store, f"telegram:{person}", "Often.", 1)
        said(store, f"telegram:{person}", "Bad.", -1)
    assert [best.text for best in read(store).judged.best] == ["Often.", "Once."]


def test_words_of_grave_moments_and_of_who_did_not_say_yes_are_not_shown(store: SqlDialogStore) -> None:
    said(store, "telegram:1", "Call this line.", -1, source="moderation")
    store.change_person("telegram:2", consent=False)
    said(store, "telegram:2", "A secret.", -1, "rude")
    found = read(store)
    assert found.judged.worst == ()
    assert [(reason.name, reason.dislikes) for reason in found.judged.reasons] == [("", 1), ("rude", 1)]
    assert found.replied.all.dislikes == 2


def test_a_pool_that_grows_is_no_new_version_of_the_retriever(store: SqlDialogStore) -> None:
    for number, version in enumerate(("MiniLM 1, 10 replies", "MiniLM 1, 11 replies", "MiniLM 2, 11 replies")):
        turn = turn_for(ask(store, "well", f"telegram:{number}", f"telegram:{number}"), "Yes.")
        store.add_turn(replace(turn, versions={"retrieval": version, "experiment": "e", "variant": "v"}))
    found = read(store)
    assert {model: [(g.name, g.turns) for g in groups] for model, groups in found.replied.by_version.items()} == {
        "retrieval": [("MiniLM 1", 2), ("MiniLM 2", 1)]
    }
    assert [experiment.name for experiment in found.experiments] == ["e"]


@pytest.mark.parametrize(("days", "length"), [(20, 1), (90, 7), (400, 28)])
def test_periods_hold_all_replies_and_end_today(store: SqlDialogStore, days: int, length: int) -> None:
    live(store, 40, days, ["Go on.", "Yes."])
    found = read(store)
    periods = found.replied.periods
    assert {period.days for period in periods} == {length}
    assert sum(period.turns for period in periods) == found.replied.all.turns
    assert sum(period.likes for period in periods) == found.replied.all.likes
    assert all(later.start - earlier.start == timedelta(days=length) for earlier, later in pairwise(periods))


def test_who_came_back_another_day_is_counted(store: SqlDialogStore) -> None:
    live(store, 60, 30, ["Go on."], votes=0.3)
    steps = {step.name: step for step in read(store).funnel}
    assert steps["started"].people == 60
    assert 0 < steps["came back another day"].people < 60
    back = steps["came back another day"].share
    assert back.low < back.value < back.high
    assert {step.name: step for step in read(store, days=10).funnel}["started"].people < 60


def test_what_was_sent_back_is_a_share_of_all_replies(store: SqlDialogStore) -> None:
    first = talk(store, "hi", "Hello.")
    store.add_turn(turn_for(store.ask_again(first.id, first.asked.person_id), "Hey."))
    whole = read(store).replied.all
    assert (whole.turns, whole.sent_back.value) == (2, 0.5)
    assert math.isnan(whole.sent_back.low), "one person says nothing of others"
