"""A whole bot on tiny models: it takes up changes of the pool while it runs."""

import asyncio
import json
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from fixed_answers import empty_log

from bot.assemble import Parts, assemble, load_retriever, open_store, set_up_libraries, warm_up
from bot.conversation import Conversation
from bot.pipeline import Pipeline
from bot.running import crowd_of, late_after, open_bot
from bot.settings import Settings
from bot.taking_up import TEXTS_AT_ONCE
from generation.generator import GptGenerator
from ranking.pool_index import Index, build_index
from ranking.retriever import Retriever
from ranking.vector_files import load
from ranking.vectors import Encoder
from storage.dialog import Candidate, Context, PoolEntry, Turn, new_id
from storage.store import PoolState, SqlDialogStore

pytest_plugins = ("tiny",)

PATIENCE = 60.0
"""Seconds after which a test gives up."""

PIZZA = PoolEntry("food/1", "Pizza!", ("what shall we eat",), "curated")
JOKE = PoolEntry("imported/1", "The cat sleeps, that is the joke.", ("tell me a joke please",), "imported")
RAIN = PoolEntry("imported/2", "It rains.", ("hello there",), "imported")


@pytest.fixture
def settings(
    bi_encoder_folder: str,
    cross_encoder_folder: str,
    quick_toxicity: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    """A bot that says what is most similar, over a curated pool of one reply, and looks at its pool all the time."""
    empty_log(tmp_path).close()
    policy = tmp_path / "policy.json"
    policy.write_text(json.dumps({"version": "similar", "weights": {"similarity": 1.0}, "vetoes": {}}))
    monkeypatch.setattr("bot.assemble.curated", lambda: [PIZZA])
    monkeypatch.setattr("ranking.toxicity.curated", lambda: [PIZZA, JOKE, RAIN] * 50)
    monkeypatch.setattr("bot.watch.LOOK_SECONDS", 0.01)
    return Settings(
        _env_file=None,
        data_dir=tmp_path,
        retriever=bi_encoder_folder,
        ranker=cross_encoder_folder,
        candidates=0,
        policy=policy,
        exploration=0,
        threads=1,
    )


async def ask(bot: Conversation, text: str) -> Turn:
    """A turn in a chat of its own, where nothing has been said before."""
    chat = f"console:{new_id()}"
    turn = await bot.hear(chat, chat, text, new_id())
    assert turn is not None
    return turn


@pytest.mark.parametrize(("exploration", "bound"), [(0.0, 5.0), (0.3, None)])
def test_no_turn_is_early_where_replies_are_drawn(settings: Settings, exploration: float, bound: float | None) -> None:
    settings = settings.model_copy(update={"early": 5.0, "exploration": exploration})
    with open_store(settings) as store:
        assert assemble(settings, store, None).early == bound


async def asked_until(bot: Conversation, text: str, fits: Callable[[Turn], bool]) -> Turn:
    """Asks the same until the answer fits."""
    async with asyncio.timeout(PATIENCE):
        while True:
            turn = await ask(bot, text)
            if fits(turn):
                return turn
            await asyncio.sleep(0.01)


def says(entry: PoolEntry) -> Callable[[Turn], bool]:
    return lambda turn: turn.decision.reply == entry.reply


def size(turn: Turn) -> int:
    """How many replies the pool had, by the version that was logged."""
    return int(turn.versions["retrieval"].split()[-2])


async def comes_true(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if what():
                return
            await asyncio.sleep(0.01)


async def test_a_running_bot_says_what_was_added_and_no_longer_what_was_removed(settings: Settings) -> None:
    with open_store(settings) as owner:
        async with open_bot(settings) as bot:
            assert not says(JOKE)(await ask(bot, "tell me a joke please"))
            owner.add_pool_entries([JOKE])
            assert size(await asked_until(bot, "tell me a joke please", says(JOKE))) == 2
            owner.remove_pool_entry(JOKE.id)
            owner.add_pool_entries([RAIN])
            turn = await asked_until(bot, "hello there", says(RAIN))
            assert size(turn) == 2
            assert owner.turn(turn.id) == turn
            assert not says(JOKE)(await ask(bot, "tell me a joke please"))


async def test_models_are_warm_before_anybody_is_heard_and_nothing_of_that_is_kept_or_drawn(
    settings: Settings, generator_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked: list[str] = []
    drawn: list[bool] = []

    def watched(parts: Parts, pipeline: Pipeline) -> None:
        before = torch.get_rng_state(), random.getstate()
        assert isinstance(parts.generator, GptGenerator)
        parts.ranker.model.register_forward_hook(lambda *_: worked.append("ranker"))
        parts.generator.model.register_forward_hook(lambda *_: worked.append("generator"))
        warm_up(parts, pipeline)
        drawn.append(not torch.equal(before[0], torch.get_rng_state()) or before[1] != random.getstate())

    monkeypatch.setattr("bot.running.warm_up", watched)
    async with open_bot(settings.model_copy(update={"candidates": 2, "generator": generator_folder})):
        assert set(worked) == {"ranker", "generator"}
        assert drawn == [False]
    with open_store(settings) as log:
        assert log.dialogs() == []


@pytest.mark.parametrize(("threads", "omp", "used"), [(0, None, 3), (0, "5", 7), (2, "5", 2)])
def test_a_core_has_a_thread_unless_the_settings_or_the_environment_say_otherwise(
    monkeypatch: pytest.MonkeyPatch, threads: int, omp: str | None, used: int
) -> None:
    before = torch.get_num_threads()
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    monkeypatch.delenv("OMP_NUM_THREADS")
    if omp:
        monkeypatch.setenv("OMP_NUM_THREADS", omp)
    torch.set_num_threads(7)  # what torch made of the environment when it was imported
    try:
        set_up_libraries(Settings(_env_file=None, threads=threads))
        assert torch.get_num_threads() == used
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("given", "seconds", "crowd"),
    [
        ({}, 0.5, 5),
        ({"generator": "folder"}, 2, None),
        ({"remote_url": "http://127.0.0.1:9", "remote_model": "large"}, 2, None),
        ({"generate_seconds": 0}, 0, None),
        ({"generate_seconds": 7}, 7, None),
        ({"generate_seconds": 7, "generator": "folder"}, 7, None),
        ({"retrieved": 0, "generate_seconds": 7}, 0, None),
        ({"candidates": 0}, 0, None),
    ],
)
def test_who_waits_goes_without_generation_the_sooner_the_less_it_is_worth(
    given: dict[str, Any], seconds: float, crowd: int | None
) -> None:
    settings = Settings(_env_file=None, **given)
    assert (late_after(settings), crowd_of(settings)) == (seconds, crowd)


async def test_a_pool_that_changes_while_the_bot_starts_is_taken_up(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_store(settings) as owner:

        def load_and_change(*given: object) -> Retriever:
            retriever = load_retriever(settings, owner)
            owner.add_pool_entries([JOKE])
            return retriever

        monkeypatch.setattr("bot.taking_up.load_retriever", load_and_change)
        async with open_bot(settings) as bot:
            await asked_until(bot, "tell me a joke please", says(JOKE))


async def test_turns_that_are_asked_while_an_index_is_made_are_answered_from_the_old_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()

    def slowly(entries: Sequence[PoolEntry], encoder: Encoder, *lists: Any) -> Index:
        begun.set()
        assert go.wait(PATIENCE)
        return build_index(entries, encoder, *lists)

    monkeypatch.setattr("bot.taking_up.build_index", slowly)
    with open_store(settings) as owner:
        async with open_bot(settings) as bot:
            owner.add_pool_entries([JOKE])
            await comes_true(begun.is_set)
            for _ in range(2):
                turn = await ask(bot, "tell me a joke please")
                assert not says(JOKE)(turn)
                assert size(turn) == 1
            go.set()
            assert size(await asked_until(bot, "tell me a joke please", says(JOKE))) == 2


async def test_an_index_never_changes_within_a_batch(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    made, proposing, go = threading.Event(), threading.Event(), threading.Event()
    propose = Retriever.propose

    def slowly(self: Retriever, contexts: Sequence[Context]) -> list[list[Candidate]]:
        proposing.set()
        assert go.wait(PATIENCE)
        return propose(self, contexts)

    def noted(entries: Sequence[PoolEntry], encoder: Encoder, *lists: Any) -> Index:
        index = build_index(entries, encoder, *lists)
        made.set()
        return index

    monkeypatch.setattr(Retriever, "propose", slowly)
    monkeypatch.setattr("bot.taking_up.build_index", noted)
    go.set()  # for the turn that warms the models up
    with open_store(settings) as owner:
        async with open_bot(settings) as bot:
            proposing.clear()
            go.clear()
            turn = asyncio.create_task(ask(bot, "tell me a joke please"))
            await comes_true(proposing.is_set)
            owner.add_pool_entries([JOKE])
            await comes_true(made.is_set)
            await asyncio.sleep(0.1)  # in which the index would be put in place, if it did not wait
            go.set()
            assert size(await turn) == 1
            assert not says(JOKE)(await turn)
            await asked_until(bot, "tell me a joke please", says(JOKE))


async def test_a_database_that_is_away_for_a_moment_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away, looks, pool_state = threading.Event(), [0], SqlDialogStore.pool_state

    def flaky(self: SqlDialogStore) -> PoolState:
        looks[0] += 1
        if away.is_set():
            raise ConnectionError("server closed the connection")
        return pool_state(self)

    monkeypatch.setattr(SqlDialogStore, "pool_state", flaky)
    with open_store(settings) as owner:
        async with open_bot(settings) as bot:
            away.set()
            before = looks[0]
            await comes_true(lambda: looks[0] > before + 3)
            owner.add_pool_entries([JOKE])
            assert (await ask(bot, "hello there")).decision.reply
            away.clear()
            await asked_until(bot, "tell me a joke please", says(JOKE))
    assert caplog.text.count("ConnectionError: server closed the connection") == 1


async def test_new_texts_are_embedded_a_few_at_a_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    new: list[int] = []
    learn = Encoder.learn

    def counted(self: Encoder, texts: Sequence[str]) -> None:
        new.append(len(self.unknown(texts)))
        learn(self, texts)

    many = [PoolEntry(f"imported/{n}", f"number {n}", (f"say {n}", "count"), "imported") for n in range(30)]
    with open_store(settings) as owner:
        async with open_bot(settings) as bot:
            monkeypatch.setattr(Encoder, "learn", counted)
            owner.add_pool_entries(many)
            await asked_until(bot, "say 7", lambda turn: size(turn) == 31)
    assert max(new) <= TEXTS_AT_ONCE
    assert sum(new) == 30 + 30 + 1


async def test_vectors_are_kept_for_the_next_start_and_go_with_their_texts(settings: Settings) -> None:
    def kept() -> int:
        file = load(settings.pool_vectors, Path(settings.retriever).name)
        return len(file.digests) if file else 0

    with open_store(settings) as owner:
        async with open_bot(settings):
            owner.add_pool_entries([JOKE, RAIN])
            await comes_true(lambda: kept() == 6)
            owner.remove_pool_entry(JOKE.id)
            await comes_true(lambda: kept() == 4)
        owner.remove_pool_entry(RAIN.id)
        load_retriever(settings, owner)
        assert kept() == 2


@pytest.mark.parametrize("safety", ["on", "off"])
async def test_only_the_owners_setting_switches_safety_off_and_the_log_says_so(
    settings: Settings, caplog: pytest.LogCaptureFixture, safety: str
) -> None:
    async with open_bot(settings.model_copy(update={"safety": safety})) as bot:
        turn = await ask(bot, "i want to kill myself")
        other = await ask(bot, "hello there")
    checks = {"toxic", "ungentle", "claims_human", "instructs", "with_minor"}
    assert (turn.decision.reason == "moderated") == (safety == "on")
    assert all((checks <= scored.features.keys()) == (safety == "on") for scored in other.decision.ranked)
    assert ("KITH_SAFETY is off" in caplog.text) == (safety == "off")


async def test_without_retrieval_there_is_nothing_to_watch(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.taking_up.load_retriever", None)
    async with open_bot(settings.model_copy(update={"retrieved": 0})) as bot:
        turn = await ask(bot, "hello there")
    assert turn.decision.reason == "fallback"
    assert "retrieval" not in turn.versions
