"""Ends of a bot: by SIGKILL at random moments, six times (a thousand: `make kill`), and by SIGTERM."""

import asyncio
import multiprocessing
from pathlib import Path

import pytest
from bot_api import BotApi
from fixed_answers import empty_log
from killed_bot import live
from killing import kill_often
from turn_values import not_done

PATIENCE = 60
"""Seconds to wait for a process to end; it should take 10 at the most."""


@pytest.mark.timeout(300)
async def test_no_kill_loses_anything_and_what_comes_twice_was_in_the_window(database_url: str, tmp_path: Path) -> None:
    seen = await kill_often(6, database_url, tmp_path)
    assert seen["messages"]


async def test_a_model_that_hangs_does_not_keep_the_program_from_its_end(tmp_path: Path) -> None:
    with empty_log(tmp_path) as store:
        async with BotApi() as api:
            url = f"sqlite:///{tmp_path / 'kith.db'}"
            arguments = (url, api.url, tmp_path / "log")
            bot = multiprocessing.get_context("forkserver").Process(target=live, args=arguments)
            bot.start()
            ann, bob = api.person("Ann"), api.person("Bob")
            ann.say("hang")
            await api.until(lambda: not_done(store) == 1)
            bob.say("/help")  # a hung model is in nobody's way
            await bob.chat.hears()
            bot.terminate()
            await asyncio.to_thread(bot.join, PATIENCE)
            assert bot.exitcode == 0
        assert not_done(store) == 1  # it is answered after the next start
