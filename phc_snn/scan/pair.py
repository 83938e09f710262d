"""Two states that drive one another: an affine scan of 2 x 2 blocks, parallel over time.

As `phc_snn.scan.associative`: neighbouring steps compose, ``(M2, b2) o (M1, b1) = (M2 M1, M2 b1 +
b2)``, the halved sequence is scanned, and the steps between are one product away.
"""

import torch
from torch import Tensor

from phc_snn.scan.associative import flush
from phc_snn.scan.reference import Number

Pair = tuple[Tensor, Tensor]
Matrix = tuple[tuple[Number, Number], tuple[Number, Number]]
"""Rows of a 2 x 2 matrix, the same in each step; each entry broadcasts to a step."""


def pair_step(matrix: Matrix, drive: Pair, state: Pair) -> Pair:
    """``M state + drive``."""
    (m11, m12), (m21, m22) = matrix
    first, second = state
    return m11 * first + m12 * second + drive[0], m21 * first + m22 * second + drive[1]


def pair_loop(matrix: Matrix, drive: Pair, initial: Pair) -> Pair:
    """`pair_step` over and over: as `pair_scan`, one step after the other."""
    if not len(drive[0]):
        return drive
    rows, state = [], initial
    for first, second in zip(drive[0].unbind(0), drive[1].unbind(0), strict=True):
        state = pair_step(matrix, (first, second), state)
        rows.append(state)
    firsts, seconds = zip(*rows, strict=True)
    return torch.stack(firsts), torch.stack(seconds)


def pair_scan(matrix: Matrix, drive: Pair, initial: Pair) -> Pair:
    """All states of ``h[t] = M h[t-1] + drive[t]``, two of them, elementwise; parallel over time.

    Args:
        matrix: M.
        drive: Two tensors (T, ...).
        initial: Two states before the first step (...).

    Returns:
        Two tensors (T, ...). Equal to `pair_loop` to rounding. Differentiable.
    """
    if not len(drive[0]):
        return drive
    first = pair_step(matrix, (drive[0][0], drive[1][0]), initial)
    led = tuple(torch.cat([f[None], d[1:]]) for f, d in zip(first, drive, strict=True))
    return _from_zero(matrix, (led[0], led[1]))


def _from_zero(matrix: Matrix, drive: Pair) -> Pair:
    """Scan with zeros before the first step."""
    length = len(drive[0])
    if length == 1:
        return drive
    pairs = length // 2
    early = (drive[0][0 : 2 * pairs : 2], drive[1][0 : 2 * pairs : 2])
    late = (drive[0][1 : 2 * pairs : 2], drive[1][1 : 2 * pairs : 2])
    odd = _from_zero(_product(matrix, matrix), pair_step(matrix, late, early))
    behind = (odd[0][: (length - 1) // 2], odd[1][: (length - 1) // 2])
    even = pair_step(matrix, (drive[0][2::2], drive[1][2::2]), behind)
    return _woven(drive[0], even[0], odd[0]), _woven(drive[1], even[1], odd[1])


def _woven(drive: Tensor, even: Tensor, odd: Tensor) -> Tensor:
    """The first step, then ``odd`` and ``even`` by turns."""
    even = torch.cat([drive[:1], even])
    count = len(odd)
    mixed = torch.stack([even[:count], odd], 1).flatten(0, 1)
    return torch.cat([mixed, even[count:]])


def _product(a: Matrix, b: Matrix) -> Matrix:
    (a11, a12), (a21, a22) = a
    (b11, b12), (b21, b22) = b
    rows = (
        (a11 * b11 + a12 * b21, a11 * b12 + a12 * b22),
        (a21 * b11 + a22 * b21, a21 * b12 + a22 * b22),
    )
    return tuple(tuple(map(_flush, row)) for row in rows)  # type: ignore[return-value]


def _flush(a: Number) -> Number:
    """See `phc_snn.scan.associative`: no denormal numbers."""
    return flush(a) if isinstance(a, Tensor) else a
