"""The loop over time, compiled for the CPU by numba: the step's operations in the step's order.

Same bits as `reference`, without its cost per step: one pass over memory, the inner loop over lanes
(batch times neurons) vectorises. Compilation takes about a second per data type and is cached on
disk. numba does not contract ``a * h + b`` into a fused multiply-add unless asked, and it is not
asked.
"""

from typing import Any

import numba
import torch
from torch import Tensor

ADJOINT = "numba"

_SUPPORTED = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def refusal(a: Tensor, b: Tensor, h0: Tensor) -> str | None:
    """Say what this backend lacks, or None."""
    if b.device.type != "cpu":
        return f"tensors on {b.device} (it runs on the CPU)"
    if b.dtype not in _SUPPORTED:
        return f"{b.dtype}"
    return None


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scan_lanes(a: Any, b: Any, h0: Any, out: Any, reverse: bool) -> None:
    length, lanes = b.shape
    constant = a.shape[0] == 1
    for i in range(length):
        t = length - 1 - i if reverse else i
        a_t = a[0] if constant else a[t]
        before = h0 if i == 0 else (out[t + 1] if reverse else out[t - 1])
        b_t = b[t]
        out_t = out[t]
        for lane in range(lanes):
            out_t[lane] = a_t[lane] * before[lane] + b_t[lane]


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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
    out = torch.empty(b.shape, dtype=b.dtype)
    if b.numel() == 0:
        return out
    lanes = b.shape[1:]
    _scan_lanes(
        as_lanes(a, a.shape[0], lanes),
        as_lanes(b, b.shape[0], lanes),
        as_lanes(h0, 1, lanes)[0],
        out.reshape(b.shape[0], -1).numpy(),
        reverse,
    )
    return out
