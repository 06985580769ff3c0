"""Tests of bot/telegram_chat/serving.py: starting, stopping, the webhook, and what a wrong setting is told."""

import asyncio
import json
import logging
import os
import signal
import socket

import httpx
import pytest
import serving_bot
from bot_api import TOKEN, BotApi
from fixed_answers import FixedAnswers, conversation_with
from loopback import free_port
from pydantic import SecretStr
from serving_bot import serving, settings_for

from bot.settings import OutOfReach, Settings, UserError
from bot.telegram_chat import check_token, run
from storage.dialog import Received
from storage.store import SqlDialogStore, StoreError

store, answers = serving_bot.store, serving_bot.answers


async def test_a_signal_stops_it_after_the_replies_under_way(answers: FixedAnswers) -> None:
    async with BotApi() as api:
        ann = api.person("Ann")
        serving_task = asyncio.create_task(run(settings_for(api), conversation_with(answers)))
        answers.hold()
        ann.say("one")
        ann.say("two")
        await answers.next()
        os.kill(os.getpid(), signal.SIGTERM)
        await api.until(
            lambda: len(api.called("getUpdates")) > 1 and not api.called("getUpdates")[-1].parameters["timeout"]
        )
        answers.release()
        await serving_task
        assert [(await ann.chat.hears())["text"] for _ in range(2)] == ["You said: one", "You said: two"]


async def test_an_update_that_comes_again_after_a_crash_gets_no_second_reply(answers: FixedAnswers) -> None:
    async with BotApi() as api:
        ann = api.person("Ann")
        async with serving(api, answers):
            ann.say("hi")
            await ann.chat.hears()
            update = api.latest_update
        api.repeat(update)
        async with serving(api, answers):
            ann.say("and then?")
            assert (await ann.chat.hears())["text"] == "You said: and then?"


async def test_updates_of_every_kind_are_asked_for(answers: FixedAnswers) -> None:
    async with BotApi() as api, serving(api, answers):
        assert "message_reaction" in api.called("getUpdates")[0].parameters["allowed_updates"]


@pytest.mark.parametrize("secret", [SecretStr("a-secret"), None])
async def test_the_webhook_answers_telegram_and_refuses_who_does_not_know_the_secret(
    answers: FixedAnswers, secret: SecretStr | None
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/hook"
    async with BotApi() as api, serving(api, answers, webhook_url=address, webhook_port=port, webhook_secret=secret):
        ann = api.person("Ann")
        ann.say("hi")
        assert (await ann.chat.hears())["text"] == "You said: hi"
        assert not api.called("getUpdates")
        async with httpx.AsyncClient() as client:
            for headers in ({}, {"X-Telegram-Bot-Api-Secret-Token": "guessed"}):
                forged = api.latest_update | {"update_id": 5}
                headers["Content-Type"] = "application/json"
                response = await client.post(address, content=json.dumps(forged), headers=headers)
                assert response.status_code == 403
        ann.say("still there?")
        assert (await ann.chat.hears())["text"] == "You said: still there?"


def disk_is_full(received: Received) -> bool:
    raise StoreError("The database cannot be used (database or disk is full): see to it, and try again.")


async def test_a_webhook_that_telegram_calls_twice_is_heard_once_and_one_that_could_not_be_kept_is_not_confirmed(
    answers: FixedAnswers, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, secret = free_port(), "a-secret"
    address = f"http://127.0.0.1:{port}/hook"
    headers = {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": secret}
    async with (
        BotApi() as api,
        serving(api, answers, webhook_url=address, webhook_port=port, webhook_secret=SecretStr(secret)),
        httpx.AsyncClient() as telegram,
    ):
        ann = api.person("Ann")
        ann.say("hi")
        await ann.chat.hears()
        again = await telegram.post(address, content=json.dumps(api.latest_update), headers=headers)
        assert again.status_code == 200
        with monkeypatch.context() as fault:
            fault.setattr(answers.store, "receive", disk_is_full)
            other = json.dumps(api.latest_update | {"update_id": 5})
            assert (await telegram.post(address, content=other, headers=headers)).status_code == 500
        ann.say("and then?")
        assert (await ann.chat.hears())["text"] == "You said: and then?"


async def test_check_token_tells_the_bots_name(store: SqlDialogStore) -> None:
    async with BotApi() as api:
        assert await check_token(settings_for(api)) == "@kith_bot"
        assert [call.method for call in api.calls] == ["getMe"]


@pytest.mark.parametrize("token", ["123456:wrong", "nonsense"])
async def test_a_token_that_telegram_refuses_is_one_sentence_without_the_token(
    answers: FixedAnswers, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with BotApi() as api:
        settings = settings_for(api, telegram_bot_token=SecretStr(token))
        for attempt in (check_token(settings), run(settings, conversation_with(answers))):
            with pytest.raises(UserError, match="TELEGRAM_BOT_TOKEN") as error:
                await attempt
            assert token not in str(error.value) and "\n" not in str(error.value)
    assert not caplog.records


async def test_without_a_token_it_says_which_setting_is_missing(answers: FixedAnswers) -> None:
    with pytest.raises(UserError, match="set TELEGRAM_BOT_TOKEN"):
        await run(Settings(), conversation_with(answers))


async def test_a_server_that_cannot_be_reached_is_named(
    answers: FixedAnswers, caplog: pytest.LogCaptureFixture
) -> None:
    root = f"http://127.0.0.1:{free_port()}"
    settings = Settings(telegram_bot_token=SecretStr(TOKEN), telegram_api_url=root)
    with pytest.raises(OutOfReach, match=f"{root}.*TELEGRAM_API_URL"):
        await run(settings, conversation_with(answers))
    assert not caplog.records


@pytest.mark.parametrize(
    ("webhook", "complaint"), [("http://elsewhere.example/hook", "KITH_WEBHOOK_URL"), (None, "KITH_WEBHOOK_LISTEN")]
)
async def test_a_webhook_that_cannot_be_is_one_sentence(
    answers: FixedAnswers, webhook: str | None, complaint: str, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1] if webhook is None else free_port()
        url = webhook or f"http://127.0.0.1:{port}/hook"
        async with BotApi() as api:
            with pytest.raises(UserError, match=complaint):
                await run(settings_for(api, webhook_url=url, webhook_port=port), conversation_with(answers))
    assert not caplog.records


async def test_a_network_hiccup_is_logged_in_one_line_and_survived(
    answers: FixedAnswers, caplog: pytest.LogCaptureFixture
) -> None:
    async with BotApi() as api, serving(api, answers):
        api.hiccups = 1
        ann = api.person("Ann")
        ann.say("hi")
        await ann.chat.hears()
        ann.say("again")
        await ann.chat.hears()
    [record] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "asking Telegram for updates failed" in record.getMessage() and record.exc_info is None
