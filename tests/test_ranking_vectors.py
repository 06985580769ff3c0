"""Vectors of the pool and their cache: unit length, remembered, and never those of another model."""

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from ranking.vectors import Encoder

pytest_plugins = ("tiny",)

TEXTS = ["hello there", "tell me a joke please", "the cat sleeps all day"]


@pytest.fixture(scope="module")
def model(bi_encoder_folder: str) -> SentenceTransformer:
    return SentenceTransformer(bi_encoder_folder)


def test_vectors_have_unit_length_and_no_text_has_none(model: SentenceTransformer) -> None:
    encoder = Encoder(model, "v1")
    assert np.linalg.norm(encoder.encode(TEXTS), axis=1) == pytest.approx(1, abs=1e-3)  # kept in 16 bits
    assert encoder.encode([]).shape == encoder.remembered([]).shape == (0, 32)


def test_what_is_remembered_is_what_is_encoded_in_the_order_that_was_asked(model: SentenceTransformer) -> None:
    encoder = Encoder(model, "v1")
    encoder.remembered(TEXTS[:2])
    asked = [TEXTS[2], TEXTS[0], TEXTS[2], TEXTS[1]]
    assert encoder.remembered(asked) == pytest.approx(encoder.encode(asked), abs=1e-3)


def test_a_cache_spares_the_model_its_work(model: SentenceTransformer, tmp_path: Path) -> None:
    cache = tmp_path / "new" / "pool.safetensors"
    first = Encoder(model, "v1")
    first.save(cache, TEXTS)
    second = Encoder(model, "v1", [cache])
    assert second.known.keys() == first.known.keys()
    assert np.array_equal(second.remembered(TEXTS), first.remembered(TEXTS))
    assert [file.name for file in cache.parent.iterdir()] == ["pool.safetensors"]


def test_a_cache_of_another_model_and_one_that_is_broken_or_missing_are_passed_over(
    model: SentenceTransformer, tmp_path: Path
) -> None:
    other, broken = tmp_path / "other.safetensors", tmp_path / "broken.safetensors"
    Encoder(model, "v2").save(other, TEXTS)
    broken.write_bytes(other.read_bytes()[:40])
    assert Encoder(model, "v1", [other, broken, tmp_path / "missing.safetensors"]).known == {}


def test_an_empty_cache_is_a_cache(model: SentenceTransformer, tmp_path: Path) -> None:
    Encoder(model, "v1").save(tmp_path / "pool.safetensors", [])
    assert Encoder(model, "v1", [tmp_path / "pool.safetensors"]).known == {}
