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
from transformers.cache_utils import DynamicCache

from ranking.cross_encoder import CrossEncoder, OtherCrossEncoder, begin_cross_encoder, load_cross_encoder
from ranking.data import OWN
from ranking.delta import FILE, save_delta
from ranking.dialog_encoder import load_dialog_encoder
from ranking.expected import SPREAD
from ranking.pretrained import ModelError
from ranking.reading import CONTEXTS, Behind

pytest_plugins = ("tiny",)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Float32, so that figures can be compared."""
    monkeypatch.setattr("ranking.cross_encoder.serving_dtype", lambda: torch.float32)


PAIRS = [
    ("hello there", "good night"),
    ("", ""),
    ("it rains > tell me a joke please the cat sleeps all day", "the cat"),
    ("hello there", "tell me a joke"),
]


@torch.inference_mode()
def scores(model: CrossEncoder | OtherCrossEncoder, pairs: list[tuple[str, str]] = PAIRS) -> torch.Tensor:
    if isinstance(model, OtherCrossEncoder):
        return model.forward(pairs)
    return model.forward([(context, [reply]) for context, reply in pairs], torch.linspace(-1, 1, len(pairs)))


def ours(name: str) -> CrossEncoder:
    model = load_cross_encoder(name)
    assert isinstance(model, CrossEncoder)
    return model


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two models have the same weights, as far as the first has them."""
    mine, others = one.state_dict(), other.state_dict()
    return all(torch.allclose(weight, others[name], atol=1e-6) for name, weight in mine.items())


def bert_alone(name: str) -> BertModel:
    return BertModel.from_pretrained(name, add_pooling_layer=False)


def test_any_cross_encoder_of_one_output_scores_pairs_as_transformers_does(cross_encoder_folder: str) -> None:
    model = load_cross_encoder(cross_encoder_folder)
    assert isinstance(model, OtherCrossEncoder)
    plain = BertForSequenceClassification.from_pretrained(cross_encoder_folder).eval()
    made = scores(model, PAIRS * 20)
    assert made.shape == (80, 1)
    for (context, reply), (score,) in zip(PAIRS, made.tolist(), strict=False):
        with torch.inference_mode():
            logits = plain(**model.tokenizer([context], [reply], return_tensors="pt")).logits
        assert score == pytest.approx(logits.item(), abs=1e-5)
    assert scores(model, []).shape == (0, 1)


def test_a_trained_ranker_is_its_base_with_what_changed_and_its_own_parts(bert_folder: str, ranker_folder: str) -> None:
    model, stored = ours(ranker_folder), load_file(Path(ranker_folder) / FILE)
    base = bert_alone(bert_folder).state_dict()
    for name, weight in model.bert.state_dict().items():
        moved = stored[name].float() * stored[f"{name}.scale"].reshape(-1, *[1] * (weight.ndim - 1))
        assert torch.allclose(weight, base[name] + moved, atol=1e-6), name
        assert moved.abs().max() > 0.01, name
    assert torch.equal(model.read.weight, stored["read.weight"].float())
    assert list(model.heads) == [OWN, "thumbs"]
    assert model.expected is not None
    assert torch.equal(model.expected.write.weight, stored["expected.write.weight"].float())
    assert not model.training
    assert torch.equal(scores(model), scores(load_cross_encoder(ranker_folder)))
    assert scores(model, []).shape == (0, 2)


def test_a_new_one_has_the_weights_of_its_bert_and_heads_that_know_nothing(bert_folder: str) -> None:
    torch.manual_seed(1)
    one, other = begin_cross_encoder(bert_folder, ("a", "b")), begin_cross_encoder(bert_folder, ("a", "b"))
    assert same(bert_alone(bert_folder), one.bert)
    assert one.expected is None
    assert not torch.equal(scores(one), scores(other))


def test_a_context_is_read_once_for_what_is_scored_one_after_the_other(ranker_folder: str) -> None:
    model = ours(ranker_folder)
    batch = [("hello there", ["good night", "the cat"]), ("it rains > tell me a joke please", ["a joke"])]
    more = [("hello there", ["hello", "tell me a joke"]), ("the cat sleeps", ["good night"]), (batch[1][0], ["hello"])]
    relevance = torch.zeros(4)
    with torch.inference_mode():
        expected = ours(ranker_folder).forward(more, relevance)
        model.forward(batch, torch.zeros(3))
        tokens = []
        model.bert.embeddings.register_forward_hook(lambda _, __, made: tokens.append(made.shape[:2].numel()))
        found = model.forward(more, relevance)
        assert torch.allclose(found, expected, atol=1e-5)
        assert model.known is not None and len(model.known) == 3
        first = sum(tokens)
        model.forward(more, relevance)
    assert sum(tokens) - first < first


@torch.inference_mode()
def test_many_may_say_the_same_in_one_batch(ranker_folder: str) -> None:
    model = ours(ranker_folder)
    others = [("it rains", ["the cat"]), ("good night", ["hello"]), ("tell me a joke", ["the cat sleeps"])]
    different = [("hello", ["good night"]), *others]
    alone = torch.cat([model.forward([each], torch.zeros(1)) for each in different])
    batch = [different[0]] * (CONTEXTS + 1) + others
    together = model.forward(batch, torch.zeros(len(batch)))
    assert torch.allclose(together, torch.cat([alone[:1].expand(CONTEXTS + 1, -1), alone[1:]]), atol=1e-5)


def test_nothing_is_kept_of_a_model_that_is_trained(ranker_folder: str) -> None:
    model = begin_cross_encoder(ranker_folder, ())
    model.forward([("hello there", ["good night"])], torch.zeros(1))
    assert model.known is None


def test_it_reads_both_texts_their_likeness_the_closing_mark_and_the_relevance(ranker_folder: str) -> None:
    """Each text with its closing mark, the context with the opening one; the context does not see the reply."""
    model = ours(ranker_folder)
    made, relevance = scores(model, PAIRS * 10), torch.linspace(-1, 1, len(PAIRS) * 10)
    for (context, reply), found, relevant in zip(PAIRS, made, relevance, strict=False):
        tokens = model.tokenizer([context], [reply], return_tensors="pt", return_token_type_ids=True)
        second = tokens["token_type_ids"][0].bool()
        tokens["attention_mask"] = (second[:, None] | ~second[None, :])[None, None]
        with torch.inference_mode():
            hidden = model.bert(**tokens).last_hidden_state[0]
            u, v = (SPREAD * functional.normalize(part.mean(0), dim=0) for part in (hidden[~second], hidden[second]))
            end = SPREAD * functional.normalize(hidden[-1], dim=0)
            seen = torch.cat([u, v, u * v, (u - v).abs(), end, relevant[None] * SPREAD])
            read = functional.gelu(model.read(seen))
            expected = torch.cat([head(read) for head in model.heads.values()])
        assert torch.allclose(found, expected, atol=1e-4)


def test_replies_to_one_context_are_numbered_as_they_come_whatever_their_length(ranker_folder: str) -> None:
    model = ours(ranker_folder)
    replies = ["tell me a joke please", "", "good night", "the cat sleeps all day " * 30, "hello"] * 20
    batch = [("it rains", replies), ("no replies", []), ("hello there > good night", replies[:3])]
    relevance = torch.linspace(-1, 1, 103)
    with torch.inference_mode():
        together = model.forward(batch, relevance)
        single = [
            model.forward([(context, [reply])], value[None])
            for (context, reply), value in zip(((c, r) for c, rs in batch for r in rs), relevance, strict=True)
        ]
    assert torch.allclose(together, torch.cat(single), atol=1e-4)


def test_rescaling_concerns_one_head_and_keeps_its_order(ranker_folder: str) -> None:
    model = ours(ranker_folder)
    before = scores(model)
    model.rescale("thumbs", 0.25, -1.5)
    after = scores(model)
    assert torch.allclose(after[:, 1], 0.25 * before[:, 1] - 1.5, atol=1e-5)
    assert torch.equal(after[:, 0], before[:, 0])


def test_votes_without_a_head_are_taken_for_those_of_ones_own_people(ranker_folder: str, bert_folder: str) -> None:
    model = ours(ranker_folder)
    assert [model.column(head) for head in (OWN, "thumbs", "marks")] == [0, 1, 0]
    assert begin_cross_encoder(bert_folder, ("thumbs",)).column(OWN) == 0


def test_a_new_one_may_begin_with_a_trained_retriever(retriever_folder: str) -> None:
    model = begin_cross_encoder(retriever_folder, (OWN,))
    assert same(load_dialog_encoder(retriever_folder).bert, model.bert)
    assert scores(model).isfinite().all()


def test_training_onward_begins_with_all_that_a_ranker_has_learnt_and_may_add_a_head(ranker_folder: str) -> None:
    onward = begin_cross_encoder(ranker_folder, ("marks", "thumbs"))
    assert list(onward.heads) == [OWN, "marks", "thumbs"]
    assert torch.equal(scores(onward)[:, [0, 2]], scores(load_cross_encoder(ranker_folder)))


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
        begin_cross_encoder(str(tmp_path), (OWN,))


def test_weights_of_another_base_are_refused(ranker_folder: str, tmp_path: Path) -> None:
    """As where the base's name has come to stand for another model: here MiniLM, twelve times as wide."""
    after = ours(ranker_folder).state()
    save_delta(tmp_path, "", {name: torch.zeros_like(weight) for name, weight in after.items()}, after)
    with pytest.raises(ModelError, match="does not fit its base"):
        load_cross_encoder(str(tmp_path))


def test_the_weights_have_the_names_that_they_have_in_the_bert_alone(ranker_folder: str) -> None:
    model = ours(ranker_folder)
    state = model.state()
    own = {name for name in state if name.startswith(("read.", "heads.", "expected."))}
    assert state.keys() - own == model.bert.state_dict().keys()
    assert {name for name in state if name.startswith("bert.")} == set()


def test_what_replies_see_of_their_contexts_is_not_kept() -> None:
    contexts = DynamicCache()
    contexts.update(torch.randn(2, 1, 3, 4), torch.randn(2, 1, 3, 4), 0)
    layer = Behind(contexts.layers[0], torch.tensor([1, 0, 1]))
    keys, values = layer.update(torch.randn(3, 1, 2, 4), torch.randn(3, 1, 2, 4))
    assert keys.shape == values.shape == (3, 1, 5, 4)
    assert torch.equal(keys[:, :, :3], contexts.layers[0].keys[[1, 0, 1]])
    assert (layer.keys, layer.values, layer.get_seq_length()) == (None, None, 3)
