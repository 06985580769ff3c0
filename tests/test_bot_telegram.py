"""Tests of bot/telegram_chat/talking.py over HTTP: messages, commands, groups, order, and what may go wrong."""

import json
import logging

import pytest
import serving_bot
from bot_api import BOT, TOKEN, ApiError, BotApi
from fixed_answers import FixedAnswers
from serving_bot import serving
from telegram_people import heard

from bot.texts import load_texts
from storage.store import SqlDialogStore

TEXTS = load_texts()

store, answers, api = serving_bot.store, serving_bot.answers, serving_bot.api


def said(store: SqlDialogStore, person: int) -> list[str]:
    """The texts of a person in the log."""
    dialogs = store.personal_data(f"telegram:{person}")["dialogs"]
    return [message["text"] for dialog in dialogs for message in dialog["messages"]]


# Talking


async def test_a_message_is_answered_with_vote_buttons(api: BotApi) -> None:
    ann = api.person("Ann")
    ann.say("hi")
    reply = await ann.chat.hears()
    assert reply["text"] == "You said: hi"
    assert [button["text"] for button in reply["reply_markup"]["inline_keyboard"][0]] == ["👍", "👎", "🔁"]


@pytest.mark.parametrize(("language", "word"), [("ru", "Можно мне ещё и учиться"), ("de", "May I also learn")])
async def test_start_speaks_the_apps_language_and_asks_whether_they_may_be_learnt_from(
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
    texts = [f"message {number}" for number in range(6)]
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
    await answers.next()  # next to Ann's first one, not behind her sixth
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
    chat, (first, last) = f"telegram:{ann.user['id']}", [str(piece["message_id"]) for piece in pieces]
    await api.until(lambda: store.turn_at(chat, last))
    assert store.turn_at(chat, first) == store.turn_at(chat, last)


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


@pytest.mark.parametrize(
    ("limit", "outcome"), [(3000, "kith-export.json.gz"), (100, TEXTS.say("en", "export_too_big"))]
)
async def test_an_export_over_telegrams_limit_is_packed_or_else_explained(
    api: BotApi, monkeypatch: pytest.MonkeyPatch, limit: int, outcome: str
) -> None:
    monkeypatch.setattr("bot.telegram_chat.talking.FILE_LIMIT", limit)
    ann = api.person("Ann")
    ann.say("na " * 1000)
    await ann.chat.hears()
    ann.say("/export")
    message = await ann.chat.hears()
    assert outcome in (message.get("text"), message.get("document", {}).get("file_name"))


@pytest.mark.parametrize("command", ["/privacy", "/export", "/forget"])
async def test_nothing_of_a_person_is_told_to_a_group(api: BotApi, command: str) -> None:
    ann, group = api.person("Ann"), api.group("Friends")
    ann.say(command, group)
    assert await heard(group) == TEXTS.say("en", "private_only")


async def test_an_unknown_command_is_answered_where_it_can_only_be_ours(api: BotApi) -> None:
    ann, group = api.person("Ann"), api.group("Friends")
    for text in ("/dance", "/start@other_bot", "/dance@other_bot", "/dance@Kith_bot"):
        ann.say(text, group)
    assert await heard(group) == TEXTS.say("en", "unknown_command")
    ann.say("/dance")
    assert await heard(ann.chat) == TEXTS.say("en", "unknown_command")
    assert group.unread.empty()


# Groups


async def test_in_a_group_it_answers_when_mentioned_or_replied_to_and_quotes_whom_it_answers(
    api: BotApi, store: SqlDialogStore
) -> None:
    ann, bob, group = api.person("Ann"), api.person("Bob"), api.group("Friends")
    bob.say("hi all, my address is bob@kith_bot.org", group)
    asked = ann.say("hey @Kith_Bot, what's up?", group)
    reply = await group.hears()
    assert reply["text"] == "You said: hey what's up?"
    assert reply["reply_to_message"]["message_id"] == asked["message_id"]
    ann.say("right", group, reply_to=asked)
    bob.say("and me?", group, reply_to=reply)
    assert await heard(group) == "You said: and me?"
    assert said(store, ann.user["id"]) == ["hey what's up?"]


async def test_a_mention_without_words_gets_a_word_and_is_not_logged(api: BotApi, store: SqlDialogStore) -> None:
    ann, group = api.person("Ann"), api.group("Friends")
    ann.say("@kith_bot", group)
    assert await heard(group) == TEXTS.say("en", "nothing_said")
    assert said(store, ann.user["id"]) == []


async def test_each_topic_has_its_own_context_and_is_answered_there(api: BotApi, store: SqlDialogStore) -> None:
    ann, forum = api.person("Ann"), api.group("Forum", topics=(7, 8))
    opened = forum.add(BOT, 7, forum_topic_created={"name": "Tea", "icon_color": 0})
    ann.say("not to the bot", forum, topic=7, reply_to=opened)
    for topic in 7, 8:
        ann.say(f"@kith_bot topic {topic}", forum, topic=topic)
        reply = await forum.hears()
        assert (reply["text"], reply["message_thread_id"]) == (f"You said: topic {topic}", topic)
    for topic in 7, 8:
        turn = store.last_turn(f"telegram:{forum.info['id']}:{topic}")
        assert turn and [message.text for message in store.context(turn.asked).messages] == [f"topic {topic}"]


async def test_a_group_does_not_hear_of_a_private_chat(api: BotApi, store: SqlDialogStore) -> None:
    ann, group = api.person("Ann"), api.group("Friends")
    ann.say("a secret")
    await ann.chat.hears()
    ann.say("@kith_bot hi", group)
    await group.hears()
    turn = store.last_turn(f"telegram:{group.info['id']}")
    assert turn and [message.text for message in store.context(turn.asked).messages] == ["hi"]


# What may go wrong


async def test_a_blocked_bot_is_logged_without_words_and_stops_nothing(
    api: BotApi, caplog: pytest.LogCaptureFixture
) -> None:
    ann, bob = api.person("Ann"), api.person("Bob")
    ann.chat.blocked = True
    ann.say("are you there?")
    await api.until(lambda: api.called("sendMessage"))
    bob.say("hi")
    assert await heard(bob.chat) == "You said: hi"
    assert "Forbidden" in caplog.text and "are you there?" not in caplog.text


@pytest.mark.filterwarnings("ignore:.*retry_after")  # will be a timedelta, which we know of
async def test_flood_control_is_waited_for(api: BotApi) -> None:
    ann = api.person("Ann")
    api.refusals.append(ApiError(429, "Too Many Requests", retry_after=0.01))
    ann.say("hi")
    assert await heard(ann.chat) == "You said: hi"


async def test_a_failure_is_told_to_the_person_and_stops_nothing(
    api: BotApi, answers: FixedAnswers, caplog: pytest.LogCaptureFixture
) -> None:
    ann = api.person("Ann")
    answers.error = RuntimeError("out of memory")
    ann.say("hi")
    assert await heard(ann.chat) == TEXTS.say("en", "failed")
    assert "out of memory" in caplog.text
    answers.error = None
    ann.say("hi")
    assert await heard(ann.chat) == "You said: hi"


async def test_a_person_who_is_forgotten_while_their_message_is_answered_hears_no_more_of_it(
    api: BotApi, answers: FixedAnswers, store: SqlDialogStore
) -> None:
    ann = api.person("Ann")
    answers.hold()
    ann.say("hi")
    await answers.next()
    store.forget(f"telegram:{ann.user['id']}")
    answers.release()
    ann.say("a new life")
    assert await heard(ann.chat) == "You said: a new life"


async def test_no_log_holds_the_token_or_what_people_say(
    answers: FixedAnswers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with BotApi() as api, serving(api, answers):
        ann = api.person("Ann")
        ann.say("my secret")
        await ann.chat.hears()
    assert TOKEN.partition(":")[2] not in caplog.text
    assert "my secret" not in caplog.text
