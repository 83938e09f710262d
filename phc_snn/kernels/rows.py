"""The exact product and its gradient, row by row on the CPU.

Neither the number of rows nor that of threads changes a bit, also not of the gradient: its sums
have a fixed order.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from phc_snn.checks import is_transformed
from phc_snn.kernels.memory import empty
from phc_snn.kernels.threads import share, share_lanes
from phc_snn.numerics.product import slices_of

_ROWS = 512
"""Rows whose part of a weight's gradient is summed in the precision of the input."""

_WIDTH = 256
"""Lanes of a block of `compare`."""


def takes(*tensors: Tensor) -> bool:
    """Whether these tensors are ones for the loops here."""
    first = tensors[0]
    if torch.compiler.is_compiling():
        return False
    return first.dtype in (torch.float32, torch.float64) and all(
        type(t) in (Tensor, torch.nn.Parameter)
        and t.device.type == "cpu"
        and t.dtype == first.dtype
        and not is_transformed(t)
        for t in tensors
    )


def exact_linear(x: Tensor, weight: Tensor) -> Tensor:
    """`phc_snn.numerics.linear` of ``x`` (..., K)."""
    from phc_snn.kernels import loops

    rows = _matrix(x)
    slices = slices_of(weight)
    out = empty((*x.shape[:-1], len(weight)), x.dtype)
    flat = out.view(-1).numpy()

    def prepare(start: int, stop: int) -> Callable[[], object]:
        bounds = np.uint64(start), np.uint64(stop)
        weights = slices.transposed, slices.top, slices.shifts
        return partial(loops.exact_rows, rows, *bounds, *weights, flat)

    share(len(rows), len(rows) * weight.numel(), prepare)
    return out


def gradient_of_input(cotangent: Tensor, weight: Tensor) -> Tensor:
    """``cotangent @ weight``, (..., K)."""
    from phc_snn.kernels import loops

    matrix = _matrix(weight)
    post, pre = weight.shape
    out = empty((*cotangent.shape[:-1], pre), cotangent.dtype)
    source, target = _matrix(cotangent).reshape(-1), out.view(-1).numpy()
    rows = len(source) // post

    def prepare(start: int, stop: int) -> Callable[[], object]:
        places = (np.uint64(start * post), np.uint64(stop - start), np.uint64(post))
        at = np.uint64(start * pre)
        return partial(loops.pull_back, source, *places, matrix, target, at, np.uint64(pre))

    share(rows, rows * weight.numel(), prepare)
    return out


def gradient_of_weight(cotangent: Tensor, x: Tensor) -> Tensor:
    """``cotangent^T @ x`` over all rows, (N, K)."""
    from phc_snn.kernels import loops

    rows, signal = _matrix(cotangent), _matrix(x)
    parts = -(-len(rows) // _ROWS)
    sums = x.new_zeros(parts, x.shape[-1], cotangent.shape[-1])
    array = sums.numpy()

    def prepare(start: int, stop: int) -> Callable[[], object]:
        bounds = np.uint64(start), np.uint64(stop), np.uint64(_ROWS)
        return partial(loops.outer_product_rows, rows, signal, *bounds, array)

    share(parts, len(rows) * sums[:1].numel(), prepare)
    total = torch.zeros(sums.shape[1:], dtype=torch.float64)
    for part in sums:
        total += part
    return total.T.to(x.dtype)


def compare(after: Tensor, before: Tensor, origin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each (B,), for (T, B, N): leading equal steps, norms of the change and of what is added.

    Args:
        after, before: Are compared.
        origin: What ``after`` has been added to.
    """
    from phc_snn.kernels import comparing, hints

    steps, batch, neurons = after.shape
    lanes = batch * neurons
    arrays = [
        x.detach().reshape(steps, lanes).contiguous().numpy() for x in (after, before, origin)
    ]
    found = Comparison.empty(lanes)

    def prepare(start: int, stop: int) -> Callable[[], object]:
        room = np.empty(_WIDTH, np.int32)
        lanes = hints.lanes_of(start, stop, _WIDTH).values()
        return partial(comparing.compare, *arrays, *lanes, room, *found)

    share_lanes(lanes, after.numel(), _WIDTH, prepare)
    return found.of_samples(batch, after.dtype)


class Comparison(NamedTuple):
    """What `phc_snn.kernels.comparing.compare` fills in, for each lane."""

    leading: Any
    change: Any
    added: Any

    @classmethod
    def empty(cls, lanes: int) -> "Comparison":
        return cls(np.empty(lanes, np.int32), np.empty(lanes), np.empty(lanes))

    def of_samples(self, batch: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        """As `compare` returns it."""
        leading = torch.from_numpy(self.leading).view(batch, -1).amin(1).long()
        # One neuron after the other: a sum of torch's may go another way for another batch.
        norms = torch.zeros(2, batch, dtype=torch.float64)
        sums = torch.stack([torch.from_numpy(self.change), torch.from_numpy(self.added)])
        for column in sums.view(2, batch, -1).unbind(-1):
            norms += column
        return leading, *norms.sqrt_().to(dtype)


def _matrix(x: Tensor) -> Any:
    return x.detach().reshape(-1, x.shape[-1]).contiguous().numpy()
