"""Tests of tests/bot_api.py itself: the loopback Bot API refuses what Telegram refuses."""

import loopback
import pytest
from bot_api import TOKEN, BotApi
from telegram import Bot, InlineKeyboardButton, InlineKeyboardMarkup
from telegram.error import BadRequest, Conflict, InvalidToken


def bot_of(api: BotApi, token: str = TOKEN) -> Bot:
    return Bot(token, base_url=f"{api.url}/bot", base_file_url=f"{api.url}/file/bot")


@pytest.mark.parametrize(
    ("text", "data", "complaint"),
    [
        (" \n", "v", "text is empty"),
        ("🙃" * 2049, "v", "too long"),  # 4,098 UTF-16 units
        ("hi", "x" * 65, "Button_data_invalid"),
        ("hi", "ё" * 33, "Button_data_invalid"),
    ],
)
async def test_messages_and_buttons_beyond_the_limits_are_refused(text: str, data: str, complaint: str) -> None:
    async with BotApi() as api, bot_of(api) as bot:
        markup = InlineKeyboardMarkup([[InlineKeyboardButton("press", callback_data=data)]])
        with pytest.raises(BadRequest, match=complaint):
            await bot.send_message(api.person("Ann").chat.info["id"], text, reply_markup=markup)


async def test_what_is_not_there_cannot_be_edited_answered_or_written_to() -> None:
    async with BotApi() as api, bot_of(api) as bot:
        ann = api.person("Ann")
        theirs, number = ann.say("hi"), ann.user["id"]
        ours = await bot.send_message(number, "hello")
        for call, complaint in (
            (bot.edit_message_text("x", number, 99), "to edit not found"),
            (bot.edit_message_text("x", number, theirs["message_id"]), "can't be edited"),
            (bot.edit_message_text("hello", number, ours.message_id), "not modified"),
            (bot.answer_callback_query("query-1"), "Query is too old"),
            (bot.send_message(1, "hi"), "Chat not found"),
            (bot.send_message(number, "hi", message_thread_id=7), "thread not found"),
        ):
            with pytest.raises(BadRequest, match=complaint):
                await call


async def test_updates_wait_until_they_are_confirmed_and_only_those_asked_for_come() -> None:
    async with BotApi() as api, bot_of(api) as bot:
        ann = api.person("Ann")
        message = ann.say("one")
        ann.react(message, "👍")  # was not asked for
        ann.say("two")
        first, second = await bot.get_updates()
        assert [update.message and update.message.text for update in (first, second)] == ["one", "two"]
        assert await bot.get_updates(offset=second.update_id, allowed_updates=["message_reaction"]) == (second,)
        ann.react(message, "👍")
        [reaction] = await bot.get_updates(offset=second.update_id + 1)
        assert reaction.message_reaction


async def test_files_are_handed_out_under_the_token() -> None:
    async with BotApi() as api, bot_of(api) as bot:
        file = await bot.get_file(api.person("Ann").send("voice")["voice"]["file_id"])
        assert await file.download_as_bytearray() == b"content of files/voice-1"


async def test_a_wrong_token_and_polling_beside_a_webhook_are_refused() -> None:
    async with BotApi() as api, bot_of(api) as bot:
        with pytest.raises(InvalidToken):
            await bot_of(api, "123456:wrong").initialize()
        await bot.set_webhook("https://example.org/hook")
        with pytest.raises(Conflict):
            await bot.get_updates()


async def test_a_free_port_is_none_that_a_server_has_or_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook's port was given to the next server, once: the test failed, and with it the run."""
    async with BotApi() as api:
        given = int(api.url.rsplit(":", 1)[1])
        assert given not in loopback.PORTS
        monkeypatch.setattr(loopback, "PORTS", range(given, given + 2))
        assert loopback.free_port() == given + 1
