"""The dialog encoder on a tiny BERT: unit vectors, contexts as sums by their lags, and where its weights are from."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import BertModel, PreTrainedTokenizerBase, RobertaConfig, RobertaModel

from ranking.delta import FILE, save_delta
from ranking.dialog_encoder import DECAY, LAGS, MESSAGE_TOKENS, DialogEncoder, load_dialog_encoder
from ranking.pretrained import ModelError

pytest_plugins = ("tiny",)

TEXTS = ["hello there", "", "tell me a joke please, the cat sleeps all day", "👍", "it rains"]


@pytest.fixture(scope="module")
def model(bert_folder: str) -> DialogEncoder:
    return load_dialog_encoder(bert_folder)


@torch.inference_mode()
def vectors(model: DialogEncoder, texts: list[str]) -> torch.Tensor:
    made: torch.Tensor = model(texts)
    return made


def test_vectors_have_unit_length_and_no_text_has_none(model: DialogEncoder) -> None:
    assert vectors(model, TEXTS).norm(dim=1).tolist() == pytest.approx([1] * len(TEXTS), abs=1e-5)
    assert vectors(model, []).shape == (0, 32)


def test_a_vector_is_the_mean_over_the_tokens_whatever_stands_beside_it(model: DialogEncoder) -> None:
    together = vectors(model, [*TEXTS, "hello " * 90, *TEXTS])
    for place, text in enumerate(TEXTS):
        tokens = model.tokenizer(text, return_tensors="pt")
        with torch.inference_mode():
            mean = model.bert(**tokens).last_hidden_state[0].mean(0)
        expected = functional.normalize(mean, dim=0)
        assert torch.allclose(together[place], expected, atol=1e-5)
        assert torch.allclose(together[len(TEXTS) + 1 + place], expected, atol=1e-5)


def test_a_message_that_is_too_long_is_known_by_its_beginning(model: DialogEncoder) -> None:
    long, longer, other = vectors(model, ["hello " * 63 + end for end in ("", "it rains " * 99, "it")])
    assert MESSAGE_TOKENS == 64
    assert torch.allclose(long, longer, atol=1e-5)
    assert torch.allclose(long, other, atol=1e-5)
    start, changed = vectors(model, ["hello " * 50, "hello " * 49 + "joke"])
    assert not torch.allclose(start, changed, atol=1e-3)


def test_before_training_a_context_is_what_was_said_last_and_half_of_what_was_said_before(model: DialogEncoder) -> None:
    said = vectors(model, TEXTS[:3])
    before = torch.tensor([[2, 1, 0] + [-1] * (LAGS - 3)])
    with torch.inference_mode():
        made = model.contexts(said, before)
    assert torch.allclose(
        made[0], functional.normalize(said[2] + DECAY * said[1] + DECAY**2 * said[0], dim=0), atol=1e-5
    )


def test_each_message_counts_as_much_as_its_lag_says(retriever_folder: str) -> None:
    model = load_dialog_encoder(retriever_folder)
    said = vectors(model, TEXTS)
    before = [[4, 3, 2, 1, 0, -1, -1, -1], [0] + [-1] * 7, [1, 0] + [-1] * 6]
    with torch.inference_mode():
        made = model.contexts(said, torch.tensor(before))
        for row, places in zip(made, before, strict=True):
            summed = sum(model.lags[lag] * said[place] for lag, place in enumerate(places) if place >= 0)
            assert isinstance(summed, torch.Tensor)
            assert torch.allclose(row, functional.normalize(summed, dim=0), atol=1e-5)


def test_a_trained_one_is_its_base_with_what_changed(bert_folder: str, retriever_folder: str) -> None:
    trained, stored = load_dialog_encoder(retriever_folder), load_file(Path(retriever_folder) / FILE)
    base = BertModel.from_pretrained(bert_folder, add_pooling_layer=False)
    assert torch.equal(trained.lags, stored["lags"].float())
    for name, weight in trained.bert.state_dict().items():
        moved = weight - base.state_dict()[name]
        expected = stored[name].float() * stored[f"{name}.scale"].reshape(-1, *[1] * (weight.ndim - 1))
        assert torch.allclose(moved, expected, atol=1e-6), name
        assert moved.abs().max() > 0.01, name
    assert not trained.training


def test_a_rankers_folder_is_refused_in_one_sentence(ranker_folder: str) -> None:
    with pytest.raises(ModelError, match=r"^ranker0 is a ranker: `kith train retriever` makes a retriever\.$"):
        load_dialog_encoder(ranker_folder)


def test_weights_of_another_base_are_refused(retriever_folder: str, tmp_path: Path) -> None:
    """As where the base's name has come to stand for another model: here MiniLM, twelve times as wide."""
    model = load_dialog_encoder(retriever_folder)
    after = model.bert.state_dict()
    before = {name: torch.zeros_like(weight) for name, weight in after.items()}
    save_delta(tmp_path, "", before, {**after, "lags": model.lags})
    with pytest.raises(ModelError, match="does not fit its base"):
        load_dialog_encoder(str(tmp_path))


def test_a_model_of_another_kind_is_no_base(bert_tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    """transformers would load it into a BERT all the same."""
    config = RobertaConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    RobertaModel(config).save_pretrained(tmp_path)
    bert_tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"^{tmp_path} is no BERT: a retriever of ours starts from one"):
        load_dialog_encoder(str(tmp_path))
