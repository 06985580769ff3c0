"""Tests of bot/conversation.py, bot/commands.py and bot/buttons.py over a real log."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixed_answers import FixedAnswers, conversation_with, empty_log
from turn_values import CHAT, NOTHING, PERSON

from bot.buttons import CHOICE, REASON, RETRY, VOTE, choice_buttons, reply_buttons
from bot.commands import choose, run_command
from bot.conversation import Conversation, Refused
from bot.questions import Question
from bot.texts import load_texts
from storage.dialog import REASONS, Turn, Vote, new_id
from storage.store import SqlDialogStore, UnknownTurn

STRANGER = "telegram:99"
TEXTS = load_texts()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlDialogStore]:
    with empty_log(tmp_path) as store:
        yield store


@pytest.fixture
async def answers(store: SqlDialogStore) -> FixedAnswers:
    return FixedAnswers(store)


@pytest.fixture
def conversation(answers: FixedAnswers) -> Conversation:
    return conversation_with(answers)


async def heard(conversation: Conversation, text: str, chat: str = CHAT, person: str = PERSON) -> Turn:
    turn = await conversation.hear(chat, person, text, new_id())
    assert turn is not None
    return turn


def replies(store: SqlDialogStore, person: str = PERSON) -> list[dict[str, Any]]:
    dialogs = store.personal_data(person)["dialogs"]
    return [reply for dialog in dialogs for message in dialog["messages"] for reply in message["replies"]]


# Talking


async def test_a_message_is_answered_and_logged(conversation: Conversation, store: SqlDialogStore) -> None:
    turn = await heard(conversation, "hi")
    assert turn.decision.reply == "You said: hi"
    assert store.last_turn(CHAT) == turn


async def test_an_update_that_was_heard_before_gets_no_second_answer(
    conversation: Conversation, store: SqlDialogStore
) -> None:
    assert await conversation.hear(CHAT, PERSON, "hi", "telegram:1")
    assert await conversation.hear(CHAT, PERSON, "hi", "telegram:1") is None
    assert len(replies(store)) == 1


async def test_a_message_is_in_the_log_before_it_is_answered(
    conversation: Conversation, answers: FixedAnswers, store: SqlDialogStore
) -> None:
    answers.hold()
    hearing = asyncio.create_task(conversation.hear(CHAT, PERSON, "hi", "telegram:1", "7"))
    asked = await answers.next()
    assert store.context(asked).last == "hi"
    answers.release()
    await hearing


async def test_the_apps_language_counts_for_somebody_new_only(conversation: Conversation) -> None:
    assert (await conversation.person(PERSON, "ru-RU")).language == "ru"
    assert (await conversation.person(PERSON, "en")).language == "ru"


async def test_a_stranger_is_not_written_down(conversation: Conversation, store: SqlDialogStore) -> None:
    assert conversation.stranger(STRANGER, "ru").language == "ru"
    assert store.personal_data(STRANGER)["person"] is None


async def test_an_edit_changes_the_log(conversation: Conversation, store: SqlDialogStore) -> None:
    await conversation.hear(CHAT, PERSON, "I live tea", "telegram:1", external_id="7")
    assert await conversation.edit(CHAT, "7", "I love tea")
    assert not await conversation.edit(CHAT, "8", "never said")
    assert [message["text"] for message in store.personal_data(PERSON)["dialogs"][0]["messages"]] == ["I love tea"]


async def test_new_begins_a_dialog_without_the_old_context(conversation: Conversation, store: SqlDialogStore) -> None:
    await heard(conversation, "hi")
    await conversation.new(CHAT, await conversation.person(PERSON))
    turn = await heard(conversation, "hello")
    assert [message.text for message in store.context(turn.asked).messages] == ["hello"]


# Retrying


async def test_retry_says_something_else_and_keeps_the_rejected_reply(
    conversation: Conversation, store: SqlDialogStore
) -> None:
    first = await heard(conversation, "hi")
    second = await conversation.retry(CHAT, await conversation.person(PERSON))
    assert second.decision.reply == "You said (1): hi"
    assert [(reply["reply"], bool(reply["rejected"])) for reply in replies(store)] == [
        (first.decision.reply, True),
        (second.decision.reply, False),
    ]


async def test_only_the_latest_reply_can_be_retried_and_only_by_whom_it_answered(conversation: Conversation) -> None:
    me, other = await conversation.person(PERSON), await conversation.person(STRANGER)
    with pytest.raises(Refused, match="no reply of mine"):
        await conversation.retry(CHAT, me)
    first, second = await heard(conversation, "one"), await heard(conversation, "two")
    with pytest.raises(Refused, match="only say my latest"):
        await conversation.retry(CHAT, me, first.id)
    with pytest.raises(Refused, match="somebody else"):
        await conversation.retry(CHAT, other, second.id)
    with pytest.raises(Refused, match="only say my latest"):
        await conversation.retry("telegram:5", me, second.id)


async def test_a_second_retry_of_the_same_reply_is_refused_while_the_first_is_answered(
    conversation: Conversation,
) -> None:
    turn, me = await heard(conversation, "hi"), await conversation.person(PERSON)
    await conversation.ask_again(CHAT, me, turn.id)
    with pytest.raises(Refused):
        await conversation.ask_again(CHAT, me, turn.id)


# Voting


async def test_the_last_vote_counts_and_the_history_is_kept(conversation: Conversation, store: SqlDialogStore) -> None:
    turn, me = await heard(conversation, "hi"), await conversation.person(PERSON)
    for value in (1, 1, -1, 0):
        await conversation.vote(turn.id, CHAT, me, value, "button")
    assert await conversation.vote_of(turn.id, me) is None
    assert [event["value"] for event in replies(store)[0]["vote_history"]] == [1, -1, 0]


async def test_a_reason_needs_a_dislike(conversation: Conversation) -> None:
    turn, me = await heard(conversation, "hi"), await conversation.person(PERSON)
    await conversation.vote(turn.id, CHAT, me, 1, "button")
    with pytest.raises(Refused, match="with a 👎 only"):
        await conversation.vote(turn.id, CHAT, me, -1, "button", "boring")
    await conversation.vote(turn.id, CHAT, me, -1, "button")
    assert (await conversation.vote(turn.id, CHAT, me, -1, "button", "boring")).reason == "boring"
    with pytest.raises(Refused):
        await conversation.vote(turn.id, CHAT, me, -1, "button", "ugly")


@pytest.mark.parametrize(
    ("person", "chat", "text"),
    [(STRANGER, CHAT, "somebody else"), (PERSON, "telegram:5", "no longer have")],
)
async def test_votes_of_others_and_from_elsewhere_are_refused(
    conversation: Conversation, store: SqlDialogStore, person: str, chat: str, text: str
) -> None:
    turn = await heard(conversation, "hi")
    with pytest.raises(Refused, match=text):
        await conversation.vote(turn.id, chat, await conversation.person(person), 1, "button")
    assert replies(store)[0]["votes"] == []


async def test_a_refusal_speaks_the_persons_language(conversation: Conversation) -> None:
    with pytest.raises(Refused, match="больше нет"):
        await conversation.may_vote(new_id(), CHAT, await conversation.person(PERSON, "ru"))


# Commands and choices


@pytest.mark.parametrize("language", TEXTS.catalogues)
@pytest.mark.parametrize("name", [name for name in TEXTS.of("en").commands if name not in ("retry", "export")])
async def test_every_command_of_the_menu_says_something(conversation: Conversation, name: str, language: str) -> None:
    shown = await run_command(conversation, name, CHAT, await conversation.person(PERSON, language))
    text = shown.text if isinstance(shown, Question) else shown
    assert bool(re.search("[а-яё]", text)) == (language == "ru")


async def test_help_lists_every_command(conversation: Conversation) -> None:
    text = conversation.help(await conversation.person(PERSON))
    assert all(f"/{name}: {does}" in text for name, does in TEXTS.of("en").commands.items())


async def test_a_persona_can_be_chosen_by_name_or_from_the_list(
    conversation: Conversation, store: SqlDialogStore
) -> None:
    me = await conversation.person(PERSON)
    question = await conversation.personas(CHAT, me)
    assert [choice.value for choice in question.choices if choice.chosen] == ["friend"]
    assert await run_command(conversation, "persona", CHAT, me, "Wit") == "Wit it is, from the next reply on."
    assert store.persona(CHAT) == "wit"
    question = await conversation.personas(CHAT, me)
    assert [choice.value for choice in question.choices if choice.chosen] == ["wit"]


async def test_the_language_changes_at_once(conversation: Conversation) -> None:
    said = await run_command(conversation, "language", CHAT, await conversation.person(PERSON), "ru")
    me = await conversation.person(PERSON)
    assert (said, me.language) == ("Теперь интерфейс на русском.", "ru")
    assert [choice.value for choice in conversation.languages(me).choices if choice.chosen] == ["ru"]


@pytest.mark.parametrize(("argument", "buttons"), [("off", False), ("on", True), ("", True), ("maybe", True)])
async def test_feedback_turns_vote_buttons_on_and_off(conversation: Conversation, argument: str, buttons: bool) -> None:
    said = await run_command(conversation, "feedback", CHAT, await conversation.person(PERSON), argument)
    assert (await conversation.person(PERSON)).buttons is buttons
    assert said == TEXTS.say("en", "feedback_on" if buttons else "feedback_off")


async def test_privacy_offers_the_other_choice_than_the_one_in_force(conversation: Conversation) -> None:
    question = conversation.privacy(await conversation.person(PERSON))
    assert [choice.value for choice in question.choices] == ["on", "off"]
    outcome = await choose(conversation, "privacy", CHAT, await conversation.person(PERSON), "off")
    assert isinstance(outcome, Question)
    assert [choice.value for choice in outcome.choices] == ["on"]
    assert (await conversation.person(PERSON)).consent is False


@pytest.mark.parametrize(("answer", "consent"), [("on", True), ("off", False)])
async def test_start_asks_until_it_is_answered(conversation: Conversation, answer: str, consent: bool) -> None:
    for _ in range(2):
        question = await run_command(conversation, "start", CHAT, await conversation.person(PERSON))
        assert isinstance(question, Question)
        assert [choice.value for choice in question.choices] == ["on", "off"]
        assert TEXTS.say("en", "privacy_ask", hours="24") in question.text
    said = await choose(conversation, "start", CHAT, await conversation.person(PERSON), answer)
    assert isinstance(said, str) and said.startswith(TEXTS.say("en", "start"))
    me = await conversation.person(PERSON)
    assert me.consent is consent
    assert await run_command(conversation, "start", CHAT, me) == said


async def test_start_asks_nobody_in_a_group(conversation: Conversation) -> None:
    me = await conversation.person(PERSON)
    assert await run_command(conversation, "start", "telegram:-100", me) == TEXTS.say("en", "start")
    assert isinstance(await run_command(conversation, "start", f"{PERSON}:7", me), Question)


async def test_forget_deletes_only_when_confirmed(conversation: Conversation, store: SqlDialogStore) -> None:
    turn, me = await heard(conversation, "hi"), await conversation.person(PERSON)
    await choose(conversation, "forget", CHAT, me, "no")
    assert (await conversation.export(me))["dialogs"]
    await choose(conversation, "forget", CHAT, me, "yes")
    assert await conversation.export(me) == NOTHING
    with pytest.raises(Refused, match="no longer have"):
        await conversation.vote(turn.id, CHAT, me, 1, "button")
    with pytest.raises(UnknownTurn):
        await conversation.answer(turn.asked)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("persona", "parrot"),
        ("language", "xx"),
        ("privacy", "maybe"),
        ("start", "maybe"),
        ("forget", "later"),
        ("launch", "now"),
    ],
)
async def test_what_was_not_offered_is_refused(
    conversation: Conversation, store: SqlDialogStore, name: str, value: str
) -> None:
    me = await conversation.person(PERSON)
    with pytest.raises(Refused):
        await choose(conversation, name, CHAT, me, value)
    assert store.person(PERSON) == me


# Buttons


@pytest.mark.parametrize("value", [1, -1])
def test_the_marked_button_takes_back_and_the_other_one_changes(value: int) -> None:
    turn_id = new_id()
    rows = reply_buttons(turn_id, TEXTS.of("en"), Vote(turn_id, PERSON, 1 if value == 1 else -1, "button"))
    (up, down, retry) = rows[0]
    marked, other = (up, down) if value == 1 else (down, up)
    assert marked[0].endswith(" ✓") and marked[1] == f"v:{turn_id}:0"
    assert other[1] == f"v:{turn_id}:{-value}"
    assert retry == ("🔁", f"r:{turn_id}")


def test_reasons_are_offered_after_a_dislike_and_the_chosen_one_is_marked() -> None:
    turn_id = new_id()
    rows = reply_buttons(turn_id, TEXTS.of("ru"), Vote(turn_id, PERSON, -1, "button", "boring"))
    labels = [label for row in rows[1:] for label, _ in row]
    assert labels == ["не по теме", "повторяется", "скучно ✓", "неправда", "грубо"]


async def test_all_button_data_fits_64_bytes_and_matches_the_pattern_that_reads_it(conversation: Conversation) -> None:
    turn_id = new_id()
    rows = reply_buttons(turn_id, TEXTS.of("en"), Vote(turn_id, PERSON, -1, "button"))
    data = [data for row in rows for _, data in row]
    patterns = [VOTE, VOTE, RETRY, *[REASON] * len(REASONS)]
    me = await conversation.person(PERSON)
    for name in ("start", "persona", "language", "privacy", "forget"):
        question = await run_command(conversation, name, CHAT, me)
        assert isinstance(question, Question)
        choices = [data for row in choice_buttons(name, str(2**63), question) for _, data in row]
        data, patterns = data + choices, patterns + [CHOICE] * len(choices)
    assert all(
        re.match(pattern, each) and len(each.encode()) <= 64 for pattern, each in zip(patterns, data, strict=True)
    )
