"""/forget by the real bot over the real Bot API: afterwards no file of the data folder has a word of the person."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from bot_api import TOKEN, BotApi
from fixed_answers import empty_log
from pydantic import SecretStr
from serving_bot import keep_alone
from telegram_people import PATIENCE, Chat, Json, Somebody

from bot import telegram_chat
from bot.assemble import open_store
from bot.cli import main
from bot.running import open_bot
from bot.settings import Settings
from bot.texts import load_texts
from ranking.vector_files import digest
from storage.dialog import PoolEntry
from storage.export import FORMATS, Filters, export
from storage.store import SqlDialogStore

pytest_plugins = ("tiny",)

TEXTS = load_texts()
SALT = b"of these tests"

SAID = ("quokkaberry", "зябликощур", "wumpusglow", "zyzzyvamist", "xenolithia", "brumblecloak")
"""Words of Ann's, each kept on another way."""
CONTEXT = f"what does a {SAID[0]} eat {SAID[1]}"
REPLY = PoolEntry("imported/1", "It eats moss, I hear.", (CONTEXT,), "imported")
PERSONA = "tarragonian"


@pytest.fixture
def settings(
    bi_encoder_folder: str,
    cross_encoder_folder: str,
    quick_toxicity: None,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """A bot on tiny models that says what is most similar; its persona files are outside of its data."""
    keep_alone(tmp_path, monkeypatch)
    data, personas = tmp_path / "data", tmp_path_factory.mktemp("personas")
    data.mkdir()
    empty_log(data).close()
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"version": "similar", "weights": {"similarity": 1.0}, "vetoes": {}}))
    (personas / f"{PERSONA}.toml").write_text('facts = ["I am."]\n[name]\nen = "Taz"\n[description]\nen = "odd"\n')
    pizza = PoolEntry("food/1", "Pizza!", ("dinner",), "curated")
    monkeypatch.setattr("bot.assemble.curated", lambda: [pizza])
    monkeypatch.setattr("ranking.toxicity.curated", lambda: [pizza] * 150)
    monkeypatch.setattr("bot.watch.LOOK_SECONDS", 0.01)
    monkeypatch.setenv("KITH_DATA_DIR", str(data))
    return Settings(
        _env_file=None,
        telegram_bot_token=SecretStr(TOKEN),
        data_dir=data,
        personas_dir=personas,
        retriever=bi_encoder_folder,
        ranker=cross_encoder_folder,
        policy=policy,
        candidates=0,
        exploration=0,
        threads=1,
    )


@asynccontextmanager
async def serving(api: BotApi, settings: Settings) -> AsyncIterator[None]:
    """The whole bot, listening."""
    settings = settings.model_copy(update={"telegram_api_url": api.url})
    async with open_bot(settings) as conversation:
        task = asyncio.create_task(telegram_chat.run(settings, conversation))
        await api.until(lambda: api.called("getUpdates"))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def files_with(folder: Path, word: str) -> set[str]:
    """The files in which a word is, as it is or as JSON writes it; the bot writes and renames some meanwhile."""
    forms = word.encode(), json.dumps(word)[1:-1].encode()
    found = set()
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                text = (Path(place) / name).read_bytes()
                found |= {name for form in forms if form in text}
    return found


async def comes_true(what: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if what():
                return
            await asyncio.sleep(0.01)


async def answered(somebody: Somebody, text: str, chat: Chat | None = None) -> Json:
    """The reply to a message."""
    somebody.say(text, chat)
    return await (chat or somebody.chat).hears()


async def tell_everything(ann: Somebody, group: Chat, owner: SqlDialogStore, vectors: Path) -> None:
    """Ann's words get wherever words can get."""
    me = f"telegram:{ann.user['id']}"
    ann.press(await answered(ann, "/start"), "You may learn")
    await comes_true(lambda: owner.person(me).consent)
    owner.add_pool_entries([REPLY])
    await comes_true(lambda: vectors.exists() and digest(CONTEXT) in vectors.read_bytes())
    reply = await answered(ann, CONTEXT)
    assert reply["text"] == REPLY.reply
    ann.press(reply, "👍")
    await comes_true(lambda: owner.liked_replies(1))
    owner.remove_pool_entry(REPLY.id)  # so that it can come back as a reply that was liked
    assert main(["pool", "promote", "--people", "1", "--yes"]) == 0
    message = ann.say(f"the {SAID[2]} is gone")
    reply = await ann.chat.hears()
    ann.edit(message, f"the {SAID[3]} is gone")
    ann.press(reply, "🔁")
    ann.press(await ann.chat.hears(), "👎")
    await answered(ann, f"@kith_bot {SAID[4]}", group)
    ann.send("photo", caption=SAID[5])
    await ann.chat.hears()
    await answered(ann, f"/persona {PERSONA}")
    await comes_true(lambda: owner.persona(me) == PERSONA)


async def test_nothing_is_left_of_a_person_in_any_file(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    data, vectors = settings.data_dir, settings.pool_vectors
    async with BotApi() as api, serving(api, settings):
        with open_store(settings) as owner:
            ann, bob, group = api.person("Ann"), api.person("Bob"), api.group("Friends")
            bob.press(await answered(bob, "/start"), "You may learn")
            await answered(bob, "bob was here")
            await answered(bob, "@kith_bot bob is here too", group)
            await tell_everything(ann, group, owner, vectors)
            me = f"telegram:{ann.user['id']}"
            kept = (me, *SAID[:2], SAID[3], SAID[4], PERSONA)
            assert all(files_with(data, word) for word in kept)
            await comes_true(lambda: digest(CONTEXT) in vectors.read_bytes())

            question = await answered(ann, "/forget")
            ann.press(question, "Yes")
            await api.until(lambda: question["text"] == TEXTS.say("en", "forget_done"))
            assert {word: files_with(data, word) for word in (me, *SAID, PERSONA)} == {
                word: set() for word in (me, *SAID, PERSONA)
            }
            assert digest(CONTEXT) not in vectors.read_bytes()
            assert [entry.reply for entry in owner.pool_entries()] == []
            for format in FORMATS:
                export(owner, format, data / f"{format}.jsonl", Filters(), SALT, unredacted=True)
            await answered(bob, "still there?")
    kept_words = files_with(data, "bob was here") - {"kith.db-wal"}  # there until a look that was on its way is over
    assert kept_words == {"kith.db", "dialogs.jsonl", "messages.jsonl"}
    assert not any(files_with(data, word) for word in (me, *SAID, PERSONA))
