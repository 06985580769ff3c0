"""Weights that only serve: what is packed computes the same, and what cannot be packed stays as it is."""

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from ranking.serving import PackedLinear, can_pack, pack, serving_dtype


def layers(dtype: torch.dtype) -> nn.Sequential:
    """A small model."""
    torch.manual_seed(1)
    inner = nn.Sequential(nn.GELU(), nn.Linear(96, 32, bias=False), Conv1D(16, 32))
    return nn.Sequential(nn.Linear(48, 96), inner).to(dtype).eval()


@pytest.mark.skipif(serving_dtype() != torch.bfloat16, reason="this processor does not compute in bf16")
@torch.inference_mode()
def test_a_packed_model_computes_the_same() -> None:
    model = layers(torch.bfloat16)
    rows = [torch.randn(*shape, 48).bfloat16() for shape in ((1,), (5,), (16,), (3, 7), (2, 0))]
    expected = [model(some) for some in rows]
    pack(model)
    assert sum(isinstance(layer, PackedLinear) for layer in model.modules()) == (3 if can_pack() else 0)
    for some, before in zip(rows, expected, strict=True):
        assert torch.allclose(model(some), before, atol=0.01)  # Conv1D adds its bias to a rounded product


def test_what_is_not_in_bf16_stays_as_it_is() -> None:
    model = layers(torch.float32)
    pack(model)
    assert not any(isinstance(layer, PackedLinear) for layer in model.modules())


@pytest.mark.parametrize("found", [AttributeError("no such function"), None])
def test_with_a_torch_that_cannot_pack_all_stays_as_it_is(
    found: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(layer: PackedLinear, rows: torch.Tensor) -> torch.Tensor:
        if found:
            raise found
        return torch.zeros(*rows.shape[:-1], layer.out_features, dtype=rows.dtype)

    monkeypatch.setattr(PackedLinear, "forward", forward)
    assert not can_pack()
    model = layers(torch.bfloat16)
    pack(model)
    assert not any(isinstance(layer, PackedLinear) for layer in model.modules())
