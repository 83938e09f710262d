"""Parallel over time in plain torch operations: odd-even reduction of affine maps.

Two neighbouring steps compose to one, ``(a2, b2) o (a1, b1) = (a2 a1, a2 b1 + b2)``. Composing
pairs halves the sequence; the scan of the halved sequence is every second element of the answer,
and the others are one multiply-add away. Depth 2 log2 T, work about 3 T (Ladner and Fischer 1980;
Blelloch 1990). It sums in another order than a loop, so it agrees with `reference` to rounding, not
in bits.
"""

import torch
from torch import Tensor

ADJOINT = "associative"


def refusal(a: Tensor, b: Tensor, h0: Tensor) -> str | None:
    """This backend takes everything."""
    return None


def scan(a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor:
    """See `phc_snn.scan.affine.Backend`."""
    if b.shape[0] == 0:
        return torch.empty_like(b)
    if reverse:
        return scan(a.flip(0), b.flip(0), h0, reverse=False).flip(0)
    first = a[:1] * h0 + b[:1]
    return _from_zero(a, torch.cat([first, b[1:]]))


def _from_zero(a: Tensor, b: Tensor) -> Tensor:
    """Scan with ``h = 0`` before the first step, so that ``a[0]`` plays no part."""
    length = b.shape[0]
    if length == 1:
        return b
    constant = a.shape[0] == 1
    pairs = length // 2
    a_late = a if constant else a[1 : 2 * pairs : 2]
    a_early = a if constant else a[0 : 2 * pairs : 2]
    odd = _from_zero(flush(a_late * a_early), a_late * b[0 : 2 * pairs : 2] + b[1 : 2 * pairs : 2])
    out = torch.empty_like(b)
    out[0] = b[0]
    out[1::2] = odd
    out[2::2] = (a if constant else a[2::2]) * odd[: (length - 1) // 2] + b[2::2]
    return out


def flush(a: Tensor) -> Tensor:
    """Replace products of decays that no longer matter by zero.

    A product of k decays underflows, and arithmetic on denormal numbers is many times slower than
    on others. What is dropped is smaller than any rounding error of a normal result.
    """
    return torch.where(a.abs() < torch.finfo(a.dtype).tiny, a.new_zeros(()), a)
