"""The exact product of `phc_snn.numerics` on a GPU: each element is read and written once."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from phc_snn.kernels.gpu_parts import on_grid
from phc_snn.numerics.product import grid

_ROWS = 64
"""Rows of a program."""

_MOST = 64
"""Outputs of a program."""


def takes(x: Tensor, weight: Tensor) -> bool:
    """Whether `exact_linear` computes this product."""
    bits_fit = grid(x.shape[-1], x.dtype)[1] == 1
    return (
        x.dtype == weight.dtype == torch.float32 and bits_fit and min(x.numel(), weight.numel()) > 0
    )


def exact_linear(rows: Tensor, weight: Tensor) -> Tensor:
    """`phc_snn.numerics.linear` of ``rows`` (..., M, K) and ``weight`` (..., N, K), one by one."""
    rows, weight = rows.contiguous(), weight.contiguous()
    count, columns = rows.shape[-2:]
    width = weight.shape[-2]
    out = rows.new_empty(*rows.shape[:-1], width)
    block = max(16, min(_MOST, triton.next_power_of_2(width)))
    programs = (triton.cdiv(count, _ROWS), triton.cdiv(width, block), weight[..., 0, 0].numel())
    _linear[programs](
        rows,
        weight,
        out,
        count,
        columns,
        width,
        BITS=grid(columns, rows.dtype)[0],
        ROWS=_ROWS,
        BLOCK=block,
        COLUMNS=max(16, triton.next_power_of_2(columns)),
        num_warps=4,
    )
    return out


@triton.jit(do_not_specialize=["count"])  # type: ignore[untyped-decorator]
def _linear(  # type: ignore[no-untyped-def]
    x, weight, out, count, columns, width,
    BITS: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    own = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    k = tl.arange(0, COLUMNS)
    network = tl.program_id(2).to(tl.int64)
    inside = (row < count)[:, None] & (k < columns)[None, :]
    exists = (own < width)[None, :] & (k < columns)[:, None]
    left = x + (network * count + row[:, None]) * columns + k[None, :]
    right = weight + (network * width + own[None, :]) * columns + k[:, None]
    a = tl.load(left, mask=inside, other=0.0)
    b = tl.load(right, mask=exists, other=0.0)
    most, heaviest = tl.max(tl.abs(a), 1), tl.max(tl.abs(b), 0)
    a, b = on_grid(a, most[:, None], BITS), on_grid(b, heaviest[None, :], BITS)
    total = tl.dot(a, b, out_dtype=tl.float64)
    # As everywhere: what is infinite makes its row and its column no numbers.
    finite = (most < float("inf"))[:, None] & (heaviest < float("inf"))[None, :]
    total = tl.where(finite, total, float("nan"))
    place = out + (network * count + row[:, None]) * width + own[None, :]
    tl.store(place, total.to(tl.float32), mask=(row < count)[:, None] & (own < width)[None, :])
