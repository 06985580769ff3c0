"""Tests of bot/telegram_chat/reading.py over HTTP: updates that are broken, and their neighbours that are not."""

import asyncio
import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
import serving_bot
from bot_api import BotApi
from fixed_answers import FixedAnswers, empty_log
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import free_port
from pydantic import SecretStr
from serving_bot import keep_alone, serving
from telegram import Update
from telegram.error import TelegramError

from bot.telegram_chat.listening import UpdateRequest
from bot.telegram_chat.reading import readable
from storage.store import SqlDialogStore

Json: TypeAlias = dict[str, Any]

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 2**63, 10**30, 1.5, "", "x", "\ud83d", "\0", "ж" * 5000, "@kith_bot", "/start", [], {}, [1],
     [[]], {"id": "x"}, {"id": []}, [None], {"message_id": {}}]
)  # fmt: skip
"""What stands where something else is expected."""

KEYS = ("update_id", "message", "edited_message", "callback_query", "message_reaction", "message_id", "date", "chat",
        "from", "user", "id", "type", "text", "entities", "photo", "new_reaction", "old_reaction", "data")  # fmt: skip


store = serving_bot.store


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a document: its container and its key."""
    pairs = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
    inner = [place for _, each in pairs if isinstance(each, dict | list) for place in places(each)]
    return [(value, key) for key, _ in pairs] + inner


def broken(update: Json, changes: list[tuple[int, Any, bool]]) -> Json:
    """An update with some of its places changed or, where that is possible, gone. It keeps its number."""
    changed = deepcopy(update)
    for number, value, gone in changes:
        found = [(holder, key) for holder, key in places(changed) if key != "update_id"]
        if found:
            holder, key = found[number % len(found)]
            if gone and isinstance(holder, dict):
                del holder[key]
            else:
                holder[key] = deepcopy(value)
    return changed


async def samples(store: SqlDialogStore) -> list[Json]:
    """Updates of every kind that people cause."""
    made: list[Json] = []
    async with BotApi() as api, serving(api, FixedAnswers(store)):
        ann, group = api.person("Ann"), api.group("Friends", topics=(7,))
        first = ann.say("hi")
        made.append(api.latest_update)
        reply = await ann.chat.hears()
        happenings: list[Callable[[], object]] = [
            lambda: ann.edit(first, "hi there"),
            lambda: ann.press(reply, "👍"),
            lambda: ann.press(reply, "👎"),
            lambda: ann.react(reply, "👍"),
            lambda: ann.send("voice"),
            lambda: ann.send("photo", media_group_id="album"),
            lambda: ann.say("/persona wit"),
            lambda: ann.say("@kith_bot hi", group, topic=7, reply_to=first),
        ]
        for happen in happenings:
            happen()
            made.append(api.latest_update)
    return made


async def survives(store: SqlDialogStore, updates: list[Json]) -> None:
    """Sends updates, between whole ones, all of which must be answered in time."""
    async with BotApi() as api, serving(api, FixedAnswers(store), max_waiting=1000):
        _, _, bob = api.person("Ann"), api.group("Friends"), api.person("Bob")
        for number, update in enumerate(updates):
            bob.say(f"neighbour {number}")
            api.repeat({**update, "update_id": api.latest_update["update_id"] + 1_000_000 + number})
            api._last_update = api.latest_update["update_id"]
        bob.say("the last one")
        seen: list[str] = []
        while "You said: the last one" not in seen:
            seen.append(str((await bob.chat.hears())["text"]))
        expected = [f"You said: neighbour {number}" for number in range(len(updates))]
        assert [text for text in seen if text in expected] == expected


def fresh(folder: Path, monkeypatch: pytest.MonkeyPatch) -> SqlDialogStore:
    keep_alone(folder, monkeypatch)
    return empty_log(folder)


@settings(max_examples=3)
@given(
    changes=st.lists(
        st.lists(st.tuples(st.integers(0, 60), ODD, st.booleans()), min_size=1, max_size=3), min_size=30, max_size=30
    )
)
def test_broken_updates_cost_themselves_and_no_neighbour(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    changes: list[list[tuple[int, Any, bool]]],
) -> None:
    with fresh(tmp_path_factory.mktemp("whole"), monkeypatch) as store:
        made = asyncio.run(samples(store))
    updates = [broken(made[number % len(made)], change) for number, change in enumerate(changes)]
    with fresh(tmp_path_factory.mktemp("broken"), monkeypatch) as store:
        asyncio.run(survives(store, updates))


@given(
    update=st.recursive(
        ODD, lambda some: st.lists(some, max_size=2) | st.dictionaries(st.sampled_from(KEYS), some, max_size=6)
    )
)
def test_whatever_is_left_of_an_update_the_library_can_read(update: Any) -> None:
    left = readable(update)
    if left is not None:
        assert Update.de_json(left, None).update_id == update["update_id"]


async def test_a_whole_update_stays_as_it_is(store: SqlDialogStore) -> None:
    for update in await samples(store):
        assert readable(update) == update


async def test_an_update_that_cannot_be_read_is_confirmed_and_not_quoted(
    store: SqlDialogStore, caplog: pytest.LogCaptureFixture
) -> None:
    async with BotApi() as api, serving(api, FixedAnswers(store)):
        ann = api.person("Ann")
        api.repeat({"update_id": 5000, "message": {"text": "my secret"}})
        await api.until(lambda: any(call.parameters.get("offset") == 5001 for call in api.called("getUpdates")))
        api._last_update = 5001
        ann.say("hi")
        assert (await ann.chat.hears())["text"] == "You said: hi"
    assert "update 5000 cannot be read" in caplog.text
    assert "my secret" not in caplog.text


@pytest.mark.parametrize("answer", [b"[]", b"{}", b"5", b"nonsense", b"\xff", b'{"ok": true}'])
def test_what_is_no_answer_is_a_fault_of_the_network(answer: bytes) -> None:
    with pytest.raises(TelegramError):
        UpdateRequest.parse_json_payload(answer)


def test_what_is_no_update_is_left_out() -> None:
    answer = {"ok": True, "result": [5, None, {"text": "hi"}, {"update_id": "1"}, {"update_id": 7}]}
    assert UpdateRequest.parse_json_payload(json.dumps(answer).encode())["result"] == [{"update_id": 7}]


def test_a_refusal_keeps_what_it_says() -> None:
    refusal = {"ok": False, "error_code": 429, "description": "slowly", "parameters": {"retry_after": 5}}
    assert UpdateRequest.parse_json_payload(json.dumps(refusal).encode()) == refusal


@pytest.mark.parametrize("body", [b"[]", b"nonsense", b"\xff", b'{"update_id": 1, "message": {"text": "my secret"}}'])
async def test_the_webhook_refuses_what_it_cannot_read_and_goes_on(
    store: SqlDialogStore, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}/hook"
    secret = SecretStr("a-secret")
    hook: Json = {"webhook_url": address, "webhook_port": port, "webhook_secret": secret}
    async with BotApi() as api, serving(api, FixedAnswers(store), **hook):
        ann = api.person("Ann")
        headers = {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": "a-secret"}
        async with httpx.AsyncClient() as client:
            assert (await client.post(address, content=body, headers=headers)).status_code >= 400
        ann.say("hi")
        assert (await ann.chat.hears())["text"] == "You said: hi"
    assert "my secret" not in caplog.text
