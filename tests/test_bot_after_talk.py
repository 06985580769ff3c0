"""How are you after this talk? Asked in Telegram over HTTP and in the terminal, answered by a button or a number."""

import io
import logging
import sys
from datetime import timedelta

import pytest
import serving_bot
from bot_api import ApiError, BotApi, Call
from fixed_answers import FixedAnswers, conversation_with
from serving_bot import serving
from telegram_people import Json, Somebody
from turn_values import talk

from bot import after_talk
from bot.after_talk import LEAST, AfterTalk
from bot.console_chat import ConsoleChat
from bot.console_screen import Screen
from bot.rights import Rights, Rules
from bot.telegram_chat import asking
from bot.texts import load_texts
from storage.dialog import new_id, now
from storage.store import SqlDialogStore

TEXTS = load_texts()
QUESTION = TEXTS.say("en", "after_talk_ask")

store, answers, api = serving_bot.store, serving_bot.answers, serving_bot.api


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(after_talk, "SILENT", timedelta(0))  # every talk is over as soon as it is long enough
    monkeypatch.setattr(asking, "LOOK_SECONDS", 0.02)


def person_of(somebody: Somebody) -> str:
    return f"telegram:{somebody.user['id']}"


def long_talk(store: SqlDialogStore, somebody: Somebody, *last: str) -> None:
    """Somebody said as much as makes up a longer talk, and yes to learning."""
    texts = [*(f"message {number}" for number in range(LEAST - len(last))), *last]
    for text in texts:
        talk(store, text, "hello", chat=person_of(somebody), person=person_of(somebody))


def labels(message: Json) -> list[str]:
    return [button["text"] for row in message["reply_markup"]["inline_keyboard"] for button in row]


def felt(store: SqlDialogStore, somebody: Somebody) -> list[str]:
    dialogs = store.personal_data(person_of(somebody))["dialogs"]
    return [each["feeling"] for dialog in dialogs for each in dialog["after_talk"]]


def questions(api: BotApi) -> list[Call]:
    return [call for call in api.called("sendMessage") if call.parameters["text"] == QUESTION]


async def settled(person: Somebody) -> None:
    """Returns when what the person did so far is done with, and a look was had since."""
    person.say("/help")
    while "/forget" not in (await person.chat.hears()).get("text", ""):
        pass


async def looked(store: SqlDialogStore, api: BotApi) -> None:
    """Returns when everybody who is to be asked was: somebody who wrote last is."""
    last = api.person("Last")
    long_talk(store, last)
    assert (await last.chat.hears())["text"] == QUESTION


async def test_after_a_longer_talk_somebody_is_asked_once_without_a_sound(api: BotApi, store: SqlDialogStore) -> None:
    ann = api.person("Ann")
    ann.say("hi")
    await ann.chat.hears()
    long_talk(store, ann)
    question = await ann.chat.hears()
    assert (question["text"], labels(question)) == (QUESTION, ["better", "the same", "worse"])
    long_talk(store, ann)
    await looked(store, api)
    [call, _] = questions(api)
    assert call.parameters["disable_notification"] in (True, "true")


async def test_an_answer_is_marked_can_be_changed_and_counts_once(api: BotApi, store: SqlDialogStore) -> None:
    ann = api.person("Ann")
    long_talk(store, ann)
    question = await ann.chat.hears()
    for press, feeling, marked in (("worse", "worse", "worse ✓"), ("better", "better", "better ✓")):
        queries = [ann.press(question, press) for _ in range(2)]
        await settled(ann)
        assert {api.answers[query] for query in queries} == {TEXTS.say("en", f"after_talk_said_{feeling}")}
        assert [label for label in labels(question) if "✓" in label] == [marked]
        assert felt(store, ann) == [feeling]
    methods = [call.method for call in api.called("answerCallbackQuery", "editMessageReplyMarkup")]
    assert methods[:2] == ["answerCallbackQuery", "editMessageReplyMarkup"]
    store.forget(person_of(ann))
    query = ann.press(question, "worse")
    await api.until(lambda: query in api.answers)
    assert api.answers[query] == TEXTS.say("en", "after_talk_gone")
    assert store.personal_data(person_of(ann))["person"] is None


@pytest.mark.parametrize("data", ["f:{id}:happy", "f:{other}:better", "f:{id}:better\n", "f:{id}", "f::worse"])
async def test_forged_answers_and_those_of_others_change_nothing(api: BotApi, store: SqlDialogStore, data: str) -> None:
    ann, bob = api.person("Ann"), api.person("Bob")
    long_talk(store, ann)
    question = await ann.chat.hears()
    sent = question["reply_markup"]["inline_keyboard"][0][0]["callback_data"]
    query = ann.forge(question, data.format(id=sent.split(":")[1], other=new_id()))
    theirs = bob.forge(question, sent)
    await api.until(lambda: query in api.answers and theirs in api.answers)
    assert api.answers[query] and api.answers[theirs] == TEXTS.say("en", "not_addressed")
    assert felt(store, ann) == [""] and store.personal_data(person_of(bob))["person"] is None


@pytest.mark.parametrize("place", [0, -1])
async def test_after_a_sign_of_danger_anywhere_in_the_talk_there_is_silence(
    api: BotApi, store: SqlDialogStore, place: int
) -> None:
    ann = api.person("Ann")
    said = ["fine"] * LEAST
    said[place] = "help me"
    long_talk(store, ann, *said)
    await looked(store, api)
    assert len(questions(api)) == 1 and felt(store, ann) == []


async def test_feedback_off_ends_it_and_its_text_says_so(api: BotApi, store: SqlDialogStore) -> None:
    ann = api.person("Ann")
    ann.say("/feedback off")
    assert "don't ask how you feel" in (await ann.chat.hears())["text"]
    long_talk(store, ann)
    await looked(store, api)
    assert felt(store, ann) == []


@pytest.mark.parametrize("fault", ["blocked", "refused"])
async def test_what_telegram_does_not_take_stops_nothing_and_is_not_sent_again(
    api: BotApi, store: SqlDialogStore, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    ann = api.person("Ann")
    if fault == "blocked":
        ann.chat.blocked = True
    else:
        api.refusals.append(ApiError(500, "Internal Server Error"))
    long_talk(store, ann)
    await api.until(lambda: questions(api))
    await looked(store, api)
    assert [call.parameters["chat_id"] for call in questions(api)].count(ann.user["id"]) == 1
    assert felt(store, ann) == [""]
    assert "Telegram did not take a call" in caplog.text and "nobody could be asked" not in caplog.text


async def test_while_flood_control_holds_a_question_back_replies_go_on(api: BotApi, store: SqlDialogStore) -> None:
    ann, bob = api.person("Ann"), api.person("Bob")
    api.refusals.append(ApiError(429, "Too Many Requests: retry after 60", retry_after=60))
    long_talk(store, ann)
    await api.until(lambda: questions(api))
    bob.say("hi")
    assert (await bob.chat.hears())["text"] == "You said: hi"
    assert ann.chat.unread.empty()


async def test_after_a_restart_nobody_is_asked_again(
    answers: FixedAnswers, store: SqlDialogStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with BotApi() as api:
        ann = api.person("Ann")
        async with serving(api, answers):
            long_talk(store, ann)
            question = await ann.chat.hears()
        api.calls.clear()
        async with serving(api, answers):
            ann.press(question, "the same")
            await looked(store, api)
            await settled(ann)
        assert len(questions(api)) == 1 and felt(store, ann) == ["same"]


@pytest.mark.parametrize("rules", [Rules(blocked=frozenset({"telegram:42"})), Rules(allowed=frozenset({"telegram:7"}))])
async def test_who_is_shut_out_is_not_asked_and_without_the_setting_nobody_is(
    store: SqlDialogStore, rules: Rules
) -> None:
    for number in range(LEAST):
        talk(store, f"message {number}", "hello")

    def asking_by(rules: Rules, on: bool = True) -> AfterTalk:
        return AfterTalk(store, TEXTS, Rights(store, TEXTS, rules), (lambda text: False) if on else None)

    assert await asking_by(rules).next("telegram") is None
    assert await asking_by(Rules(), on=False).next("telegram") is None
    assert await asking_by(Rules()).next("console") is None
    assert await asking_by(Rules()).next("telegram")


async def test_a_talk_must_have_been_silent_for_some_minutes(
    store: SqlDialogStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(after_talk, "SILENT", timedelta(minutes=10))
    for number in range(LEAST):
        talk(store, f"message {number}", "hello")
    asking_ = AfterTalk(store, TEXTS, Rights(store, TEXTS, Rules()), lambda text: False)
    assert await asking_.next("telegram") is None
    begun = now()
    monkeypatch.setattr(after_talk, "now", lambda: begun + timedelta(minutes=11))
    assert await asking_.next("telegram")


# In the terminal


async def test_in_the_terminal_new_asks_after_a_longer_talk(
    answers: FixedAnswers, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def says(*lines: str) -> tuple[list[str], list[str]]:
        monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
        await ConsoleChat(conversation_with(answers), Screen(), "me", "en").run()
        shown = capsys.readouterr()
        return shown.out.splitlines(), shown.err.splitlines()

    _, notices = await says("hi", "/new")
    assert notices == []
    out, notices = await says(*(f"message {number}" for number in range(LEAST)), "/new", "worse", "bye")
    assert notices == [QUESTION, "1 better", "2 the same", "3 worse", TEXTS.say("en", "after_talk_said_worse")]
    assert out[-2:] == [TEXTS.say("en", "new"), "You said: bye"]
    dialogs = answers.store.personal_data("console:me")["dialogs"]
    assert [each["feeling"] for dialog in dialogs for each in dialog["after_talk"]] == ["worse"]
