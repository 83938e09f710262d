"""Products that generated kernels call: of a connectome, and its gradients."""

import math
from typing import Any

import numpy as np
from numpy import uint64 as count

from phc_snn.kernels.hints import wide_vectors
from phc_snn.kernels.jit import compiled, contracted


@contracted
def exact_product(
    signal: Any,
    k: Any,
    first: Any,
    pre: Any,
    parts: Any,
    top: Any,
    shifts: Any,
    active: Any,
    factors: Any,
    sums: Any,
    out: Any,
    row: Any,
    post: Any,
) -> None:
    """One row of `phc_snn.numerics.linear`, the same bits, from the columns that are not zero.

    Args:
        signal: Row ``k``, from ``first`` on, has ``pre`` values.
        parts: Slices of the weights, (slices, pre + 1, post), the last row zero.
        top: Power of two above each row of weights, (post,).
        shifts: Of each slice; adding and subtracting it rounds to the slice's grid, (slices,).
        active: Room for the columns that are not zero, (pre + 4,).
        factors: Room for their slices, (slices, pre + 3).
        sums: Room for two rows of sums, (2, post).
        out: Gets ``post`` values from ``row`` on.
    """
    wide_vectors()
    slices = len(parts)
    found = _columns(signal, k, first, pre, active)
    largest = 0.0
    for a in range(found):
        magnitude = abs(float(signal[k, first + active[a]]))
        largest = magnitude if magnitude > largest else largest
    power = _power_above(largest)
    for a in range(found):
        rest = float(signal[k, first + active[a]]) / power
        for i in range(slices):
            factors[i, a] = (rest + shifts[i]) - shifts[i]
            rest = rest - factors[i, a]
    # Nothing times a row of zeros: the rows are taken by fours.
    for a in range(found, found + count(3)):
        active[a] = pre
        for i in range(slices):
            factors[i, a] = 0.0
    total = count(len(sums) - 1)
    for n in range(post):
        sums[total, n] = 0.0
    # The smallest level first, as there.
    for level in range(slices - 1, -1, -1):
        for i in range(level + 1):
            row_of_sums = count(0) if slices > 1 else total
            _weighted_rows(
                factors, count(i), active, found, parts, count(level - i), sums, row_of_sums, post
            )
            if slices > 1:
                for n in range(post):
                    sums[total, n] += sums[count(0), n]
    for n in range(post):
        out[row + n] = sums[total, n] * (power * top[n])


@compiled
def _columns(signal: Any, row: Any, first: Any, pre: Any, active: Any) -> Any:
    """List the columns of a row that are not zero, in ``active``, (pre + 1,); how many."""
    found = count(0)
    for j in range(pre):  # without a branch: which columns are zero cannot be predicted
        active[found] = j
        found += count(signal[row, first + j] != 0)
    return found


@compiled
def _power_above(largest: Any) -> Any:
    """The power of two above a number; 1 for zero."""
    exponent = np.float64(largest).view(np.int64) >> np.int64(52)
    if np.int64(0) < exponent < np.int64(2046):
        return np.int64((exponent + np.int64(1)) << np.int64(52)).view(np.float64)
    mantissa, _ = math.frexp(largest)
    return min(largest / mantissa, 2.0**1023) if largest > 0.0 else 1.0


@contracted
def _weighted_rows(
    factors: Any,
    i: Any,
    active: Any,
    found: Any,
    parts: Any,
    s: Any,
    sums: Any,
    row: Any,
    post: Any,
) -> None:
    """The sum of ``factors`` times rows of weights; it is exact, so four rows are taken at once."""
    wide_vectors()
    for n in range(post):
        sums[row, n] = 0.0
    for a in range(count(0), found, count(4)):
        j0, j1 = active[a], active[a + count(1)]
        j2, j3 = active[a + count(2)], active[a + count(3)]
        f0, f1 = factors[i, a], factors[i, a + count(1)]
        f2, f3 = factors[i, a + count(2)], factors[i, a + count(3)]
        for n in range(post):
            sums[row, n] += (
                f0 * parts[s, j0, n] + f1 * parts[s, j1, n]
                + f2 * parts[s, j2, n] + f3 * parts[s, j3, n]
            )  # fmt: skip


@compiled
def exact_rows(x: Any, start: Any, stop: Any, parts: Any, top: Any, shifts: Any, out: Any) -> None:
    """`phc_snn.numerics.linear` for some rows of ``x`` (rows, K)."""
    wide_vectors()
    pre, post = count(parts.shape[1] - 1), count(parts.shape[2])
    slices = len(parts)
    active = np.empty(pre + count(4), np.uint64)
    factors = np.empty((slices, pre + count(3)))
    sums = np.empty((2, post))
    for row in range(start, stop):
        exact_product(
            x, row, count(0), pre, parts, top, shifts, active, factors, sums, out, row * post, post
        )


@contracted
def pull_back(
    cotangent: Any, first: Any, rows: Any, post: Any, weight: Any, out: Any, at: Any, pre: Any
) -> None:
    """Some rows of ``cotangent @ weight``, each summed in the order of the postsynaptic neurons.

    Four rows share what is read of the weights. A row's bits do not hang on the others: whether
    four or one, each sum is the same chain of multiply-adds.

    Args:
        cotangent: Has ``rows`` rows of ``post`` values behind one another, from ``first`` on.
        weight: (post, pre).
        out: Gets ``rows`` rows of ``pre`` values, from ``at`` on.
    """
    wide_vectors()
    for i in range(rows * pre):
        out[at + i] = 0
    whole, fours = rows - rows % count(4), post - post % count(4)
    for row in range(count(0), whole, count(4)):
        m0 = first + row * post
        m1, m2, m3 = m0 + post, m0 + post + post, m0 + post + post + post
        o0 = at + row * pre
        o1, o2, o3 = o0 + pre, o0 + pre + pre, o0 + pre + pre + pre
        for n in range(count(0), fours, count(4)):
            n1, n2, n3 = n + count(1), n + count(2), n + count(3)
            for j in range(pre):
                w0, w1, w2, w3 = weight[n, j], weight[n1, j], weight[n2, j], weight[n3, j]
                out[o0 + j] = _add_four(out[o0 + j], cotangent, m0 + n, w0, w1, w2, w3)
                out[o1 + j] = _add_four(out[o1 + j], cotangent, m1 + n, w0, w1, w2, w3)
                out[o2 + j] = _add_four(out[o2 + j], cotangent, m2 + n, w0, w1, w2, w3)
                out[o3 + j] = _add_four(out[o3 + j], cotangent, m3 + n, w0, w1, w2, w3)
        for n in range(fours, post):
            for j in range(pre):
                out[o0 + j] += cotangent[m0 + n] * weight[n, j]
                out[o1 + j] += cotangent[m1 + n] * weight[n, j]
                out[o2 + j] += cotangent[m2 + n] * weight[n, j]
                out[o3 + j] += cotangent[m3 + n] * weight[n, j]
    for row in range(whole, rows):
        for n in range(post):
            factor = cotangent[first + row * post + n]
            for j in range(pre):
                out[at + row * pre + j] += factor * weight[n, j]


@contracted
def _add_four(value: Any, cotangent: Any, at: Any, w0: Any, w1: Any, w2: Any, w3: Any) -> Any:
    """``value`` plus four products, one after the other."""
    value = value + cotangent[at] * w0
    value = value + cotangent[at + count(1)] * w1
    value = value + cotangent[at + count(2)] * w2
    return value + cotangent[at + count(3)] * w3


@contracted
def outer_product(
    cotangent: Any,
    k: Any,
    first: Any,
    post: Any,
    signal: Any,
    row: Any,
    at: Any,
    pre: Any,
    active: Any,
    out: Any,
) -> None:
    """Add one row's ``signal cotangent^T``, (pre, post), for the columns that are not zero.

    ``active`` is room for those, (pre + 1,).
    """
    wide_vectors()
    found = _columns(signal, row, at, pre, active)
    for a in range(found):
        j = active[a]
        factor = signal[row, at + j]
        for n in range(post):
            out[j, n] += factor * cotangent[k, first + n]


@compiled
def outer_product_rows(
    cotangent: Any, signal: Any, start: Any, stop: Any, rows: Any, total: Any
) -> None:
    """``signal^T cotangent`` in parts of ``rows`` rows, (parts, pre, post)."""
    wide_vectors()
    pre, post = count(signal.shape[1]), count(cotangent.shape[1])
    active = np.empty(pre + count(1), np.uint64)
    for part in range(start, stop):
        for row in range(part * rows, min((part + count(1)) * rows, count(len(signal)))):
            outer_product(
                cotangent, row, count(0), post, signal, row, count(0), pre, active, total[part]
            )


@compiled
def add_and_clear(part: Any, total: Any, neurons: Any) -> None:
    """Add the sums of a stretch of time to those of all, which are more precise."""
    wide_vectors()
    for i in range(neurons):
        for j in range(neurons):
            total[i, j] += part[i, j]
            part[i, j] = 0
