"""The oracle: one step after the other, in torch operations.

`affine_step` *is* the definition of a step in this library; the compiled backend has the same bits.
"""

import torch
from torch import Tensor

ADJOINT = "reference"

Number = Tensor | float
"""A coefficient: a tensor that broadcasts, or one number for all."""


def affine_step(a: Number, h: Tensor, b: Tensor) -> Tensor:
    """``a h + b``: the product rounded, then the sum; never fused.

    A complex product is spelled out in real ones, because torch's own rounds differently from one
    position in a tensor to another.
    """
    if not b.is_complex():
        return a * h + b
    product = torch.complex(a.real * h.real - a.imag * h.imag, a.real * h.imag + a.imag * h.real)
    return product + b


def refusal(a: Tensor, b: Tensor, h0: Tensor) -> str | None:
    """This backend takes everything."""
    return None


def scan(a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor:
    """See `phc_snn.scan.affine.Backend`."""
    length = b.shape[0]
    out = torch.empty_like(b)
    h = h0
    for t in reversed(range(length)) if reverse else range(length):
        h = affine_step(a[0 if a.shape[0] == 1 else t], h, b[t])
        out[t] = h
    return out
