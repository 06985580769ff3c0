"""A turn on a real log: what is asked of sources, scorers and policy, what becomes of faults, and what is kept."""

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fixed_answers import empty_log
from turn_values import ask, talk

from bot.pipeline import Pipeline
from bot.protocols import Scorer, Source, Variant
from bot.texts import fallback, load_texts
from ranking.features import cheap_features, scorer, unsafe
from ranking.policy import ScoringPolicy, Weights
from storage.dialog import Candidate, Context, Turn
from storage.store import AlreadyAnswered, SqlDialogStore, UnknownTurn

TEXTS = load_texts()
WEIGHTS = Weights("w1", {"length": 1.0}, {"unsafe": 1.0, "repetition": 0.75, "echo": 0.75, "rejected": 1.0})


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqlDialogStore]:
    with empty_log(tmp_path) as store:
        yield store


def says(*texts: str, source: str = "retrieval") -> Source:
    """A source that always proposes the same."""
    return lambda contexts: [[Candidate(text, source, 0.5, f"{source}/1") for text in texts] for _ in contexts]


def fails(*given: object) -> list[list[Candidate]]:
    raise RuntimeError("out of memory")


def cheap() -> dict[str, Scorer]:
    return {name: scorer(feature) for name, feature in cheap_features().items()}


def pipeline(
    log: SqlDialogStore,
    sources: Mapping[str, Source],
    scorers: Mapping[str, Scorer] | None = None,
    temperature: float = 0.0,
    variants: Mapping[str, Variant] | None = None,
) -> Pipeline:
    return Pipeline(
        store=log,
        sources=sources,
        scorers=cheap() if scorers is None else scorers,
        policy=ScoringPolicy(WEIGHTS, temperature, seed=0),
        fallback=fallback(TEXTS),
        personas={"friend": "You are a friend.", "wit": "You are a wit."},
        default_persona="friend",
        versions=lambda: {"policy": "w1"},
        variant_of=variants.__getitem__ if variants else None,
    )


def answered(outcome: Turn | LookupError) -> Turn:
    assert isinstance(outcome, Turn)
    return outcome


def only(outcomes: Sequence[Turn | LookupError]) -> Turn:
    (outcome,) = outcomes
    return answered(outcome)


def test_a_message_becomes_a_turn_that_is_logged_with_everything_considered(log: SqlDialogStore) -> None:
    sources = {"retrieval": says("Hello.", "A longer hello."), "generation": says("Hey you!", source="generation")}
    asked = ask(log, "good evening")
    turn = only(pipeline(log, sources).answer([asked]))
    assert (turn.decision.reply, turn.decision.reason, turn.message) == ("A longer hello.", "policy", "good evening")
    assert {scored.candidate.text for scored in turn.decision.ranked} == {"Hello.", "A longer hello.", "Hey you!"}
    assert all(set(scored.features) == set(cheap_features()) for scored in turn.decision.ranked)
    assert set(turn.seconds) == {*sources, *cheap_features(), "policy"}
    assert log.turn(turn.id) == turn


def test_a_turn_is_logged_with_the_versions_of_its_batch(log: SqlDialogStore) -> None:
    parts, numbers = pipeline(log, {"retrieval": says("Hello.")}), iter("12")
    parts.versions = lambda: {"retrieval": next(numbers)}
    batches = [[ask(log, "hi", chat=f"telegram:{chat}") for chat in chats] for chats in ("ab", "c")]
    turns = [[answered(turn) for turn in parts.answer(batch)] for batch in batches]
    assert [[turn.versions["retrieval"] for turn in batch] for batch in turns] == [["1", "1"], ["2"]]
    assert log.turn(turns[1][0].id) == turns[1][0]


def test_a_batch_is_answered_in_its_order_with_one_pass_through_each_part(log: SqlDialogStore) -> None:
    passes: list[str] = []

    def source(contexts: Sequence[Context]) -> list[list[Candidate]]:
        passes.append("source")
        return [[Candidate(f"You said {context.last}, so there.", "retrieval", 0.0)] for context in contexts]

    def even(batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        passes.append("scorer")
        return [[0.0] * len(candidates) for _, candidates in batch]

    batch = [ask(log, text, chat=f"telegram:{text}") for text in ("one", "two", "three")]
    turns = [answered(t) for t in pipeline(log, {"retrieval": source}, {"even": even}).answer(batch)]
    assert [t.decision.reply for t in turns] == [f"You said {text}, so there." for text in ("one", "two", "three")]
    assert [t.asked for t in turns] == batch
    assert passes == ["source", "scorer"]


def test_what_is_slow_runs_while_the_other_candidates_are_scored(log: SqlDialogStore) -> None:
    scored, proposed = threading.Event(), threading.Event()

    def slow(contexts: Sequence[Context]) -> list[list[Candidate]]:
        assert scored.wait(60)
        proposed.set()
        return [[Candidate("A reply that took its time.", "generation", 0.0)] for _ in contexts]

    def even(batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        assert proposed.is_set() == any(c.source == "generation" for _, candidates in batch for c in candidates)
        scored.set()
        return [[0.0] * len(candidates) for _, candidates in batch]

    parts = pipeline(log, {"retrieval": says("Hello."), "generation": slow}, {"even": even})
    parts.slow = frozenset({"generation"})
    turn = only(parts.answer([ask(log, "hi")]))
    assert {scored.candidate.source for scored in turn.decision.ranked} == {"retrieval", "generation"}
    assert all(scored.features == {"even": 0.0} for scored in turn.decision.ranked)


def test_no_batch_is_no_work(log: SqlDialogStore) -> None:
    assert pipeline(log, {"retrieval": says("Hello.")}).answer([]) == []


@pytest.mark.parametrize("broken", [fails, lambda contexts: [], lambda contexts: [[], [], []]])
def test_a_source_that_fails_leaves_the_others(
    log: SqlDialogStore, caplog: pytest.LogCaptureFixture, broken: Source
) -> None:
    for order in (("generation", "retrieval"), ("retrieval", "generation")):
        sources = {name: broken if name == "generation" else says("Hello.") for name in order}
        turn = only(pipeline(log, sources).answer([ask(log, "good evening", chat=order[0])]))
        assert (turn.decision.reply, turn.decision.reason) == ("Hello.", "policy")
        assert "generation" in turn.seconds
    assert "the source generation failed" in caplog.text


@pytest.mark.parametrize("broken", [fails, lambda batch: [], lambda batch: [[0.0]], lambda batch: [[0.0] * 9]])
def test_a_scorer_that_fails_costs_its_feature_alone(
    log: SqlDialogStore, caplog: pytest.LogCaptureFixture, broken: Scorer
) -> None:
    scorers = {"ranker": broken, **cheap()}
    turn = only(pipeline(log, {"retrieval": says("Hello.", "Hello to you.")}, scorers).answer([ask(log, "evening")]))
    assert turn.decision.reply == "Hello to you."
    assert all(set(scored.features) == set(cheap_features()) for scored in turn.decision.ranked)
    assert "the scorer ranker failed" in caplog.text


@pytest.mark.parametrize(
    "sources",
    [
        {},
        {"retrieval": lambda contexts: [[] for _ in contexts]},
        {"generation": fails},
        {"retrieval": says("kill yourself", "go die")},
    ],
)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_when_nothing_may_be_said_a_decent_reply_in_the_persons_language_still_is(
    log: SqlDialogStore, sources: Mapping[str, Source], language: str
) -> None:
    asked = log.take("telegram:1", "telegram:1", "hi", "update 1", language=language)
    assert asked
    turn = only(pipeline(log, sources).answer([asked]))
    assert (turn.decision.reason, turn.decision.chosen) == ("fallback", None)
    assert turn.decision.reply in TEXTS.of(language).fallback
    assert unsafe(Context(()), Candidate(turn.decision.reply, "", 0.0)) == 0
    logged = log.turn(turn.id)
    assert logged == turn
    assert [scored.veto for scored in turn.decision.ranked] in ([], ["unsafe", "unsafe"])


def test_all_fallbacks_are_moderated() -> None:
    for catalogue in TEXTS.catalogues.values():
        assert len(catalogue.fallback) >= 3
        assert all(unsafe(Context(()), Candidate(text, "", 0.0)) == 0 for text in catalogue.fallback)


def test_a_reply_that_was_sent_back_does_not_come_again_and_stays_in_the_log(log: SqlDialogStore) -> None:
    parts = pipeline(log, {"retrieval": says("The longest of them all.", "A shorter one.", "Short.")})
    first = only(parts.answer([ask(log, "hi")]))
    second = only(parts.answer([log.ask_again(first.id, "telegram:42")]))
    third = only(parts.answer([log.ask_again(second.id, "telegram:42")]))
    replies = ["The longest of them all.", "A shorter one.", "Short."]
    assert [t.decision.reply for t in (first, second, third)] == replies
    assert third.decision.ranked[-1].veto
    assert log.turn(first.id) == first


def test_what_the_bot_has_said_before_in_this_dialog_is_not_repeated(log: SqlDialogStore) -> None:
    parts = pipeline(log, {"retrieval": says("The longest of them all.", "Short.")})
    talk(log, "hi", "The longest of them all.")
    assert only(parts.answer([ask(log, "go on")])).decision.reply == "Short."
    log.new_dialog("telegram:42")
    assert only(parts.answer([ask(log, "go on")])).decision.reply == "The longest of them all."


@pytest.mark.parametrize(
    ("chosen", "told"), [("", "You are a friend."), ("wit", "You are a wit."), ("gone", "You are a friend.")]
)
def test_the_chosen_persona_is_told_to_the_sources_or_the_default_one(
    log: SqlDialogStore, chosen: str, told: str
) -> None:
    heard: list[Context] = []

    def source(contexts: Sequence[Context]) -> list[list[Candidate]]:
        heard.extend(contexts)
        return [[] for _ in contexts]

    asked = ask(log, "hi")
    if chosen:
        log.set_persona("telegram:42", chosen)
    pipeline(log, {"retrieval": source}).answer([asked])
    assert [context.persona for context in heard] == [told]


def test_a_candidate_with_a_score_that_is_no_number_is_not_said(log: SqlDialogStore) -> None:
    def nan_for_long(batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
        return [[math.nan if len(c.text) > 10 else 0.0 for c in candidates] for _, candidates in batch]

    scorers = {"ranker": nan_for_long, **cheap()}
    asked = ask(log, "hi")
    turn = only(pipeline(log, {"retrieval": says("A longer hello.", "Hello.")}, scorers).answer([asked]))
    assert turn.decision.reply == "Hello."
    logged = log.turn(turn.id)
    assert logged
    assert [scored.veto for scored in logged.decision.ranked] == ["", "not a number"]


def test_the_random_numbers_go_on_from_turn_to_turn(log: SqlDialogStore) -> None:
    parts = pipeline(log, {"retrieval": says("One hello.", "Two hellos.")}, temperature=1.0)
    replies = [only(parts.answer([ask(log, "hi", chat=f"telegram:{n}")])).decision.reply for n in range(12)]
    assert set(replies) == {"One hello.", "Two hellos."}


def test_one_person_who_is_forgotten_before_the_answer_does_not_cost_the_others_theirs(log: SqlDialogStore) -> None:
    ann, bob = (ask(log, "hi", chat=f"telegram:{n}", person=f"telegram:{n}") for n in (1, 2))
    log.forget(ann.person_id)
    gone, turn = pipeline(log, {"retrieval": says("Hello.")}).answer([ann, bob])
    assert isinstance(gone, UnknownTurn)
    assert answered(turn).decision.reply == "Hello."


def test_one_person_who_is_forgotten_while_the_models_work_does_not_either(log: SqlDialogStore) -> None:
    ann, bob = (ask(log, "hi", chat=f"telegram:{n}", person=f"telegram:{n}") for n in (1, 2))

    def slow(contexts: Sequence[Context]) -> list[list[Candidate]]:
        log.forget(ann.person_id)
        return [[Candidate("Hello.", "retrieval", 0.5)] for _ in contexts]

    gone, turn = pipeline(log, {"retrieval": slow}).answer([ann, bob])
    assert isinstance(gone, UnknownTurn)
    assert log.turn(answered(turn).id) == turn


def test_a_source_that_hangs_is_left_out_for_as_long_as_it_does_and_its_late_turn_is_none(
    log: SqlDialogStore, caplog: pytest.LogCaptureFixture
) -> None:
    at_work, free = threading.Event(), threading.Event()

    def hangs(contexts: Sequence[Context]) -> list[list[Candidate]]:
        at_work.set()
        assert free.wait(20)
        return [[Candidate("A long reply from far away.", "generation", 0.5)] for _ in contexts]

    parts = pipeline(log, {"generation": hangs, "retrieval": says("Hello.")})
    asked = ask(log, "hi")
    with ThreadPoolExecutor(1) as thread:
        late = thread.submit(parts.answer, [asked])
        assert at_work.wait(20)
        turn = only(parts.answer([asked]))
        assert turn.decision.reply == "Hello."
        assert "generation still hangs" in caplog.text
        free.set()
        assert isinstance(late.result()[0], AlreadyAnswered)
    assert log.answer_to(asked) == (turn, 0)
    again = only(parts.answer([ask(log, "and now?")]))
    assert "generation" in {scored.candidate.source for scored in again.decision.ranked}


# Experiments


def by_length(weight: float) -> ScoringPolicy:
    return ScoringPolicy(Weights(f"length {weight:g}", {"length": weight}, {}))


def test_people_of_two_variants_are_answered_in_one_batch_each_by_their_own(log: SqlDialogStore) -> None:
    variants = {
        "telegram:1": Variant(versions={"experiment": "e", "variant": "long"}),
        "telegram:2": Variant(policy=by_length(-1.0), versions={"variant": "short", "policy": "length -1"}),
    }
    variants["telegram:3"] = variants["telegram:1"]
    batch = [ask(log, "hi", chat=person, person=person) for person in variants]
    parts = pipeline(log, {"retrieval": says("Hello.", "A longer hello.")}, variants=variants)
    turns = [answered(turn) for turn in parts.answer(batch)]
    assert [turn.decision.reply for turn in turns] == ["A longer hello.", "Hello.", "A longer hello."]
    assert [turn.versions for turn in turns] == [
        {"policy": "w1", "experiment": "e", "variant": "long"},
        {"policy": "length -1", "variant": "short"},
        {"policy": "w1", "experiment": "e", "variant": "long"},
    ]
    assert log.turn(turns[1].id) == turns[1]


def test_what_variants_share_is_passed_once_and_what_is_one_s_own_sees_its_people_alone(log: SqlDialogStore) -> None:
    passes: list[tuple[str, list[str]]] = []

    def source(name: str) -> Source:
        def propose(contexts: Sequence[Context]) -> list[list[Candidate]]:
            passes.append((name, [context.last for context in contexts]))
            return [[Candidate(f"{name} hears {context.last}.", name, 0.0)] for context in contexts]

        return propose

    def counting(name: str, value: float) -> Scorer:
        def score(batch: Sequence[tuple[Context, Sequence[Candidate]]]) -> list[list[float]]:
            passes.append((name, [context.last for context, _ in batch]))
            return [[value] * len(candidates) for _, candidates in batch]

        return score

    own = Variant(sources={"generation": source("new")}, scorers={"ranker": counting("new ranker", 2.0)})
    variants = {"telegram:1": Variant(), "telegram:2": own, "telegram:3": Variant(), "telegram:4": own}
    parts = pipeline(
        log,
        {"retrieval": source("pool"), "generation": source("old")},
        {"ranker": counting("ranker", 1.0), "even": counting("even", 0.0)},
        variants=variants,
    )
    turns = [answered(t) for t in parts.answer([ask(log, p[-1], chat=p, person=p) for p in variants])]
    assert sorted(passes) == [
        ("even", ["1", "2", "3", "4"]), ("new", ["2", "4"]), ("new ranker", ["2", "4"]), ("old", ["1", "3"]),
        ("pool", ["1", "2", "3", "4"]), ("ranker", ["1", "3"]),
    ]  # fmt: skip
    assert [{scored.features["ranker"] for scored in turn.decision.ranked} for turn in turns] == [{1}, {2}, {1}, {2}]
    assert all(set(turn.seconds) == {"retrieval", "generation", "ranker", "even", "policy"} for turn in turns)


def test_a_variant_whose_part_fails_costs_the_others_nothing(log: SqlDialogStore) -> None:
    variants = {"telegram:1": Variant(), "telegram:2": Variant(sources={"retrieval": fails})}
    parts = pipeline(log, {"retrieval": says("Hello.")}, variants=variants)
    turns = [answered(t) for t in parts.answer([ask(log, "hi", chat=p, person=p) for p in variants])]
    assert [turn.decision.reason for turn in turns] == ["policy", "fallback"]


@pytest.mark.parametrize(("chosen", "told"), [("", "You are a wit."), ("friend", "You are a friend.")])
def test_a_variants_persona_is_that_of_chats_that_chose_none(log: SqlDialogStore, chosen: str, told: str) -> None:
    heard: list[Context] = []

    def source(contexts: Sequence[Context]) -> list[list[Candidate]]:
        heard.extend(contexts)
        return [[] for _ in contexts]

    asked = ask(log, "hi")
    if chosen:
        log.set_persona("telegram:42", chosen)
    pipeline(log, {"retrieval": source}, variants={"telegram:42": Variant(persona="wit")}).answer([asked])
    assert [context.persona for context in heard] == [told]
