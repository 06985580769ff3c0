"""The ranker on a tiny random BERT: shape, order, what it reads of a long context, and from where it is loaded."""

import math
import shutil
from copy import copy
from pathlib import Path

import numpy as np
import pytest

from ranking import ranker as ranker_module
from ranking.cross_encoder import CrossEncoder
from ranking.delta import fingerprint, save_facts
from ranking.pretrained import ModelError
from ranking.ranker import CrossEncoderRanker
from ranking.vectors import Encoder
from storage.dialog import Candidate, Context, Message

pytest_plugins = ("tiny",)


@pytest.fixture(scope="module", params=["cross_encoder_folder", "ranker_folder"])
def ranker(request: pytest.FixtureRequest, bi_encoder: Encoder) -> CrossEncoderRanker:
    """One of others' kind, and one of ours."""
    return CrossEncoderRanker(request.getfixturevalue(request.param), bi_encoder)


def asked(*texts: str) -> Context:
    return Context(tuple(Message("user", text) for text in texts))


def replies(*texts: str) -> list[Candidate]:
    return [Candidate(text, "retrieval", 0.0) for text in texts]


def test_each_candidate_of_each_context_gets_its_own_log_odds(ranker: CrossEncoderRanker) -> None:
    batch = [
        (asked("hello there"), replies("good night", "tell me a joke")),
        (asked("it rains"), []),
        (asked("it rains"), replies("good night")),
    ]
    scores = ranker.score(batch)
    assert [len(row) for row in scores] == [2, 0, 1]
    assert len({round(score, 5) for row in scores for score in row}) == 3
    assert all(math.isfinite(score) for row in scores for score in row)


def test_a_batch_gives_the_scores_that_each_pair_has_alone_and_equal_pairs_are_equal(
    ranker: CrossEncoderRanker,
) -> None:
    batch = [
        (asked("hello"), replies("good night", "the cat sleeps all day and tell me a joke please")),
        (asked("hello"), replies("good night")),
    ]
    together = ranker.score(batch)
    assert together[0][0] == together[1][0]
    for (context, candidates), row in zip(batch, together, strict=True):
        for candidate, score in zip(candidates, row, strict=True):
            assert ranker.score([(context, [candidate])])[0][0] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("batch", [[], [(Context(()), [])]])
def test_nothing_to_score_is_no_error(ranker: CrossEncoderRanker, batch: list[tuple[Context, list[Candidate]]]) -> None:
    assert ranker.score(batch) == [[] for _ in batch]


def test_strange_texts_get_a_number(ranker: CrossEncoderRanker) -> None:
    batch = [(asked(""), replies("", "👍", "x" * 9000)), (Context(()), replies("hello"))]
    assert all(math.isfinite(score) for row in ranker.score(batch) for score in row)


def test_of_a_context_that_is_too_long_the_newest_words_are_read(ranker: CrossEncoderRanker) -> None:
    """Forty words of three tokens and more are over the limit of a pair."""
    long = "supercalifragilistic " * 60
    (joke,), (cat,), (again,) = ranker.score(
        [(asked(long + end), replies("good night")) for end in ("tell me a joke", "the cat sleeps", "tell me a joke")]
    )
    assert joke != pytest.approx(cat, abs=1e-4)
    assert joke == again


def test_the_folder_names_the_version(ranker_folder: str, cross_encoder_folder: str, bi_encoder: Encoder) -> None:
    assert CrossEncoderRanker(ranker_folder, bi_encoder).version == f"ranker0 {fingerprint(ranker_folder)}"
    assert CrossEncoderRanker(cross_encoder_folder, bi_encoder).version == Path(cross_encoder_folder).name


def test_no_name_is_the_shipped_one(
    ranker_folder: str, bi_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starter = tmp_path / "starter"
    monkeypatch.setattr(ranker_module, "STARTER", starter)
    with pytest.raises(ModelError, match=r"The shipped model in .*starter is not whole"):
        CrossEncoderRanker("", bi_encoder)
    shutil.copytree(ranker_folder, starter)
    save_facts(starter, {"made": "2026-11-20T10:00:00+00:00"})
    batch = [(asked("hello there"), replies("good night", "tell me a joke"))]
    shipped = CrossEncoderRanker("", bi_encoder)
    assert shipped.version == f"starter 2026-11-20 {fingerprint(starter)}"
    assert shipped.score(batch) == CrossEncoderRanker(ranker_folder, bi_encoder).score(batch)


def test_a_ranker_that_is_not_there_or_broken_is_named(tmp_path: Path, bi_encoder: Encoder) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=f"The ranker {tmp_path} cannot be loaded"):
        CrossEncoderRanker(str(tmp_path), bi_encoder)


def test_a_retriever_is_refused_in_one_sentence(retriever_folder: str, bi_encoder: Encoder) -> None:
    with pytest.raises(ModelError, match=r"^retriever0 is a retriever: `kith train ranker` makes a ranker\.$"):
        CrossEncoderRanker(retriever_folder, bi_encoder)


def test_one_of_ours_reads_its_own_relevance_and_one_of_others_none(
    ranker: CrossEncoderRanker, bi_encoder: Encoder
) -> None:
    """Whose vectors they are made of, the retriever's, stays as it was."""
    said, offered = asked("tell me a joke", "hello there"), ["good night", "the cat sleeps all day"]
    blind = copy(ranker)
    blind.encoder = Encoder(lambda texts: np.zeros((len(texts), 32), np.float32), np.ones(8, np.float32), "none")
    own = ranker.encoder.relevance([(said, offered)])
    others = bi_encoder.relevance([(said, offered)])
    ours = isinstance(ranker.model, CrossEncoder)
    assert (own != others) == ours
    assert (blind.score([(said, replies(*offered))]) != ranker.score([(said, replies(*offered))])) == ours
    assert bi_encoder.expected is None


def test_one_that_stands_on_vectors_of_another_width_is_refused(ranker_folder: str) -> None:
    narrow = Encoder(lambda texts: np.zeros((len(texts), 2), np.float32), np.ones(8, np.float32), "narrow")
    with pytest.raises(ModelError, match="was trained with a retriever whose vectors are of another width"):
        CrossEncoderRanker(ranker_folder, narrow)


def test_one_of_ours_chooses_by_what_it_expects_and_one_of_others_by_its_score(ranker: CrossEncoderRanker) -> None:
    batch = [(asked("hello there"), replies("good night", "tell me a joke")), (asked("it rains"), [])]
    expected = ranker.encoder.relevance([(context, [c.text for c in candidates]) for context, candidates in batch])
    ours = isinstance(ranker.model, CrossEncoder)
    assert ranker.choose(batch) == (expected if ours else ranker.score(batch))


def test_each_kind_of_votes_has_a_head_of_its_own(ranker: CrossEncoderRanker) -> None:
    batch = [(asked("hello there"), replies("good night", "tell me a joke"))]
    assert ranker.score(batch, "my log") == ranker.score(batch, "convai2017") == ranker.score(batch)
