"""Fine-tuning on votes, with tiny models: of our own kind, of a BERT's, with another's chat template and with none."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bot.model_folders import check_model
from generation.generator import GptGenerator
from generation.sampling import GeneratorError, Sampling
from generation.tuning import Tuning, tune
from storage.corpora import CorpusError
from storage.dialog import Context, Message

pytest_plugins = ("tiny",)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # TRL still says `gradient_checkpointing`

A_MOMENT = 1e-9
"""Minutes after which a run has had its time at its first step."""

LIKED, DISLIKED = "The cat sleeps.", "It rains."

ASKED = ("what shall we eat", "hello there", "tell me a joke please")


def said(role: str, text: str) -> dict[str, str]:
    return {"role": role, "content": text}


def records(export: str) -> list[dict[str, Any]]:
    """Twelve dialogs, in which one reply is always liked and the other never; every fourth is held back."""
    found = []
    for number in range(12):
        prompt = [said("user", ASKED[number % 3])]
        origin = {"dialog_id": f"d{number}", "source": "kith", "split": "valid" if number % 4 == 0 else "train"}
        liked, disliked = ([said("assistant", text)] for text in (LIKED, DISLIKED))
        if export == "votes":
            found += [{"prompt": prompt, "completion": liked, "label": True, **origin}]
            found += [{"prompt": prompt, "completion": disliked, "label": False, **origin}]
        elif export == "preferences":
            found.append({"prompt": prompt, "chosen": liked, "rejected": disliked, **origin})
        else:
            found.append({"messages": [*prompt, *liked], "id": f"d{number}", **origin})
    return found


@pytest.fixture
def exports(tmp_path: Path) -> dict[str, Path]:
    files = {}
    for export in ("messages", "votes", "preferences"):
        files[export] = tmp_path / f"{export}.jsonl"
        files[export].write_text("".join(json.dumps(record) + "\n" for record in records(export)))
    return files


def run(method: str, base: str, exports: dict[str, Path], **changes: Any) -> Tuning:
    """A short run, which measures on votes and preferences whatever it learns from."""
    data = {"sft": "messages", "dpo": "preferences", "kto": "votes"}[method]
    beside: dict[str, Any] = {name: (exports[name],) for name in ("votes", "preferences") if name != data}
    made = Tuning(
        method=method, data=(exports[data],), out=exports[data].parent / "out", base=base, rank=4, alpha=8,
        steps=20, learning_rate=2e-2, length=64, batch_rows=4, accumulate=1, most=8, **beside,
    )  # fmt: skip
    return replace(made, **changes)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(load_file(folder / "model.safetensors"))


@pytest.mark.parametrize(
    ("method", "folder"),
    [
        *product(("sft", "dpo"), ("generator_folder", "chat_folder")),
        ("dpo", "bert_generator_folder"),
        ("kto", "generator_folder"),
        ("kto", "plain_folder"),
    ],
)
def test_what_was_liked_becomes_likelier_on_dialogs_that_were_held_back(
    method: str, folder: str, exports: dict[str, Path], request: pytest.FixtureRequest
) -> None:
    found = tune(run(method, request.getfixturevalue(folder), exports, beta=0.5))
    value = {name: [figure[when]["value"] for when in ("before", "after")]
             for name, figure in found.items() if "before" in figure}  # fmt: skip
    assert value["preference accuracy, implicit reward"] == [0.5, 1.0]
    assert value["vote AUC, implicit reward"][0] == 0.5 < value["vote AUC, implicit reward"][1]
    assert value["preference accuracy"][1] >= value["preference accuracy"][0]
    assert found["bits per character"]["after"]["value"] > 0


def test_a_whole_model_is_written_with_its_card_and_serves(exports: dict[str, Path], chat_folder: str) -> None:
    made = run("sft", chat_folder, exports, steps=40, adapter=exports["votes"].parent / "adapter")
    found = tune(made)
    check_model(str(made.out))
    generator = GptGenerator(str(made.out), Sampling(1, 24, top_p=1e-6))
    ((reply,),) = generator.propose([Context((Message("user", "hello there"),))])
    assert reply.text == LIKED
    card = json.loads((made.out / "training.json").read_text())
    assert card["measured"] == found
    assert (card["parent"], card["steps"], card["finished"]) == (Path(chat_folder).name, "40 of 40", True)
    assert (card["dialogs"], card["rows"], card["settings"]["seed"]) == (9, 9, 0)
    assert len(card["data"]["messages.jsonl"]) == 64
    assert str(made.out.parent) not in json.dumps(card)
    assert sorted(file.suffix for file in (exports["votes"].parent / "adapter").glob("adapter_*")) == [
        ".json", ".safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["sft", "kto"])
def test_a_run_that_was_stopped_and_goes_on_ends_like_one_that_was_not(
    method: str, exports: dict[str, Path], generator_folder: str
) -> None:
    whole = run(method, generator_folder, exports, most=1, steps=4)
    tune(whole)
    stopped = replace(whole, out=whole.out.parent / "stopped", minutes=A_MOMENT)
    for steps in ("1 of 4", "2 of 4"):
        tune(stopped)
        card = json.loads((stopped.out / "training.json").read_text())
        assert (card["steps"], card["finished"]) == (steps, False)
    tune(replace(stopped, minutes=0.0))
    one, other = weights(whole.out), weights(stopped.out)
    assert one.keys() == other.keys()
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.mark.parametrize(
    ("method", "given", "needed", "keys"),
    [
        ("sft", "votes", "messages", "completion, dialog_id, label, prompt, source, split"),
        ("dpo", "votes", "preferences", "completion, dialog_id, label, prompt, source, split"),
        ("kto", "preferences", "votes", "chosen, dialog_id, prompt, rejected, source, split"),
    ],
)
def test_records_of_another_shape_are_named_with_the_export_that_is_needed(
    method: str, given: str, needed: str, keys: str, exports: dict[str, Path], generator_folder: str
) -> None:
    with pytest.raises(CorpusError, match=f"--method {method} takes `kith export {needed}`.*it has {keys}"):
        tune(run(method, generator_folder, exports, data=(exports[given],)))


def test_without_a_base_or_anything_to_learn_nothing_is_written(
    exports: dict[str, Path], generator_folder: str
) -> None:
    with pytest.raises(GeneratorError, match="cannot be loaded"):
        tune(run("sft", str(exports["votes"].parent / "nowhere"), exports))
    held = [{**record, "split": "valid"} for record in records("votes")]
    exports["votes"].write_text("".join(json.dumps(record) + "\n" for record in held))
    with pytest.raises(CorpusError, match="Nothing to train on"):
        tune(run("kto", generator_folder, exports))
    assert not run("kto", generator_folder, exports).out.exists()
