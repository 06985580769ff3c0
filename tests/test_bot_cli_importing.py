"""`kith dialogs import`, with tiny models: a log of rated replies with their features, never a bot's own."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fixed_answers import empty_log

from bot.cli import main
from bot.settings import Settings, env_name
from storage.signals import Disclosed, read_signals
from storage.store import SqlDialogStore

pytest_plugins = ("tiny",)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, retriever_folder: str, ranker_folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in {env_name(field) for field in Settings.model_fields} & set(os.environ):
        monkeypatch.delenv(name)
    given = {"DATA_DIR": str(tmp_path), "RETRIEVER": retriever_folder, "RANKER": ranker_folder, "SAFETY": "off"}
    for setting, value in given.items():
        monkeypatch.setenv(f"KITH_{setting}", value)
    monkeypatch.chdir(tmp_path)
    empty_log(tmp_path).close()


def test_rated_replies_become_a_log_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {
            "context": [{"role": "user", "text": "my dog is ill"}], "reply": reply, "label": label,
            "dialog_id": f"d{i}", "turn": 1,
        }
        for i, (reply, label) in enumerate((("Poor dog.", 1), ("Pizza!", 0), ("My dog is ill", 0)))
    ]  # fmt: skip
    file = tmp_path / "rated.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["dialogs", "import", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"person": 3, "dialog": 3, "message": 3, "turn": 3, "vote": 3}
    later = Disclosed(str, str, timedelta(hours=12), datetime(2030, 1, 1, tzinfo=UTC))
    with SqlDialogStore(f"sqlite:///{tmp_path / 'kith.db'}") as store, store.reading() as connection:
        found = list(read_signals(connection, later))
    assert [(signal.rating.reply, signal.rating.liked) for signal in found] == [
        ("Poor dog.", True), ("Pizza!", False), ("My dog is ill", False),
    ]  # fmt: skip
    assert [signal.features["echo"] for signal in found] == [0, 0, 1]
    assert len({signal.features["ranker"] for signal in found}) == 3
    assert main(["dialogs", "import", str(file)]) == 2
    assert "an empty folder in KITH_DATA_DIR" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_leaves_the_log_empty(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dialogs", "import", str(tmp_path / "none.jsonl")]) == 2
    assert "does not exist" in capsys.readouterr().err
    with SqlDialogStore(f"sqlite:///{tmp_path / 'kith.db'}") as store:
        assert store.dialogs() == []
