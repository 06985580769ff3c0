"""`kith experiments` and `kith evaluate off-policy`: what a log with variants, draws and votes tells."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Kith, parsed
from turn_values import ask

from ranking.policy import ScoringPolicy, Weights
from storage.dialog import Candidate, Turn, Vote, VoteValue, new_id
from storage.experiments import Experiment, read_experiments
from storage.store import SqlDialogStore

pytest_plugins = ("tiny", "commands")

WEIGHTS = Weights("talked", {"ranker": 1.0, "length": 0.2}, {"unsafe": 1.0})
TEXTS = ("Good morning to you.", "Pizza!", "It rains.", "The cat sleeps all day.")


@pytest.fixture(autouse=True)
def place(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty log, and few resamples."""
    monkeypatch.setattr("storage.estimates.RESAMPLES", 200)
    monkeypatch.setattr("storage.experiments.RESAMPLES", 200)


@pytest.fixture
def store(tmp_path: Path) -> SqlDialogStore:
    return SqlDialogStore(f"sqlite:///{tmp_path / 'kith.db'}")


def talk(
    store: SqlDialogStore, person: str, draw: random.Random, policy: ScoringPolicy, versions: dict[str, str]
) -> Turn:
    """A turn; a vote on most of them, and whether it is a like the ranker half knows."""
    asked = ask(store, "hello there", chat=person, person=person)
    features = {
        "ranker": [draw.gauss(0, 1) for _ in TEXTS],
        "length": [float(len(text.split())) for text in TEXTS],
    }
    decision = policy([Candidate(text, "retrieval", 0.0) for text in TEXTS], features)
    turn = Turn(new_id(), asked, "hello there", decision, versions, {"ranker": draw.random(), "policy": 0.5})
    store.add_turn(turn)
    if draw.random() < 0.7 and decision.chosen is not None:
        value: VoteValue = (
            1 if draw.random() < 1 / (1 + math.exp(-decision.ranked[decision.chosen].features["ranker"])) else -1
        )
        store.add_vote(Vote(turn.id, person, value, "button"), person)
    return turn


def fill(store: SqlDialogStore, people: int, turns: int, temperature: float = 1.0) -> None:
    """Everybody talks; the second variant's policy knows better."""
    policies = [ScoringPolicy(w, temperature, seed=1) for w in (Weights("w", {"ranker": 0.0}, {}), WEIGHTS)]
    draw = random.Random(0)
    for number in range(people):
        versions = {"experiment": "knowing", "variant": ("now", "new")[number % 2]}
        for _ in range(turns):
            turn = talk(store, f"telegram:{number}", draw, policies[number % 2], versions)
        if number % 5 == 0:
            store.add_turn(replace(turn, id=new_id(), asked=store.ask_again(turn.id, f"telegram:{number}")))
        if number % 4 == 0:
            store.new_dialog(f"telegram:{number}")
            talk(store, f"telegram:{number}", draw, policies[number % 2], versions)


def read(store: SqlDialogStore, *order: str) -> list[Experiment]:
    with store.reading() as connection:
        return read_experiments(connection, order)


# Experiments


def test_variants_are_counted_and_compared(store: SqlDialogStore) -> None:
    fill(store, people=60, turns=4)
    talk(store, "telegram:99", random.Random(1), ScoringPolicy(WEIGHTS), {"policy": "in no experiment"})
    (found,) = read(store, "now", "new")
    now, new = found.variants
    assert (found.name, now.name, new.name) == ("knowing", "now", "new")
    assert (now.people, now.dialogs, now.turns) == (30, 45, 30 * 4 + 6 + 15)
    assert now.dialogs_a_person.value == 1.5
    assert now.sent_back.value == 6 / now.turns
    assert now.turns_a_dialog.value == (now.turns - 6) / 45
    assert now.approval.value == now.likes / (now.likes + now.dislikes)
    assert 0.5 < now.seconds_median.low <= now.seconds_median.value <= now.seconds_median.high < 1.5
    assert now.seconds_median.value < now.seconds_95.value < 1.5
    assert new.approval.low < new.approval.value < new.approval.high
    assert new.approval.value > now.approval.value + 0.1
    assert now.verdict is None and new.verdict
    assert math.isnan(new.dialogs_a_person.low), "all had one dialog: nothing tells how sure that is"
    assert new.verdict.difference.value == pytest.approx(new.approval.value - now.approval.value, abs=0.02)
    assert [variant.name for variant in read(store)[0].variants] == ["new", "now"]


def test_few_people_are_shown_without_intervals_and_it_is_not_enough_yet(store: SqlDialogStore, kith: Kith) -> None:
    fill(store, people=6, turns=3)
    (found,) = read(store)
    assert math.isnan(found.variants[0].approval.low)
    assert math.isnan(found.variants[0].seconds_median.low)
    code, out, _ = kith("experiments")
    assert code == 0
    assert "not enough yet, 20 people with votes in each are needed" in out
    assert parsed(kith("experiments", "knowing", "--json"))[0]["variants"][1]["verdict"]["word"] == "not enough yet"


def test_the_verdict_comes_with_its_interval(store: SqlDialogStore, kith: Kith) -> None:
    fill(store, people=60, turns=3)
    Path("kith.toml").write_text('[[variants]]\nname = "now"\n[[variants]]\nname = "new"\n')
    code, out, _ = kith("experiments")
    assert code == 0
    assert "Experiment knowing" in out
    assert "new against now: " in out and "points of approval, between" in out


def test_a_log_without_experiments_says_how_to_begin_one(kith: Kith) -> None:
    code, out, _ = kith("experiments")
    assert (code, "name variants in kith.toml" in out) == (0, True)
    assert kith("experiments", "spring") == (2, "", "kith: The log has no experiment spring; it has none.\n")


# Off-policy evaluation


def test_settings_a_policy_and_temperatures_are_judged_on_the_bots_own_log(
    store: SqlDialogStore, kith: Kith, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, people=40, turns=6, temperature=2.0)
    Path("good.json").write_text(json.dumps({"version": "good", "weights": {"ranker": 1.0}, "vetoes": {}}))
    Path("bad.json").write_text(json.dumps({"version": "bad", "weights": {"ranker": -0.4}, "vetoes": {}}))
    monkeypatch.setenv("KITH_EXPLORATION", "1")
    arguments = ["--policy", "good.json", "--policy", "bad.json", "--temperature", 3, "--json"]
    found = parsed(kith("evaluate", "off-policy", *arguments))
    assert (found["dialogs"], found["turns"]) == (50, 40 * 6 + 8 + 10)
    targets = {target["name"]: target for target in found["targets"]}
    assert list(targets)[1:] == ["policy good.json", "policy bad.json", "temperature 3"]
    assert [target["refused"] for target in targets.values()][1:] == [""] * 3
    good, bad = (targets[f"policy {name}.json"]["figures"] for name in ("good", "bad"))
    for method in ("IPS", "self-normalised", "doubly robust"):
        assert good[method]["approval"]["value"] > found["as logged"]["approval"]["value"] + 0.03
        assert bad[method]["approval"]["value"] < good[method]["approval"]["value"] - 0.1


def test_an_export_gives_the_same_figures_as_the_log(store: SqlDialogStore, kith: Kith) -> None:
    fill(store, people=30, turns=6)
    assert kith("export", "dialogs", "log.jsonl.gz")[0] == 0
    own = parsed(kith("evaluate", "off-policy", "--temperature", 1, "--json"))
    exported = parsed(kith("evaluate", "off-policy", "--log", "log.jsonl.gz", "--temperature", 1, "--json"))
    assert exported == own


def test_another_ranker_reads_the_logged_candidates_again(
    store: SqlDialogStore,
    kith: Kith,
    bi_encoder_folder: str,
    cross_encoder_folder: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fill(store, people=40, turns=4)
    monkeypatch.setenv("KITH_RETRIEVER", bi_encoder_folder)
    monkeypatch.setenv("KITH_EXPLORATION", "3")
    found = parsed(kith("evaluate", "off-policy", "--ranker", cross_encoder_folder, "--json"))
    settings, ranker = found["targets"]
    assert ranker["name"] == f"ranker {cross_encoder_folder}"
    assert ranker["effective_votes"] != settings["effective_votes"]


def test_what_cannot_be_told_is_said_under_the_table(store: SqlDialogStore, kith: Kith) -> None:
    fill(store, people=20, turns=6, temperature=0.0)
    code, out, _ = kith("evaluate", "off-policy", "--temperature", 2)
    assert code == 0
    assert "as logged" in out
    assert "temperature 2: cannot be told. Nothing was drawn by chance: set KITH_EXPLORATION over 0" in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "no turn on which a policy decided"),
        (["--log", "gone.jsonl"], "gone.jsonl does not exist"),
        (["--log", "odd.jsonl"], "odd.jsonl, line 1: a line of `kith export dialogs` is needed"),
        (["--log", "undrawn.jsonl"], "undrawn.jsonl, line 1: a line of `kith export dialogs` is needed"),
    ],
)
def test_a_log_that_is_none_is_one_sentence(kith: Kith, arguments: list[str], says: str) -> None:
    Path("odd.jsonl").write_text('{"messages": [{"text": "hi", "turns": [{"reason": "policy"}]}]}\n')
    candidate = {"text": "a", "source": "s", "score": 0, "features": {}, "total": 0, "probability": 0, "veto": ""}
    turn = {
        "reason": "policy",
        "reply": "a",
        "rejected": False,
        "votes": [],
        "candidates": [{**candidate, "chosen": 1}],
    }
    record = {"id": "d", "messages": [{"text": "hi", "turns": [turn]}]}
    Path("undrawn.jsonl").write_text(json.dumps(record) + "\n")
    code, out, error = kith("evaluate", "off-policy", *arguments)
    assert (code, out) == (2, "")
    assert says in error
