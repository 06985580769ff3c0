"""`kith train generator` on exports, and `kith evaluate generator` on what people said of replies."""

import json
import os
from pathlib import Path

import pytest
from exporting import SALT, retry, vote
from fixed_answers import empty_log
from turn_values import talk

from bot.cli import main
from bot.settings import Settings, env_name
from storage.corpora import held_back
from storage.export import Filters, export

pytest_plugins = ("tiny",)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # TRL still says `gradient_checkpointing`


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but the default ones, in a folder with exports of eight dialogs in which people voted and sent
    replies back."""
    for name in {env_name(field) for field in Settings.model_fields} & set(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.setenv("KITH_DATA_DIR", str(tmp_path / "kith"))
    monkeypatch.chdir(tmp_path)
    with empty_log(tmp_path) as store:
        for number in range(8):
            turn = talk(store, "what shall we eat", "It rains.", chat=f"chat {number}")
            vote(store, turn, -1)
            vote(store, retry(store, turn, "The cat sleeps."), 1)
        for name in ("messages", "votes", "preferences"):
            export(store, name, tmp_path / f"{name}.jsonl", Filters(), SALT)


def hold_two_back(file: str, key: str) -> None:
    """The ids of dialogs are random, so that the file itself says which are held back."""
    records = [json.loads(line) for line in Path(file).read_text().splitlines()]
    held = sorted({record[key] for record in records})[:2]
    lines = [json.dumps({**record, "split": "valid" if record[key] in held else "train"}) for record in records]
    Path(file).write_text("\n".join(lines))


SHORT = ("--steps", "2", "--length", "128", "--batch-rows", "4", "--accumulate", "1", "--json")


def kith(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    return code, *capsys.readouterr()


@pytest.mark.parametrize(("method", "file"), [("sft", "messages"), ("dpo", "preferences"), ("kto", "votes")])
def test_an_export_is_learnt_as_it_is(
    method: str, file: str, chat_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    hold_two_back("votes.jsonl", "dialog_id")
    arguments = ("--base", chat_folder, "--data", f"{file}.jsonl", "--votes", "votes.jsonl", "--out", "new", *SHORT)
    code, out, err = kith(capsys, "train", "generator", "--method", method, *arguments)
    assert code == 0, err
    assert set(json.loads(out)) >= {"vote AUC", "vote AUC, implicit reward"}
    assert json.loads(Path("new/training.json").read_text())["settings"]["method"] == method
    assert {file.suffix for file in Path("new").rglob("*")} <= {".json", ".jinja", ".safetensors"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--method", "kto", "--data", "votes.jsonl", "--batch-rows", "1"], "--batch-rows must be 2 or more"),
        (["--method", "sft", "--data", "messages.jsonl", "--encoder", "x"], "it goes with --method pretrain"),
        (["--method", "dpo", "--data", "votes.jsonl"], "takes `kith export preferences`"),
    ],
)
def test_a_mistake_is_one_sentence(options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = kith(capsys, "train", "generator", "--out", "new", *options)
    assert (code, sentence in err, err.count("\n")) == (2, True, 1)
    assert not Path("new").exists()


def test_models_are_compared_by_what_people_liked(
    generator_folder: str, chat_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in ("votes.jsonl", "preferences.jsonl"):
        hold_two_back(file, "dialog_id")
    chats = [{"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}], "id": f"d{n}"}
             for n in range(60)]  # fmt: skip
    Path("talks.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
    assert any(held_back(f"d{number}") for number in range(60))
    arguments = ["--data", "talks.jsonl", "--votes", "votes.jsonl", "--preferences", "preferences.jsonl"]
    models = ["--model", generator_folder, "--model", chat_folder, "--replies", "0", "--json"]
    code, out, err = kith(capsys, "evaluate", "generator", *arguments, *models)
    assert code == 0, err
    first, second = json.loads(out)["liked"]
    assert first["model"] == Path(generator_folder).name
    assert set(first["figures"]) == set(second["against"]) == {
        "preference accuracy", "preference accuracy, implicit reward", "vote AUC", "vote AUC, implicit reward",
    }  # fmt: skip
    assert first["figures"]["preference accuracy, implicit reward"]["value"] == 0.5
