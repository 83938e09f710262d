"""The oracle: one step after the other, in torch operations.

Its order of operations, ``a * h`` rounded, then ``+ b`` rounded, *is* the definition of a step in
this library. A backend with ``SEQUENTIAL = True`` gives the same bits.
"""

import torch
from torch import Tensor

SEQUENTIAL = True
ADJOINT = "reference"


def refusal(a: Tensor, b: Tensor, h0: Tensor) -> str | None:
    """This backend takes everything."""
    return None


def scan(a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor:
    """See `phc_snn.scan.affine.Backend`."""
    length = b.shape[0]
    out = torch.empty_like(b)
    h = h0
    for t in reversed(range(length)) if reverse else range(length):
        h = a[0 if a.shape[0] == 1 else t] * h + b[t]
        out[t] = h
    return out
