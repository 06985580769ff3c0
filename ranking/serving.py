"""How weights are kept where they only serve: in the number format and the order in which the processor reads them
fastest."""

import math
from collections.abc import Callable
from functools import cache

import torch
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

ROWS = 16
"""Of a packed product, more are filled up to a multiple of these. oneDNN makes a kernel for each number of rows, and
keeps 1,024: with numbers from 1 to 700 and six layers a product takes 1.15 ms and the kernels 770 MiB, filled up 0.7 ms
and 220 MiB (two cores, which others used as well)."""


def serving_dtype() -> torch.dtype:
    """The number format in which this machine's processor reads fastest: bf16 where it computes in it, else float32
    (emulated bf16 was measured 2 to 3 times slower). Of 2,286 replies the ranker's numbers differ by 0.005 on average,
    where they spread by 0.98."""
    return torch.bfloat16 if torch.cpu.get_capabilities().get("avx512_bf16") else torch.float32


class PackedLinear(nn.Module):
    """A linear layer whose weights lie as oneDNN's products take them. In their usual order it puts all of them in its
    own for each product, which for a few rows is most of the work (1536 x 384 in bf16, 4 rows, one core: 82 µs, packed
    45; 64 rows: 476 and 388). The results are the same bits. torch.compile's freezing makes such layers as well."""

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        """`weight` has the shape (out_features, in_features)."""
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous())
        self.bias = None if bias is None else bias.detach()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Shape (..., in_features) to (..., out_features)."""
        recording = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
        multiply = recordable() if recording else product
        return multiply(rows, self.packed, self.bias, self.in_features, self.out_features)


def product(
    rows: torch.Tensor,
    packed: torch.Tensor,
    bias: torch.Tensor | None,
    in_features: int,
    out_features: int,
    filled_to: int = ROWS,
) -> torch.Tensor:
    """What a PackedLinear makes of its rows. (In the part of Python that torch.jit.script knows.)"""
    count = rows.numel() // in_features
    missing = -count % filled_to if count > filled_to else 0
    shape = list(rows.shape)
    if missing > 0:  # in decoding never, where a product takes 24 to 55 µs and this 6
        rows = functional.pad(rows.reshape(-1, in_features), [0, 0, 0, missing])
    made: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
    if missing == 0:
        return made
    shape[-1] = out_features
    return made[:count].reshape(shape)


@cache
def recordable() -> Callable[..., torch.Tensor]:
    """`product` for torch.jit.trace, which knows no empty lists of numbers."""
    compiled: Callable[..., torch.Tensor] = torch.jit.script(product)
    return compiled


def pack(model: nn.Module) -> None:
    """Packs the linear layers of a model that is not trained any more and stays as and where it is: those in bf16 on a
    processor that computes in it, GPT-2's too, whose weights are the other way round. They must be plain ones, and a
    torch whose private functions are others leaves all as it is."""
    if serving_dtype() != torch.bfloat16 or not can_pack():
        return
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) not in (nn.Linear, Conv1D):
                continue
            weight, bias = child.weight, child.bias
            assert isinstance(weight, torch.Tensor) and not isinstance(bias, nn.Module)
            if weight.dtype == torch.bfloat16 and weight.device.type == "cpu":
                setattr(module, name, PackedLinear(weight.T if type(child) is Conv1D else weight, bias))


@torch.inference_mode()
def can_pack() -> bool:
    """Whether this torch packs, and computes the same with what it packed."""
    weight, bias, rows = (  # nothing is drawn: what others draw stays what it would be
        torch.arange(math.prod(shape)).sin().reshape(shape).bfloat16() for shape in ((32, 64), (32,), (3, 64))
    )
    try:
        found = PackedLinear(weight, bias)(rows)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return bool(torch.allclose(found, functional.linear(rows, weight, bias), atol=0.05))
