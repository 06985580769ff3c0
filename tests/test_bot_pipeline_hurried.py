"""Turns that go without what is slow: those that are late, and those whose reply is sure already."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from fixed_answers import empty_log
from turn_values import ask

from bot.pipeline import Pipeline
from bot.protocols import Scorer, Source, Variant
from ranking.policy import ScoringPolicy, Weights
from storage.dialog import Candidate, Context, Turn
from storage.store import SqlDialogStore

GOOD, POOR, SLOW = "A long and fitting reply.", "Hm.", "A generated reply that is longer than any other."
WEIGHTS = Weights("w1", {"length": 1.0}, {"unfit": 1.0})


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqlDialogStore]:
    with empty_log(tmp_path) as store:
        yield store


class Parts:
    """A quick source, which says POOR unless somebody asks for more, a slow one, and what they were asked."""

    def __init__(self) -> None:
        self.quick: list[str] = []
        self.slow: list[str] = []
        self.scored: list[list[str]] = []

    def propose(self, contexts: Sequence[Context]) -> list[list[Candidate]]:
        self.quick += [context.last for context in contexts]
        said = [GOOD if "more" in context.last else POOR for context in contexts]
        return [[Candidate(text, "retrieval", 0.5)] for text in said]

    def generate(self, contexts: Sequence[Context]) -> list[list[Candidate]]:
        self.slow += [context.last for context in contexts]
        return [[Candidate(SLOW, "generation", -1.0)] for _ in contexts]

    def length(self, batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        self.scored.append([c.text for _, candidates in batch for c in candidates])
        return [[float(len(c.text)) for c in candidates] for _, candidates in batch]

    def unfit(self, batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        return [[float("never" in context.last) for _ in candidates] for context, candidates in batch]


def pipeline(
    log: SqlDialogStore, parts: Parts, early: float | None = None, variant: Variant | None = None, **others: Source
) -> Pipeline:
    sources: dict[str, Source] = {"retrieval": parts.propose, "generation": parts.generate, **others}
    scorers: dict[str, Scorer] = {"length": parts.length, "unfit": parts.unfit}
    return Pipeline(
        store=log,
        sources=sources,
        scorers=scorers,
        policy=ScoringPolicy(WEIGHTS),
        fallback=lambda *_: "I am here.",
        personas={},
        default_persona="",
        versions=lambda: {"generation": "g1", "policy": "w1"},
        variant_of=(lambda person: variant) if variant else None,
        slow=frozenset({"generation"}),
        early=early,
    )


def answered(outcomes: Sequence[Turn | LookupError]) -> list[Turn]:
    turns = [outcome for outcome in outcomes if isinstance(outcome, Turn)]
    assert len(turns) == len(outcomes)
    return turns


def said(log: SqlDialogStore, *texts: str) -> list[Any]:
    return [ask(log, text, chat=f"telegram:{n}") for n, text in enumerate(texts)]


def test_a_late_turn_goes_without_what_is_slow_and_says_so(log: SqlDialogStore) -> None:
    parts = Parts()
    (turn,) = answered(pipeline(log, parts).answer(said(log, "hi"), [2.5], late=True))
    assert (turn.decision.reply, turn.decision.reason, parts.slow) == (POOR, "policy", [])
    assert turn.versions == {"policy": "w1", "late": "without generation"}
    assert [scored.probability for scored in turn.decision.ranked] == [1.0]
    assert turn.seconds["queue"] == 2.5 and "generation" not in turn.seconds
    assert log.turn(turn.id) == turn


def test_a_turn_in_time_has_everything(log: SqlDialogStore) -> None:
    parts = Parts()
    (turn,) = answered(pipeline(log, parts).answer(said(log, "hi"), [0.1]))
    assert (turn.decision.reply, turn.versions) == (SLOW, {"generation": "g1", "policy": "w1"})
    assert parts.scored == [[POOR], [SLOW]]  # nothing is read twice


def test_a_late_turn_to_which_the_others_have_nothing_to_say_waits_for_what_is_slow(log: SqlDialogStore) -> None:
    parts = Parts()
    nothing: Source = lambda contexts: [[] for _ in contexts]  # noqa: E731
    (turn,) = answered(pipeline(log, parts, retrieval=nothing).answer(said(log, "hi"), [9.0], late=True))
    assert (turn.decision.reply, turn.versions) == (SLOW, {"generation": "g1", "policy": "w1"})


def test_when_nothing_is_fit_a_late_turn_has_its_fallback(log: SqlDialogStore) -> None:
    (turn,) = answered(pipeline(log, Parts()).answer(said(log, "never"), [9.0], late=True))
    assert (turn.decision.reply, turn.decision.reason) == ("I am here.", "fallback")
    assert {scored.candidate.text for scored in turn.decision.ranked} == {POOR, SLOW}


@pytest.mark.parametrize("left", ["retrieval", "generation"])
def test_with_one_kind_of_sources_alone_no_turn_is_late(log: SqlDialogStore, left: str) -> None:
    only = pipeline(log, Parts(), early=0.0)
    only.sources = {left: only.sources[left]}
    (turn,) = answered(only.answer(said(log, "hi"), [9.0], late=True))
    assert turn.decision.reason == "policy" and not {"late", "early"} & turn.versions.keys()


def test_a_reply_that_is_sure_is_said_without_asking_what_is_slow(log: SqlDialogStore) -> None:
    parts = Parts()
    turns = answered(pipeline(log, parts, early=20.0).answer(said(log, "hi", "more", "and?"), [0.0, 0.0, 0.0]))
    assert [turn.decision.reply for turn in turns] == [SLOW, GOOD, SLOW]
    assert parts.slow == ["hi", "and?"]
    whole = {"generation": "g1", "policy": "w1"}
    assert [turn.versions for turn in turns] == [whole, {"policy": "w1", "early": "20"}, whole]
    assert [[scored.probability for scored in turn.decision.ranked] for turn in turns] == [[1, 0], [1], [1, 0]]
    assert parts.scored == [[POOR, GOOD, POOR], [SLOW, SLOW]]  # nothing is read twice
    assert all(set(scored.features) == {"length", "unfit"} for t in turns for scored in t.decision.ranked)
    assert [log.turn(turn.id) for turn in turns] == turns


def test_a_scorer_that_fails_at_what_came_later_costs_its_feature_of_all(log: SqlDialogStore) -> None:
    parts = pipeline(log, Parts(), early=20.0)

    def fails_later(batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        if any(candidate.text == SLOW for _, candidates in batch for candidate in candidates):
            raise RuntimeError("out of memory")
        return [[0.0] * len(candidates) for _, candidates in batch]

    parts.scorers = {**parts.scorers, "fails": fails_later}
    (turn,) = answered(parts.answer(said(log, "hi")))
    assert turn.decision.reply == SLOW
    assert all(set(scored.features) == {"length", "unfit"} for scored in turn.decision.ranked)


@pytest.mark.parametrize(
    "variant", [Variant(policy=ScoringPolicy(WEIGHTS, 0.3, seed=0)), Variant(scorers={"length": Parts().length})]
)
def test_who_has_parts_of_their_own_is_never_early(log: SqlDialogStore, variant: Variant) -> None:
    parts = Parts()
    (turn,) = answered(pipeline(log, parts, early=0.0, variant=variant).answer(said(log, "more")))
    assert parts.slow == ["more"] and "early" not in turn.versions
    shared = pipeline(log, parts, early=0.0, variant=Variant(versions={"variant": "b"}))
    (turn,) = answered(shared.answer([ask(log, "more", chat="telegram:9")]))
    assert turn.versions == {"policy": "w1", "variant": "b", "early": "0"}


def test_a_turn_that_has_not_begun_answers_the_message_as_it_was_edited(log: SqlDialogStore) -> None:
    asked = ask(log, "hi", external_id="7")
    assert log.edit("telegram:42", "7", "tell me more")
    (turn,) = answered(pipeline(log, Parts(), early=20.0).answer([asked]))
    assert (turn.message, turn.decision.reply) == ("tell me more", GOOD)
    assert log.answer_to(asked) == (turn, 0)


def test_a_turn_of_a_dialog_that_was_ended_before_it_began_costs_no_model_anything(log: SqlDialogStore) -> None:
    parts = Parts()
    ended, goes_on = said(log, "hi", "hello")
    log.new_dialog("telegram:0")
    outcome, turn = pipeline(log, parts).answer([ended, goes_on])
    assert isinstance(outcome, LookupError) and isinstance(turn, Turn)
    assert parts.quick == parts.slow == ["hello"]
    assert log.answer_to(ended) is None
