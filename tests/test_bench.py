"""The pieces of `make bench` that its figures stand on."""

import asyncio
import json
import random
from pathlib import Path

import pytest
import torch
from bench import gpt2, tables
from bench.crowd import Crowd, Wait
from bench.floor import floor_seconds, operations_of_token
from bench.gpt2 import save_gpt2
from bench.loads import told
from bench.serving import Bot, Logged
from bench.stages import AFTER, BEFORE, of_turn
from bench.timing import Json, Spread, interleaved, ratios
from bot_api import BotApi
from transformers import AutoModelForCausalLM, AutoTokenizer

ONCE = Spread(1.0, 1.0, 1.0, 1)


def test_arms_take_turns_and_the_warm_up_is_not_counted() -> None:
    called: list[str] = []
    seconds = interleaved({"a": lambda n: called.append(f"a{n}"), "b": lambda n: called.append(f"b{n}")}, 2, "", 1)
    assert called == ["b-1", "a-1", "a0", "b0", "b1", "a1"]
    assert [len(values) for values in seconds.values()] == [2, 2]


def test_a_ratio_is_that_of_neighbours() -> None:
    found = ratios({"ours": [1.0, 10.0], "theirs": [2.0, 20.0]}, "ours")
    assert found == {"theirs": Spread(2.0, 2.0, 2.0, 2)}


def test_the_random_gpt2_never_ends_a_reply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpt2, "LAYERS", 1)
    save_gpt2(tmp_path)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    ids = torch.tensor(
        [tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], return_dict=True)["input_ids"]]
    )
    logits = model(ids).logits[0]
    others = [n for n in range(logits.shape[-1]) if n not in tokenizer.all_special_ids]
    assert (logits[:, tokenizer.all_special_ids].max(-1).values + 30 < logits[:, others].min(-1).values).all()


def test_the_floor_follows_from_bytes_or_from_operations() -> None:
    fast = Spread(1e9, 1e9, 1e9, 1)
    slow_memory = {"bytes a number": 2, "GB a second": ONCE, "G operations": fast}
    slow_cores = {"bytes a number": 2, "GB a second": fast, "G operations": ONCE}
    moved = 2 * (gpt2.weights() + 4 * 2 * gpt2.LAYERS * gpt2.WIDTH * 100) / 1e9
    assert floor_seconds(slow_memory, 1, 4, 100, 1) == pytest.approx(moved, rel=1e-3)
    done = 100 * operations_of_token(50) + 4 * operations_of_token(100)
    assert floor_seconds(slow_cores, 1, 4, 100, 1) == pytest.approx(done / 1e9)


def test_stages_make_up_the_wait() -> None:
    wait = Wait("telegram:7000", "1", said=100.0, heard=101.0)
    turn = Logged({"retrieval": 0.1, "listening": 0.1, "generation": 0.3, "length": 0.05}, "policy", at=100.9)
    found = of_turn(wait, turn)
    assert sum(found.values()) == pytest.approx(1.0)
    expected = {BEFORE: 0.35, "search": 0.2, "generate": 0.3, "features": 0.05, AFTER: 0.1}
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def test_lost_and_unfair_are_told() -> None:
    waits = [Wait("a", "1", 0.0, 1.0), Wait("a", "2", 0.0, 3.0), Wait("b", "1", 0.0, 1.0), Wait("c", "1", 0.0, None)]
    found = told(waits)
    assert (found["turns"], found["lost"]) == (4, 1)
    assert found["longest mean wait over shortest"] == 300


async def echoed(api: BotApi, update: int = 0) -> None:
    """A bot of a few lines: it answers each message at once."""
    while True:
        updates = await api.call("getUpdates", {"offset": update, "timeout": 5}, [])
        for each in updates:
            update = each["update_id"] + 1
            await api.call("sendMessage", {"chat_id": each["message"]["chat"]["id"], "text": "yes"}, [])


async def test_both_loops_hear_every_reply(tmp_path: Path) -> None:
    async with BotApi() as api:
        bot = asyncio.create_task(echoed(api))
        crowd = Crowd(Bot(api, tmp_path, 0))
        closed = await crowd.closed(3, 0.1)
        opened = await crowd.open(200, 0.2, random.Random(0))
        bot.cancel()
    assert {wait.chat for wait in closed} == {"telegram:7000", "telegram:7001", "telegram:7002"}
    assert opened and all(wait.heard for wait in [*closed, *opened])


def test_tables_take_their_places_and_the_words_around_them_stay() -> None:
    shown = {"median": 1234.5, "low": 1000.0, "high": 2000.0, "repeats": 3}
    part: Json = {"peak, G operations a second": {"float32": shown}, "formats": {}}
    part["formats"] = {"float32": {"tokens a second": shown, "share of the best peak": shown}}
    machine = {
        "cpu": "X",
        "cores": 2,
        "flags": [],
        "memory GiB": 1.0,
        "load average": 0.1,
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    run = {
        "made": "2026-01-02T03:04", "command": "make bench", "quick": False, "machine": machine, "versions": {},
        "seconds": {"training": 6.0}, "parts": {"training": part},
    }  # fmt: skip
    page = "before\n<!-- training -->\nold\n<!-- /training -->\nafter\n"
    once = tables.filled(page, json.loads(json.dumps(run)))
    assert once.startswith("before\n<!-- training -->\n|") and once.endswith("<!-- /training -->\nafter\n")
    assert "| float32 | 1,234 (1,000–2,000) | 1,234 (1,000–2,000) |" in once and "old" not in once
    assert tables.filled(once, run) == once
    with pytest.raises(ValueError, match="no place for training"):
        tables.filled("nothing", run)
