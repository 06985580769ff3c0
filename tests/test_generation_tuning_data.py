"""Records as rows: the ids that are served, as often as the weight says."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from generation.generator import GptGenerator
from generation.rendering import Rendering
from generation.sampling import Sampling
from generation.tuning_data import UNLEARNT, in_order, read_records, steps_of, tuning_rows
from storage.corpora import CorpusDialog, RatedReply, held_back
from storage.dialog import Context, Message

pytest_plugins = ("tiny",)

TALK = (
    Message("user", "hello there"), Message("assistant", "good night"), Message("user", "my dog is ill and i am sad"),
)  # fmt: skip


@pytest.mark.parametrize("folder", ["generator_folder", "chat_folder", "plain_folder"])
def test_a_row_is_the_prompt_that_is_served_and_the_reply_to_its_end(
    folder: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = request.getfixturevalue(folder)
    served: list[list[int]] = []
    generator = GptGenerator(name, Sampling(1, 8))
    assert generator.decoder
    read = generator.decoder.read

    def seen(prompts: Sequence[Sequence[int]]) -> Any:
        served.extend(map(list, prompts))
        return read(prompts)

    monkeypatch.setattr(generator.decoder, "read", seen)
    generator.sample([Context(TALK, "I am Kith.")])
    vote = RatedReply("d", "kith", "train", TALK, "It rains.<|im_end|>", True)
    (row,) = tuning_rows([vote], generator.rendering, "I am Kith.", 200).rows
    assert row["prompt_ids"] == served[0]
    reply = generator.tokenizer.decode(row["completion_ids"]).removesuffix(generator.tokenizer.eos_token)
    assert reply.strip().removesuffix("<|im_end|>") == "It rains."
    assert row["completion_ids"] != generator.rendering.reply("It rains")


def test_a_template_that_opens_the_turn_with_room_for_thoughts_has_the_reply_after_it(chat_folder: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(chat_folder)
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "assistant\n{% endif", "assistant\n<think></think>{% endif"
    )
    ids = Rendering(tokenizer, 100).reply("It rains.")
    assert tokenizer.decode(ids) == "It rains.<|im_end|>"


LONG = CorpusDialog("d", "kith", "train", (*TALK, Message("assistant", "It rains."), *TALK))


@pytest.mark.parametrize("folder", ["generator_folder", "chat_folder", "plain_folder"])
def test_a_dialog_is_one_row_in_which_each_reply_follows_the_prompt_that_is_served(
    folder: str, request: pytest.FixtureRequest
) -> None:
    rendering = Rendering(AutoTokenizer.from_pretrained(request.getfixturevalue(folder)), 400)
    (row,) = tuning_rows([LONG], rendering, "I am Kith.", 400).rows
    learnt = [place for place, label in enumerate(row["labels"]) if label != UNLEARNT]
    replies = [rendering.reply(m.text) for m in LONG.messages if m.role == "assistant"]
    assert [row["labels"][place] for place in learnt] == [number for reply in replies for number in reply]
    assert all(row["labels"][place] == row["input_ids"][place] for place in learnt)
    for place, message in enumerate(LONG.messages):
        if message.role == "assistant":
            prompt = rendering.prompt(Context(LONG.messages[:place], "I am Kith."))
            assert row["input_ids"][: len(prompt)] == prompt
            assert len(prompt) in learnt and len(prompt) - 1 not in learnt


def test_where_old_messages_were_cut_a_row_begins(generator_folder: str) -> None:
    rendering = Rendering(AutoTokenizer.from_pretrained(generator_folder), 30)
    rows = tuning_rows([LONG], rendering, "", 60).rows
    assert len(rows) > 1
    prompt = rendering.prompt(Context(LONG.messages[:5]))
    assert rows[-1]["input_ids"] == prompt + rendering.reply("good night")
    assert rows[-1]["labels"] == [UNLEARNT] * len(prompt) + rendering.reply("good night")


def test_of_a_dialog_too_a_reply_without_room_is_left_out_alone(generator_folder: str) -> None:
    rendering = Rendering(AutoTokenizer.from_pretrained(generator_folder), 60)
    messages = (*TALK[:2], TALK[2], Message("assistant", "ab " * 60), *TALK[:2])
    data = tuning_rows([CorpusDialog("d", "kith", "train", messages)], rendering, "", 90)
    assert data.too_long == 1
    assert rendering.tokenizer.decode(data.rows[0]["input_ids"]).endswith("good night<|end|>")


def test_a_reply_without_room_is_left_out_and_counted(generator_folder: str) -> None:
    rendering = Rendering(AutoTokenizer.from_pretrained(generator_folder), 30)
    long, short = (RatedReply("d", "kith", "train", TALK, text, True) for text in ("ab " * 60, "It rains."))
    data = tuning_rows([long, short], rendering, "", 60)
    assert (len(data.rows), data.too_long) == (1, 1)


def test_all_methods_hold_the_same_dialogs_back(tmp_path: Path) -> None:
    names = [f"d{number}" for number in range(200)]
    chat = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    shapes: dict[str, dict[str, object]] = {
        "sft": {"messages": chat},
        "dpo": {"prompt": chat[:1], "chosen": chat[1:], "rejected": chat[1:]},
        "kto": {"prompt": chat[:1], "completion": chat[1:], "label": False},
    }
    for method, shape in shapes.items():
        file, key = tmp_path / f"{method}.jsonl", "id" if method == "sft" else "dialog_id"
        file.write_text("".join(json.dumps({**shape, key: name}) + "\n" for name in names))
        splits = [record.split for record in read_records(method, [file])]
        assert splits == ["valid" if held_back(name, 0.15) else "train" for name in names]


@given(st.lists(st.floats(0, 5), min_size=1, max_size=6).filter(any), st.integers(0, 9))
def test_rows_come_as_often_as_their_weights_say(weights: list[float], seed: int) -> None:
    weights = [round(w, 2) for w in weights]
    if not any(weights):
        return
    order = in_order(weights, 40, seed)
    assert len(order) == 40
    assert in_order(weights, 40, seed) == order
    assert all(weights[place] > 0 for place in order)


def test_many_passes_come_near_to_the_weights() -> None:
    weights = [2.5, 0.5, 1.0]
    counted = Counter(in_order(weights, 4000, 0))
    assert [counted[place] / 1000 for place in range(3)] == pytest.approx(weights, abs=0.1)


def test_an_epoch_is_a_pass_over_the_weights() -> None:
    assert steps_of([2.0, 1.0, 1.0], 3, 4) == 3
    assert steps_of([0.1], 1, 8) == 1
