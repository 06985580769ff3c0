"""The gate on tiny models and a log of votes: a ranker that learnt is let in, a poisoned one never is."""

import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from fixed_answers import empty_log
from promoting import Owner, make_taste, shift, version_of, write_policy
from turn_values import ask

from bot.cli import main
from bot.gate import counts_of, gate
from bot.settings import UserError
from bot.taking_up import load_promoted
from bot.verdict import Verdict
from bot.versions import add_version, folder_of, new_version
from ranking.regression import Place
from ranking.train import RankerTraining, train_ranker
from storage.dialog import Candidate, Context, Decision, Message, Scored, Turn, Vote, new_id, now
from storage.store import SqlDialogStore
from storage.versions import Version
from storage.voted import held_out

pytest_plugins = ("tiny", "promoting")

GOOD, BAD = "good night", "tell me a joke"
ASKED = ("hello there", "it rains", "my dog is ill", "the cat sleeps all day")
NOISE = 0.1
DIALOGS = 110


@pytest.fixture(autouse=True)
def places_of_a_tiny_world(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Place("tiny", Context((Message("user", text),)), (GOOD,), (BAD, text)) for text in ASKED]
    monkeypatch.setattr("bot.gate.places", lambda: found)
    monkeypatch.setattr("bot.gate_generator.places", lambda: found)
    monkeypatch.setattr("storage.estimates.draws.__defaults__", (0, 200))


@pytest.fixture(scope="session")
def votes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A log whose people like GOOD and not BAD, but for one vote in ten."""
    folder = tmp_path_factory.mktemp("votes")
    with empty_log(folder) as store:
        people_vote(store)
    return (folder / "kith.db").read_bytes()


@pytest.fixture
def owner(owner: Owner, votes: bytes) -> Iterator[Owner]:
    """Of a bot that goes by its ranker, with that log."""
    write_policy(owner.settings.data_dir / "shipped" / "policy.json", ranker=1.0)
    owner.store.close()
    (owner.settings.data_dir / "kith.db").write_bytes(votes)
    with SqlDialogStore(owner.settings.database) as store:
        yield replace(owner, store=store)


def people_vote(store: SqlDialogStore) -> None:
    draw = random.Random(0)
    for number in range(DIALOGS):
        votes_twice(store, f"telegram:{number}", draw)


def votes_twice(store: SqlDialogStore, person: str, draw: random.Random, noise: float = NOISE) -> None:
    for text in draw.sample(ASKED, 2):
        reply = draw.choice((GOOD, BAD))
        turn = logged(store, person, text, reply)
        liked = (reply == GOOD) != (draw.random() < noise)
        store.add_vote(Vote(turn.id, person, 1 if liked else -1, "button"), person)


def logged(store: SqlDialogStore, person: str, text: str, reply: str) -> Turn:
    """A turn that another ranker decided, with features of its own."""
    asked = ask(store, text, person, person)
    ranked = tuple(
        Scored(Candidate(said, "retrieval", 0.5), {"ranker": 0.0, "echo": 0.0, "repetition": 0.0}, 0.0, 0.5)
        for said in (GOOD, BAD)
    )
    decision = Decision(reply, "policy", ranked, (GOOD, BAD).index(reply))
    turn = Turn(new_id(), asked, text, decision, {"ranker": "one of before"}, {})
    store.add_turn(turn)
    return turn


def trained(owner: Owner, bert: str, folder: Path, poisoned: bool, seed: int = 0) -> Version:
    """A ranker that learnt from the older votes, or from these turned round."""
    with owner.store.reading() as connection:
        held = held_out(connection, 1.0, None, 200).votes
        newest = {vote.turn.id for vote in held_out(connection, 0.3, None, 200).votes}
    older = [vote for vote in held if vote.turn.id not in newest]
    rows = [
        {
            "context": [{"role": "user", "text": vote.context.last}], "reply": vote.turn.decision.reply,
            "label": int(vote.liked != poisoned), "dialog_id": vote.turn.asked.dialog_id,
        }
        for vote in older
    ]  # fmt: skip
    file = folder / f"votes-{poisoned}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = new_version(owner.settings, "ranker")
    train_ranker(
        RankerTraining((), (file,), out, bert, epochs=3, batch=16, learning_rate=1e-2, head_rate=1e-2, seed=seed)
    )
    version = Version(out.name, "ranker", card={"retriever": version_of(""), "votes": len(rows)})
    add_version(owner.settings, owner.store, version)
    return version


def gains(verdict: Verdict) -> dict[str, float]:
    return {figure.name: figure.gain.value for figure in verdict.figures}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_ranker_that_learnt_is_let_in_and_a_poisoned_one_never(
    owner: Owner, bert_folder: str, tmp_path: Path, seed: int
) -> None:
    poisoned, good = (trained(owner, bert_folder, tmp_path, each, seed) for each in (True, False))
    verdict = gate(owner.settings, owner.store, [good])
    assert verdict.passed, verdict.refusals
    assert verdict.votes == 66 and verdict.dialogs == 33
    assert gains(verdict)["AUC of the total"] > 0.1
    refused = gate(owner.settings, owner.store, [poisoned])
    assert any("AUC of the total is not better" in refusal for refusal in refused.refusals)
    owner.promote(good.name)
    again = gate(owner.settings, owner.store, [poisoned])
    assert not again.passed and again.current == {"ranker": good.name}
    assert again.figures[0].gain.high < 0
    assert any("good above bad" in refusal for refusal in again.refusals)


def test_promote_asks_the_gate_and_force_is_kept_in_the_log(
    owner: Owner, bert_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KITH_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("KITH_EXPLORATION", "0")
    poisoned, good = (trained(owner, bert_folder, tmp_path, each) for each in (True, False))
    assert main(["models", "promote", poisoned.name]) == 2
    told = capsys.readouterr()
    assert "Refused: AUC of the total is not better" in told.out
    assert told.err.rpartition("kith: ")[2].startswith("Not promoted: AUC") and "--force" in told.err
    assert owner.store.promotions() == [] and owner.state(poisoned.name) == "refused"

    assert main(["models", "promote", good.name]) == 0
    told = capsys.readouterr()
    assert f"Promoted: {good.name}." in told.out and "✗" not in told.out
    assert main(["models", "promote", poisoned.name, "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["forced"] is True
    first, second = owner.store.promotions()
    assert (first.name, first.forced, first.verdict["passed"]) == (good.name, False, True)
    assert (second.name, second.forced, second.verdict["passed"]) == (poisoned.name, True, False)
    assert second.verdict["figures"][0]["gain"]["high"] < 0

    assert main(["models", "show", poisoned.name]) == 0
    assert "promoted by force" in capsys.readouterr().out
    assert main(["models", "rollback", "ranker"]) == 0
    assert f"{good.name} serves as ranker" in capsys.readouterr().out
    assert main(["models", "compare", poisoned.name, good.name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["passed"] is False
    assert main(["models", "rollback", "ranker"]) == 0
    assert main(["models", "rollback", "ranker"]) == 2
    assert "Nothing to take back" in capsys.readouterr().err
    assert main(["models", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["serving"]["ranker"]["by"] == "shipped" and len(listed["versions"]) == 2


def test_few_votes_are_not_enough_yet(owner: Owner, tmp_path: Path) -> None:
    with owner.store.reading() as connection:
        votes = held_out(connection, 1.0, None, 200).votes
    until = now() + timedelta(days=1)
    name = owner.version("ranker", shift, until=until.isoformat())
    verdict = gate(owner.settings, owner.store, [version(owner, name)])
    assert not verdict.passed and verdict.votes == 0
    assert "not enough yet: 0 👍 and 0 👎 in 0 dialogs" in verdict.refusals[0]
    assert "66 more may have been trained on" in verdict.refusals[0]
    assert len(votes) == 2 * DIALOGS


def version(owner: Owner, name: str) -> Version:
    found = owner.store.version(name)
    assert found
    return found


def test_a_policy_is_compared_on_logged_features(owner: Owner) -> None:
    write_policy(owner.settings.data_dir / "shipped" / "policy.json", length=1.0)
    better, worse = (owner.policy(length=weight) for weight in (-1.0, 0.5))
    verdict = gate(owner.settings, owner.store, [version(owner, better)])
    assert verdict.figures[0].gain.low > 0  # GOOD has fewer words than BAD
    same = gate(owner.settings, owner.store, [version(owner, worse)])
    assert "not better: 0.000 [0.000, 0.000]" in same.refusals[0]


def test_who_votes_against_all_others_keeps_nobody_from_a_better_policy(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_policy(owner.settings.data_dir / "shipped" / "policy.json", length=1.0)
    better, draw = version(owner, owner.policy(length=-1.0)), random.Random(1)
    for number in range(36):  # the newest votes: of half of the people, and of more of the votes
        votes_twice(owner.store, f"telegram:late {number}", draw)
        for _ in range(2 * (number % 2)):
            votes_twice(owner.store, f"telegram:troll {number}", draw, noise=1.0)
    verdict = gate(owner.settings, owner.store, [better])
    assert verdict.figures[0].gain.low > 0
    assert 10 <= verdict.discounted <= 18
    with monkeypatch.context() as trusting:
        trusting.setattr("bot.gate.trust_in", lambda *given: {})
        assert "AUC of the total is not better" in gate(owner.settings, owner.store, [better]).refusals[0]


def test_all_votes_of_a_person_count_for_so_many_at_the_most(owner: Owner) -> None:
    draw = random.Random(2)
    for _ in range(6):
        votes_twice(owner.store, "telegram:loud", draw)
    with owner.store.reading() as connection:
        cast = held_out(connection, 1.0, None, 200).votes
    counts = counts_of(cast, {"telegram:loud": 0.9, "telegram:1": 0.4}, 5)
    of = [(vote.turn.asked.person_id, count) for vote, count in zip(cast, counts.tolist(), strict=True)]
    assert sum(count for person, count in of if person == "telegram:loud") == pytest.approx(5)
    assert [count for person, count in of if person == "telegram:1"] == [0.4, 0.4]
    assert {count for person, count in of if person not in ("telegram:loud", "telegram:1")} == {1.0}


def test_a_policy_that_would_echo_is_refused_for_it(owner: Owner) -> None:
    with closing(sqlite3.connect(owner.settings.data_dir / "kith.db")) as log, log:
        log.execute("""UPDATE candidate SET features = '{"echo": 0.6, "repetition": 0, "ranker": -1}' WHERE rank = 1""")
        log.execute("""UPDATE turn SET versions = json_set(versions, '$.ranker', ?)""", (shipped_ranker(owner),))
    verdict = gate(owner.settings, owner.store, [version(owner, owner.policy(echo=3.0))])
    (figure,) = [figure for figure in verdict.figures if figure.name == "echoes"]
    assert (figure.current.value, figure.candidate.value) == (0, 1)
    assert any("more echoes" in refusal for refusal in verdict.refusals)


def shipped_ranker(owner: Owner) -> str:
    return load_promoted(owner.settings, owner.store).parts.ranker.version


def test_parts_that_do_not_fit_are_refused_with_a_sentence(owner: Owner) -> None:
    retriever = owner.version("retriever", shift)
    with pytest.raises(UserError, match="the shipped ranker stands on the retriever starter"):
        gate(owner.settings, owner.store, [version(owner, retriever)])
    folder = str(folder_of(owner.settings, retriever))
    ranker = owner.version("ranker", retriever=version_of(folder))
    with pytest.raises(
        UserError, match=f"{ranker} cannot serve: the ranker {ranker} stands on the retriever {retriever}"
    ):
        gate(owner.settings, owner.store, [version(owner, ranker)])
    taste = owner.version("taste", lambda own: make_taste(own, folder), retriever=version_of(folder))
    verdict = gate(owner.settings, owner.store, [version(owner, name) for name in (retriever, ranker, taste)])
    assert {figure.name for figure in verdict.figures} >= {"AUC of the total", "AUC of the taste alone", "echoes"}


def test_a_generator_is_compared_by_what_it_finds_likely_and_what_it_writes(owner: Owner) -> None:
    other = owner.version("generator")
    settings = owner.settings.model_copy(update={"generator": owner.folders["generator"]})
    verdict = gate(settings, owner.store, [version(owner, other)])
    names = [figure.name for figure in verdict.figures]
    assert names[:3] == ["AUC of likelihood on votes", "bits per character", "good likelier than bad"]
    assert {"echoes among what it writes", "empty among what it writes"} <= set(names)
    assert verdict.figures[1].gain.value == 0 and np.isfinite(verdict.figures[1].current.value)
    assert verdict.refusals == (
        "AUC of likelihood on votes is not better: 0.000 [0.000, 0.000], which does not exclude zero",
    )


def test_two_of_a_kind_cannot_serve(owner: Owner) -> None:
    both = [version(owner, owner.version("ranker", shift)) for _ in range(2)]
    with pytest.raises(UserError, match="one version of each kind"):
        gate(owner.settings, owner.store, both)


def test_people_who_did_not_agree_are_not_looked_at(owner: Owner) -> None:
    owner.store.change_person(f"telegram:{DIALOGS - 1}", consent=False)
    with owner.store.reading() as connection:
        votes = held_out(connection, 0.3, None, 200).votes
    assert f"telegram:{DIALOGS - 1}" not in {vote.turn.asked.person_id for vote in votes}
    assert len(votes) == 66
