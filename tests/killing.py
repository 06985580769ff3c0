"""Kills a bot at random moments while people talk to it, and counts what came of it.

    python tests/killing.py --kills 1000 [--database postgresql://kith@127.0.0.1/kith] [--seed 1]

A fork server imports everything once; each life of the bot is a fork of it, ended by SIGKILL. Telegram and its people
live in this process, so they outlive all of them.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bot_api import BotApi
from killed_bot import live, said_to
from sqlalchemy import func, select
from telegram_people import Chat, Json, Somebody
from turn_values import not_done

from bot.splitting import split
from storage.schema import MessageRow, TurnRow
from storage.store import SqlDialogStore

LONGEST_LIFE = 40
"""Calls of the Bot API, of which a start takes five: a life is as long on a busy machine as on an idle one."""

PATIENCE = 600
"""Seconds after which something hangs; on a machine that is busy with other things a start can take a minute."""

MOMENT = 0.05
"""Seconds from a call to the kill, on average: a call takes some milliseconds, as does what follows it."""


@dataclass
class Load:
    """People who talk, vote and send replies back, and what they are owed."""

    api: BotApi
    owed: dict[int, list[str]] = field(default_factory=dict)
    """By chat, the messages that the bot has to send there."""
    votes: dict[tuple[str, str], int] = field(default_factory=dict)
    """By person and turn, the vote that must stand."""
    said: int = 0
    retries: int = 0
    over: bool = False

    async def talk(self, person: Somebody) -> None:
        """Writes and waits for the reply, again and again; what comes twice is skipped here and counted later."""
        owed = self.owed.setdefault(person.chat.info["id"], [])
        while not self.over:
            self.said += 1
            text = f"{random.choice(['message', 'message', 'message', 'long'])} {self.said}"
            person.say(text)
            message = await self.hears(person.chat, owed, said_to(text))
            if random.random() < 0.4:
                value = random.choice([1, -1])
                person.press(message, "👍" if value == 1 else "👎")
                self.votes[(f"telegram:{person.user['id']}", turn_of(message))] = value
            if random.random() < 0.2 and not self.over:
                self.retries += 1
                person.press(message, "🔁")
                await self.hears(person.chat, owed, said_to(text, 1))

    async def hears(self, chat: Chat, owed: list[str], reply: str) -> Json:
        """Waits for all messages of a reply; its last one."""
        pieces = split(reply, 4096)
        owed += pieces
        wanted = set(pieces)
        while wanted:
            message = await chat.unread.get()
            wanted.discard(message["text"])
        return message


def turn_of(message: Json) -> str:
    """The turn that a reply's buttons are about."""
    return str(message["reply_markup"]["inline_keyboard"][0][-1]["callback_data"]).removeprefix("r:")


class Window:
    """Messages that Telegram took, and whose note the kill forestalled: these may come twice."""

    def __init__(self, api: BotApi, store: SqlDialogStore) -> None:
        self.api, self.store = api, store
        self.texts: Counter[tuple[int, str]] = Counter()
        self._seen: Counter[int] = Counter()

    def look(self) -> None:
        """Looks at the messages since the last time."""
        for number, chat in self.api.chats.items():
            for message_id in range(self._seen[number] + 1, len(chat.messages) + 1):
                message = chat.messages[message_id]
                if message["from"]["is_bot"] and not self.store.turn_at(f"telegram:{number}", str(message_id)):
                    self.texts[(number, message["text"])] += 1
            self._seen[number] = len(chat.messages)


async def kill_often(
    kills: int, database: str, folder: Path, minutes: float = 600, people: int = 6
) -> dict[str, object]:
    """Kills, lets the last life finish, and tells what was seen. Raises AssertionError when anything was lost, or came
    twice outside the window."""
    os.environ["SSL_CERT_DIR"] = str(folder)  # loopback needs no certificates, and they take 0.1 s
    os.environ.pop("SSL_CERT_FILE", None)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["killed_bot"])
    SqlDialogStore(database).close()
    started = time.monotonic()
    async with BotApi() as api:
        with SqlDialogStore(database) as store:
            window, load = Window(api, store), Load(api)
            talks = [asyncio.create_task(load.talk(api.person(f"Person {number}"))) for number in range(people)]
            done = 0
            while done < kills and time.monotonic() - started < 60 * minutes:
                done += 1
                bot = processes.Process(target=live, args=(database, api.url, folder / "log"))
                last = len(api.calls) + random.randint(0, LONGEST_LIFE)
                bot.start()
                await api.until(lambda last=last: len(api.calls) >= last, PATIENCE)  # type: ignore[misc]
                await asyncio.sleep(random.expovariate(1 / MOMENT))
                assert bot.is_alive(), (folder / "log").read_text()[-2000:]
                bot.kill()
                await asyncio.to_thread(bot.join)
                api.forget_the_dead()
                await asyncio.to_thread(window.look)
            bot = processes.Process(target=live, args=(database, api.url, folder / "log"))
            bot.start()
            load.over = True
            await asyncio.wait_for(asyncio.gather(*talks), PATIENCE)
            await api.until(lambda: not api.waiting() and not not_done(store), PATIENCE)
            bot.terminate()
            await asyncio.to_thread(bot.join)
            seen = count(api, store, load, window)
    return {"kills": done, **seen, "seconds": round(time.monotonic() - started)}


def count(api: BotApi, store: SqlDialogStore, load: Load, window: Window) -> dict[str, object]:
    """What was said and how often it was answered."""
    sent = Counter(
        (number, message["text"])
        for number, chat in api.chats.items()
        for message in chat.messages.values()
        if message["from"]["is_bot"]
    )
    owed = Counter((number, text) for number, texts in load.owed.items() for text in texts)
    twice = {key: times - owed[key] for key, times in sent.items() if times > owed[key]}
    assert not {key for key in owed if key not in sent}, "a message was not answered"
    assert not {key for key in twice if key not in owed}, "something was said that nobody asked for"
    assert all(window.texts[key] >= times for key, times in twice.items()), "something came twice outside the window"
    with store.reading() as connection:
        turns = connection.execute(select(func.count()).select_from(TurnRow)).scalar_one()
        messages = connection.execute(select(func.count()).select_from(MessageRow)).scalar_one()
    assert messages == load.said, "a message was not logged exactly once"
    assert turns == load.said + load.retries, "a message has more or fewer turns than one"
    for (person, turn), value in load.votes.items():
        vote = store.vote_of(turn, person)
        assert vote and vote.value == value, "a vote was lost"
    return {
        "messages": load.said,
        "sent back": load.retries,
        "votes": len(load.votes),
        "sent": sum(owed.values()),
        "sent twice": sum(twice.values()),
        "in the window": sum(window.texts.values()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=600, help="stops earlier, after so many")
    parser.add_argument("--database", help="URL; default: a new SQLite file")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder, suppress(KeyboardInterrupt):
        database = options.database or f"sqlite:///{folder}/kith.db"
        print(json.dumps(asyncio.run(kill_often(options.kills, database, Path(folder), options.minutes))))


if __name__ == "__main__":
    main()
