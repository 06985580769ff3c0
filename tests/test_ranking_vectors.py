"""Vectors and their caches: in the order that was asked, made once, kept in bounds, never those of another model."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from spoken import context

from ranking import vector_files
from ranking.vector_files import digest, digests_of, load, trim
from ranking.vectors import Encoder, Recent, Vectors
from storage.dialog import Context

WIDTH = 12
TEXTS = ["hello there", "tell me a joke please", "the cat sleeps all day"]
LAGS = np.array([1.0, 0.7, -0.2], np.float32)


def vector(text: str) -> Vectors:
    """A random unit vector, the same for the same text."""
    drawn = np.random.default_rng(list(text.encode())).normal(size=WIDTH)
    unit: Vectors = (drawn / np.linalg.norm(drawn)).astype(np.float32)
    return unit


class Model:
    """Embeds, and remembers what it was asked for; `seconds` is how long it takes."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.asked: list[str] = []
        self.busy = threading.Lock()

    def __call__(self, texts: Sequence[str]) -> Vectors:
        assert self.busy.acquire(blocking=False), "two threads are in the model at once"
        time.sleep(self.seconds)
        self.asked += texts
        self.busy.release()
        return np.stack([vector(text) for text in texts])


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def encoder(model: Model) -> Encoder:
    """One that has not been asked for anything yet."""
    made = Encoder(model, LAGS, "v1")
    model.asked.clear()
    return made


def expected(texts: Sequence[str]) -> Vectors:
    return np.stack([vector(text) for text in texts])


def test_vectors_come_in_the_order_that_was_asked_and_no_text_has_none(encoder: Encoder) -> None:
    asked = [TEXTS[2], TEXTS[0], TEXTS[2], TEXTS[1]]
    assert encoder.encode(asked) == pytest.approx(expected(asked), abs=1e-3)  # kept in 16 bits
    assert encoder.encode(asked).dtype == np.float32
    assert encoder.encode([]).shape == encoder.remembered([]).shape == (0, WIDTH)


def test_what_is_remembered_is_what_is_encoded(encoder: Encoder) -> None:
    encoder.remembered(TEXTS[:2])
    asked = [TEXTS[2], TEXTS[0], TEXTS[2], TEXTS[1]]
    assert np.array_equal(encoder.remembered(asked), encoder.encode(asked))


def test_a_text_is_embedded_once(encoder: Encoder, model: Model) -> None:
    encoder.encode([TEXTS[0], TEXTS[0]])
    encoder.encode(TEXTS[:2])
    encoder.contexts([context(*TEXTS)])
    assert sorted(model.asked) == sorted(TEXTS)


def test_recent_messages_are_kept_in_bounds(encoder: Encoder, model: Model) -> None:
    encoder.recent = Recent(3, encoder.width)
    many = [f"message {i}" for i in range(10)]
    assert encoder.encode(many) == pytest.approx(expected(many), abs=1e-3)
    assert len(encoder.recent) == 3
    model.asked.clear()
    encoder.encode(many[-3:])
    assert model.asked == []
    assert encoder.encode([many[9], many[0]]) == pytest.approx(expected([many[9], many[0]]), abs=1e-3)
    assert model.asked == [many[0]]
    assert len(encoder.recent) == 3


def test_a_vector_that_was_taken_stays_when_its_place_is_given_to_another() -> None:
    recent = Recent(2, WIDTH)
    made = {digest(text): vector(text).astype(np.float16) for text in TEXTS}
    first, *others = made
    recent.add({first: made[first]})
    taken = recent[first]
    recent.add({key: made[key] for key in others})
    assert list(recent) == others
    assert np.array_equal(taken, made[first])
    recent.add({others[0]: made[others[0]]})
    assert all(np.array_equal(recent[key], made[key]) for key in others)


def test_what_people_write_does_not_enter_the_file_of_the_pool(encoder: Encoder, tmp_path: Path) -> None:
    encoder.encode(["my secret"])
    encoder.contexts([context("another secret")])
    encoder.save(tmp_path / "pool.safetensors", TEXTS[:2])
    assert load_file(tmp_path / "pool.safetensors")["vectors"].shape == (2, WIDTH)
    again = Encoder(Model(), LAGS, "v1", [tmp_path / "pool.safetensors"])
    for known in (again.known, encoder.known):
        assert len(known) == 2
        assert all(digest(text) in known for text in TEXTS[:2])


def test_a_cache_spares_the_model_its_work(encoder: Encoder, tmp_path: Path) -> None:
    cache = tmp_path / "new" / "pool.safetensors"
    encoder.save(cache, TEXTS)
    model = Model()
    second = Encoder(model, LAGS, "v1", [cache])
    model.asked.clear()
    assert np.array_equal(second.remembered(TEXTS), encoder.remembered(TEXTS))
    assert np.array_equal(second.encode(TEXTS), encoder.encode(TEXTS))
    assert model.asked == []
    assert [file.name for file in cache.parent.iterdir()] == ["pool.safetensors"]


def test_a_cache_of_another_model_and_one_that_is_broken_or_missing_are_passed_over(
    model: Model, tmp_path: Path
) -> None:
    other, broken = tmp_path / "other.safetensors", tmp_path / "broken.safetensors"
    Encoder(model, LAGS, "v2").save(other, TEXTS)
    broken.write_bytes(other.read_bytes()[:40])
    uneven = tmp_path / "uneven.safetensors"
    save_file({"keys": np.zeros((3, 8), np.uint8), "vectors": np.zeros((2, 4), np.float16)}, uneven, {"version": "v1"})
    assert not len(Encoder(model, LAGS, "v1", [other, broken, uneven, tmp_path / "missing.safetensors"]).known)


def test_an_empty_cache_is_a_cache(encoder: Encoder, tmp_path: Path) -> None:
    encoder.save(tmp_path / "pool.safetensors", [])
    assert not len(Encoder(encoder.embed, LAGS, "v1", [tmp_path / "pool.safetensors"]).known)


def test_a_cache_that_cannot_be_written_leaves_the_old_one(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "pool.safetensors"
    encoder.save(cache, TEXTS)

    def cut_off(tensors: dict[str, Vectors], file: Path, metadata: dict[str, str]) -> None:
        file.write_bytes(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(vector_files, "save_file", cut_off)
    with pytest.raises(OSError, match="the disk is full"):
        encoder.save(cache, TEXTS[:1])
    assert len(Encoder(encoder.embed, LAGS, "v1", [cache]).known) == len(TEXTS)
    assert [file.name for file in tmp_path.iterdir()] == [cache.name]


@given(st.lists(st.lists(st.sampled_from(["hi", "why", "it rains", "pizza", ""]), max_size=5), max_size=4))
def test_a_context_is_the_sum_of_its_newest_messages_each_by_its_lag(spoken: list[list[str]]) -> None:
    """Alone and in a batch; what is further back than there are lags does not count."""
    encoder = Encoder(Model(), LAGS, "v1")
    contexts = [context(*texts) for texts in spoken]
    last, whole = encoder.contexts(contexts)
    assert last.shape == whole.shape == (len(contexts), WIDTH)
    for row, texts in enumerate(spoken):
        newest = list(reversed(texts))[: len(LAGS)]
        summed = sum((LAGS[lag] * vector(text) for lag, text in enumerate(newest)), np.zeros(WIDTH, np.float32))
        norm = np.linalg.norm(summed)
        assert whole[row] == pytest.approx(summed / norm if norm else summed, abs=5e-3)
        assert last[row] == pytest.approx(vector(newest[0]) if newest else summed, abs=1e-3)
        for alone, together in zip(encoder.contexts([contexts[row]]), (last, whole), strict=True):
            assert np.array_equal(alone[0], together[row])


def test_a_context_of_nothing_is_like_nothing(encoder: Encoder) -> None:
    last, whole = encoder.contexts([Context(()), context("hi")])
    assert not last[0].any()
    assert not whole[0].any()
    assert np.linalg.norm(whole[1]) == pytest.approx(1, abs=1e-5)


def test_turns_and_the_pool_may_embed_at_the_same_time() -> None:
    """A tokenizer bears one thread at a time, so the model must never be entered by two."""
    model = Model(seconds=0.001)
    encoder = Encoder(model, LAGS, "v1")
    texts = [f"message {i}" for i in range(40)]
    wrong: list[str] = []

    def run(embed: str, order: list[str]) -> None:
        for start in range(0, len(order), 4):
            part = order[start : start + 4]
            try:
                if not np.allclose(getattr(encoder, embed)(part), expected(part), atol=1e-3):
                    wrong.append(f"{embed} {part}")
            except Exception as error:
                wrong.append(repr(error))

    orders = [texts, texts[::-1], texts[20:] + texts[:20], texts[1::2] + texts[::2]]
    threads = [
        threading.Thread(target=run, args=(embed, order))
        for embed, order in zip(["encode", "remembered"] * 2, orders, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_relevance_is_the_cosine_of_the_whole_context_to_each_reply(encoder: Encoder) -> None:
    batch = [(context("hello", "why", "it rains"), ["it rains", "pizza"]), (context("hello"), []), (context(), ["no"])]
    rows = encoder.relevance(batch)
    assert [len(row) for row in rows] == [2, 0, 1]
    for (asked, replies), row in zip(batch, rows, strict=True):
        _, (whole,) = encoder.contexts([asked])
        assert row == pytest.approx(encoder.encode(replies) @ whole, abs=1e-5)
        assert encoder.relevance([(asked, replies)]) == [row]
    assert rows[0][0] > rows[0][1]
    assert rows[2] == [0.0]
    assert encoder.relevance([]) == []


def test_trimming_leaves_the_vectors_of_the_texts_alone(encoder: Encoder, tmp_path: Path) -> None:
    file = tmp_path / "pool.safetensors"
    encoder.save(file, ["hello", "goodbye", "why"])
    trim(file, {"why", "hello", "not there"})
    left = load(file, encoder.version)
    assert left is not None
    assert set(left.digests) == set(digests_of(["hello", "why"]))
    rows = left.find(digests_of(["why", "goodbye", "hello"]))
    assert rows[1] == -1
    assert left.vectors[rows[[0, 2]]] == pytest.approx(expected(["why", "hello"]), abs=1e-3)
    written = file.stat().st_mtime_ns
    trim(file, {"why", "hello"})
    assert file.stat().st_mtime_ns == written


def test_a_file_is_mapped_not_read(encoder: Encoder, tmp_path: Path) -> None:
    file = tmp_path / "pool.safetensors"
    encoder.save(file, TEXTS)
    mapped = load(file, encoder.version)
    assert mapped is not None
    assert not mapped.vectors.flags.owndata
    assert file.name in Path("/proc/self/maps").read_text()


def test_trimming_removes_what_cannot_be_read_and_minds_no_missing_file(tmp_path: Path) -> None:
    file = tmp_path / "pool.safetensors"
    trim(file, ())
    file.write_bytes(b"the words of somebody")
    trim(file, ())
    assert not file.exists()
