"""The cross-encoder on a tiny BERT: pairs to numbers, and what it may begin with and be loaded from."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional
from transformers import (
    BertForSequenceClassification,
    BertModel,
    PreTrainedTokenizerBase,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from ranking.cross_encoder import FIRST_MIX, CrossEncoder, load_cross_encoder
from ranking.delta import FILE, save_delta
from ranking.dialog_encoder import load_dialog_encoder
from ranking.pretrained import ModelError

pytest_plugins = ("tiny",)

PAIRS = [
    ("you: hello there", "good night"),
    ("", ""),
    ("you: it rains me: tell me a joke please you: the cat sleeps all day", "the cat"),
    ("you: hello there", "tell me a joke"),
]


@torch.inference_mode()
def scores(model: CrossEncoder, pairs: list[tuple[str, str]] = PAIRS) -> torch.Tensor:
    made: torch.Tensor = model(pairs, torch.linspace(-1, 1, len(pairs)))
    return made


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two models have the same weights, as far as the first has them."""
    mine, others = one.state_dict(), other.state_dict()
    return all(torch.allclose(weight, others[name], atol=1e-6) for name, weight in mine.items())


def bert_alone(name: str) -> BertModel:
    """A BERT without its pooler, which belongs to the head."""
    return BertModel.from_pretrained(name, add_pooling_layer=False)


def test_any_cross_encoder_of_one_output_scores_pairs_as_transformers_does(cross_encoder_folder: str) -> None:
    model = load_cross_encoder(cross_encoder_folder)
    plain = BertForSequenceClassification.from_pretrained(cross_encoder_folder).eval()
    made = scores(model, PAIRS * 20)
    assert made.shape == (80,)
    for (context, reply), score in zip(PAIRS, made.tolist(), strict=False):
        with torch.inference_mode():
            logits = plain(**model.tokenizer([context], [reply], return_tensors="pt")).logits
        assert score == pytest.approx(logits.item(), abs=1e-5)
    assert scores(model, []).shape == (0,)


def test_a_trained_ranker_is_its_base_with_what_changed_and_its_head(bert_folder: str, ranker_folder: str) -> None:
    model, stored = load_cross_encoder(ranker_folder), load_file(Path(ranker_folder) / FILE)
    base = BertModel.from_pretrained(bert_folder).state_dict()
    for name, weight in model.model.base_model.state_dict().items():
        moved = stored[name].float() * stored[f"{name}.scale"].reshape(-1, *[1] * (weight.ndim - 1))
        assert torch.allclose(weight, base[name] + moved, atol=1e-6), name
        assert moved.abs().max() > 0.01, name
    assert torch.equal(model.model.classifier.weight, stored["classifier.weight"].float())
    assert not model.training
    assert torch.equal(scores(model), scores(load_cross_encoder(ranker_folder)))


def test_a_new_one_has_the_weights_of_its_bert_and_a_head_and_pooler_that_know_nothing(bert_folder: str) -> None:
    torch.manual_seed(1)
    one, other = load_cross_encoder(bert_folder, new=True), load_cross_encoder(bert_folder, new=True)
    assert same(bert_alone(bert_folder), one.model.base_model)
    pooler = one.model.base_model.pooler.dense
    assert not torch.equal(pooler.weight, BertModel.from_pretrained(bert_folder).pooler.dense.weight)
    assert pooler.weight.std().item() == pytest.approx(32**-0.5, rel=0.1)
    assert not pooler.bias.any()
    assert one.mix is not None
    assert one.mix.tolist() == list(FIRST_MIX)
    assert not torch.equal(scores(one), scores(other))


def test_besides_the_head_likeness_and_relevance_of_context_and_reply_count(ranker_folder: str) -> None:
    """The cosine of their means, each with its closing mark and the context with the opening one."""
    model = load_cross_encoder(ranker_folder)
    assert model.mix is not None
    weight, of_relevance = model.mix.tolist()
    made, relevance = scores(model, PAIRS * 10), torch.linspace(-1, 1, len(PAIRS) * 10).tolist()
    for (context, reply), score, relevant in zip(PAIRS, made.tolist(), relevance, strict=False):
        tokens = model.tokenizer([context], [reply], return_tensors="pt", return_token_type_ids=True)
        second = tokens["token_type_ids"][0].bool()
        with torch.inference_mode():
            read = model.model.base_model(**tokens)
            head = model.model.classifier(read.pooler_output).item()
            hidden = read.last_hidden_state[0]
            cosine = functional.cosine_similarity(hidden[~second].mean(0), hidden[second].mean(0), dim=0).item()
        assert score == pytest.approx(head + weight * cosine + of_relevance * relevant, abs=1e-4)


@pytest.mark.parametrize("folder", ["ranker_folder", "cross_encoder_folder"])
def test_rescaling_makes_every_number_so_many_times_as_large_and_shifts_it(
    folder: str, request: pytest.FixtureRequest
) -> None:
    model = load_cross_encoder(request.getfixturevalue(folder))
    before = scores(model)
    model.rescale(0.25, -1.5)
    assert torch.allclose(scores(model), 0.25 * before - 1.5, atol=1e-5)


def test_a_new_one_may_begin_with_a_trained_retriever(retriever_folder: str) -> None:
    model = load_cross_encoder(retriever_folder, new=True)
    assert same(load_dialog_encoder(retriever_folder).bert, model.model.base_model)
    assert model.model.base_model.pooler.dense.weight.std().item() == pytest.approx(32**-0.5, rel=0.1)
    assert scores(model).isfinite().all()


@pytest.mark.parametrize("folder", ["ranker_folder", "cross_encoder_folder"])
def test_training_onward_begins_with_all_that_a_ranker_has_learnt(folder: str, request: pytest.FixtureRequest) -> None:
    name = request.getfixturevalue(folder)
    assert torch.equal(scores(load_cross_encoder(name, new=True)), scores(load_cross_encoder(name)))


def test_a_retriever_is_no_ranker(retriever_folder: str) -> None:
    with pytest.raises(ModelError, match=r"^retriever0 is a retriever: `kith train ranker` makes a ranker\.$"):
        load_cross_encoder(retriever_folder)


def test_a_bert_without_a_head_is_no_ranker(bert_folder: str) -> None:
    """transformers would give it a random one."""
    with pytest.raises(ModelError, match=r"is no cross-encoder: it has no classifier\.bias\.$"):
        load_cross_encoder(bert_folder)


def test_a_model_of_several_outputs_is_no_ranker(
    cross_encoder_folder: str, bert_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    plain = BertForSequenceClassification.from_pretrained(cross_encoder_folder)
    plain.config.num_labels = 3
    BertForSequenceClassification(plain.config).save_pretrained(tmp_path)
    bert_tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"^The ranker {tmp_path.name} has 3 outputs: one is needed"):
        load_cross_encoder(str(tmp_path))


def test_a_cross_encoder_of_another_kind_serves_but_is_not_trained(
    bert_tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    config = RobertaConfig(
        vocab_size=len(bert_tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=140,
        num_labels=1,
        pad_token_id=0,
        type_vocab_size=2,
    )
    RobertaForSequenceClassification(config).save_pretrained(tmp_path)
    bert_tokenizer.save_pretrained(tmp_path)
    assert scores(load_cross_encoder(str(tmp_path))).isfinite().all()
    with pytest.raises(ModelError, match=f"^{tmp_path} is a roberta: a ranker starts from a BERT"):
        load_cross_encoder(str(tmp_path), new=True)


def test_weights_of_another_base_are_refused(ranker_folder: str, tmp_path: Path) -> None:
    """As where the base's name has come to stand for another model: here MiniLM, twelve times as wide."""
    after = load_cross_encoder(ranker_folder).state()
    save_delta(tmp_path, "", {name: torch.zeros_like(weight) for name, weight in after.items()}, after)
    with pytest.raises(ModelError, match="does not fit its base"):
        load_cross_encoder(str(tmp_path))


def test_the_weights_have_the_names_that_they_have_in_the_bert_alone(ranker_folder: str) -> None:
    model = load_cross_encoder(ranker_folder)
    state = model.state()
    assert state.keys() == {*model.model.base_model.state_dict(), "classifier.weight", "classifier.bias", "mix"}
    assert {name for name in state if name.startswith("bert.")} == set()
