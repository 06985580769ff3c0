"""A day of many people in a few minutes: does the bot's memory grow, does it lose file handles?

    python tests/soaking.py [--people 50] [--messages 40] [--hours 24] [--without-models]

It runs `kith run` with the shipped models, or the bot of killed_bot.py, which has none, on a new database against the
loopback Bot API. The people say in each "hour" what they would say in one, a few of them at a time, vote, send replies
back and use commands; then the process is measured.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import tomllib
from pathlib import Path

from bot_api import TOKEN, BotApi
from telegram_people import Json, Somebody

ROOT = Path(__file__).parent.parent
AT_ONCE = 4
"""People who write in the same moment."""

WARM_HOURS = 4
"""Until then caches fill and libraries load what they need."""


def lines() -> list[str]:
    """What people say."""
    users = tomllib.loads((ROOT / "bot" / "scripted_users.toml").read_text(encoding="utf-8"))
    return [line for user in users["user"] for line in user["says"]]


async def hears(person: Somebody) -> Json:
    """The bot's next message."""
    return await asyncio.wait_for(person.chat.unread.get(), 300)


async def an_hour(person: Somebody, messages: int, said: list[str], room: asyncio.Semaphore) -> None:
    """What somebody does in one."""
    for _ in range(messages):
        async with room:
            person.say(random.choice(said))
            reply = await hears(person)
            chance = random.random()
            if chance < 0.3:
                person.press(reply, random.choice("👍👎"))
            elif chance < 0.4:
                person.press(reply, "🔁")
                await hears(person)
            elif chance < 0.5:
                person.say(random.choice(["/help", "/feedback on", "/privacy", "/export", "/new"]))
                await hears(person)


def measured(process: int) -> dict[str, int]:
    """Resident memory in MiB, open files and threads."""
    status = Path(f"/proc/{process}/status").read_text()
    values = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    return {
        "MiB": int(values["VmRSS"].split()[0]) // 1024,
        "files": len(list(Path(f"/proc/{process}/fd").iterdir())),
        "threads": int(values["Threads"]),
    }


WITH_MODELS = "from bot.cli import main; raise SystemExit(main(['run']))"
WITHOUT = "import sys; from pathlib import Path; from killed_bot import live; live(*sys.argv[1:3], Path(sys.argv[3]))"


async def soak(people: int, messages: int, hours: int, models: bool, folder: Path) -> dict[str, object]:
    """What was measured after each hour, and the growth from WARM_HOURS to the end."""
    async with BotApi() as api:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KITH_", "TELEGRAM_"))}
        environment = kept | {
            "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "SSL_CERT_DIR": str(folder),
            "KITH_DATA_DIR": str(folder), "KITH_LOG_LEVEL": "WARNING", "KITH_MINUTE_QUOTA": "0",
            "TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": api.url,
        }  # fmt: skip
        arguments = [WITH_MODELS] if models else [WITHOUT, f"sqlite:///{folder}/kith.db", api.url, str(folder / "log")]
        command = sys.executable, "-c", *arguments
        bot = await asyncio.create_subprocess_exec(*command, env=environment, cwd=folder)
        friends = [api.person(f"Person {number}") for number in range(people)]
        said, room, samples, left = lines(), asyncio.Semaphore(AT_ONCE), [], messages
        for hour in range(hours):
            now = round(left / (hours - hour))
            left -= now
            await asyncio.gather(*(an_hour(person, now, said, room) for person in friends))
            samples.append(measured(bot.pid))
            print(hour + 1, samples[-1], file=sys.stderr, flush=True)
        bot.send_signal(signal.SIGTERM)
        code = await bot.wait()
    warm, end = samples[min(WARM_HOURS, hours) - 1], samples[-1]
    growth = round(100 * (end["MiB"] / warm["MiB"] - 1), 1)
    return {"people": people, "messages": people * messages, "warm": warm, "end": end, "growth %": growth, "exit": code}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--messages", type=int, default=40, help="of each person")
    parser.add_argument("--hours", type=int, default=24)
    parser.add_argument("--without-models", action="store_true")
    options = parser.parse_args()
    random.seed(1)
    with tempfile.TemporaryDirectory() as folder:
        sizes = options.people, options.messages, options.hours
        print(json.dumps(asyncio.run(soak(*sizes, not options.without_models, Path(folder)))))


if __name__ == "__main__":
    main()
