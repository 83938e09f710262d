"""A matrix product without an order of summation."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary


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
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
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
    total = rows.new_zeros(x.shape[0], weight.shape[0])
    for part in reversed(parts):  # smallest terms first
        total += rows @ part.T
    return (total * top.T).to(x.dtype)


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        from phc_snn.kernels import rows as compiled

        if compiled.takes(x, weight) and x.numel() and weight.numel():
            return compiled.exact_linear(x, weight)
        rows = x.reshape(-1, x.shape[-1])
        bits, slices = grid(x.shape[-1], x.dtype)
        x_slices, x_top = _slice(rows, bits, slices)
        w_slices, w_top = _slice(weight, bits, slices)
        total = rows.new_zeros(rows.shape[0], weight.shape[0], dtype=torch.float64)
        for level in reversed(range(slices)):  # smallest terms first
            for i in range(level + 1):
                total += x_slices[i] @ w_slices[level - i].T
        total *= x_top * w_top.T
        return total.to(x.dtype).reshape(*x.shape[:-1], weight.shape[0])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (grad,) = grad_outputs
        x, weight = ctx.saved_tensors
        from phc_snn.kernels import rows as compiled

        plain = not torch.is_grad_enabled() and compiled.takes(grad, x, weight) and grad.numel() > 0
        grad_x = grad_w = None
        if ctx.needs_input_grad[0]:
            grad_x = compiled.gradient_of_input(grad, weight) if plain else grad @ weight
        if ctx.needs_input_grad[1]:
            rows = grad.reshape(-1, grad.shape[-1])
            by_hand = plain and x.numel() > 0
            grad_w = (
                compiled.gradient_of_weight(grad, x)
                if by_hand
                else rows.T @ x.reshape(-1, x.shape[-1])
            )
        return grad_x, grad_w


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
