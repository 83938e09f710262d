"""The loop over time, compiled for the CPU by numba: the step's operations in the step's order.

Same bits as `reference`, without its cost per step: one pass over memory, the inner loop over lanes
(batch times neurons) vectorises. Compilation takes about a second per data type and is cached on
disk. numba does not contract ``a * h + b`` into a fused multiply-add unless asked, and it is not
asked.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy import uint64 as count
from torch import Tensor

from phc_snn.kernels.hints import (
    ask_for,
    finish_writing,
    is_streamed,
    lanes_of,
    wide_vectors,
    write,
)
from phc_snn.kernels.jit import compiled
from phc_snn.kernels.memory import empty
from phc_snn.kernels.threads import share_lanes
from phc_snn.scan.affine import refusal_beside

ADJOINT = "numba"

_WIDTH = 1024
"""Lanes of a block: their states stay in the first cache."""


def refusal(a: Tensor, b: Tensor, h0: Tensor) -> str | None:
    """Say what this backend lacks, or None."""
    return refusal_beside("cpu", "the CPU", b)


@compiled
def _scan_lanes(
    a: Any,
    b: Any,
    h0: Any,
    out: Any,
    state: Any,
    streamed: Any,
    start: Any,
    stop: Any,
    width: Any,
    ahead: Any,
    reverse: Any,
) -> None:
    """States of the lanes ``start`` to ``stop``, block by block; ``state`` is room for one."""
    wide_vectors()
    length = count(len(b))
    varies = count(len(a) > 1)
    for low in range(start, stop, width):
        lanes = min(low + width, stop) - low
        for lane in range(lanes):
            state[lane] = h0[low + lane]
        for i in range(length):
            t = length - count(1) - i if reverse else i
            later = t - ahead if reverse else t + ahead
            ask_for(b, later, low, lanes)
            if varies > 0:
                ask_for(a, later, low, lanes)
            if streamed == 0:
                ask_for(out, later, low, lanes)
            for lane in range(lanes):
                at = low + lane
                state[lane] = a[t * varies, at] * state[lane] + b[t, at]
            write(out, t, low, state, lanes, streamed)
    finish_writing()


@compiled
def _adjoint_lanes(
    a: Any,
    h: Any,
    h0: Any,
    grad: Any,
    grad_a: Any,
    grad_b: Any,
    grad_h0: Any,
    state: Any,
    row: Any,
    total: Any,
    streamed: Any,
    start: Any,
    stop: Any,
    width: Any,
    ahead: Any,
    reverse: Any,
) -> None:
    """The cotangents of a scan: ``l[t] = conj(a[t+1]) l[t+1] + g[t]`` and what follows from it.

    ``grad_a`` has no row if it is not asked for, and one if ``a`` is constant. ``state``, ``row``
    and ``total`` are room for a block.
    """
    wide_vectors()
    length = count(len(grad))
    varies = count(len(a) > 1)
    several = count(len(grad_a) > 1)
    for low in range(start, stop, width):
        lanes = min(low + width, stop) - low
        for lane in range(lanes):
            state[lane] = 0
            total[lane] = 0
        for i in range(length):
            t = i if reverse else length - count(1) - i
            later = t + ahead if reverse else t - ahead
            _ask_for_adjoint(a, h, grad, grad_a, grad_b, streamed, later, low, lanes)
            for lane in range(lanes):
                at = low + lane
                row[lane] = state[lane] + grad[t, at]
                state[lane] = np.conj(a[t * varies, at]) * row[lane]
            write(grad_b, t, low, row, lanes, streamed)
            if len(grad_a) == 0:
                continue
            last = i + count(1) == length
            before = t if last else (t + count(1) if reverse else t - count(1))
            for lane in range(lanes):
                at = low + lane
                earlier = h0[at] if last else h[before, at]
                row[lane] = row[lane] * np.conj(earlier)
            if several == 1:
                write(grad_a, t, low, row, lanes, streamed)
            else:
                for lane in range(lanes):
                    total[lane] += row[lane]
        for lane in range(lanes):
            grad_h0[low + lane] = state[lane]
            if len(grad_a) == 1:
                grad_a[count(0), low + lane] = total[lane]
    finish_writing()


@compiled
def _ask_for_adjoint(
    a: Any,
    h: Any,
    grad: Any,
    grad_a: Any,
    grad_b: Any,
    streamed: Any,
    t: Any,
    low: Any,
    lanes: Any,
) -> None:
    """The rows of a step that `_adjoint_lanes` needs in the caches; a constant has none."""
    ask_for(grad, t, low, lanes)
    if streamed == 0:
        ask_for(grad_b, t, low, lanes)
    if len(a) > 1:
        ask_for(a, t, low, lanes)
    if len(grad_a) > 0:
        ask_for(h, t, low, lanes)
    if len(grad_a) > 1 and streamed == 0:
        ask_for(grad_a, t, low, lanes)


@compiled
def reset_lanes(
    decay: Any,
    b: Any,
    threshold: Any,
    initial: Any,
    voltage: Any,
    membrane: Any,
    subtract: bool,
    with_input: bool,
    delayed: bool,
) -> None:
    """`phc_snn.scan.reset.reset_step` over and over, operation by operation in its order."""
    length, lanes = b.shape
    one = decay.dtype.type(1.0)
    zero = decay.dtype.type(0.0)
    for t in range(length):
        start = initial if t == 0 else membrane[t - 1]
        b_t, voltage_t, membrane_t = b[t], voltage[t], membrane[t]
        for lane in range(lanes):
            level = threshold[lane]
            before = one if start[lane] - level > zero else zero
            if subtract:
                v = decay[lane] * start[lane] + b_t[lane] - before * level
            elif with_input:
                v = decay[lane] * start[lane] + b_t[lane]
                v = v - before * v
            else:
                v = decay[lane] * ((one - before) * start[lane]) + b_t[lane]
            voltage_t[lane] = v
            if not delayed:
                acting = (one if v - level > zero else zero) - before
                membrane_t[lane] = v - acting * (level if subtract else v)


def as_lanes(x: Tensor, time: int, shape: torch.Size) -> Any:
    """``x`` as a contiguous (time, lanes) array, broadcast to ``shape`` behind the time."""
    return x.expand(time, *shape).reshape(time, -1).contiguous().resolve_conj().numpy()


def scan(a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor:
    """See `phc_snn.scan.affine.Backend`."""
    out = empty(tuple(b.shape), b.dtype)
    if b.numel() == 0:
        return out
    lanes = b.shape[1:]
    arrays = (
        as_lanes(a, a.shape[0], lanes),
        as_lanes(b, b.shape[0], lanes),
        as_lanes(h0, 1, lanes)[0],
        out.view(b.shape[0], -1).numpy(),
    )

    def prepare(start: int, stop: int) -> Callable[[], object]:
        own = np.empty(_WIDTH, arrays[1].dtype), is_streamed(arrays[3])
        return partial(_scan_lanes, *arrays, *own, *lanes_of(start, stop, _WIDTH).values(), reverse)

    share_lanes(arrays[1].shape[1], b.numel(), _WIDTH, prepare)
    return out


def adjoint(
    a: Tensor, h: Tensor, h0: Tensor, grad: Tensor, reverse: bool, with_a: bool
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Cotangents of ``a``, ``b`` and ``h0``, of the shapes of `scan`'s; in one pass."""
    steps, lanes = grad.shape[0], grad.shape[1:]
    grad_b, grad_h0 = empty(tuple(grad.shape), grad.dtype), torch.empty(lanes, dtype=grad.dtype)
    rows = (steps if a.shape[0] > 1 else 1) if with_a else 0
    grad_a = empty((rows, *lanes), grad.dtype)
    count_lanes = grad_h0.numel()
    arrays = (
        as_lanes(a, a.shape[0], lanes),
        as_lanes(h if with_a else h0[None], steps if with_a else 1, lanes),
        as_lanes(h0, 1, lanes)[0],
        as_lanes(grad, steps, lanes),
        grad_a.view(rows, count_lanes).numpy(),
        grad_b.view(steps, count_lanes).numpy(),
        grad_h0.view(-1).numpy(),
    )
    wide = np.complex128 if grad.is_complex() else np.float64

    def prepare(start: int, stop: int) -> Callable[[], object]:
        state, row = np.empty((2, _WIDTH), arrays[3].dtype)
        own = state, row, np.empty(_WIDTH, wide), is_streamed(arrays[5])
        return partial(
            _adjoint_lanes, *arrays, *own, *lanes_of(start, stop, _WIDTH).values(), reverse
        )

    share_lanes(count_lanes, grad.numel(), _WIDTH, prepare)
    return (grad_a if with_a else None), grad_b, grad_h0
