"""A round of learning in the simulated world, by the command, on tiny models."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from promoting import Owner

from bot import from_log
from bot.assemble import open_store
from bot.cli import main
from bot.gate import HELD_OUT
from bot.settings import Settings, load_settings
from bot.simulation.foretold import foretell
from bot.simulation.learning import Plan, talk
from bot.verdict import Verdict
from bot.versions import CARD
from storage.store import SqlDialogStore
from storage.voted import held_out

pytest_plugins = ("tiny", "promoting")

COMMAND = ["simulate", "--full", "--people", "20", "--days", "3", "--seeds", "2", "--json"]


@pytest.fixture(autouse=True)
def quick(owner: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of tiny models, few votes that are enough, and next to no shipped ones."""
    shipped = tmp_path / "few"
    shipped.mkdir()
    rating = {"context": [{"role": "user", "text": "hi"}], "reply": "Pizza!", "label": 1, "dialog_id": "s"}
    candidate = {"features": {"similarity": 1.0}, "chosen": True}
    logged = {"id": "s", "messages": [{"turns": [{"candidates": [candidate], "votes": [{"value": 1}]}]}]}
    (shipped / "ratings.jsonl.gz").write_bytes(gzip.compress(json.dumps(rating).encode()))
    (shipped / "votes.jsonl.gz").write_bytes(gzip.compress(json.dumps(logged).encode()))
    monkeypatch.setattr(from_log, "STARTER", shipped)
    monkeypatch.setattr(from_log, "NEEDED", {"taste": 10, "policy": 10})
    monkeypatch.setattr("bot.simulation.people.VOTES", (0.5, 0.6))
    monkeypatch.setattr("bot.cli.simulate.TRIES", 1)
    monkeypatch.setattr("ranking.taste.STEPS", 5)
    monkeypatch.setattr("storage.estimates.draws.__defaults__", (0, 20))
    monkeypatch.setenv("KITH_CANDIDATES", "0")
    monkeypatch.setenv("KITH_THREADS", "1")


def told(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    rounds: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return rounds


def test_a_round_learns_asks_the_gate_and_goes_on_and_is_not_run_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "world"
    command = [*COMMAND, "--demo", "--out", str(out)]
    code = main(command)
    assert code == 0, capsys.readouterr().err
    first, second = told(capsys)
    assert [first["plan"]["seed"], second["plan"]["seed"]] == [0, 1]
    for done in (first, second):
        assert 0 < done["before"]["low"] <= done["before"]["value"] <= done["before"]["high"] < 1
        assert done["gain"]["value"] == pytest.approx(done["after"]["value"] - done["before"]["value"])
        assert min(done["turns"]) > 20
        assert 0 <= done["foretold"]["approval"]["value"] <= 1
        assert all(0 < sure <= 1 for sure in done["foretold"]["sure"])
    models = out / "simulated-0" / "models"
    cards = {folder.name.partition("-")[0]: json.loads((folder / CARD).read_text()) for folder in models.iterdir()}
    assert cards.keys() == {"taste", "policy"}
    assert cards["policy"]["arguments"]["taste"].startswith("taste-")
    assert cards["taste"]["votes"] < first["votes"][0]
    (out / "simulated-1.json").unlink()  # as when it is cut off
    (out / "simulated-1").rename(out / "simulated-1.unfinished")
    assert main(command) == 0
    again = told(capsys)
    assert again[0] == first
    assert again[1]["before"] == second["before"]
    assert sorted(path.name for path in out.iterdir()) == [
        f"simulated-{seed}{end}" for seed in (0, 1) for end in ("", ".json")
    ]


def test_while_the_gate_refuses_people_talk_on_and_it_learns_from_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    votes: list[int] = []

    def the_second_time(settings: Settings, store: SqlDialogStore, *versions: Any, **named: Any) -> Verdict:
        votes.append(versions[0][0].card["votes"])
        return Verdict({}, {}, 0, 0, 0, (), () if len(votes) == 2 else ("not yet",))

    monkeypatch.setattr("bot.cli.simulate.TRIES", 3)
    monkeypatch.setattr("bot.simulation.learning.gate", the_second_time)
    assert main([*COMMAND, "--seeds", "1", "--demo", "--out", str(tmp_path / "world")]) == 0
    (done,) = told(capsys)
    assert done["passed"]
    assert 1.5 * votes[0] < votes[1] < done["votes"][0]
    assert done["turns"][1] < done["turns"][0]


def test_of_what_served_the_log_foretells_what_it_saw(tmp_path: Path) -> None:
    settings = load_settings().model_copy(update={"data_dir": tmp_path / "world"})
    talked, loaded = talk(settings, Plan(0, people=24, days=3), None, int)
    with open_store(settings) as store:
        found = foretell(settings, store, loaded, [])
        with store.reading() as connection:
            newest = {vote.turn.id for vote in held_out(connection, HELD_OUT, None, 1).votes}
    likes = [heard.vote > 0 for heard in talked.heard if heard.turn_id in newest]
    assert 10 < len(likes) < sum(heard.vote != 0 for heard in talked.heard) / 2
    assert found.approval.value == pytest.approx(sum(likes) / len(likes))
    assert found.sure[0] == pytest.approx(found.sure[1])


def test_who_is_cut_off_while_learning_goes_on_from_what_people_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*COMMAND, "--seeds", "1", "--demo", "--out", str(tmp_path / "world")]
    assert main(command) == 0
    (whole,) = told(capsys)
    (tmp_path / "world" / "simulated-0.json").unlink()
    with monkeypatch.context() as broken:
        broken.setattr("bot.simulation.learning.gate", lambda *args, **named: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            main(command)
    assert (tmp_path / "world" / "simulated-0.talked").is_dir()
    with monkeypatch.context() as silent:
        silent.setattr("bot.simulation.learning.talk", None)  # nobody talks again
        assert main(command) == 0
    (again,) = told(capsys)
    assert again["before"] == whole["before"]
    assert again["after"] == whole["after"]
    assert sorted(path.name for path in (tmp_path / "world").iterdir()) == ["simulated-0", "simulated-0.json"]


def test_load_counts_every_turn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["simulate", "--load", "--full", "--people", "5", "--messages", "3", "--json", "--out"]
    assert main([*command, str(tmp_path / "load")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["people"], found["turns"]) == (5, 15)
    assert 0 < found["p50"] <= found["p95"] <= found["seconds"]


def test_one_thing_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--out", str(tmp_path / "x")]) == 2
    assert "Name one of --demo, --learn and --load." in capsys.readouterr().err
