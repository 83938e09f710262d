"""A matrix product without an order of summation."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from phc_snn.checks import needs_a_node
from phc_snn.state import unmapped


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T`` whose bits do not depend on batch, chunking, threads or summation order.

    Each row of ``x`` and of ``weight`` is rounded to a grid below its largest magnitude, coarse
    enough that every product and every partial sum is exact in float64 (an error-free
    transformation, after Ozaki et al. 2012). An exact sum has no order: any matrix product, on any
    machine, gives the same result, which is rounded once to the dtype of ``x``.

    The grid has ``b = (53 - ceil(log2 K)) // 2`` bits for K columns: 24 for K = 32, one float32
    mantissa; so an element is kept to ``2**-b`` of its row's largest. float32 input with K > 128
    takes two such grids, one below the other, and three products; float64 input three and six.

    Args:
        x: ``(..., K)`` of any real floating dtype.
        weight: ``(N, K)``.

    Returns:
        ``(..., N)``. The gradients are those of the plain product.
    """
    if has_torch_function_unary(x):
        symbol: Tensor = handle_torch_function(linear, (x,), x, weight)
        return symbol
    if needs_a_node(x, weight):
        return _Linear.apply(x, weight)  # type: ignore[no-any-return]
    return _Linear.forward(x, weight)  # nothing to record


class Slices(NamedTuple):
    """A weight matrix as `linear` takes it apart, for compiled loops.

    Attributes:
        shifts: (slices,); adding and subtracting one rounds to the grid of its slice.
        transposed: (slices, K + 1, N), float64; the last row is zero.
        top: (N,), the power of two above each row.
    """

    shifts: np.ndarray[Any, Any]
    transposed: np.ndarray[Any, Any]
    top: np.ndarray[Any, Any]

    @property
    def slices(self) -> int:
        return len(self.transposed)


def slices_of(weight: Tensor) -> Slices:
    """Take ``weight`` (N, K) apart."""
    bits, count = grid(weight.shape[-1], weight.dtype)
    parts, top = _slice(weight.detach(), bits, count)
    transposed = torch.zeros(count, weight.shape[1] + 1, weight.shape[0], dtype=torch.float64)
    for row, part in zip(transposed, parts, strict=True):
        row[:-1] = part.T
    shifts = np.array([_shift(bits, i) for i in range(count)])
    return Slices(shifts, transposed.numpy(), top[:, 0].numpy())


def grid(columns: int, dtype: torch.dtype) -> tuple[int, int]:
    """Bits of a slice for rows of so many columns, and how many slices the dtype needs."""
    bits = (53 - math.ceil(math.log2(max(columns, 2)))) // 2
    return bits, 3 if dtype == torch.float64 else (1 if bits >= 23 else 2)


def linear_of_spikes(x: Tensor, weight: Tensor) -> Tensor:
    """`linear` for ``x`` of zeros and ones, outside autograd: the same promise, fewer products.

    Only ``weight`` needs a grid, and one of twice as many bits is exact: ``53 - ceil(log2 K)`` for
    K columns. float32 takes one product in float64, float64 takes two. Other values of ``x`` give
    the product to rounding, in the library's order of summation.
    """
    columns = x.shape[-1]
    bits = 53 - math.ceil(math.log2(max(columns, 2)))
    parts, top = _slice(weight, bits, 2 if weight.dtype == torch.float64 else 1)
    rows = x.to(torch.float64)
    *rest, smallest = parts
    total = rows @ smallest.T
    for part in reversed(rest):
        total = total + rows @ part.T
    return (total * top.T).to(x.dtype)


class _Linear(torch.autograd.Function):
    """A stack of weights (..., N, K) takes as many stacks of rows: what `vmap` makes of the two."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        from phc_snn.kernels import rows as compiled

        if weight.dim() == 2 and compiled.takes(x, weight) and x.numel() and weight.numel():
            return compiled.exact_linear(x, weight)
        rows = _rows(x, weight)
        if x.is_cuda and (by_kernel := _on_a_gpu(rows, weight)) is not None:
            return by_kernel.reshape(*x.shape[:-1], weight.shape[-2])
        bits, slices = grid(x.shape[-1], x.dtype)
        x_slices, x_top = _slice(rows, bits, slices)
        w_slices, w_top = _slice(weight, bits, slices)
        shape = (*rows.shape[:-1], weight.shape[-2])
        total = rows.new_zeros(shape, dtype=torch.float64)
        for level in reversed(range(slices)):  # smallest terms first
            for i in range(level + 1):
                total += x_slices[i] @ w_slices[level - i].mT
        total *= x_top * w_top.mT
        return total.to(x.dtype).reshape(*x.shape[:-1], weight.shape[-2])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (grad,) = grad_outputs
        x, weight = ctx.saved_tensors
        from phc_snn.kernels import rows as compiled

        plain = not torch.is_grad_enabled() and compiled.takes(grad, x, weight) and grad.numel() > 0
        plain = plain and weight.dim() == 2
        grad_x = grad_w = None
        rows = _rows(grad, weight)
        if ctx.needs_input_grad[0]:
            grad_x = (
                compiled.gradient_of_input(grad, weight)
                if plain
                else (rows @ weight).reshape(x.shape)
            )
        if ctx.needs_input_grad[1]:
            by_hand = plain and x.numel() > 0
            grad_w = (
                compiled.gradient_of_weight(grad, x)
                if by_hand
                else _of_weight(rows, _rows(x, weight))
            )
        return grad_x, grad_w

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, int | None], x: Tensor, weight: Tensor
    ) -> tuple[Tensor, int]:
        """Rows of one weight are rows, whoever's they are; of many, each has its own."""
        of_x, of_weight = in_dims
        x = unmapped(x, of_x, 0, info.batch_size)
        return linear(x, weight if of_weight is None else weight.movedim(of_weight, 0)), 0


def _of_weight(cotangent: Tensor, rows: Tensor) -> Tensor:
    """``cotangent^T rows``, of one weight, or of each of a stack.

    A library spreads one long sum over a GPU; of many it gives each to one processor.
    """
    if cotangent.dim() == 2:
        return cotangent.T @ rows
    return product_of_stretches(cotangent, rows, _STRETCH)


def product_of_stretches(
    left: Tensor, right: Tensor, length: int, dtype: torch.dtype | None = None
) -> Tensor:
    """``left^T right`` of (..., R, M) and (..., R, N), always summed in one order.

    Args:
        left, right: With as many rows R.
        length: Rows whose products are summed at once; what is left over comes last.
        dtype: In which these sums are added up; None for their own.
    """
    whole = left.shape[-2] // length * length
    stretches = [
        x[..., :whole, :].reshape(*x.shape[:-2], whole // length, length, x.shape[-1])
        for x in (left, right)
    ]
    total: Tensor = (stretches[0].mT @ stretches[1]).sum(-3, dtype=dtype)
    if whole == left.shape[-2]:
        return total
    return total + left[..., whole:, :].mT @ right[..., whole:, :]


_STRETCH = 256
"""Rows whose products are summed at once."""


def _rows(x: Tensor, weight: Tensor) -> Tensor:
    """``x`` (..., K) as (rows, K) for one weight, or (..., rows, K) for a stack of them."""
    return x.reshape(*weight.shape[:-2], -1, x.shape[-1])


def _on_a_gpu(rows: Tensor, weight: Tensor) -> Tensor | None:
    """The product by one kernel; None without Triton, and for what it does not take."""
    try:
        from phc_snn.kernels import gpu_linear
    except ImportError:
        return None
    return gpu_linear.exact_linear(rows, weight) if gpu_linear.takes(rows, weight) else None


def _shift(bits: int, i: int) -> float:
    """Adding and subtracting 1.5 * 2**52 units rounds to whole units, those of slice ``i``."""
    return float(1.5 * 2.0 ** (52 - bits * (i + 1)))


def _slice(rows: Tensor, bits: int, slices: int) -> tuple[list[Tensor], Tensor]:
    """Rows as ``slices`` float64 parts, each on a grid ``bits`` below the last, times ``top``.

    ``top`` (..., 1) is the power of two above the row's largest element.
    """
    if rows.shape[-1] == 0:
        return [rows.to(torch.float64)] * slices, rows.new_ones(len(rows), 1, dtype=torch.float64)
    largest = torch.linalg.vector_norm(rows, math.inf, dim=-1, keepdim=True).to(torch.float64)
    mantissa, _ = torch.frexp(largest)
    # mantissa * 2**e = largest, so the quotient is exactly 2**e.
    # Not a number where the row has one: zeros of the other factor cannot hide it then.
    top = torch.where(largest == 0, 1.0, largest / mantissa).clamp(max=2.0**1023)
    rest = rows.to(torch.float64) / top
    parts = []
    for i in range(slices):
        part = (rest + _shift(bits, i)).sub_(_shift(bits, i))
        parts.append(part)
        if i < slices - 1:
            rest = rest - part
    return parts, top
