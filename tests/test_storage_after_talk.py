"""How people feel after talks: who is asked and how often, what is kept, exported, forgotten and counted."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from exporting import exported
from sqlalchemy import func, select, update
from turn_values import CHAT, PERSON, ask, talk, turn_for

from storage.dialog import Feeling, Silence, Talk, now
from storage.experiments import read_experiments
from storage.retention import Expiry
from storage.schema import AfterTalkRow, DialogRow, MessageRow
from storage.stats import read_stats
from storage.store import SqlDialogStore

OTHER, GROUP = "telegram:43", "telegram:-100"
HOUR = timedelta(hours=1)


def over(least: int = 2, ended: timedelta = timedelta(0)) -> Silence:
    """A talk of at least so many messages in the last hour that ended so long ago."""
    return Silence(least, now() - HOUR, now() - ended)


def asked(store: SqlDialogStore, silence: Silence | None = None, spare: Callable[[Talk], bool] | None = None) -> Talk:
    found = store.ask_after_talk("telegram", silence or over(), spare or (lambda talk: False))
    assert found
    return found


def nobody(store: SqlDialogStore, silence: Silence | None = None, spare: Callable[[Talk], bool] | None = None) -> bool:
    return store.ask_after_talk("telegram", silence or over(), spare or (lambda talk: False)) is None


def long_talk(store: SqlDialogStore, chat: str = CHAT, person: str = PERSON) -> str:
    """Two messages and their replies; the dialog."""
    talk(store, "one", "hello", chat=chat, person=person)
    return talk(store, "two", "hey", chat=chat, person=person).asked.dialog_id


def days_pass(store: SqlDialogStore, days: float, goes_on: bool = False) -> None:
    """Everything that was asked and said is so much older; `goes_on`: in dialogs that were never silent for long."""
    for column in (AfterTalkRow.at, MessageRow.at, *([] if goes_on else [DialogRow.active_at])):
        with store._writing() as connection:
            row = column.class_
            for key, at in connection.execute(select(row.id, column)).all():
                older = {column.name: at - timedelta(days=days)}
                connection.execute(update(row).where(row.id == key).values(**older))


def rows(store: SqlDialogStore) -> int:
    with store.reading() as connection:
        return connection.execute(select(func.count()).select_from(AfterTalkRow)).scalar_one()


# Who is asked


def test_after_a_longer_talk_the_person_is_asked_once(store: SqlDialogStore) -> None:
    dialog = long_talk(store)
    found = asked(store)
    assert (found.dialog_id, found.chat, found.person.id, found.said) == (dialog, CHAT, PERSON, ("one", "two"))
    assert nobody(store), "asked already, whatever became of the question"
    long_talk(store)
    assert nobody(store), "once a day"


def test_a_day_later_the_same_dialog_may_be_asked_about_again(store: SqlDialogStore) -> None:
    dialog = long_talk(store)
    asked(store)
    days_pass(store, 1.1, goes_on=True)
    assert nobody(store), "nothing was said in the last day"
    talk(store, "good morning", "hello")
    assert nobody(store), "what was said yesterday is another talk"
    assert long_talk(store) == dialog
    assert asked(store).said == ("good morning", "one", "two")


@pytest.mark.parametrize(
    "silence",
    [lambda: over(least=3), lambda: over(ended=timedelta(minutes=5)), lambda: replace(over(), since=now())],
    ids=["too short", "not over yet", "too long ago"],
)
def test_only_a_longer_talk_that_is_over_and_not_for_long(
    store: SqlDialogStore, silence: Callable[[], Silence]
) -> None:
    long_talk(store)
    assert nobody(store, silence())


def test_who_talks_on_elsewhere_is_not_asked(store: SqlDialogStore) -> None:
    long_talk(store)
    silence = over()
    ask(store, "and here", GROUP)
    assert nobody(store, silence)


def test_a_talk_that_was_ended_by_new_is_asked_about_in_the_silence_that_follows(store: SqlDialogStore) -> None:
    dialog = long_talk(store)
    store.new_dialog(CHAT)
    talk(store, "something else", "hm")
    assert asked(store).dialog_id == dialog


def test_not_with_feedback_off_and_not_without_consent(store: SqlDialogStore) -> None:
    long_talk(store)
    store.change_person(PERSON, buttons=False)
    assert nobody(store)
    store.change_person(PERSON, buttons=True, consent=False)
    assert nobody(store)
    store.change_person(PERSON, consent=True)
    assert asked(store)


def test_never_in_a_group_but_in_a_topic_of_the_private_chat(store: SqlDialogStore) -> None:
    long_talk(store, chat=GROUP)
    long_talk(store, chat=f"{GROUP}:7")
    long_talk(store, chat=f"{PERSON}7")
    assert nobody(store)
    long_talk(store, chat=f"{PERSON}:7")
    assert asked(store).chat == f"{PERSON}:7"


def test_not_after_moderated_words_and_not_who_is_to_be_spared(store: SqlDialogStore) -> None:
    long_talk(store)
    assert nobody(store, spare=lambda talk: "two" in talk.said)
    long_talk(store, OTHER, OTHER)
    assert asked(store, spare=lambda talk: talk.person.id == OTHER).person.id == PERSON
    turn = turn_for(ask(store, "three", OTHER, OTHER), "call somebody")
    store.add_turn(replace(turn, decision=replace(turn.decision, reason="moderated", chosen=None)))
    assert nobody(store)


# What they say


def answers(store: SqlDialogStore) -> list[str]:
    [dialog] = store.personal_data(PERSON)["dialogs"]
    return [each["feeling"] for each in dialog["after_talk"]]


def test_an_answer_stands_until_it_is_changed_and_is_of_whom_was_asked(store: SqlDialogStore) -> None:
    long_talk(store)
    question = asked(store).id
    assert (store.asked_after_talk(question), store.asked_after_talk("0" * 32)) == (PERSON, None)
    assert answers(store) == [""]
    assert store.feels(question, PERSON, "worse")
    assert store.feels(question, PERSON, "better") and store.feels(question, PERSON, "better")
    assert not store.feels(question, OTHER, "worse")
    assert not store.feels("0" * 32, PERSON, "worse")
    assert answers(store) == ["better"] and rows(store) == 1


def test_it_is_exported_under_the_pseudonym_and_not_without_consent(store: SqlDialogStore, tmp_path: Path) -> None:
    long_talk(store)
    question = asked(store).id
    [record] = exported(store, "dialogs", tmp_path)
    assert [(each["feeling"], each["answered_at"]) for each in record["after_talk"]] == [("", "")]
    store.feels(question, PERSON, "same")
    [record] = exported(store, "dialogs", tmp_path)
    [after] = record["after_talk"]
    assert (after["feeling"], after["person_id"]) == ("same", record["people"][0])
    assert PERSON not in str(record) and after["answered_at"] >= after["at"]
    store.change_person(PERSON, consent=False)
    assert exported(store, "dialogs", tmp_path) == []


def test_it_goes_with_the_person_with_the_dialog_and_by_its_age(store: SqlDialogStore) -> None:
    long_talk(store)
    store.feels(asked(store).id, PERSON, "worse")
    long_talk(store, OTHER, OTHER)
    asked(store)
    assert (store.forget(PERSON)["after_talk"], rows(store)) == (1, 1)
    days_pass(store, 2)
    talk(store, "still here", "yes", chat=OTHER, person=OTHER)
    assert store.prune(Expiry(before=now() - timedelta(days=1))) == 2
    assert rows(store) == 0 and len(store.dialogs()) == 1

    long_talk(store)
    asked(store)
    store.change_person(PERSON, consent=False)
    days_pass(store, 2)
    assert store.prune(Expiry(without_consent=now() - timedelta(days=1))) == 2
    assert rows(store) == 0


# What is counted


def say(store: SqlDialogStore, number: int, feeling: Feeling | None, **versions: str) -> None:
    """Somebody talks for long, under these versions, and says how they feel."""
    person = f"telegram:{number}"
    for text in ("one", "two"):
        turn = turn_for(ask(store, text, person, person), "hello")
        store.add_turn(replace(turn, versions={**turn.versions, **versions}))
    question = asked(store).id
    if feeling:
        store.feels(question, person, feeling)


def test_stats_tell_the_shares_of_better_and_worse_with_intervals(store: SqlDialogStore) -> None:
    def found() -> Any:
        with store.reading() as connection:
            return read_stats(connection).after_talk

    assert (found().asked, found().better, found().worse) == (0, None, None)
    feelings: list[Feeling | None] = ["better", "better", "better", "same", "worse", None]
    for number, feeling in enumerate(feelings, 1):
        say(store, number, feeling)
    assert (found().asked, found().answers) == (6, {"better": 3, "same": 1, "worse": 1})
    assert (found().better.value, found().worse.value) == (0.6, 0.2)
    assert [found().better.low, found().better.high] == pytest.approx([0.2307, 0.8824], abs=1e-4)


def test_experiments_tell_them_by_the_variant_that_was_talked_to(store: SqlDialogStore) -> None:
    def one(number: int) -> Feeling:
        return "better" if number % 3 else "worse"

    for number in range(1, 31):
        variant = "warm" if number > 15 else "now"
        say(store, number, one(number) if variant == "warm" else "worse", experiment="e", variant=variant)
    say(store, 40, "better")
    say(store, 41, None, experiment="e", variant="now")
    with store.reading() as connection:
        [experiment] = read_experiments(connection, ["now"])
    now_, warm = experiment.variants
    assert (now_.answers, now_.felt_better.value, now_.felt_worse.value) == (15, 0.0, 1.0)
    assert (warm.answers, round(warm.felt_better.value, 3)) == (15, 0.667)
    assert 0 < warm.felt_better.low < 0.667 < warm.felt_better.high <= 1


def test_a_talk_counts_for_the_variant_before_the_question(store: SqlDialogStore) -> None:
    say(store, 1, "better", experiment="e", variant="now")
    turn = turn_for(ask(store, "three", "telegram:1", "telegram:1"), "hello")
    store.add_turn(replace(turn, versions={"experiment": "e", "variant": "later"}))
    with store.reading() as connection:
        [experiment] = read_experiments(connection)
    assert {each.name: each.answers for each in experiment.variants} == {"now": 1, "later": 0}
