"""Measuring retriever and ranker from files, and the pool, on tiny models."""

import json
from pathlib import Path

import pytest

from ranking import baselines
from ranking.baselines import PlainMiniLM
from ranking.encoders import load_encoder
from ranking.evaluate import BASELINE, RankingEvaluation, contestants, evaluate_ranking, labels, pool_precision
from ranking.pretrained import ModelError
from ranking.ranker import CrossEncoderRanker
from ranking.retriever import Retriever
from ranking.vectors import Encoder
from storage.corpora import CorpusError
from storage.dialog import PoolEntry

pytest_plugins = ("tiny",)


@pytest.fixture(scope="module")
def encoder(bi_encoder_folder: str) -> Encoder:
    return load_encoder(bi_encoder_folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """25 dialogs that are held back and 25 that are not; 40 votes of each split."""
    dialogs = [
        {"id": str(i), "source": "own", "split": "train" if i < 25 else "valid",
         "turns": [{"role": "a", "text": f"do you like apple{i}"}, {"role": "b", "text": f"i eat apple{i} daily"}]}
        for i in range(50)
    ]  # fmt: skip
    votes = [
        {"dialog_id": str(i // 4), "source": "own", "split": "valid" if i % 2 else "train", "label": i // 2 % 2,
         "context": [{"role": "user", "text": "hi"}], "reply": f"hello {i}"}
        for i in range(80)
    ]  # fmt: skip
    (tmp_path / "dialogs.jsonl").write_text("\n".join(map(json.dumps, dialogs)))
    (tmp_path / "votes.jsonl").write_text("\n".join(map(json.dumps, votes)))
    return tmp_path


def test_everything_is_measured_on_what_was_held_back(
    data: Path,
    bi_encoder_folder: str,
    cross_encoder_folder: str,
    ranker_folder: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(baselines, "packaged_minilm", lambda: bi_encoder_folder)
    found = evaluate_ranking(
        RankingEvaluation(
            dialogs=(data / "dialogs.jsonl",),
            votes=(data / "votes.jsonl",),
            retrievers=(bi_encoder_folder,),
            rankers=(cross_encoder_folder, ranker_folder),
            resamples=20,
        )
    )
    [selected] = found.selection
    assert (selected.source, selected.questions) == ("own", 25)
    rows = {row.model: row for row in selected.rows}
    assert [model for model, row in rows.items() if not row.against] == [BASELINE]
    assert rows["TF-IDF, context"].figures["R@1"].value == 1
    assert rows["chance"].figures["R@5"].value < 0.6
    assert {"retriever", f"ranker {cross_encoder_folder}", "reply alone"} <= set(rows)
    assert {"R@1", "R@1 less retriever"} == set(rows[f"ranker {ranker_folder}, what it expects"].against)
    assert f"ranker {ranker_folder}, P(like)" in rows
    assert [row.model for row in found.retrieval.rows] == [BASELINE, "retriever"]
    assert (found.retrieval.contexts, found.retrieval.replies) == (25, 25)
    assert (found.echo.contexts, found.echo.candidates) == (25, 50)
    whole, new = found.votes
    assert (whole.replies, new.replies) == (40, 40)
    assert set(found.models) == {"retriever", f"ranker {cross_encoder_folder}", f"ranker {ranker_folder}"}
    assert set(found.seconds) == {"selection", "retrieval", "echo", "votes"}


def test_without_train_dialogs_nothing_is_taught_on_replies_alone(
    bi_encoder: Encoder, cross_encoder_folder: str, monkeypatch: pytest.MonkeyPatch, bi_encoder_folder: str
) -> None:
    monkeypatch.setattr(baselines, "packaged_minilm", lambda: bi_encoder_folder)
    rankers = {"ranker": CrossEncoderRanker(cross_encoder_folder, bi_encoder)}
    assert "reply alone" not in contestants(PlainMiniLM(), {"retriever": bi_encoder}, rankers, [], 0)


def test_a_wrong_name_costs_no_time(data: Path, bi_encoder_folder: str, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    with pytest.raises(ModelError, match="nothing"):
        evaluate_ranking(RankingEvaluation((tmp_path / "none",), (), (bi_encoder_folder,), (str(nothing),)))


def test_data_without_a_held_back_part_is_said(
    data: Path, bi_encoder_folder: str, cross_encoder_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "packaged_minilm", lambda: bi_encoder_folder)
    lines = (data / "dialogs.jsonl").read_text().replace('"valid"', '"train"')
    (data / "dialogs.jsonl").write_text(lines)
    run = RankingEvaluation(
        (data / "dialogs.jsonl",), (data / "votes.jsonl",), (bi_encoder_folder,), (cross_encoder_folder,)
    )
    with pytest.raises(CorpusError, match="held-back"):
        evaluate_ranking(run)


def test_models_go_by_their_kind_and_by_their_names_where_there_are_several() -> None:
    assert labels("ranker", ["some/model"]) == ["ranker"]
    assert labels("ranker", ["", "some/model"]) == ["ranker shipped", "ranker some/model"]


def test_a_pool_is_asked_with_its_own_contexts_each_left_out_in_turn(encoder: Encoder) -> None:
    near = [PoolEntry("a/1", "Hello.", ("hello there", "hello there !"), "curated")]
    far = [PoolEntry("b/1", "Pizza.", ("what shall we eat", "tell me a joke please"), "curated")]
    rows = pool_precision(Retriever([*near, *far], encoder).index, encoder, resamples=20)
    thresholds = [float(row.model) for row in rows]
    found = [row.figures["found"].value for row in rows]
    assert thresholds == sorted(thresholds)
    assert found == sorted(found, reverse=True)
    assert all(0 <= figure.value <= 1 for row in rows for figure in row.figures.values())
    some = pool_precision(Retriever([*near, *far], encoder).index, encoder, resamples=20, most=1)
    assert {row.figures["found"].value for row in some} == {1.0}  # a threshold that nothing is found at has no row
    alone = pool_precision(Retriever(near, encoder).index, encoder, resamples=20)
    assert all(row.figures["of the right situation"].value == 1 for row in alone)
