"""What a crash leaves behind, and what the next start makes of it."""

import asyncio
import json

import pytest
import serving_bot
from bot_api import ApiError, BotApi
from fixed_answers import FixedAnswers, conversation_with
from serving_bot import done, serving, settings_for
from sqlalchemy import update
from telegram_people import PATIENCE, Json, heard
from turn_values import not_done

from bot.telegram_chat import run, sending, updates
from bot.telegram_chat import serving as serving_module
from bot.texts import load_texts
from storage.dialog import Received
from storage.schema import ReceivedRow
from storage.store import SqlDialogStore

TEXTS = load_texts()
BOT = "telegram:123456:"

store, answers = serving_bot.store, serving_bot.answers


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving_module, "FINISH_SECONDS", 0.3)
    monkeypatch.setattr(updates, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(sending, "FIRST_PAUSE", 0.01)


def undo(store: SqlDialogStore, update_: Json, person: Json) -> None:
    """As if the bot had been killed between doing what an update asks for and noting that it is done."""
    values = {"body": json.dumps(update_), "person_id": f"telegram:{person['id']}"}
    with store.reading() as connection:
        which = ReceivedRow.key == f"{BOT}{update_['update_id']}"
        assert connection.execute(update(ReceivedRow).where(which).values(**values)).rowcount == 1


def turns(store: SqlDialogStore, person: Json) -> list[str]:
    """All replies to a person in the log."""
    dialogs = store.personal_data(f"telegram:{person['id']}")["dialogs"]
    messages = [message for dialog in dialogs for message in dialog["messages"]]
    return [reply["reply"] for message in messages for reply in message["replies"]]


def spoken(store: SqlDialogStore, person: Json) -> Json:
    """All that is kept of a person but for dialogs without a word."""
    data = store.personal_data(f"telegram:{person['id']}")
    return {**data, "dialogs": [dialog for dialog in data["dialogs"] if dialog["messages"]]}


def said(store: SqlDialogStore, person: Json) -> list[str]:
    dialogs = store.personal_data(f"telegram:{person['id']}")["dialogs"]
    return [message["text"] for dialog in dialogs for message in dialog["messages"]]


# Starting again


async def test_what_was_taken_but_not_answered_is_answered_after_the_start(
    answers: FixedAnswers, store: SqlDialogStore
) -> None:
    async with BotApi() as api:
        ann = api.person("Ann")
        async with serving(api, answers):
            answers.hold()
            ann.say("one")
            ann.say("two")
            await answers.next()
            await api.until(lambda: said(store, ann.user) == ["one", "two"])
        answers.release()
        async with serving(api, answers):
            assert [await heard(ann.chat) for _ in range(2)] == ["You said: one", "You said: two"]
            await done(api, store)
        assert said(store, ann.user) == ["one", "two"]
        assert ann.chat.unread.empty()


async def test_a_turn_that_was_logged_but_not_sent_is_sent_and_no_other_one_made(
    answers: FixedAnswers, store: SqlDialogStore
) -> None:
    async with BotApi() as api:
        ann = api.person("Ann")
        api.refusals += [ApiError(502, "Bad Gateway") for _ in range(1000)]
        async with serving(api, answers):
            ann.say("hi")
            await api.until(lambda: api.called("sendMessage"))
        api.refusals.clear()
        answers.reply = "Something else"
        async with serving(api, answers):
            assert await heard(ann.chat) == "You said: hi"
            await done(api, store)
        assert turns(store, ann.user) == ["You said: hi"]


async def test_of_a_long_reply_only_what_is_missing_is_sent(answers: FixedAnswers, store: SqlDialogStore) -> None:
    async with BotApi() as api:
        ann = api.person("Ann")
        answers.reply = "All work and no play makes Jack a dull boy. " * 250
        async with serving(api, answers):
            ann.say("tell me something long")
            first = await ann.chat.hears()
            api.refusals += [ApiError(502, "Bad Gateway") for _ in range(1000)]
            await api.until(lambda: len(api.called("sendMessage")) > 3)
        api.refusals.clear()
        before = len(ann.chat.messages)
        async with serving(api, answers):
            await done(api, store)
        parts = [first["text"], *(each["text"] for number, each in ann.chat.messages.items() if number > before)]
        while not ann.chat.unread.empty() and len(parts) < 3:
            parts.insert(1, ann.chat.unread.get_nowait()["text"])
        assert " ".join(parts) == answers.reply.strip()


async def test_a_message_whose_reply_was_noted_gets_no_second_one(answers: FixedAnswers, store: SqlDialogStore) -> None:
    async with BotApi() as api:
        ann = api.person("Ann")
        async with serving(api, answers):
            ann.say("hi")
            await ann.chat.hears()
            await done(api, store)
        undo(store, api.latest_update, ann.user)
        async with serving(api, answers):
            await done(api, store)
        assert ann.chat.unread.empty() and turns(store, ann.user) == ["You said: hi"]


async def test_a_vote_a_retry_and_a_choice_that_come_again_change_nothing_more(
    answers: FixedAnswers, store: SqlDialogStore
) -> None:
    async with BotApi() as api:
        ann = api.person("Ann")
        async with serving(api, answers):
            ann.say("hi")
            reply = await ann.chat.hears()
            ann.press(reply, "👎")
            await done(api, store)
            vote = api.latest_update
            ann.press(reply, "🔁")
            assert await heard(ann.chat) == "You said (1): hi"
            await done(api, store)
            retry = api.latest_update
            ann.say("/new")
            await ann.chat.hears()
            await done(api, store)
            fresh = api.latest_update
        before = spoken(store, ann.user)
        for each in vote, fresh:
            undo(store, each, ann.user)
        undo(store, retry, ann.user)
        turn_id = str(reply["reply_markup"]["inline_keyboard"][0][-1]["callback_data"]).removeprefix("r:")
        with store.reading() as connection:  # of a retry that was not done, the store knows what it sent back
            which = ReceivedRow.key == f"{BOT}{retry['update_id']}"
            connection.execute(update(ReceivedRow).where(which).values(sent_back=turn_id))
        async with serving(api, answers):
            await done(api, store)
        assert spoken(store, ann.user) == before
        assert await heard(ann.chat) == TEXTS.say("en", "new") and ann.chat.unread.empty()


async def test_a_retry_that_was_cut_off_is_gone_on_with_and_sends_back_no_second_reply(
    answers: FixedAnswers, store: SqlDialogStore
) -> None:
    async with BotApi() as api:
        ann = api.person("Ann")
        async with serving(api, answers):
            ann.say("one")
            ann.say("two")
            assert [await heard(ann.chat) for _ in range(2)] == ["You said: one", "You said: two"]
            await answers.next()
            await answers.next()
            answers.hold()
            ann.say("/retry")
            await answers.next()
        answers.release()
        async with serving(api, answers):
            assert await heard(ann.chat) == "You said (1): two"
            await done(api, store)
        assert turns(store, ann.user) == ["You said: one", "You said: two", "You said (1): two"]


async def test_the_end_waits_neither_for_a_network_that_is_gone_nor_for_what_cannot_be_sent(
    answers: FixedAnswers, store: SqlDialogStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with BotApi() as api:
        ann = api.person("Ann")
        api.refusals += [ApiError(502, "Bad Gateway") for _ in range(1000)]
        bot = asyncio.create_task(run(settings_for(api), conversation_with(answers)))
        ann.say("hi")
        await api.until(lambda: api.called("sendMessage"))
    await api.until(lambda: caplog.text.count("asking Telegram for updates failed") > 1)  # now it waits before the next
    bot.cancel()
    await asyncio.wait_for(asyncio.gather(bot, return_exceptions=True), PATIENCE)
    assert not_done(store) == 1


async def test_updates_that_come_twice_are_handled_once(answers: FixedAnswers, store: SqlDialogStore) -> None:
    async with BotApi() as api, serving(api, answers):
        ann = api.person("Ann")
        ann.say("/help")
        await ann.chat.hears()
        api.repeat(api.latest_update)
        ann.say("hi")
        assert await heard(ann.chat) == "You said: hi"


async def test_what_waited_too_long_is_apologised_for_once_in_a_chat_and_kept_in_the_log(
    answers: FixedAnswers, store: SqlDialogStore
) -> None:
    async with BotApi() as api:
        ann, bob = api.person("Ann"), api.person("Bob", "ru")
        for person in ann, bob:
            for text in ("one", "two"):
                person.say(text)
        for waiting in api._updates:
            waiting["message"]["date"] -= 2 * 3600
        async with serving(api, answers, late_minutes=60):
            assert await heard(ann.chat) == TEXTS.say("en", "late")
            assert await heard(bob.chat) == TEXTS.say("ru", "late")
            ann.say("I am fine now")
            assert await heard(ann.chat) == "You said: I am fine now"
            await done(api, store)
        assert said(store, ann.user) == ["one", "two", "I am fine now"]


async def test_a_reply_that_was_logged_is_sent_after_the_apology(answers: FixedAnswers, store: SqlDialogStore) -> None:
    async with BotApi() as api:
        ann = api.person("Ann")
        api.refusals += [ApiError(502, "Bad Gateway") for _ in range(1000)]
        async with serving(api, answers):
            ann.say("hi")
            await api.until(lambda: api.called("sendMessage"))
        api.refusals.clear()
        async with serving(api, answers, late_minutes=1e-9):
            assert await heard(ann.chat) == TEXTS.say("en", "late")
            assert await heard(ann.chat) == "You said: hi"
            await done(api, store)
        assert turns(store, ann.user) == ["You said: hi"]


async def test_what_brings_the_bot_down_each_time_is_set_aside(
    answers: FixedAnswers, store: SqlDialogStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with BotApi() as api:
        ann = api.person("Ann")
        async with serving(api, answers):
            answers.hold()
            ann.say("poison")
            await answers.next()
        answers.release()
        for _ in range(updates.TRIES):
            assert store.unfinished(BOT)
        async with serving(api, answers):
            assert await heard(ann.chat) == TEXTS.say("en", "late")
            await done(api, store)
    assert "set aside" in caplog.text and "poison" not in caplog.text


async def test_what_cannot_be_kept_or_read_is_in_nobodys_way(
    answers: FixedAnswers, store: SqlDialogStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for number, body in enumerate(["no JSON", "{}", '{"update_id": "x", "message": 5}']):
        store.receive(Received(f"{BOT}{number}", "", body))
    async with BotApi() as api, serving(api, answers):
        ann = api.person("Ann")
        with monkeypatch.context() as fault:
            fault.setattr(updates, "received", lambda update: 1 / 0)
            ann.say("hi")
            assert await heard(ann.chat) == "You said: hi"
        ann.say("and now?")
        assert await heard(ann.chat) == "You said: and now?"
        await done(api, store)
    assert caplog.text.count("cannot be read") == 3 and caplog.text.count("could not be written down") == 1
