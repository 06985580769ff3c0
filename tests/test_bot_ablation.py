"""The whole bot taken apart, on tiny models: who decides, what is measured of it, and what is told."""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from fixed_answers import empty_log
from spoken import context

from bot.ablation import (
    APART,
    AS_THEY_ARE,
    CROSSED,
    DRAWN,
    GENERATOR,
    HURRIED,
    LISTENER,
    RANKER,
    RETRIEVAL,
    WHOLE,
    BotEvaluation,
    columns,
    decided_again,
    decided_early,
    evaluate_bot,
    judged,
    unseeing,
    variants,
)
from bot.ablation import Reply as Said
from bot.cli import main
from bot.pipeline import Pipeline
from bot.pool_growth import GrowthEvaluation, evaluate_growth, growing, part_of, remembered
from bot.rehearsal import Answered, InMemory
from bot.settings import Settings, UserError
from generation.replies import PEOPLE, Place
from ranking.fit import fit_policy, half_of, save_fit
from ranking.policy import ScoringPolicy, Weights
from ranking.ranker import CrossEncoderRanker
from ranking.vectors import Encoder
from storage.corpora import CorpusDialog, CorpusError, read_votes
from storage.dialog import Asked, Candidate, Context, Decision, PoolEntry, Scored, Turn

pytest_plugins = ("tiny",)

WEIGHTS = Weights("w", {"ranker": 1.0}, {"unsafe": 1.0, "repetition": 0.75, "echo": 0.75})


NAMES = ("retrieved", "generated", "listening", "similarity", "likelihood", "tone", "ranker", "repetition", "unsafe")


def scored(text: str, source: str, **features: float) -> Scored:
    return Scored(Candidate(text, source, 0.5), {**dict.fromkeys(NAMES, 0.0), **features}, 0.0, 0.0)


def answered(*ranked: Scored) -> Answered:
    asked = Context((), "")
    return Answered("d", asked, Turn("t", Asked(0, "d", "p"), "hi", Decision("", "policy", ranked, 0), {}, {}))


@pytest.fixture
def pipeline() -> Pipeline:
    return Pipeline(InMemory([]), {}, {}, ScoringPolicy(WEIGHTS), lambda *_: "Hm.", {}, "", dict)


def test_each_variant_decides_by_what_it_is_named_for(pipeline: Pipeline) -> None:
    near = scored("near", "retrieval", retrieved=1, similarity=0.9, ranker=-1, repetition=1)
    far = scored("far", "retrieval", retrieved=1, similarity=0.4, ranker=0, repetition=0)
    sure = scored("sure", "generation", generated=1, likelihood=-1, ranker=2, repetition=1)
    odd = scored("odd", "generation", generated=1, likelihood=-9, ranker=-3, repetition=0)
    warm = scored("warm", "listening", listening=1, tone=1, ranker=-2, repetition=0)
    turn = answered(near, far, sure, odd, warm)
    said = {name: decided_again(turn, policy, pipeline).text for name, policy in variants(WEIGHTS, 0.0, 0).items()}
    assert said == {
        RETRIEVAL: "near", GENERATOR: "sure", LISTENER: "warm", RANKER: "sure", WHOLE: "far", DRAWN: "far"
    }  # fmt: skip


def test_an_early_decision_says_the_best_of_what_is_quick_where_others_show_that_it_wins(pipeline: Pipeline) -> None:
    pipeline = replace(pipeline, slow=frozenset({"generation"}))
    quick, slow = scored("near", "retrieval", retrieved=1, ranker=5), scored("odd", "generation", generated=1, ranker=4)
    sure, unsure = answered(quick, slow), answered(replace(quick, features={**quick.features, "ranker": 3}), slow)
    found = decided_early([sure, unsure], [sure] * 150 + [unsure] * 150, [ScoringPolicy(WEIGHTS)] * 2, pipeline)
    assert [(reply.text, reply.source, reply.early) for reply in found] == [
        ("near", "retrieval", True), ("odd", "generation", False)
    ]  # fmt: skip
    found = decided_early([sure], [sure] * 3, [ScoringPolicy(WEIGHTS)], pipeline)
    assert not found[0].early  # three turns show nothing


def voted(dialog: str, ranker: float, liked: bool) -> str:
    """A line of `kith export dialogs`."""
    turn = {"candidates": [{"features": {"ranker": ranker}, "chosen": True}], "votes": [{"value": 1 if liked else -1}]}
    return json.dumps({"id": dialog, "messages": [{"turns": [turn]}]}) + "\n"


def test_at_a_place_the_policy_does_not_know_the_votes_on_its_dialog(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On dialogs of one half what the ranker finds good is liked, on those of the other what it finds bad."""
    names, file = [f"d{number}" for number in range(80)], tmp_path / "votes.jsonl"
    cast = [voted(name, score, (score > 0) == bool(half_of(name))) for name in names for score in (-2.0, -1, 1, 2)]
    file.write_text("".join(cast))
    monkeypatch.setattr("bot.ablation.VOTES", file)
    save_fit(tmp_path / "policy.json", fit_policy(list(read_votes(file)), ("ranker",), WEIGHTS))
    settings = Settings(_env_file=None, data_dir=tmp_path, policy=tmp_path / "policy.json")
    turn = answered(scored("bad", "retrieval", ranker=-1), scored("good", "retrieval", ranker=1))

    def said(names: Sequence[str], settings: Settings) -> tuple[list[str], str]:
        dialogs = [CorpusDialog(name, "cats", "valid", ()) for name in names]
        places = [Place(Context(()), "", f"cats {name}") for name in names]
        deciding, told = unseeing(settings, dialogs, places, 0)
        return [decided_again(turn, by[WHOLE], pipeline).text for by in deciding], told

    assert said(names[:20], settings) == ([("good", "bad")[half_of(name)] for name in names[:20]], CROSSED)
    others = [f"other{number}" for number in range(20)]
    replies, told = said(others, settings)
    assert (len(set(replies)), told) == (1, APART)
    assert said(names[:20], settings.model_copy(update={"policy": None}))[1] == AS_THEY_ARE


def test_nobody_says_what_is_unsafe_and_a_fallback_is_one(pipeline: Pipeline) -> None:
    bad = scored("bad", "retrieval", retrieved=1, similarity=0.9, ranker=1, unsafe=1)
    for turn in (answered(bad), answered()):
        for policy in variants(WEIGHTS, 0.3, 0).values():
            reply = decided_again(turn, policy, pipeline)
            assert (reply.text, reply.source) == ("Hm.", "fallback")


def test_what_is_measured_of_replies(ranker_folder: str, bi_encoder: Encoder) -> None:
    judge = CrossEncoderRanker(ranker_folder, bi_encoder)
    asked = context("i went to see my aunt", "That is nice of you.", "she has five cats")
    told = ("She has five cats!", "That is nice of you.", "Which one is yours?", "Hm.")
    sources = ("retrieval", "generation", "generation", "fallback")
    found = columns([Said("d", asked, text, source) for text, source in zip(told, sources, strict=True)], judge)
    assert found["copies user"].tolist() == [1, 0, 0, 0]
    assert found["repeats earlier"].tolist() == [0, 1, 0, 0]
    assert found["generated"].tolist() == [0, 1, 1, 0]
    assert found["fallback"].tolist() == [0, 0, 0, 1]
    assert ((found["liked"] > 0) & (found["liked"] < 1)).all()
    people = columns([Said("d", asked, "Cats!", PEOPLE)], judge)
    assert people["generated"][0] != people["generated"][0]


def test_differences_are_to_the_whole_bot(ranker_folder: str, bi_encoder: Encoder) -> None:
    def said(texts: Sequence[str]) -> list[Said]:
        return [Said(f"d{n}", context("hello there"), text, "retrieval") for n, text in enumerate(texts)]

    texts = [f"the cat number {number}" for number in range(9)]
    judge = CrossEncoderRanker(ranker_folder, bi_encoder)
    found = judged(
        {RETRIEVAL: said(texts), WHOLE: said([*texts[:-1], "pizza"])}, judge, BotEvaluation((), resamples=50)
    )
    alone, whole = found.rows
    assert (found.replies, found.dialogs, whole.against) == (9, 9, {})
    assert alone.against["words"].value == pytest.approx(3 / 9)
    assert alone.against["liked"].value == pytest.approx(alone.figures["liked"].value - whole.figures["liked"].value)


# The whole


@pytest.fixture
def settings(
    retriever_folder: str,
    ranker_folder: str,
    generator_folder: str,
    quick_toxicity: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Settings:
    empty_log(tmp_path).close()
    pool = [
        PoolEntry(f"food/{n}", text, ("what shall we eat", "i am hungry"), "curated")
        for n, text in enumerate(("Soup.", "Bread and cheese.", "Whatever is left."))
    ]
    monkeypatch.setattr("bot.assemble.curated", lambda: pool)
    monkeypatch.setattr("ranking.toxicity.curated", lambda: pool)
    return Settings(
        _env_file=None, data_dir=tmp_path, retriever=retriever_folder, ranker=ranker_folder,
        generator=generator_folder, candidates=2, threads=1,
    )  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [
        {"id": f"d{n}", "source": "cats", "split": "valid", "turns": [
            {"role": "a", "text": "what shall we eat"}, {"role": "b", "text": f"Rice, {n} bowls."}
        ]} for n in range(6)
    ]  # fmt: skip
    file = tmp_path / "dialogs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_places_scripted_users_and_self_play(settings: Settings, data: Path, ranker_folder: str) -> None:
    run = BotEvaluation((data,), ranker_folder, places=4, users=2, self_play=2, turns=3, resamples=20)
    found = evaluate_bot(settings, run)
    everyone = [RETRIEVAL, GENERATOR, LISTENER, RANKER, WHOLE, DRAWN]
    assert {kind: (t.replies, t.dialogs, [r.model for r in t.rows]) for kind, t in found.talks.items()} == {
        "held-back places": (4, 4, [PEOPLE, *everyone, HURRIED]),
        "scripted users": (20, 2, [*everyone, HURRIED]),
        "self-play": (6, 2, everyone[:-1]),
    }
    for talked in found.talks.values():
        rows = {row.model: row.figures for row in talked.rows}
        assert rows[RETRIEVAL]["generated"].value == 0
        assert rows[GENERATOR]["generated"].value + rows[GENERATOR]["fallback"].value == pytest.approx(1)
    assert [len(t.lines) for t in found.transcripts] == [10, 10]
    assert set(found.seconds) == set(found.talks)
    assert {"retrieval", "generation", "ranker", "toxicity", "danger", "policy", "judge"} == set(found.models)
    assert evaluate_bot(settings, run).talks == found.talks


def test_a_bot_with_one_source_cannot_be_taken_apart(settings: Settings, data: Path) -> None:
    for off in ("candidates", "retrieved"):
        with pytest.raises(UserError, match="KITH_CANDIDATES"):
            evaluate_bot(settings.model_copy(update={off: 0}), BotEvaluation((data,)))


def test_data_without_a_held_back_part_is_said(settings: Settings, data: Path) -> None:
    data.write_text(data.read_text().replace('"valid"', '"train"'))
    with pytest.raises(CorpusError, match="valid split"):
        evaluate_bot(settings, BotEvaluation((data,)))


def test_the_command_prints_tables_and_writes_the_dialogs(
    settings: Settings,
    data: Path,
    ranker_folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("bot.settings.load_settings", lambda: settings)
    out = tmp_path / "out"
    command = ["evaluate", "bot", "--data", str(data), "--judge", ranker_folder, "--places", "4", "--users", "1"]
    assert main([*command, "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "The whole bot: held-back places, 4 replies of 4 dialogs" in shown
    assert max(map(len, shown.splitlines())) <= 120
    assert APART in shown
    told = (out / "dialogs.md").read_text(encoding="utf-8")
    assert told.count("\n> ") == 10
    assert "## a greeting/1" in told
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert len(document["transcripts"][0]["lines"]) == 10


# The pool, growing


def entry(situation: str, number: int) -> PoolEntry:
    return PoolEntry(f"{situation}/{number}", f"{situation} {number}", (f"how is your {situation}",), "curated")


def test_each_share_of_the_pool_holds_the_smaller_ones() -> None:
    pool = [
        entry(name, number) for name in ("soup", "bread", "rain", "snow", "cats", "dogs", "sea") for number in (1, 2)
    ]
    pool.append(PoolEntry("own/7", "Liked before.", (), "liked"))
    shares = growing(pool, 0)
    assert [len(kept) for kept in shares] == [2, 4, 6, 8]
    assert all(small < large for small, large in pairwise(shares))
    assert part_of(pool, shares[-1]) == pool
    assert {entry.id.partition("/")[0] for entry in part_of(pool, frozenset({"cats"}))} == {"cats"}
    assert len({growing(pool, seed)[0] for seed in range(9)}) > 1


def test_a_source_is_asked_once_for_each_context() -> None:
    asked: list[Context] = []

    def source(contexts: Sequence[Context]) -> list[list[Candidate]]:
        asked.extend(contexts)
        return [[Candidate(f"{len(asked)} {context.last}", "generation", 0.0)] for context in contexts]

    propose, one, two = remembered(source), context("one"), context("two")
    first = propose([one, two])
    assert propose([two, one, two]) == [first[1], first[0], first[1]]
    assert asked == [one, two]


def test_shares_of_the_pool_are_compared_with_the_whole(
    settings: Settings, data: Path, ranker_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The situation that all places ask for is one of four, and its reply is what the judge likes."""
    pool = [entry(name, number) for name in ("rain", "snow", "sea") for number in (1, 2)]
    pool.append(PoolEntry("food/1", "Soup.", ("what shall we eat",), "curated"))
    monkeypatch.setattr("bot.assemble.curated", lambda: pool)
    monkeypatch.setattr("bot.pool_growth.liked", lambda said, _: np.array([float(r.text == "Soup.") for r in said]))
    run = GrowthEvaluation((data,), places=4, orders=2, judge=ranker_folder, seed=4, resamples=20)
    found = evaluate_growth(settings, run)
    assert (found.replies, found.policy, set(found.shares)) == (4, APART, {RETRIEVAL, WHOLE})
    has = [[float("food" in kept) for kept in growing(pool, seed)] for seed in (4, 5)]
    assert [share.by_order for share in found.shares[RETRIEVAL]] == [*list(zip(*has, strict=True))[:3], (1.0,)]
    assert len({*map(tuple, has)}) == 2
    assert found.shares[RETRIEVAL][-1].of_pool == 1
    for shares in found.shares.values():
        assert [share.situations for share in shares] == [1, 2, 3, 4]
        assert [len(share.by_order) for share in shares] == [2, 2, 2, 1]
        for share in shares:
            assert share.liked.value == pytest.approx(sum(share.by_order) / len(share.by_order))
            assert share.less_whole.value == pytest.approx(share.liked.value - shares[-1].liked.value)
    assert evaluate_growth(settings, run).shares == found.shares


def test_the_command_tells_how_the_pool_grows(
    settings: Settings,
    data: Path,
    ranker_folder: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("bot.settings.load_settings", lambda: settings)
    command = ["evaluate", "pool", "--growth", "--judge", ranker_folder, "--orders", "1"]
    assert main([*command, "--data", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "Growth of the pool: retrieval alone, 6 held-back places" in shown
    assert max(map(len, shown.splitlines())) <= 120
    assert main(command) == 2
    assert "--growth needs --data" in capsys.readouterr().err
    none = settings.model_copy(update={"retrieved": 0})
    with pytest.raises(UserError, match="KITH_RETRIEVED"):
        evaluate_growth(none, GrowthEvaluation((data,)))
