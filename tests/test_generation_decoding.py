"""Drawing tokens: branches of a row against each branch alone, what is kept of prompts, and the nucleus."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedModel,
)

from generation.cache import Prompts, States, shared, size
from generation.decoding import Branch, Decoder, can_branch, nucleus, record_steps
from generation.sampling import Sampling
from ranking.serving import pack

pytest_plugins = ("tiny",)

GREEDY = Sampling(3, 12, top_p=1e-6)
PROMPTS = [[9, 8, 7], [5] * 30 + [4, 3], [11, 12, 13, 14, 15, 16, 17]]


def random_model(seed: int = 0, attention: str = "sdpa") -> PreTrainedModel:
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=600, n_positions=128, n_embd=32, n_layer=2, n_head=2, initializer_range=0.5,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, attn_implementation=attention,
    )  # fmt: skip
    return GPT2LMHeadModel(config).eval()


def alone(model: PreTrainedModel, prompt: list[int], steps: int) -> list[int]:
    """What the model says when all is read anew for each token."""
    ids = list(prompt)
    with torch.inference_mode():
        for _ in range(steps):
            ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def drawn(decoder: Decoder, prompts: list[list[int]]) -> list[list[list[int]]]:
    return [[branch.ids for branch in found] for found in decoder.draw(prompts)]


def widths_read(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens of each row every call of the model reads, from here on."""
    read: list[int] = []
    forward = decoder._forward
    monkeypatch.setattr(decoder, "_forward", lambda cache, ids, *rest, **more: (
        read.append(ids.shape[1]) or forward(cache, ids, *rest, **more)  # type: ignore[func-returns-value]
    ))  # fmt: skip
    return read


def test_branches_say_what_each_would_alone_though_rows_differ_in_length() -> None:
    model = random_model()
    expected = [[alone(model, prompt, 12)] * 3 for prompt in PROMPTS]
    assert drawn(Decoder(model, GREEDY, (), 50), PROMPTS) == expected


def test_branches_that_part_do_not_see_each_other() -> None:
    """Of a reply drawn beside others the log-probabilities are those of the reply read by itself."""
    model = random_model()
    torch.manual_seed(1)
    decoder = Decoder(model, Sampling(4, 10, temperature=1.5, top_p=1.0), (3,), 50)
    for prompt, found in zip(PROMPTS, decoder.draw(PROMPTS), strict=True):
        assert len({tuple(branch.ids) for branch in found}) > 1
        for branch in found:
            ids = torch.tensor([prompt + branch.ids])
            with torch.inference_mode():
                likely = model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            own = likely.gather(1, torch.tensor(branch.ids)[:, None])[:, 0]
            assert branch.log_probabilities == pytest.approx(own.tolist(), abs=1e-3)


def test_a_row_ends_by_itself_and_the_others_go_on() -> None:
    model = random_model()
    whole = [alone(model, prompt, 12) for prompt in PROMPTS]
    for end in {token for ids in whole for token in ids}:
        found = drawn(Decoder(model, GREEDY, (end,), 50), PROMPTS)
        assert found == [[ids[: ids.index(end) + 1] if end in ids else ids] * 3 for ids in whole]


@pytest.mark.parametrize(("at_once", "widest"), [(1, 1), (8, 3), (50, 17), (100, 32)])
def test_a_prompt_that_is_read_in_pieces_is_followed_by_the_same(
    monkeypatch: pytest.MonkeyPatch, at_once: int, widest: int
) -> None:
    model = random_model()
    first = drawn(Decoder(model, GREEDY, (), 50), PROMPTS)
    more: tuple[list[int], ...] = ([2, 3], [], [4] * 20)  # rows that know unlike much have unlike much to read
    later = [[*prompt, *found[0], *new] for prompt, found, new in zip(PROMPTS, first, more, strict=True)]
    then = drawn(Decoder(model, GREEDY, (), 50), later)
    monkeypatch.setattr("generation.decoding.AT_ONCE", at_once)
    decoder = Decoder(model, GREEDY, (), 50)
    widths = widths_read(decoder, monkeypatch)
    assert drawn(decoder, PROMPTS) == first
    assert max(widths) == max(widest, GREEDY.candidates)
    assert drawn(decoder, later) == then


@pytest.mark.parametrize("seed", [12, 18])
def test_a_piece_that_is_all_padding_does_no_harm_in_float16(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr("generation.decoding.AT_ONCE", 16)
    decoder = Decoder(random_model(seed, attention="eager").half(), GREEDY, (), 50)
    with torch.inference_mode():
        _, _, logits = decoder.read([[9, 8, 7], [5] * 58 + [4, 3]])
    assert logits.isfinite().all()


def test_the_next_turn_of_a_dialog_reads_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model()
    decoder = Decoder(model, GREEDY, (), 50)
    read = widths_read(decoder, monkeypatch)
    first = drawn(decoder, PROMPTS)
    later = [[*prompt, *found[0], 2, 3] for prompt, found in zip(PROMPTS, first, strict=True)]
    again = drawn(decoder, later)
    assert again == drawn(Decoder(model, GREEDY, (), 50), later)
    assert (read[0], read[12]) == (32, 14)
    assert len(decoder.prompts.known) == len(PROMPTS)


def test_what_is_kept_of_prompts_is_bounded_and_the_oldest_goes_first() -> None:
    def states(ids: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        keys = torch.tensor(ids, dtype=torch.float32)[None, :, None].expand(2, -1, 4)
        return [(keys, 10 * keys), (20 * keys, 30 * keys)]

    def same(found: States | None, ids: list[int]) -> bool:
        return found is not None and all(
            torch.equal(one, other)
            for layers in zip(found, states(ids), strict=True)
            for one, other in zip(*layers, strict=True)
        )

    kept = Prompts(2 * size(states([0] * 5)))
    for ids in ([1, 2, 3, 4, 5], [6, 7, 8, 9, 1]):
        kept.keep(ids, states(ids))
    assert same(kept.longest([1, 2, 3, 9]), [1, 2, 3])
    kept.keep([3, 5, 7, 9, 3], states([3, 5, 7, 9, 3]))
    assert kept.longest([6, 7, 8]) is None
    assert same(kept.longest([1, 2, 9]), [1, 2])
    assert same(kept.longest([3, 5, 7, 9, 3, 8]), [3, 5, 7, 9, 3])
    assert kept.free == []
    continued = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    kept.keep(continued, states(continued))
    assert [ids.tolist() for ids, _ in kept.known.values()] == [continued]
    assert same(kept.longest([*continued, 11]), continued)
    kept.keep([4] * 11, states([4] * 11))
    kept.keep([], states([]))
    assert same(kept.longest([*continued, 11]), continued)


def test_a_prompt_that_could_not_be_kept_is_not_known() -> None:
    kept = Prompts(10 * 64)
    kept.keep([1] * 5, [(torch.ones(2, 5, 4), torch.ones(2, 5, 4))])
    with pytest.raises(RuntimeError):
        kept.keep([2] * 5, [(torch.ones(2, 5, 4), torch.ones(2, 5, 3))])
    assert kept.longest([2] * 5) is None
    assert len(kept.free) == 5


def test_layers_may_be_unlike() -> None:
    states = [
        (torch.randn(2, 5, 4), torch.randn(2, 5, 3)),
        (torch.randn(1, 5, 8).half(), torch.randn(1, 5, 8).half()),
    ]
    kept = Prompts(10 * size(states))
    kept.keep([1, 2, 3, 4, 5], states)
    found = kept.longest([1, 2, 3, 9])
    assert found is not None
    for layer, whole in zip(found, states, strict=True):
        assert all(torch.equal(one, other[:, :3]) for one, other in zip(layer, whole, strict=True))


def test_prompts_share_their_beginning() -> None:
    one, other = np.array([1, 2, 3]), np.array([1, 2, 4, 5])
    assert [shared(one, other), shared(one, one), shared(one, other[1:]), shared(one, one[:0])] == [2, 3, 0, 0]


def stretching(limit: int) -> Phi3Config:
    """Of a model that turns all positions otherwise in texts of more tokens than that."""
    rope = {
        "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 8, "long_factor": [4.0] * 8,
        "original_max_position_embeddings": limit,
    }  # fmt: skip
    return Phi3Config(
        vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, pad_token_id=0, eos_token_id=1, max_position_embeddings=2 * limit, rope_parameters=rope,
        original_max_position_embeddings=limit,
    )  # fmt: skip


def test_models_with_a_window_or_positions_of_their_own_have_no_branches(generator_folder: str) -> None:
    config = MistralConfig(
        vocab_size=50, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=16,
    )  # fmt: skip
    torch.manual_seed(0)
    windowed = Decoder(MistralForCausalLM(config).eval(), GREEDY, (), 6)
    assert not can_branch(windowed, 17)
    assert can_branch(windowed, 16)
    stretched = Decoder(Phi3ForCausalLM(stretching(64)).eval(), GREEDY, (), 6)
    assert not can_branch(stretched, 65)
    assert can_branch(stretched, 64)
    known = AutoModelForCausalLM.from_pretrained(generator_folder, dtype=torch.float32).eval()
    assert can_branch(Decoder(known, GREEDY, (), 6), 100)
    blind = random_model()
    forward = blind.forward
    blind.forward = lambda *a, position_ids=None, **k: forward(*a, **k)
    assert not can_branch(Decoder(blind, GREEDY, (), 6), 100)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_steps_that_are_replayed_say_the_same(generator_folder: str, bfloat16: bool) -> None:
    """With Kith's kind of model, a Llama with fewer heads for keys, and a GPT-2."""
    torch.manual_seed(0)
    llama = LlamaConfig(
        vocab_size=600, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, initializer_range=0.3,
    )  # fmt: skip
    own = AutoModelForCausalLM.from_pretrained(generator_folder)
    for model in (own, LlamaForCausalLM(llama), random_model()):
        model.eval().requires_grad_(False)
        if bfloat16:
            model.bfloat16()
            pack(model)
        decoder = Decoder(model, Sampling(3, 12, temperature=1.5), (3,), 50)
        torch.manual_seed(1)
        expected = drawn(decoder, PROMPTS)
        record_steps(decoder)
        assert decoder.recording
        torch.manual_seed(1)
        assert drawn(decoder, PROMPTS) == expected


def test_a_model_that_cannot_be_recorded_or_is_replayed_wrongly_goes_on_as_it_did(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = random_model().requires_grad_(False)
    decoder = Decoder(model, GREEDY, (), 50)
    expected = drawn(decoder, PROMPTS)
    trace: Any = torch.jit.trace

    def other_numbers(read: Any, *args: Any, **more: Any) -> Any:
        return trace(lambda *given: read(*given) + torch.arange(600), *args, **more)

    def one_shape(read: Any, example: tuple[Any, ...], **more: Any) -> Any:
        return trace(lambda *given: read(*given)[:, : int(given[0].shape[1])], example, **more)

    def gone(*args: Any, **more: Any) -> Any:
        raise AttributeError("module 'torch.jit' has no attribute 'trace'")

    for instead in (other_numbers, one_shape, gone):
        monkeypatch.setattr(torch.jit, "trace", instead)
        record_steps(decoder)
        assert decoder.recording is None and drawn(decoder, PROMPTS) == expected


def test_a_branch_knows_what_would_make_a_run_come_twice() -> None:
    branch = Branch(0, 0, [8, 1, 2], {(4, 1, 2): {3}, (1, 2): {5}}, own=3)
    banned = []
    for token in (1, 2, 4, 1, 2):
        branch.add(token, 0.0)
        banned.append(sorted(branch.banned()))
    assert banned == [[], [], [], [], [3, 4]]


@pytest.mark.parametrize("vocabulary", [50, 2000])
def test_the_nucleus_is_what_reaches_the_share_and_is_drawn_as_likely_as_it_is(vocabulary: int) -> None:
    torch.manual_seed(0)
    probabilities = torch.rand(vocabulary).softmax(0)
    order = probabilities.argsort(descending=True)
    held = order[: int((probabilities[order].cumsum(0) < 0.5).sum()) + 1]
    found = nucleus(probabilities.log().expand(20000, -1), 0.5)
    counts = found.bincount(minlength=vocabulary).float()
    assert set(found.tolist()) <= set(held.tolist())
    expected = torch.zeros(vocabulary)
    expected[held] = probabilities[held] / probabilities[held].sum() * 20000
    assert ((counts - expected).abs() <= 5 * expected.sqrt() + 5).all()
    assert set(nucleus(probabilities.log().expand(9, -1), 1e-6).tolist()) == {int(order[0])}
