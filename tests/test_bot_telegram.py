"""Tests of bot/telegram_chat/talking.py over HTTP: messages, commands, groups, order, and what may go wrong."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from bot_api import TOKEN, ApiError, BotApi
from fixed_answers import FixedAnswers, empty_log
from serving_bot import serving
from telegram_people import Chat, units

from bot.splitting import split
from bot.texts import load_texts
from storage.store import SqlDialogStore, UnknownTurn

TEXTS = load_texts()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqlDialogStore]:
    monkeypatch.chdir(tmp_path)  # away from an owner's .env
    with empty_log(tmp_path) as store:
        yield store


@pytest.fixture
async def answers(store: SqlDialogStore) -> FixedAnswers:
    return FixedAnswers(store)


@pytest.fixture
async def api(answers: FixedAnswers) -> AsyncIterator[BotApi]:
    async with BotApi() as api, serving(api, answers):
        yield api


def said(store: SqlDialogStore, person: int) -> list[str]:
    """The texts of a person in the log."""
    dialogs = store.personal_data(f"telegram:{person}")["dialogs"]
    return [message["text"] for dialog in dialogs for message in dialog["messages"]]


async def heard(chat: Chat) -> str:
    """The bot's next words in a chat."""
    return str((await chat.hears())["text"])


# Talking


async def test_a_message_is_answered_with_vote_buttons(api: BotApi) -> None:
    ann = api.person("Ann")
    ann.say("hi")
    reply = await ann.chat.hears()
    assert reply["text"] == "You said: hi"
    assert [button["text"] for button in reply["reply_markup"]["inline_keyboard"][0]] == ["👍", "👎", "🔁"]


@pytest.mark.parametrize(("language", "word"), [("ru", "Продолжая переписку"), ("de", "By writing to me you agree")])
async def test_start_speaks_the_apps_language_and_says_that_dialogs_are_kept(
    api: BotApi, language: str, word: str
) -> None:
    ivan = api.person("Ivan", language)
    ivan.say("/start")
    text = await heard(ivan.chat)
    assert word in text
    assert all(command in text for command in ("/privacy", "/export", "/forget"))


async def test_the_commands_are_registered_in_every_language(api: BotApi) -> None:
    for code, language in (("", "en"), ("ru", "ru")):
        registered = {command["command"]: command["description"] for command in api.commands[code]}
        assert registered == TEXTS.of(language).commands


async def test_typing_is_shown_while_a_reply_is_sought(api: BotApi, answers: FixedAnswers) -> None:
    ann = api.person("Ann")
    answers.hold()
    ann.say("hi")
    await api.until(lambda: api.called("sendChatAction"))
    assert not api.called("sendMessage")
    answers.release()
    await ann.chat.hears()


async def test_messages_of_a_chat_are_kept_at_once_and_answered_in_order_while_other_chats_go_on(
    api: BotApi, answers: FixedAnswers, store: SqlDialogStore
) -> None:
    ann, bob = api.person("Ann"), api.person("Bob")
    texts = [f"message {number}" for number in range(8)]
    answers.hold()
    for text in texts:
        ann.say(text)
    await answers.next()  # the first one is with the models
    bob.say("/help")  # nobody waits for it
    await bob.chat.hears()
    ann.say("/feedback")
    assert await heard(ann.chat) == TEXTS.say("en", "feedback_on")
    assert said(store, ann.user["id"]) == texts  # all are in the log before one is answered
    bob.say("hi")
    await answers.next()  # next to Ann's first one, not behind her eighth
    answers.release()
    assert [await heard(ann.chat) for _ in texts] == [f"You said: {text}" for text in texts]


async def test_a_long_reply_comes_in_pieces_with_the_buttons_under_the_last(
    api: BotApi, answers: FixedAnswers, store: SqlDialogStore
) -> None:
    ann = api.person("Ann")
    answers.reply = "All work and no play makes Jack a dull boy 🙃. " * 150
    ann.say("tell me something long")
    pieces = [await ann.chat.hears() for _ in range(2)]
    assert " ".join(piece["text"] for piece in pieces) == answers.reply.strip()
    assert ["reply_markup" in piece for piece in pieces] == [False, True]
    await api.until(lambda: store.turn_at(f"telegram:{ann.user['id']}", str(pieces[0]["message_id"])))


async def test_a_long_message_is_taken_as_it_is(api: BotApi, store: SqlDialogStore) -> None:
    ann = api.person("Ann")
    ann.say("x" * 4096)
    await ann.chat.hears()
    assert said(store, ann.user["id"]) == ["x" * 4096]


async def test_an_edit_changes_the_log_and_gets_no_second_reply(api: BotApi, store: SqlDialogStore) -> None:
    ann = api.person("Ann")
    message = ann.say("I live tea")
    await ann.chat.hears()
    ann.edit(message, "I love tea")
    ann.say("/help")
    assert await heard(ann.chat) != "You said: I love tea"
    assert said(store, ann.user["id"]) == ["I love tea"]


@pytest.mark.parametrize("kind", ["voice", "photo", "sticker", "location"])
async def test_what_has_no_words_is_answered_politely_in_the_persons_language(
    api: BotApi, store: SqlDialogStore, kind: str
) -> None:
    ivan = api.person("Ivan", "ru")
    ivan.send(kind)
    assert await heard(ivan.chat) == "Пока я понимаю только текст. Расскажешь словами?"
    assert said(store, ivan.user["id"]) == []


async def test_an_album_is_spoken_of_once(api: BotApi) -> None:
    ann = api.person("Ann")
    for _ in range(3):
        ann.send("photo", media_group_id="album")
    ann.say("hi")
    assert [await heard(ann.chat) for _ in range(2)] == [TEXTS.say("en", "non_text"), "You said: hi"]


async def test_service_messages_are_not_spoken_of(api: BotApi) -> None:
    ann, group = api.person("Ann"), api.group("Friends")
    ann.post(group, new_chat_title="Good friends")
    ann.say("@kith_bot hi", group)
    assert await heard(group) == "You said: hi"


# Commands


async def test_retry_waits_for_the_reply_under_way_and_then_says_something_else(
    api: BotApi, answers: FixedAnswers
) -> None:
    ann = api.person("Ann")
    answers.hold()
    ann.say("hi")
    ann.say("/retry")
    await answers.next()
    answers.release()
    assert [await heard(ann.chat) for _ in range(2)] == ["You said: hi", "You said (1): hi"]


async def test_retry_without_a_reply_says_so(api: BotApi) -> None:
    ann = api.person("Ann")
    ann.say("/retry")
    assert await heard(ann.chat) == TEXTS.say("en", "retry_nothing")


async def test_feedback_off_hides_the_vote_buttons(api: BotApi) -> None:
    ann = api.person("Ann")
    ann.say("/feedback off")
    await ann.chat.hears()
    ann.say("hi")
    assert "reply_markup" not in await ann.chat.hears()


async def test_the_interface_changes_its_language_on_demand(api: BotApi) -> None:
    ann = api.person("Ann")
    ann.say("/language ru")
    assert await heard(ann.chat) == "Теперь интерфейс на русском."
    ann.say("/nonsense")
    assert await heard(ann.chat) == "Такой команды я не знаю. Список — в /help."


async def test_export_sends_the_persons_own_data_as_json(api: BotApi) -> None:
    ann, bob = api.person("Ann"), api.person("Bob")
    for person in ann, bob:
        person.say(f"I am {person.user['first_name']} ☺")
        await person.chat.hears()
    ann.say("/export")
    assert (await ann.chat.hears())["document"]["file_name"] == "kith-export.json"
    _, content = api.documents[0]
    assert json.loads(content)["person"]["id"] == f"telegram:{ann.user['id']}"
    assert "I am Ann ☺" in content.decode() and "Bob" not in content.decode()


async def test_an_export_over_telegrams_limit_is_packed(api: BotApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.telegram_chat.talking.FILE_LIMIT", 700)
    ann = api.person("Ann")
    ann.say("na " * 1000)
    await ann.chat.hears()
    ann.say("/export")
    await ann.chat.hears()
    name, content = api.documents[0]
    assert name == "kith-export.json.gz" and content.startswith(b"\x1f\x8b")
