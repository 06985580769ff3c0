"""A whole bot on tiny models: promotions, rollbacks and broken versions while it runs."""

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from promoting import Owner, confuse, make_taste, shift, spoil, version_of, write_policy

from bot.batching import Batcher
from bot.conversation import Conversation
from bot.running import open_bot
from bot.taking_up import Serving, forget_models, load_promoted, take_up_promoted
from bot.versions import folder_of
from ranking.policy import PolicyError
from storage.dialog import PoolEntry, Turn, new_id

pytest_plugins = ("tiny", "promoting")

PATIENCE = 60.0
"""Seconds after which a test gives up."""


async def ask(bot: Conversation, text: str = "hello there") -> Turn:
    """A turn in a chat of its own."""
    chat = f"console:{new_id()}"
    turn = await bot.hear(chat, chat, text, new_id())
    assert turn is not None
    return turn


async def asked_until(bot: Conversation, fits: Callable[[Turn], bool]) -> Turn:
    """Asks until the answer fits."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if fits(turn := await ask(bot)):
                return turn
            await asyncio.sleep(0.05)


async def answered_by(bot: Conversation, part: str, begins: str) -> Turn:
    """Asks until a version of this name answers."""
    return await asked_until(bot, lambda turn: turn.versions[part].startswith(begins))


async def comes_true(what: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            if what():
                return
            await asyncio.sleep(0.01)


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of versions that cannot serve."""
    return [message for message in caplog.messages if "cannot serve" in message]


async def test_a_promotion_and_a_rollback_are_taken_up_and_turns_name_what_decided(owner: Owner) -> None:
    ranker, policy = owner.version("ranker", shift), owner.policy(ranker=1.0)
    async with open_bot(owner.settings) as bot:
        before = await ask(bot)
        assert before.versions["ranker"].startswith("starter")
        owner.promote(ranker)
        turn = await answered_by(bot, "ranker", ranker)
        assert {part for part in turn.versions if turn.versions[part] != before.versions[part]} == {"ranker"}
        owner.promote(policy)
        await answered_by(bot, "policy", policy)
        owner.roll_back("ranker")
        turn = await answered_by(bot, "ranker", "starter")
        assert turn.versions["policy"].startswith(policy)
    async with open_bot(owner.settings) as bot:
        assert (await ask(bot)).versions == turn.versions


async def taken_up(owner: Owner, serving: Serving) -> None:
    async with Batcher(lambda batch, waited, late: []) as batcher:
        await take_up_promoted(owner.settings, serving, owner.store, batcher)


async def test_what_did_not_change_is_shared_and_what_did_is_freed(owner: Owner) -> None:
    serving = Serving(load_promoted(owner.settings, owner.store))
    parts = serving.now.parts
    old, kept = weakref.ref(parts.ranker.model), (parts.retriever, parts.encoder, parts.taste, parts.toxicity)
    del parts
    owner.promote(owner.version("ranker", shift))
    await taken_up(owner, serving)
    parts = serving.now.parts
    assert all(a is b for a, b in zip((parts.retriever, parts.encoder, parts.taste, parts.toxicity), kept, strict=True))
    gc.collect()
    assert old() is None


class Circle:
    """Holds itself, as models do."""

    def __init__(self) -> None:
        self.itself = self


@pytest.mark.parametrize("frozen", [True, False])
def test_models_that_were_there_from_the_start_are_freed_too(frozen: bool) -> None:
    model = Circle()
    seen = weakref.ref(model)
    if frozen:
        gc.freeze()
    try:
        del model
        forget_models()
        assert seen() is None
        assert (gc.get_freeze_count() > 0) is frozen
    finally:
        gc.unfreeze()


BROKEN: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "cut off": ("ranker", spoil, "delta.safetensors"),
    "no numbers": ("ranker", confuse, "judges by what is no number"),
    "no weights": ("policy", lambda folder: (folder / "policy.json").write_text("{}"), "not a file of policy weights"),
    "vetoes all": (
        "policy",
        lambda folder: (folder / "policy.json").write_text('{"version": "", "weights": {}, "vetoes": {"length": 0}}'),
        "lets nothing be said",
    ),
    "no generator": ("generator", lambda folder: (folder / "model.safetensors").write_bytes(b"x"), "cannot be loaded"),
}


@pytest.mark.parametrize("what", BROKEN)
async def test_a_broken_version_is_refused_once_and_what_served_goes_on(
    owner: Owner, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    kind, harm, reason = BROKEN[what]
    settings = owner.settings.model_copy(update={"candidates": 1 if kind == "generator" else 0})
    name = owner.policy() if kind == "policy" else owner.version(kind)
    async with open_bot(settings) as bot:
        before = (await ask(bot)).versions
        harm(folder_of(settings, name))
        owner.promote(name)
        await comes_true(lambda: owner.state(name) == "broken")
        after = owner.policy(similarity=2.0)
        owner.promote(after)  # the bot still looks
        turn = await answered_by(bot, "policy", after)
        assert {**turn.versions, "policy": ""} == {**before, "policy": ""}
    (refusal,) = refusals(caplog)
    assert name in refusal and reason in refusal
    async with open_bot(settings) as bot:  # nor does it keep the bot from starting
        assert (await ask(bot)).versions == turn.versions
    assert len(refusals(caplog)) == 1


async def test_a_version_that_broke_while_the_bot_was_down_leaves_its_place_at_the_start(
    owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = owner.version("ranker", shift), owner.version("ranker", shift)
    owner.promote(first)
    owner.promote(second)
    (folder_of(owner.settings, second) / "delta.safetensors").unlink()
    async with open_bot(owner.settings) as bot:
        assert (await ask(bot)).versions["ranker"].startswith(first)
    assert (owner.state(first), owner.state(second)) == ("promoted", "broken")
    assert len(refusals(caplog)) == 1


async def test_a_mended_version_is_taken_up_when_it_is_promoted_again(owner: Owner) -> None:
    name = owner.version("policy", lambda folder: (folder / "policy.json").write_text("{}"))
    async with open_bot(owner.settings) as bot:
        owner.promote(name)
        await comes_true(lambda: owner.state(name) == "broken")
        write_policy(folder_of(owner.settings, name) / "policy.json", similarity=3.0)
        owner.promote(name)
        await answered_by(bot, "policy", name)


async def test_a_retriever_alone_is_refused_and_together_with_what_stands_on_it_taken_up(
    owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    retriever = owner.version("retriever", shift)
    folder = str(folder_of(owner.settings, retriever))
    ranker = owner.version("ranker", retriever=version_of(folder))
    taste = owner.version("taste", lambda own: make_taste(own, folder), retriever=version_of(folder))
    async with open_bot(owner.settings) as bot:
        before = (await ask(bot)).versions
        for alone in (retriever, ranker):
            owner.promote(alone)
            await comes_true(lambda name=alone: owner.state(name) == "broken")  # type: ignore[misc]
            assert (await ask(bot)).versions == before
        assert all("stands on the retriever" in refusal for refusal in refusals(caplog))
        owner.promote(retriever, ranker, taste)
        turn = await answered_by(bot, "retrieval", retriever)
        assert turn.versions["ranker"].startswith(ranker)
        assert turn.versions["taste"] == taste
        assert turn.decision.reason == "policy"


async def test_an_owners_setting_wins_over_a_promotion(owner: Owner, tmp_path: Path) -> None:
    write_policy(tmp_path / "mine.json", similarity=1.0)
    owner.promote(owner.policy(ranker=1.0))
    async with open_bot(owner.settings.model_copy(update={"policy": tmp_path / "mine.json"})) as bot:
        assert (await ask(bot)).versions["policy"].startswith("by hand")


async def test_a_setting_that_is_wrong_is_blamed_on_no_version(owner: Owner, tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text("{}")
    ranker = owner.version("ranker", shift)
    owner.promote(ranker)
    with pytest.raises(PolicyError, match=r"mine\.json"):
        load_promoted(owner.settings.model_copy(update={"policy": tmp_path / "mine.json"}), owner.store)
    assert owner.state(ranker) == "promoted"


async def test_a_pool_that_changes_during_a_swap_is_in_the_new_index(owner: Owner) -> None:
    def four_replies(turn: Turn) -> bool:
        return turn.versions["retrieval"].endswith(" 4 replies")

    retriever = owner.version("retriever", shift)
    folder = str(folder_of(owner.settings, retriever))
    ranker = owner.version("ranker", retriever=version_of(folder))
    taste = owner.version("taste", lambda own: make_taste(own, folder), retriever=version_of(folder))
    async with open_bot(owner.settings) as bot:
        owner.promote(retriever, ranker, taste)
        owner.store.add_pool_entries([PoolEntry("imported/1", "It rains.", ("it rains",), "imported")])
        await asked_until(bot, four_replies)
        await asked_until(bot, lambda turn: four_replies(turn) and turn.versions["retrieval"].startswith(retriever))


@pytest.fixture(autouse=True)
def info(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
