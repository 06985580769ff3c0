"""Weights fitted to votes: they find what people like, keep what votes cannot tell, and are read back from a file."""

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranking.fit import (
    OF_REPLY,
    SPEAKING,
    as_votes,
    completed,
    fit_halves,
    fit_policy,
    half_of,
    load_fit,
    save_fit,
    weight_beside,
)
from ranking.policy import ScoringPolicy, Weights, load_weights
from ranking.ranker import CrossEncoderRanker
from ranking.vectors import Encoder
from storage.corpora import LoggedVote, RatedReply
from storage.dialog import Candidate, Message

pytest_plugins = ("tiny",)

BEFORE = Weights("before", {"ranker": 1.0, "echo": 0.5, "generated": 0.25}, {"unsafe": 1.0})


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.estimates.draws.__defaults__", (0, 20))


def votes(count: int = 200) -> list[LoggedVote]:
    """People like what the ranker likes and dislike echoes ten times as much as they are big; noise is noise."""
    draw = random.Random(0)
    made = []
    for i in range(count):
        features = {"ranker": draw.gauss(0, 1), "echo": draw.uniform(0, 0.1), "noise": draw.gauss(0, 1), "same": 3.0}
        taste = features["ranker"] - 10 * features["echo"] + 0.5 + draw.gauss(0, 0.3)
        made.append(LoggedVote(f"dialog {i // 2}", features, taste > 0))
    return made


def test_what_people_like_weighs_up_and_what_they_dislike_weighs_down() -> None:
    fitted = fit_policy(votes(), ("ranker", "echo", "noise"), BEFORE).weights
    assert fitted.weights["ranker"] > 1
    assert fitted.weights["echo"] < -5
    assert abs(fitted.weights["noise"]) < 0.5


def test_no_vote_makes_repeating_less_of_a_fault() -> None:
    before = Weights("before", {"ranker": 1.0, "repetition": -1.5}, {})
    for sign in (1, -1):
        cast = [replace(v, features={**v.features, "repetition": sign * 20 * v.features["echo"]}) for v in votes()]
        learnt = fit_policy(cast, ("ranker", "repetition"), before).weights.weights["repetition"]
        assert learnt < -1.5 if sign == 1 else learnt == -1.5


def test_features_that_the_votes_do_not_tell_of_keep_their_weight_and_vetoes_stay() -> None:
    before = Weights("before", {**BEFORE.weights, "rare": 0.75}, BEFORE.vetoes)
    rarely = [
        LoggedVote(vote.dialog_id, {**vote.features, "rare": float(place < SPEAKING - 1 and vote.liked)}, vote.liked)
        for place, vote in enumerate(votes())
    ]
    found = fit_policy(rarely, ("ranker", "same", "rare"), before)
    fitted = found.weights
    assert found.facts["features"] == ["ranker"]
    assert (fitted.weights["echo"], fitted.weights["generated"], fitted.weights["rare"]) == (0.5, 0.25, 0.75)
    assert "same" not in fitted.weights
    assert fitted.vetoes == BEFORE.vetoes
    assert fitted.version.startswith("fitted 20")


def test_the_fit_is_measured_on_dialogs_that_it_has_not_seen() -> None:
    found = fit_policy(votes(), ("ranker", "echo"), BEFORE)
    measured: dict[str, Any] = found.facts["auc_on_the_other_half"]
    assert measured["fitted"]["value"] > measured["ranker alone"]["value"] > 0.7
    assert measured["fitted"]["low"] <= measured["fitted"]["value"] <= measured["fitted"]["high"]
    assert (found.facts["votes"], found.facts["dialogs"]) == (200, 100)


def test_noise_is_measured_as_noise() -> None:
    measured = fit_policy(votes(600), ("noise",), BEFORE).facts["auc_on_the_other_half"]
    assert "ranker alone" not in measured
    assert measured["fitted"]["value"] == pytest.approx(0.5, abs=0.1)


def test_a_feature_that_was_not_logged_yet_counts_as_nothing() -> None:
    later = [
        LoggedVote(v.dialog_id, {**v.features, "new": 1.0} if i % 2 else v.features, v.liked)
        for i, v in enumerate(votes())
    ]
    assert abs(fit_policy(later, ("ranker", "new"), BEFORE).weights.weights["new"]) < 0.5


def test_a_vote_counts_by_its_weight_and_one_that_nobody_gave_is_not_measured_on() -> None:
    """Half of the people are of the other opinion."""
    others = [replace(vote, dialog_id=f"other {vote.dialog_id}", liked=not vote.liked) for vote in votes()]
    found = fit_policy([*votes(), *(replace(vote, weight=0.01) for vote in others)], ("ranker", "echo"), BEFORE)
    assert found.weights.weights["ranker"] > 1
    undecided = fit_policy([*votes(), *others], ("ranker", "echo"), BEFORE)
    assert abs(undecided.weights.weights["ranker"]) < 0.3
    little = [replace(vote, weight=0.01, implicit=True) for vote in others]
    measured = fit_policy([*votes(), *little], ("ranker", "echo"), BEFORE).facts["auc_on_the_other_half"]
    assert measured["fitted"]["value"] > 0.9
    assert found.facts["auc_on_the_other_half"]["fitted"]["value"] < 0.6


def test_weights_for_a_dialog_are_taught_by_the_votes_on_other_dialogs() -> None:
    """On dialogs of the second half people are of the other opinion."""
    cast = [vote if half_of(vote.dialog_id) == 0 else replace(vote, liked=not vote.liked) for vote in votes(400)]
    weights = fit_policy(cast, ("ranker", "echo"), BEFORE).weights
    halves = fit_halves(cast, weights)
    assert halves
    assert [fitted.weights["ranker"] > 1 for fitted in halves] == [False, True]
    assert [fitted.weights["echo"] > 5 for fitted in halves] == [True, False]
    assert {fitted.weights["generated"] for fitted in halves} == {0.25}
    assert {fitted.version for fitted in halves} == {weights.version}
    assert {len(fitted.vetoes) for fitted in halves} == {1}


def test_votes_that_did_not_teach_these_weights_are_told() -> None:
    weights = fit_policy(votes(), ("ranker", "echo"), BEFORE).weights
    assert fit_halves(votes(), weights)
    assert fit_halves(votes()[20:], weights) is None
    assert fit_halves(votes(2), weights) is None
    assert fit_halves(votes(), replace(weights, weights={"generated": 0.25})) is None


@pytest.mark.parametrize("few", [[], votes(2), [vote for vote in votes() if vote.liked]])
def test_too_few_votes_are_refused(few: list[LoggedVote]) -> None:
    with pytest.raises(ValueError, match="Too few votes to fit a policy"):
        fit_policy(few, ("ranker",), BEFORE)


def test_a_fit_is_a_policy_file(tmp_path: Path) -> None:
    file = tmp_path / "new" / "policy.json"
    found = fit_policy(votes(), ("ranker", "echo"), BEFORE)
    save_fit(file, found)
    assert load_weights(file) == found.weights
    assert json.loads(file.read_text())["fit"] == found.facts
    assert [path.name for path in file.parent.iterdir()] == ["policy.json"]
    decision = ScoringPolicy(load_weights(file))(
        [Candidate("parrot", "retrieval", 0.0), Candidate("other", "retrieval", 0.0)],
        {"ranker": [0.1, 0.0], "echo": [0.7, 0.0]},
    )
    assert decision.reply == "other"


def test_a_fit_is_read_back_with_what_each_feature_counts(tmp_path: Path) -> None:
    found = fit_policy(votes(), ("ranker", "echo"), BEFORE)
    save_fit(tmp_path / "policy.json", found)
    again = load_fit(tmp_path / "policy.json")
    assert again == found
    spread = np.std([vote.features["echo"] for vote in votes()])
    assert again.strengths.keys() == {"ranker", "echo"}
    assert again.strengths["echo"] == pytest.approx(found.weights.weights["echo"] * spread, rel=1e-2)
    assert abs(again.strengths["ranker"]) > abs(again.strengths["echo"])


@pytest.mark.parametrize("record", ["", ', "fit": {"votes": 3}', ', "fit": "by hand"'])
def test_a_policy_without_a_record_of_its_fit_has_weights_alone(tmp_path: Path, record: str) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"version": "mine", "weights": {"echo": -0.5, "ranker": 1.0}, "vetoes": {}' + record + "}")
    found = load_fit(file)
    assert (found.weights, found.facts) == (load_weights(file), {})
    assert list(found.strengths.items()) == [("ranker", 1.0), ("echo", -0.5)]


def test_the_shipped_policy_has_its_record() -> None:
    found = load_fit()
    assert found.facts["features"] == list(found.facts["spread"])
    assert found.strengths.keys() <= found.weights.weights.keys()


def test_rated_replies_become_votes_with_the_features_that_they_have_by_themselves(
    cross_encoder_folder: str, bi_encoder: Encoder
) -> None:
    said = (Message("user", "i like my old dog"), Message("assistant", "tell me more about it"), Message("user", "no"))
    ratings = [
        RatedReply("d1", "x", "valid", said, "I like my old dog", False),
        RatedReply("d2", "x", "valid", said, "Tell me more about it", True),
        RatedReply("d3", "x", "valid", said, "Fine.", True),
    ]
    made = as_votes(ratings, CrossEncoderRanker(cross_encoder_folder, bi_encoder))
    assert [(vote.dialog_id, vote.liked) for vote in made] == [("d1", False), ("d2", True), ("d3", True)]
    assert all(tuple(vote.features) == OF_REPLY for vote in made)
    assert [vote.features["echo"] for vote in made] == [1, 0, 0]
    assert [vote.features["repetition"] for vote in made] == [0, 1, 0]
    assert len({vote.features["ranker"] for vote in made}) == 3


def test_shipped_votes_count_less_where_people_vote_otherwise_and_else_as_much() -> None:
    own = votes(400)
    alike = [replace(vote, dialog_id=f"shipped {vote.dialog_id}") for vote in votes(600)]
    against = [replace(vote, liked=not vote.liked) for vote in alike]
    assert weight_beside(own, against, ("ranker", "echo", "noise"), (1.0, 0.05)) == 0.05
    assert weight_beside(own, alike, ("ranker", "echo", "noise"), (1.0, 0.05)) == 1.0
    assert weight_beside(own[:6], against, ("ranker", "echo", "noise"), (1.0, 0.05)) == 1.0


def test_what_older_logs_lack_is_told_by_what_they_have() -> None:
    found = completed({"length": 2.0, "similarity": 0.75})
    assert (found["length_squared"], found["nearest"]) == (4.0, 0.75)
    assert completed({"length": 2.0, "nearest": 0.5, "similarity": 0.75})["nearest"] == 0.5
