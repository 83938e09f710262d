"""The loops that generated kernels call, and how all of them are compiled."""

import math
from collections.abc import Callable
from typing import Any

import numba
from numba.core.compiler import Compiler
from numpy import uint64 as count


class _Disjoint(Compiler):  # type: ignore[misc]
    """numba's compiler, told that no two arrays among the arguments overlap.

    Without this a loop over a dozen arrays is not turned into vector instructions.
    """

    def __init__(self, *args: Any) -> None:
        *_, flags, _ = args
        flags.noalias = True
        super().__init__(*args)


# No contraction of a * b + c, no reassociation: the bits are those of the operations as written.
_OPTIONS = {"nogil": True, "error_model": "numpy", "pipeline_class": _Disjoint}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile, and keep the result on disk."""
    return numba.njit(cache=True, **_OPTIONS)(function)  # type: ignore[no-any-return]


@compiled
def exact_product(
    signal: Any, first: Any, neurons: Any, parts: Any, top: Any, sums: Any, bits: Any, out: Any
) -> None:
    """One row of `phc_snn.numerics.linear`, the same bits, from the neurons that send something.

    Args:
        signal: (1, lanes), of which the row has ``neurons`` from ``first`` on.
        parts: Slices of the weights, (slices, N, N), column of the presynaptic neuron first.
        top: Power of two above each row of weights, (N,).
        sums: Room for the products of each pair of slices, (pairs, N).
        bits: Of one slice.
        out: (lanes,).
    """
    slices = len(parts)
    largest = 0.0
    for j in range(neurons):
        magnitude = abs(float(signal[count(0), first + j]))
        if magnitude > largest or magnitude != magnitude:
            largest = magnitude
    mantissa, _ = math.frexp(largest)
    power = min(largest / mantissa, 2.0**1023) if largest > 0.0 else 1.0
    sums[:] = 0.0
    for j in range(neurons):
        rest = float(signal[count(0), first + j])
        if rest == 0.0:
            continue
        rest = rest / power
        for i in range(slices):
            shift = 1.5 * 2.0 ** (52 - bits * (i + 1))
            part = (rest + shift) - shift
            rest = rest - part
            for k in range(slices - i):
                # Pairs of one level, i + k, stand behind one another.
                pair = count((i + k) * (i + k + 1) // 2 + i)
                for n in range(neurons):
                    sums[pair, n] += part * parts[count(k), j, n]
    for n in range(neurons):
        total = 0.0
        # The smallest level first, as there.
        for level in range(slices - 1, -1, -1):
            for i in range(level + 1):
                total += sums[count(level * (level + 1) // 2 + i), n]
        out[first + n] = total * (power * top[n])


@compiled
def pull_back(cotangent: Any, first: Any, neurons: Any, weight: Any, out: Any) -> None:
    """One row of ``cotangent @ weight``, summed in the order of the postsynaptic neurons."""
    for j in range(neurons):
        out[first + j] = 0
    for n in range(neurons):
        factor = cotangent[first + n]
        for j in range(neurons):
            out[first + j] += factor * weight[n, j]


@compiled
def outer_product(cotangent: Any, signal: Any, k: Any, first: Any, neurons: Any, out: Any) -> None:
    """Add one row's ``signal cotangent^T``, (pre, post), for the neurons that send something."""
    for j in range(neurons):
        factor = signal[k, first + j]
        if factor == 0:
            continue
        for n in range(neurons):
            out[j, n] += factor * cotangent[first + n]


@compiled
def add_and_clear(part: Any, total: Any, block: Any, neurons: Any) -> None:
    """Add the sums of a stretch of time to those of all, which are more precise."""
    for i in range(neurons):
        for j in range(neurons):
            total[block, i, j] += part[i, j]
            part[i, j] = 0
