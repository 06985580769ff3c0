"""The simulated world: the same seed is the same world, a troll is a troll, and people approve of what they like."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from fixed_answers import empty_log

from bot.pipeline import Pipeline
from bot.simulation.foretold import Foretold
from bot.simulation.learning import Plan, Round, Talked, approvals, turned_round
from bot.simulation.people import SimulatedPerson, community
from bot.simulation.results import over_seeds, read_round, read_talked, write_round, write_talked
from bot.simulation.rule import log_odds
from bot.simulation.speech import Saying, sayings, typed
from bot.simulation.world import Heard, World, cast_by
from ranking.policy import ScoringPolicy, Weights
from ranking.pool import curated
from storage.dialog import Candidate, Context
from storage.estimates import Estimate

TOPICS = ["work", "family", "daily", "leisure"]
REPLIES = [entry.reply for entry in curated() if entry.id.startswith(tuple(TOPICS))]


def people(seed: int = 0, trolls: float = 0.0, count: int = 12) -> list[SimulatedPerson]:
    return community(seed, count, trolls, TOPICS)


def pipeline(world: World, weight: float, crowd: Sequence[SimulatedPerson]) -> Pipeline:
    """A pipeline that knows the hidden rule of somebody in the crowd, and follows it, or does the contrary."""
    meant = {saying.text: saying for of_topic in sayings().values() for saying in of_topic}
    draw = np.random.default_rng(5)

    def propose(contexts: Sequence[Context]) -> list[list[Candidate]]:
        return [[Candidate(str(reply), "retrieval", 0.0) for reply in draw.choice(REPLIES, 5)] for _ in contexts]

    def rule(batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        return [
            [
                log_odds(crowd[0].tastes, meant.get(c.last, Saying(c.last, "", "")), each.text, c.said("assistant"))
                for each in candidates
            ]
            for c, candidates in batch
        ]

    return Pipeline(
        store=world.dated,
        sources={"retrieval": propose},
        scorers={"rule": rule},
        policy=ScoringPolicy(Weights("test", {"rule": weight}, {}), 0.0, 0),
        fallback=lambda context, language: "Hm.",
        personas={"friend": ""},
        default_persona="friend",
        versions=dict,
    )


def lived(folder: Path, weight: float = 1.0, seed: int = 0, days: int = 2, trolls: float = 0.0) -> list[Heard]:
    folder.mkdir()
    with empty_log(folder) as store:
        crowd = people(seed, trolls)
        world = World(store, crowd, seed)
        return world.live(pipeline(world, weight, crowd), days)


def test_a_seed_is_a_world(tmp_path: Path) -> None:
    first, second, third = (lived(tmp_path / name, seed=seed) for name, seed in (("a", 3), ("b", 3), ("c", 4)))

    def shown(heard: list[Heard]) -> list[tuple[str, object, float, int]]:
        return [(reply.person.id, reply.at, reply.liked, reply.vote) for reply in heard]

    assert shown(first) == shown(second)
    assert shown(first) != shown(third)


def test_who_follows_the_rule_is_liked_more_and_talked_to_longer(tmp_path: Path) -> None:
    follows, contrary = lived(tmp_path / "follows", 1.0), lived(tmp_path / "contrary", -1.0)
    assert np.mean([r.liked for r in follows]) > np.mean([r.liked for r in contrary]) + 0.2
    assert len(follows) > len(contrary)
    before, after, gain = approvals(contrary, follows)
    assert gain.low > 0
    assert gain.value == pytest.approx(after.value - before.value)


def test_the_log_has_the_times_of_the_world_and_the_votes_that_were_cast(tmp_path: Path) -> None:
    with empty_log(tmp_path) as store:
        crowd = people()
        world = World(store, crowd, 0)
        heard = world.live(pipeline(world, 1.0, crowd), 3)
        assert {reply.at.day for reply in heard} == {5, 6, 7}
        for reply in heard:
            turn, vote = store.turn(reply.turn_id), store.vote_of(reply.turn_id, reply.person.id)
            assert turn is not None
            assert 0 < (reply.at - turn.at).total_seconds() < 10
            assert (vote.value if vote else 0) == reply.vote
        voted = [reply for reply in heard if reply.vote]
        assert 0.02 < len(voted) / len(heard) < 0.3
        with turned_round(store, heard):
            assert all(store.vote_of(r.turn_id, r.person.id).value == -r.vote for r in voted)  # type: ignore[union-attr]
        assert all(store.vote_of(r.turn_id, r.person.id).value == r.vote for r in voted)  # type: ignore[union-attr]


def test_it_ends_with_the_votes_that_are_enough(tmp_path: Path) -> None:
    with empty_log(tmp_path) as store:
        crowd = people()
        world = World(store, crowd, 0)
        heard = world.live(pipeline(world, 1.0, crowd), 100, votes=20)
        assert 20 <= sum(reply.vote != 0 for reply in heard) < 60


def test_a_troll_is_a_troll_and_otherwise_the_same_person() -> None:
    honest, trolled = people(count=40), people(count=40, trolls=0.3)
    trolls = [person for person in trolled if person.troll]
    assert len(trolls) == 12
    assert {person.troll for person in trolls} == {"against", "dislikes all"}
    assert [person.tastes for person in honest] == [person.tastes for person in trolled]
    for person in trolled:
        assert cast_by(person, happy=True) == (-1 if person.troll else 1)
        assert cast_by(person, happy=False) == (1 if person.troll == "against" else -1)


def test_people_share_a_leaning_and_differ() -> None:
    def warmth(seed: int) -> list[float]:
        return [person.tastes.warmth for person in people(seed, count=100)]

    means = [np.mean(warmth(seed)) for seed in range(8)]
    assert np.std(means) > np.std(warmth(0)) / 10
    assert np.std(warmth(0)) > 0.1


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("Which colleague was it, and what did you say?", "Which goat was it?"),
        ("How did that go, then?", "How " + "really " * 40 + "did that go?"),
    ],
)
def test_the_rule_sees_fit_and_length(better: str, worse: str) -> None:
    situation = next(entry for entry in curated() if entry.id.startswith("work."))
    message = Saying(situation.contexts[0], "work", situation.id.rpartition("/")[0])
    tastes = people()[0].tastes
    fits = situation.reply if "colleague" in better else better
    elsewhere = next(e.reply for e in curated() if e.id.startswith("goodbyes.")) if "goat" in worse else worse
    assert log_odds(tastes, message, fits, ()) > log_odds(tastes, message, elsewhere, ())


def test_repeating_oneself_is_liked_less() -> None:
    message, person = Saying("my boss again", "work", ""), people()[0]
    reply = "I hope it goes your way."
    assert person.tastes.repetition < 0
    assert log_odds(person.tastes, message, reply, [reply]) < log_odds(person.tastes, message, reply, ["Go on."])


def test_a_message_is_typed_in_one_other_way() -> None:
    saying = Saying("i am so tired of this", "work", "")
    draw = np.random.default_rng(0)
    ways = {typed(draw, saying) for _ in range(100)}
    assert len(ways) == 2
    assert saying.text in ways


def test_a_round_is_read_again_for_the_same_plan_only(tmp_path: Path) -> None:
    figure = Estimate(0.5, 0.4, 0.6)
    told = Foretold(figure, "", (0.3, 0.4))
    done = Round(Plan(1), figure, figure, figure, (10, 11), (2, 3), (0.5, 0.6), True, "AUC", told, None)
    write_round(tmp_path / "seed-1.json", done)
    assert read_round(tmp_path / "seed-1.json", Plan(1)) == done
    assert read_round(tmp_path / "seed-1.json", Plan(1, trolls=0.3)) is None
    few = replace(done, foretold=Foretold(figure, "The log has 2 votes.", (0.3, 0.4)))
    write_round(tmp_path / "seed-1.json", few)
    assert read_round(tmp_path / "seed-1.json", Plan(1)) == few
    (tmp_path / "seed-1.json").write_text("{")
    assert read_round(tmp_path / "seed-1.json", Plan(1)) is None


def test_the_interval_over_seeds_is_students() -> None:
    found = over_seeds([0.1, 0.2, 0.3])
    assert found.value == pytest.approx(0.2)
    assert found.high - found.value == pytest.approx(4.3027 * 0.1 / 3**0.5, rel=1e-3)


def test_what_people_heard_is_read_again_for_who_would_have_heard_the_same(tmp_path: Path) -> None:
    plan = Plan(1, people=3, poison=True)
    people = community(1, 3, 0.0, sorted(sayings()))
    heard = [Heard(people[2], "turn", datetime(2026, 1, 5, tzinfo=UTC), "retrieval", 0.25, -1)]
    write_talked(tmp_path / "heard.json", Talked(plan, heard, 4, 9))
    assert read_talked(tmp_path / "heard.json", plan) == Talked(plan, heard, 4, 9)
    longer = Plan(1, people=3, after=2)
    assert read_talked(tmp_path / "heard.json", longer) == Talked(longer, heard, 4, 9)
    assert read_talked(tmp_path / "heard.json", Plan(1, people=3, trolls=0.5)) is None
    assert read_talked(tmp_path / "none.json", plan) is None
