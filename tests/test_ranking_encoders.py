"""Bi-encoders by name: the shipped one, one of our own, plain MiniLM, and any SentenceTransformer."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from spoken import context

from ranking import encoders
from ranking.delta import fingerprint, save_delta, save_facts
from ranking.dialog_encoder import DECAY, LAGS, load_dialog_encoder
from ranking.encoders import PLAIN, load_encoder
from ranking.pretrained import HUB_ID, SHA256, ModelError, packaged_minilm

pytest_plugins = ("tiny",)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32, so that figures can be compared."""
    monkeypatch.setattr("ranking.encoders.serving_dtype", lambda: torch.float32)


TEXTS = ["hello there", "tell me a joke please, the cat sleeps all day", "👍", "it rains"]


@pytest.fixture(autouse=True)
def no_shipped_vectors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of the shipped model are thousands."""
    monkeypatch.setattr(encoders, "SHIPPED_VECTORS", tmp_path / "shipped.safetensors")


def test_a_folder_of_our_own_gives_the_vectors_and_contexts_of_its_dialog_encoder(retriever_folder: str) -> None:
    """What is served (numpy) is what is trained (torch)."""
    encoder, model = load_encoder(retriever_folder), load_dialog_encoder(retriever_folder)
    with torch.inference_mode():
        vectors = model(TEXTS)
        before = torch.tensor([[3, 2, 1, 0, -1, -1, -1, -1], [1, 0, -1, -1, -1, -1, -1, -1]])
        contexts = model.contexts(vectors, before).numpy()
    assert encoder.encode(TEXTS) == pytest.approx(vectors.numpy(), abs=1e-3)
    last, whole = encoder.contexts([context(*TEXTS), context(*TEXTS[:2])])
    assert whole == pytest.approx(contexts, abs=2e-3)
    assert last == pytest.approx(vectors.numpy()[[3, 1]], abs=1e-3)


def test_a_folder_that_was_trained_into_again_takes_no_vectors_of_its_former_self(
    retriever_folder: str, bert_folder: str, tmp_path: Path
) -> None:
    own, cache = tmp_path / "mine", tmp_path / "pool.safetensors"
    shutil.copytree(retriever_folder, own)
    first = load_encoder(str(own), [cache])
    assert first.version.startswith("mine ")
    first.save(cache, TEXTS)
    assert len(load_encoder(str(own), [cache]).known) == len(TEXTS)
    base = load_dialog_encoder(bert_folder)
    save_delta(own, bert_folder, base.bert.state_dict(), {**base.bert.state_dict(), "lags": base.lags})
    again = load_encoder(str(own), [cache])
    assert len(again.known) == 0
    assert not np.allclose(again.encode(TEXTS), first.encode(TEXTS), atol=1e-2)


def test_any_sentence_transformer_will_do(bi_encoder_folder: str) -> None:
    from sentence_transformers import SentenceTransformer

    encoder = load_encoder(bi_encoder_folder)
    expected = SentenceTransformer(bi_encoder_folder).encode(TEXTS, normalize_embeddings=True)
    assert encoder.encode(TEXTS) == pytest.approx(expected, abs=1e-3)
    assert encoder.version == Path(bi_encoder_folder).name
    assert encoder.lags.tolist() == [DECAY**lag for lag in range(LAGS)]
    _, (whole,) = encoder.contexts([context("it rains", "hello there")])
    summed = expected[0] + DECAY * expected[3]
    assert whole == pytest.approx(summed / np.linalg.norm(summed), abs=2e-3)


@pytest.mark.parametrize("name", [PLAIN, HUB_ID])
def test_plain_minilm_is_the_packaged_one_by_either_name(name: str) -> None:
    """Without a look at the hub, and the vectors that its own library gives it."""
    from sentence_transformers import SentenceTransformer

    encoder = load_encoder(name)
    expected = SentenceTransformer(str(packaged_minilm())).encode(TEXTS, normalize_embeddings=True)
    assert encoder.encode(TEXTS) == pytest.approx(expected, abs=2e-3)
    assert encoder.version == f"all-MiniLM-L6-v2 {SHA256[:8]}"


def test_no_name_is_the_shipped_one(retriever_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starter = tmp_path / "starter"
    monkeypatch.setattr(encoders, "STARTER", starter)
    with pytest.raises(ModelError, match=r"The shipped model in .*starter is not whole"):
        load_encoder()
    shutil.copytree(retriever_folder, starter)
    save_facts(starter, {"made": "2026-11-20T10:00:00+00:00"})
    encoder = load_encoder()
    assert encoder.version == f"starter 2026-11-20 {fingerprint(starter)}"
    assert np.array_equal(encoder.encode(TEXTS), load_encoder(retriever_folder).encode(TEXTS))
    encoder.save(tmp_path / "shipped.safetensors", TEXTS)
    assert len(load_encoder().known) == len(TEXTS)
    assert len(load_encoder(retriever_folder).known) == 0


def test_one_that_is_not_there_or_broken_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match=f"The retriever {tmp_path} cannot be loaded"):
        load_encoder(str(tmp_path))


def test_one_whose_base_is_gone_is_named(bert_folder: str, tmp_path: Path) -> None:
    base = load_dialog_encoder(bert_folder)
    save_delta(tmp_path, str(tmp_path / "gone"), {}, {"lags": base.lags})
    with pytest.raises(ModelError, match=f"The retriever {tmp_path} cannot be loaded"):
        load_encoder(str(tmp_path))


def test_a_ranker_is_no_retriever(ranker_folder: str) -> None:
    with pytest.raises(ModelError, match=r"^ranker0 is a ranker: `kith train retriever` makes a retriever\.$"):
        load_encoder(ranker_folder)
