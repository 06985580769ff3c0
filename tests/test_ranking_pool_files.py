"""A big pool: found by inverted lists, which follow the pool, and what is kept of it in files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from spoken import context as said

from ranking import inverted, nearest, pool_files, pool_index
from ranking.inverted import InvertedLists, load_lists
from ranking.nearest import Approximate
from ranking.pool import texts_of
from ranking.pool_files import keep, lists_file, stored_lists, trim_pool, vector_files
from ranking.pool_index import build_index
from ranking.retriever import Retriever
from ranking.vector_files import digest, digests_of
from ranking.vectors import Encoder, Vectors
from storage.dialog import PoolEntry

WIDTH = 16
ALWAYS = -1.0


def embed(texts: Sequence[str]) -> Vectors:
    """Random unit vectors; texts with the same first word are alike."""
    drawn = np.stack([sum(draw(part) for part in (f"{text.split(' ')[0]}!", text)) for text in texts])
    unit: Vectors = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def draw(text: str) -> Vectors:
    return np.random.default_rng(list(text.encode())).normal(size=WIDTH).astype(np.float32)


def entries(numbers: range, words: int = 20) -> list[PoolEntry]:
    return [PoolEntry(f"i/{n}", f"r{n % words} reply {n}", (f"w{n % words} asks {n}",), "imported") for n in numbers]


@pytest.fixture
def encoder() -> Encoder:
    return Encoder(embed, np.ones(1, np.float32), "v1")


@pytest.fixture
def big(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a pool of 100 contexts is."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(pool_index, "APPROXIMATE_FROM", 100)
    monkeypatch.setattr(nearest, "PROBED", 20)
    monkeypatch.setattr(inverted, "SEARCHED", 0.3)


def lists_of(retriever: Retriever) -> InvertedLists:
    contexts = retriever.index.contexts
    assert isinstance(contexts, Approximate)
    return contexts.lists


@pytest.mark.usefixtures("big")
def test_a_big_pool_gives_what_a_small_one_gives(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = entries(range(400))
    quick = Retriever(pool, encoder, top_k=5, threshold=ALWAYS)
    assert len(lists_of(quick)) == 400
    monkeypatch.setattr(pool_index, "APPROXIMATE_FROM", 10_000)
    exact = Retriever(pool, encoder, top_k=5, threshold=ALWAYS)
    asked = [said(f"w{n % 20} asks {n}") for n in range(40)]
    same = [
        len({c.origin for c in found} & {c.origin for c in true}) / 5
        for found, true in zip(quick.propose(asked), exact.propose(asked), strict=True)
    ]
    assert np.mean(same) > 0.9
    scores = {c.origin: c.score for c in exact.propose(asked[:1])[0]}
    for candidate in quick.propose(asked[:1])[0]:
        assert candidate.score == pytest.approx(scores.get(candidate.origin, candidate.score), abs=1e-5)


@pytest.mark.usefixtures("big")
def test_entries_without_contexts_are_found_among_many(encoder: Encoder) -> None:
    loose = [PoolEntry(f"l/{n}", f"x{n % 20} says {n}", (), "imported") for n in range(200)]
    found = Retriever([*entries(range(5)), *loose], encoder, top_k=1, threshold=ALWAYS).propose([said("x3 says 4")])
    cosines = embed([entry.reply for entry in loose]) @ embed(["x3 says 4"])[0]
    assert found[0][0].origin == loose[int(cosines.argmax())].id


@pytest.mark.usefixtures("big")
def test_the_lists_follow_the_pool_and_are_not_made_again(encoder: Encoder) -> None:
    retriever = Retriever(entries(range(300)), encoder, top_k=1, threshold=ALWAYS)
    lists, old = lists_of(retriever), retriever.index
    retriever.index = build_index(entries(range(50, 310)), encoder, {"contexts": lists})
    assert lists_of(retriever) is lists
    assert retriever.propose([said("w5 asks 305")])[0][0].origin == "i/305"
    assert retriever.propose([said("w5 asks 5")])[0][0].origin != "i/5"
    assert len(lists) == 310  # whoever searches the old index still finds its own
    retriever.index = old
    assert retriever.propose([said("w5 asks 5")])[0][0].origin == "i/5"


@pytest.mark.usefixtures("big")
def test_lists_that_were_outgrown_or_are_of_another_encoder_are_made_again(encoder: Encoder) -> None:
    lists = lists_of(Retriever(entries(range(110)), encoder))
    for pool, model in ((range(600), encoder), (range(110), Encoder(embed, encoder.lags, "v2"))):
        index = build_index(entries(pool), model, {"contexts": lists})
        assert isinstance(index.contexts, Approximate)
        assert index.contexts.lists is not lists


@pytest.mark.usefixtures("big")
def test_what_left_the_pool_is_in_no_file(encoder: Encoder, tmp_path: Path) -> None:
    file, pool = tmp_path / "pool.safetensors", entries(range(300))
    keep(Retriever(pool, encoder).index, encoder, file)
    gone = digest(pool[7].contexts[0])
    stored = lists_file(file, "contexts")
    assert gone in stored.read_bytes()
    assert gone in file.read_bytes()
    del pool[7]
    trim_pool(file, texts_of(pool))  # another process may do so
    assert not [path for path in tmp_path.iterdir() if gone in path.read_bytes()]
    lists = load_lists(stored)
    assert lists is not None
    assert set(lists.digests) == set(digests_of(entry.contexts[0] for entry in pool))
    again = Encoder(embed, encoder.lags, "v1", vector_files(file))
    retriever = Retriever(pool[1:], again, lists=stored_lists(file, "v1"))
    keep(retriever.index, again, file)
    assert not [path for path in tmp_path.iterdir() if digest(pool[0].contexts[0]) in path.read_bytes()]


@pytest.mark.usefixtures("big")
def test_a_start_takes_up_the_lists_that_are_kept(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pool.safetensors"
    keep(Retriever(entries(range(300)), encoder).index, encoder, file)
    monkeypatch.setattr(InvertedLists, "build", None)
    second = Encoder(embed, encoder.lags, "v1", vector_files(file))
    retriever = Retriever(entries(range(301)), second, top_k=1, threshold=ALWAYS, lists=stored_lists(file, "v1"))
    assert retriever.propose([said("w0 asks 300")])[0][0].origin == "i/300"
    assert stored_lists(file, "v2") == {}
    lists_file(file, "contexts").write_bytes(b"half")
    assert stored_lists(file, "v1") == {}


def test_without_faiss_a_big_pool_is_searched_exactly_and_the_log_says_what_helps(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pool_index, "APPROXIMATE_FROM", 100)
    for module in (pool_index, pool_files, inverted):
        monkeypatch.setattr(module, "installed", lambda: False)
    file = tmp_path / "pool.safetensors"
    lists_file(file, "contexts").write_bytes(b"of another day")
    retriever = Retriever(entries(range(300)), encoder, top_k=1, threshold=ALWAYS, lists=stored_lists(file, "v1"))
    assert retriever.propose([said("w5 asks 5")])[0][0].origin == "i/5"
    assert caplog.text.count("pip install") == 1
    trim_pool(file, set())
    assert not lists_file(file, "contexts").exists()


def test_a_few_new_vectors_leave_the_big_file_as_it_is(encoder: Encoder, tmp_path: Path) -> None:
    file, later = vector_files(tmp_path / "pool.safetensors")
    keep(build_index(entries(range(300)), encoder), encoder, file)
    before = file.stat().st_mtime_ns
    for more in (301, 302):
        keep(build_index(entries(range(more)), encoder), encoder, file)
        assert digest(f"w{(more - 1) % 20} asks {more - 1}") in later.read_bytes()
        assert file.stat().st_mtime_ns == before
    keep(build_index(entries(range(1, 301)), encoder), encoder, file)
    assert not later.exists()
    words = {f"w{n % 20} asks {n}": digest(f"w{n % 20} asks {n}") in file.read_bytes() for n in (0, 1, 300, 301)}
    assert list(words.values()) == [False, True, True, False]
    assert not encoder.known.made
