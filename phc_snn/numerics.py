"""Operations whose result does not depend on where in a tensor, or in which batch, a value stands.

Parallel training and step-by-step deployment run the same network on tensors of different shapes.
They can agree in every bit only if each operation does. Elementwise ``+ - * /`` do by IEEE 754, and
recurrences do when they keep one order. Two operations of torch do not: ``torch.sigmoid`` and
``softplus`` (the last elements of a tensor, past the vector width, take another code path), and the
matrix product (each shape sums in another order). This module has the versions that do.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def sigmoid(x: Tensor) -> Tensor:
    """Logistic function as ``(1 + tanh(x / 2)) / 2``, the same bits wherever the value stands."""
    return special(x * 0.5, "tanh") * 0.5 + 0.5


def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))`` without overflow, the same bits wherever the value stands."""
    magnitude = torch.abs(x)
    # (x + |x|) / 2 is relu(x), exactly, with the gradient 1/2 at zero that softplus has there.
    return (x + magnitude) * 0.5 + special(special(-magnitude, "exp"), "log1p")


def special(x: Tensor, name: str) -> Tensor:
    """``"tanh"``, ``"exp"``, ``"log1p"`` or ``"softplus"``: torch's own, also where it is compiled.

    ``torch.compile`` would take another implementation, of other bits.
    """
    if torch.compiler.is_compiling():
        opaque: Tensor = _opaque(x, name)
        return opaque
    return _FUNCTIONS[name](x)


_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "exp": torch.exp,
    "log1p": torch.log1p,
    "softplus": torch.nn.functional.softplus,
}


@torch.library.custom_op("phc_snn::special", mutates_args=())
def _opaque(x: Tensor, name: str) -> Tensor:
    return _FUNCTIONS[name](x)


@_opaque.register_fake
def _(x: Tensor, name: str) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Tensor, str], output: Tensor) -> None:
    x, ctx.name = inputs
    ctx.save_for_backward(x, output)


def _derivative(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    x, y = ctx.saved_tensors
    slopes: dict[str, Callable[[], Tensor]] = {
        "tanh": lambda: 1.0 - y * y,
        "exp": lambda: y,
        "log1p": lambda: 1.0 / (1.0 + x),
        "softplus": lambda: torch.sigmoid(x),
    }
    return grad * slopes[ctx.name](), None


_opaque.register_autograd(_derivative, setup_context=_keep)


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
    if torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad):
        return _Linear.apply(x, weight)  # type: ignore[no-any-return]
    return _Linear.forward(x, weight)  # nothing to record


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, weight: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        bits = (53 - math.ceil(math.log2(max(x.shape[-1], 2)))) // 2
        slices = 3 if x.dtype == torch.float64 else (1 if bits >= 23 else 2)
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
        grad_x = grad @ weight if ctx.needs_input_grad[0] else None
        grad_w = None
        if ctx.needs_input_grad[1]:
            grad_w = grad.reshape(-1, grad.shape[-1]).T @ x.reshape(-1, x.shape[-1])
        return grad_x, grad_w


def _slice(rows: Tensor, bits: int, slices: int) -> tuple[list[Tensor], Tensor]:
    """Rows as ``slices`` float64 parts, each on a grid ``bits`` below the last, times ``top``.

    ``top`` (..., 1) is the power of two above the row's largest element.
    """
    if rows.shape[-1] == 0:
        return [rows.to(torch.float64)] * slices, rows.new_ones(len(rows), 1, dtype=torch.float64)
    largest = torch.linalg.vector_norm(rows, math.inf, dim=-1, keepdim=True).to(torch.float64)
    mantissa, _ = torch.frexp(largest)
    # mantissa * 2**e = largest, so the quotient is exactly 2**e.
    top = torch.where(largest > 0, largest / mantissa, 1.0).clamp(max=2.0**1023)
    rest = rows.to(torch.float64) / top
    parts = []
    for i in range(1, slices + 1):
        # Adding and subtracting 1.5 * 2**52 units rounds to whole units.
        shift = 1.5 * 2.0 ** (52 - bits * i)
        part = (rest + shift).sub_(shift)
        parts.append(part)
        if i < slices:
            rest = rest - part
    return parts, top
