"""Faults of the network and of Telegram, by injection: what a person gets all the same, and how often."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
import serving_bot
from bot_api import TOKEN, ApiError, BotApi, Mishap
from fixed_answers import FixedAnswers, conversation_with
from serving_bot import serving, settings_for
from telegram import Bot
from telegram.error import NetworkError
from telegram_people import heard
from turn_values import not_done, turn_for

from bot.settings import UserError
from bot.telegram_chat import run, sending
from bot.telegram_chat import serving as serving_module
from bot.texts import load_texts
from storage.store import SqlDialogStore

TEXTS = load_texts()

store, answers, api = serving_bot.store, serving_bot.answers, serving_bot.api


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(serving_module, "READ_SECONDS", 0.5)


async def all_heard(api: BotApi, number: int) -> list[str]:
    """Everything that the bot sent to a chat until it had answered one more message."""
    chat = api.chats[number]
    texts: list[str] = []
    while not texts or texts[-1] != "You said: the end":
        texts.append(await heard(chat))
    return texts


@pytest.mark.parametrize("code", [500, 502, 504])
async def test_an_error_of_telegrams_servers_is_waited_out(api: BotApi, code: int) -> None:
    ann = api.person("Ann")
    api.refusals += [ApiError(code, "Bad Gateway") for _ in range(4)]
    ann.say("hi")
    ann.say("the end")
    assert await all_heard(api, ann.user["id"]) == ["You said: hi", "You said: the end"]


@pytest.mark.parametrize(
    ("mishaps", "copies"),
    [(["lost"], 1), (["cut"], 2), (["slow"], 2), (["lost", "lost"], 0), (["cut", "cut", "cut"], 2)],
)
async def test_a_message_of_which_it_is_not_known_whether_it_arrived_is_sent_once_more_and_no_third_time(
    api: BotApi, mishaps: list[Mishap], copies: int
) -> None:
    ann = api.person("Ann")
    api.mishaps += mishaps
    ann.say("hi")
    await api.until(lambda: len(api.mishaps) <= max(0, len(mishaps) - 2))
    api.mishaps.clear()
    ann.say("the end")
    assert await all_heard(api, ann.user["id"]) == ["You said: hi"] * copies + ["You said: the end"]


async def test_a_call_that_never_left_is_known_not_to_have_arrived(store: SqlDialogStore) -> None:
    async with BotApi() as api:
        gone = api.url
    for root in ("http://nowhere.invalid", gone):  # no such name, nobody there
        bot = Bot(TOKEN, base_url=f"{root}/bot")
        with pytest.raises(NetworkError) as error:
            await bot.get_me()
        assert not sending.may_have_arrived(error.value)
        await bot.shutdown()


async def test_while_the_network_is_away_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "FIRST_PAUSE", 0.0001)
    monkeypatch.setattr(sending, "LONGEST_PAUSE", 0.001)
    tries = 0

    async def call() -> str:
        nonlocal tries
        tries += 1
        if tries < 50:
            raise NetworkError("no route to host")
        return "sent"

    assert await sending.insist(call) == "sent"


@pytest.mark.filterwarnings("ignore:.*retry_after")
async def test_flood_control_of_one_chat_holds_up_no_other(api: BotApi, answers: FixedAnswers) -> None:
    ann, bob = api.person("Ann"), api.person("Bob")
    api.refusals += [ApiError(429, "Too Many Requests", retry_after=0.2) for _ in range(5)]
    ann.say("hi")
    await api.until(lambda: len(api.refusals) < 5)
    waiting, api.refusals = api.refusals, []
    bob.say("hello")
    assert await heard(bob.chat) == "You said: hello"
    api.refusals = waiting
    assert await heard(ann.chat) == "You said: hi"  # after more refusals than any number of tries


async def test_what_telegram_takes_offence_at_is_said_without_adornment(api: BotApi) -> None:
    ann = api.person("Ann")
    api.refusals.append(ApiError(400, "Bad Request: can't parse entities"))
    ann.say("hi")
    message = await ann.chat.hears()
    assert message["text"] == "You said: hi" and "reply_markup" not in message


async def test_what_telegram_refuses_either_way_stops_nothing(api: BotApi) -> None:
    ann = api.person("Ann")
    api.refusals += [ApiError(400, "Bad Request: can't parse entities") for _ in range(2)]
    ann.say("hi")
    await api.until(lambda: not api.refusals)
    ann.say("and now?")
    assert await heard(ann.chat) == "You said: and now?"


async def test_no_second_has_more_messages_than_telegram_takes_and_as_many_may_go_out_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begin = asyncio.get_running_loop().time()
    sent: list[float] = []

    async def sleep(seconds: float) -> None:
        sent.append(asyncio.get_running_loop().time() - begin + seconds)

    async def call() -> bool:
        return True

    monkeypatch.setattr("bot.telegram_chat.sending.asyncio.sleep", sleep)
    pace, most = sending.Pace(), sending.PACE_MESSAGES
    for method in ["sendMessage"] * most + ["answerCallbackQuery"] + ["sendDocument", "sendMessage"] * most:
        await pace.process_request(call, (), {}, method, {}, None)
    assert len(sent) == 3 * most
    assert sent[most - 1] < 1 <= sent[most] and sent[2 * most] >= 2
    assert all(later - earlier > 0.99 for earlier, later in zip(sent, sent[most:], strict=False))


async def test_the_turn_of_a_batch_that_was_given_up_is_said_when_it_came_first_after_all(
    api: BotApi, answers: FixedAnswers, store: SqlDialogStore
) -> None:
    ann = api.person("Ann")
    answers.hold()
    ann.say("hi")
    store.add_turn(turn_for(await answers.next(), "From the slow one."))
    answers.release()
    assert await heard(ann.chat) == "From the slow one."
    assert ann.chat.unread.empty()


# Two copies


async def test_a_second_copy_on_the_same_token_stops_and_says_so_while_the_first_goes_on(
    answers: FixedAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with BotApi() as api:
        with monkeypatch.context() as long_ago:
            long_ago.setattr(serving_module, "time", SimpleNamespace(monotonic=lambda: -1e6))
            first = asyncio.create_task(run(settings_for(api), conversation_with(answers)))
            await api.until(lambda: api.called("getUpdates"))
            await asyncio.sleep(0.05)
        with pytest.raises(UserError, match=r"Another copy of Kith.*@kith_bot"):
            await run(settings_for(api), conversation_with(answers))
        ann = api.person("Ann")
        ann.say("hi")
        assert await heard(ann.chat) == "You said: hi"
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)


async def test_a_webhook_set_by_another_program_stops_the_polling(answers: FixedAnswers) -> None:
    async with BotApi() as api:
        task = asyncio.create_task(run(settings_for(api), conversation_with(answers)))
        await api.until(lambda: api.called("getUpdates"))
        api.webhook = {"url": "https://elsewhere.example"}
        api.update("message", {})  # the poll under way ends
        with pytest.raises(UserError, match="Another copy"):
            await task


# Too much at once


async def test_beyond_the_bound_of_a_chat_messages_are_logged_and_the_person_is_told_once(
    answers: FixedAnswers, store: SqlDialogStore
) -> None:
    async with BotApi() as api, serving(api, answers, max_waiting=2):
        ann, bob = api.person("Ann"), api.person("Bob")
        answers.hold()
        texts = [f"message {number}" for number in range(6)]
        for text in texts:
            ann.say(text)
        assert await heard(ann.chat) == TEXTS.say("en", "busy")
        ann.say("/help")
        assert "/forget" in await heard(ann.chat)  # not told a second time
        bob.say("hi")
        answers.release()
        assert await heard(bob.chat) == "You said: hi"
        assert [await heard(ann.chat) for _ in range(3)] == [f"You said: {text}" for text in texts[:3]]
        [dialog] = store.personal_data(f"telegram:{ann.user['id']}")["dialogs"]
        assert [message["text"] for message in dialog["messages"]] == texts
        await api.until(lambda: not not_done(store))
        ann.say("go on")
        assert await heard(ann.chat) == "You said: go on"


async def test_retries_beyond_the_bound_are_told_so_too(answers: FixedAnswers) -> None:
    async with BotApi() as api, serving(api, answers, max_waiting=1):
        ann = api.person("Ann")
        answers.hold()
        ann.say("hi")
        for _ in range(3):
            ann.say("/retry")
        assert await heard(ann.chat) == TEXTS.say("en", "busy")
        answers.release()
        assert [await heard(ann.chat) for _ in range(2)] == ["You said: hi", "You said (1): hi"]


# Privacy


async def test_what_a_group_says_to_others_is_not_written_down(
    api: BotApi, store: SqlDialogStore, tmp_path: Path
) -> None:
    ann, bob, group = api.person("Ann"), api.person("Bob"), api.group("Friends")
    secret = ann.say("my secret for Bob alone", group)
    bob.say("I keep it", group, reply_to=secret)
    bob.say("@kith_bot hi", group, reply_to=secret)
    await group.hears()
    await api.until(lambda: not not_done(store))
    kept = await asyncio.to_thread(lambda: b"".join(file.read_bytes() for file in tmp_path.glob("kith.db*")))
    assert b"kith_bot" in kept and b"secret" not in kept and b"I keep it" not in kept
