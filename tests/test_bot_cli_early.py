"""`kith evaluate early`: the bound that a log bears out, for the policy of the settings, and when there is none."""

import json
import os
from pathlib import Path

import pytest
from fixed_answers import empty_log
from turn_values import ask

from bot.cli import ENVIRONMENT, main
from bot.settings import Settings, env_name
from storage.dialog import Candidate, Decision, Scored, Turn, new_id
from storage.store import SqlDialogStore


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SqlDialogStore:
    """An empty log of the bot's own, and a policy that looks at the ranker alone."""
    for name in {env_name(field) for field in Settings.model_fields} & set(os.environ):
        monkeypatch.delenv(name)
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, os.environ.get(name, ""))
    Path(tmp_path / "policy.json").write_text('{"version": "own", "weights": {"ranker": 1.0}, "vetoes": {}}')
    monkeypatch.setenv("KITH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("KITH_POLICY", str(tmp_path / "policy.json"))
    monkeypatch.chdir(tmp_path)
    return empty_log(tmp_path)


def talk(log: SqlDialogStore, turns: int) -> None:
    """The ranker gives retrieved replies 0 to 9, generated ones 4.5; the policy that decided gave all of them 0."""
    for number in range(turns):
        scores = {"retrieval": float(number % 10), "generation": 4.5}
        ranked = tuple(
            Scored(Candidate(source, source, 0.0), {"ranker": score}, 0.0, 0.5) for source, score in scores.items()
        )
        decision = Decision(ranked[0].candidate.text, "policy", ranked, 0)
        log.add_turn(Turn(new_id(), ask(log, f"message {number}"), "hi", decision, {}, {}))


def test_the_bound_is_learnt_for_the_policy_of_the_settings(
    log: SqlDialogStore, capsys: pytest.CaptureFixture[str]
) -> None:
    talk(log, 200)
    assert main(["evaluate", "early", "--risk", "0.02", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["total"], found["turns"]) == (5.0, 200)
    assert (found["early"]["value"], found["otherwise"]["value"]) == (0.5, 0.0)
    assert main(["evaluate", "early", "--risk", "0.02"]) == 0
    assert "5.000" in capsys.readouterr().out


def test_too_few_turns_are_one_sentence(log: SqlDialogStore, capsys: pytest.CaptureFixture[str]) -> None:
    talk(log, 20)
    assert main(["evaluate", "early"]) == 2
    assert "No bound keeps a risk of 0.01 on 20 turns" in capsys.readouterr().err
