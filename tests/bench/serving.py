"""A real `kith run` in a process of its own, against the loopback Bot API, and what it costs."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot_api import TOKEN, BotApi

START_SECONDS = 120
TICKS = os.sysconf("SC_CLK_TCK")
RAPL = Path("/sys/class/powercap")

PROGRAM = "from bot.cli import main; raise SystemExit(main(['run']))"


@dataclass(frozen=True, slots=True)
class Logged:
    """A turn as the bot's log has it. `at`: when it was decided, in seconds since 1970."""

    seconds: Mapping[str, float]
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Bot:
    """One that runs."""

    api: BotApi
    folder: Path
    process: int

    def cpu_seconds(self) -> float:
        """What it has used of all cores so far."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def mebibytes(self, which: str) -> float:
        """Resident memory now ("VmRSS") or at its highest ("VmHWM")."""
        lines = Path(f"/proc/{self.process}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(which)) / 1024

    def logged(self) -> dict[tuple[str, str], Logged]:
        """All turns, by chat and by the number of the message in it."""
        sql = """SELECT dialog.chat, message.external_id, turn.seconds, turn.reason, turn.at FROM turn
            JOIN message ON message.id = turn.message_id JOIN dialog ON dialog.id = message.dialog_id"""
        with closing(sqlite3.connect(f"file:{self.folder}/kith.db?mode=ro", uri=True)) as connection:
            return {
                (chat, number): Logged(json.loads(seconds), reason, since_1970(at))
                for chat, number, seconds, reason, at in connection.execute(sql)
            }


def since_1970(at: str) -> float:
    """A time of the log, which is in UTC, as a number."""
    return datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()


def joules() -> float | None:
    """What the processors have used so far, all that runs on the machine included; None where it cannot be read."""
    try:
        return sum(int(file.read_text()) for file in RAPL.glob("intel-rapl:?/energy_uj")) / 1e6 or None
    except OSError:
        return None


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Bot]:
    """Kith as it ships, with an empty log in a folder and without quotas, once it asks for messages."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KITH_", "TELEGRAM_"))}
    async with BotApi() as api:
        environment = kept | {
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), "SSL_CERT_DIR": str(folder),
            "KITH_DATA_DIR": str(folder), "KITH_LOG_LEVEL": "WARNING", "KITH_MINUTE_QUOTA": "0", "KITH_DAY_QUOTA": "0",
            "KITH_AFTER_TALK": "off", "TELEGRAM_BOT_TOKEN": TOKEN, "TELEGRAM_API_URL": api.url,
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, env=environment, cwd=folder)
        try:
            await api.until(lambda: api.called("getUpdates"), START_SECONDS)
            yield Bot(api, folder, process.pid)
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
            await process.wait()
