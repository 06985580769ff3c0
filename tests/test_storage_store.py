"""Talking, as the log keeps it: messages, contexts, turns, retries, dialogs, people and chats."""

import math
import threading
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import StatementError
from turn_values import CHAT, PERSON, ask, talk, turn_for

from storage.dialog import Asked, Decision, Message, Person, Turn, now
from storage.schema import MessageRow
from storage.store import AlreadyAnswered, NotAddressed, SqlDialogStore, UnknownTurn

GROUP = "telegram:-100:7"


def said(store: SqlDialogStore, asked: Asked) -> list[str]:
    return [f"{message.role[0]}:{message.text}" for message in store.context(asked).messages]


def test_a_context_is_the_dialog_in_order_and_ends_with_the_message_to_answer(store: SqlDialogStore) -> None:
    talk(store, "hi", "hello", "hey")
    talk(store, "I am sad", "why?")
    asked = ask(store, "no idea")
    assert said(store, asked) == ["u:hi", "a:hello", "u:I am sad", "a:why?", "u:no idea"]
    assert store.context(asked).messages[-1] == Message("user", "no idea")


def test_an_update_is_taken_once_however_often_and_late_it_comes(store: SqlDialogStore) -> None:
    assert store.take(CHAT, PERSON, "second", "update:2") is not None
    assert store.take(CHAT, PERSON, "first", "update:1") is not None  # out of order, but not lost
    assert store.take(CHAT, PERSON, "second", "update:2") is None
    assert [dialog.messages for dialog in store.dialogs()] == [2]


def test_messages_taken_by_many_threads_at_once_are_all_kept(store: SqlDialogStore) -> None:
    def write(number: int) -> None:
        for count in range(5):
            store.take(CHAT, f"telegram:{number}", "hi", f"{number}:{count}")
            store.take(CHAT, f"telegram:{number}", "hi", f"shared:{count}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [dialog.messages for dialog in store.dialogs()] == [6 * 5 + 5]


def test_a_message_that_came_later_is_not_in_the_context(store: SqlDialogStore) -> None:
    first = ask(store, "how are you?")
    later = ask(store, "hello???")
    assert said(store, first) == ["u:how are you?"]
    store.add_turn(turn_for(first, "fine"))
    assert said(store, later) == ["u:how are you?", "a:fine", "u:hello???"]


def test_a_reply_stands_after_the_message_that_it_answers(store: SqlDialogStore) -> None:
    ann = ask(store, "ann asks", GROUP, "telegram:1")
    bob = ask(store, "bob asks", GROUP, "telegram:2")
    store.add_turn(turn_for(bob, "to bob"))
    store.add_turn(turn_for(ann, "to ann"))
    last = ask(store, "cid asks", GROUP, "telegram:3")
    assert said(store, last) == ["u:ann asks", "a:to ann", "u:bob asks", "a:to bob", "u:cid asks"]


def test_chats_and_topics_do_not_see_each_other(store: SqlDialogStore) -> None:
    talk(store, "a secret", "I will keep it")
    talk(store, "in another topic", "yes", chat="telegram:-100:8")
    assert said(store, ask(store, "hi all", GROUP)) == ["u:hi all"]


@pytest.mark.parametrize("limit, expected", [(1, ["u:3"]), (2, ["a:r2", "u:3"]), (4, ["a:r1", "u:2", "a:r2", "u:3"])])
def test_a_long_dialog_loses_its_oldest_messages(database_url: str, limit: int, expected: list[str]) -> None:
    with SqlDialogStore(database_url, context_messages=limit) as store:
        talk(store, "1", "r1")
        talk(store, "2", "r2")
        assert said(store, ask(store, "3")) == expected


def test_after_long_silence_a_fresh_dialog_begins(store: SqlDialogStore, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ask(store, "good night")

    def after(hours: float) -> Asked:
        later = now() + timedelta(hours=hours)
        monkeypatch.setattr("storage.messages.now", lambda: later)
        return ask(store, "hi")

    assert after(hours=11.9).dialog_id == first.dialog_id
    fresh = after(hours=11.9 + 12.1)
    assert fresh.dialog_id != first.dialog_id
    assert said(store, fresh) == ["u:hi"]


def test_a_new_dialog_forgets_what_was_said(store: SqlDialogStore) -> None:
    talk(store, "hi", "hello")
    dialog_id = store.new_dialog(CHAT)
    assert store.last_turn(CHAT) is None
    asked = ask(store, "who are you?")
    assert asked.dialog_id == dialog_id
    assert said(store, asked) == ["u:who are you?"]


def test_a_turn_comes_back_as_it_was_logged(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello", "hey", "hi")
    assert store.turn(turn.id) == turn
    assert store.last_turn(CHAT) == turn
    assert store.chat_of(turn.id) == CHAT


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_candidate_with_a_feature_that_is_no_number_is_kept(store: SqlDialogStore, value: float) -> None:
    turn = turn_for(ask(store, "hi"), "hello")
    broken = replace(turn.decision.ranked[0], features={"ranker": value}, total=value, veto="not a number")
    turn = replace(turn, decision=Decision("Hm.", "fallback", (broken,)))
    store.add_turn(turn)
    kept = store.turn(turn.id)
    assert kept and math.isnan(kept.decision.ranked[0].features["ranker"]) and math.isnan(kept.decision.ranked[0].total)


def test_a_fallback_has_no_candidates(store: SqlDialogStore) -> None:
    turn = talk(store, "hi")
    assert store.turn(turn.id) == turn
    assert turn.decision.chosen is None


def test_nothing_is_known_of_a_turn_that_was_never_logged(store: SqlDialogStore) -> None:
    assert store.turn("x") is None
    assert store.chat_of("x") is None
    assert store.last_turn(CHAT) is None
    assert store.turn_at(CHAT, "1") is None


def test_a_rejected_reply_stays_as_a_label_and_leaves_the_context(store: SqlDialogStore) -> None:
    talk(store, "hi", "hello")
    bad = talk(store, "tell me a joke", "no")
    again = store.ask_again(bad.id, PERSON)
    assert (again.message_id, again.retry_of) == (bad.asked.message_id, bad.id)
    context = store.context(again)
    assert context.rejected == ("no",)
    assert [message.text for message in context.messages] == ["hi", "hello", "tell me a joke"]

    better = turn_for(again, "a horse walks into a bar", message="tell me a joke")
    store.add_turn(better)
    assert store.last_turn(CHAT) == better
    assert said(store, ask(store, "ha")) == [
        "u:hi", "a:hello", "u:tell me a joke", "a:a horse walks into a bar", "u:ha"
    ]  # fmt: skip
    dialog = store.dialog(again.dialog_id)
    assert dialog
    assert [(t.turn.decision.reply, t.rejected) for t in dialog.messages[1].turns] == [
        ("no", True), ("a horse walks into a bar", False)
    ]  # fmt: skip


def test_every_reply_that_was_sent_back_is_known_to_the_next_try(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "one")
    for reply in ("two", "three"):
        turn = turn_for(store.ask_again(turn.id, PERSON), reply)
        store.add_turn(turn)
    assert store.context(store.ask_again(turn.id, PERSON)).rejected == ("one", "two", "three")


def test_a_retry_that_was_interrupted_can_be_asked_again(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello")
    assert store.ask_again(turn.id, PERSON) == store.ask_again(turn.id, PERSON)


def test_only_the_latest_turn_can_be_asked_again(store: SqlDialogStore) -> None:
    old = talk(store, "hi", "hello")
    talk(store, "how are you?", "fine")
    with pytest.raises(UnknownTurn):
        store.ask_again(old.id, PERSON)
    with pytest.raises(UnknownTurn):
        store.ask_again("x", PERSON)
    kept = store.last_turn(CHAT)
    assert kept and kept.decision.reply == "fine"


def test_nobody_else_can_send_a_reply_back(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "hello", chat=GROUP)
    with pytest.raises(NotAddressed):
        store.ask_again(turn.id, "telegram:666")
    assert store.last_turn(GROUP) == turn


def test_an_edited_message_is_followed_in_its_own_chat(store: SqlDialogStore) -> None:
    asked = ask(store, "helo", external_id="10")
    assert store.edit(CHAT, "10", "hello")
    assert said(store, asked) == ["u:hello"]
    assert not store.edit(GROUP, "10", "forged")
    assert not store.edit(CHAT, "11", "never sent")
    assert said(store, asked) == ["u:hello"]


def test_without_an_external_id_nothing_is_edited(store: SqlDialogStore) -> None:
    asked = ask(store, "typed in a terminal")
    assert not store.edit(CHAT, "", "overwritten")
    assert said(store, asked) == ["u:typed in a terminal"]


def test_the_messages_that_show_a_reply_lead_to_its_turn(store: SqlDialogStore) -> None:
    turn = talk(store, "hi", "a very long reply", chat=GROUP)
    store.add_delivery(turn.id, "telegram:-100", ["71", "72"])
    store.add_delivery(turn.id, "telegram:-100", ["72"])  # once more, after a timeout
    assert store.turn_at("telegram:-100", "71") == store.turn_at("telegram:-100", "72") == turn.id
    assert store.turn_at("telegram:-200", "71") is None


def test_a_message_that_was_forgotten_meanwhile_is_not_answered(store: SqlDialogStore) -> None:
    asked = ask(store, "hi")
    turn = talk(store, "hm", "hello")
    store.forget(PERSON)
    for call in (
        lambda: store.context(asked),
        lambda: store.add_turn(turn_for(asked, "hello")),
        lambda: store.add_delivery(turn.id, CHAT, ["1"]),
    ):
        with pytest.raises(UnknownTurn):
            call()
    assert ask(store, "hi again").message_id > asked.message_id  # its number is not given to somebody else


def test_a_message_of_a_dialog_that_somebody_ended_is_not_answered_and_stays(store: SqlDialogStore) -> None:
    asked = ask(store, "hi")
    store.new_dialog(CHAT)
    with pytest.raises(UnknownTurn, match="ended"):
        store.context(asked)
    dialog = store.dialog(asked.dialog_id)
    assert dialog and [message.text for message in dialog.messages] == ["hi"]


def test_a_message_of_a_dialog_that_ended_by_silence_alone_still_is(tmp_path: Path) -> None:
    with SqlDialogStore(f"sqlite:///{tmp_path / 'quiet.db'}", idle_hours=1) as store:
        asked = ask(store, "hi")
        after = store.take(CHAT, PERSON, "anybody?", "later", at=now() + timedelta(hours=2))
        assert after and after.dialog_id != asked.dialog_id
        assert store.context(asked).last == "hi"


def test_turns_of_a_batch_are_kept_together_but_for_those_that_come_too_late(store: SqlDialogStore) -> None:
    gone, late, first, second = (ask(store, "hi", chat, chat) for chat in ("telegram:1", "telegram:2", CHAT, GROUP))
    store.forget("telegram:1")
    store.add_turn(turn_for(late, "at once"))
    batch = [turn_for(asked, "hello", "hey") for asked in (gone, first, late, second, first)]
    batch[3] = replace(batch[3], decision=Decision("Hm.", "fallback"))
    outcomes = store.add_turns(batch)
    assert [type(outcome) for outcome in outcomes] == [UnknownTurn, Turn, AlreadyAnswered, Turn, AlreadyAnswered]
    assert [store.turn(turn.id) for turn in batch] == [None, batch[1], None, batch[3], None]
    assert store.add_turns([]) == []


def test_of_a_batch_that_cannot_be_written_nothing_is_kept(store: SqlDialogStore) -> None:
    first, second = (turn_for(ask(store, "hi", chat, chat), "hello") for chat in (CHAT, GROUP))
    with pytest.raises((ValueError, TypeError, StatementError)):
        store.add_turns([first, replace(second, seconds={"retrieval": float("inf")})])
    assert store.turn(first.id) is None
    assert store.add_turns([first]) == [first]


def test_a_person_is_made_once_and_keeps_what_they_chose(store: SqlDialogStore) -> None:
    assert store.person(PERSON, "ru") == Person(PERSON, "ru", buttons=True, consent=None)
    assert store.person(PERSON, "en").language == "ru"
    assert store.change_person(PERSON, buttons=False) == Person(PERSON, "ru", buttons=False)
    assert store.change_person(PERSON, language="en", consent=False) == Person(PERSON, "en", False, False)
    assert store.change_person(PERSON) == store.person(PERSON) == Person(PERSON, "en", False, False)


def test_the_language_of_a_message_counts_for_new_people_only(store: SqlDialogStore) -> None:
    first = store.take(CHAT, PERSON, "привет", "1", language="ru")
    second = store.take(CHAT, PERSON, "hi", "2", language="en")
    unknown = store.take(CHAT, "telegram:1", "hi", "3")
    assert first and second and unknown
    assert (first.language, second.language, unknown.language) == ("ru", "ru", "en")


def test_a_chat_keeps_its_persona(store: SqlDialogStore) -> None:
    assert store.persona(CHAT) == ""
    store.set_persona(CHAT, "poet")
    assert store.persona(CHAT) == "poet"
    assert store.context(ask(store, "hi")).persona == "poet"
    assert store.context(ask(store, "hi", GROUP)).persona == ""


def test_the_list_of_dialogs_is_newest_first_and_leaves_out_silent_ones(store: SqlDialogStore) -> None:
    talk(store, "hi", "hello")
    talk(store, "hi", "hello", chat=GROUP)
    talk(store, "and", "so")
    store.new_dialog("telegram:9")
    assert [(dialog.chat, dialog.messages, dialog.turns) for dialog in store.dialogs()] == [(CHAT, 2, 2), (GROUP, 1, 1)]
    assert [dialog.chat for dialog in store.dialogs(limit=1)] == [CHAT]
    assert isinstance(store.dialogs()[0].active_at, datetime)


def test_an_unknown_dialog_is_none(store: SqlDialogStore) -> None:
    assert store.dialog("x") is None


def test_a_reader_sees_one_state_of_the_log_while_others_write(store: SqlDialogStore) -> None:
    ask(store, "hi")
    with store.reading() as connection:
        messages = select(func.count()).select_from(MessageRow)
        before = connection.scalar(messages)
        ask(store, "still there?")
        assert before == connection.scalar(messages) == 1
