"""What generated Triton kernels call."""

import triton
import triton.language as tl


@triton.jit
def power_above(largest):  # type: ignore[no-untyped-def]
    """The power of two above a float64 number that is not negative; 1 above 0."""
    exponent = (largest.to(tl.int64, bitcast=True) >> 52) + 1
    power = (exponent << 52).to(tl.float64, bitcast=True)
    return tl.where(largest > 0.0, power, tl.full((), 1.0, tl.float64))


@triton.jit
def product_of(matrix, signal, top, shift):  # type: ignore[no-untyped-def]
    """`phc_snn.numerics.linear` of one row and one slice: every sum is exact, whatever its order.

    ``matrix`` is rounded to its grid, and ``top`` is the power of two above each of its rows.
    """
    row = signal.to(tl.float64)
    power = power_above(tl.max(tl.abs(row), 0))
    row = (row / power + shift) - shift
    total = tl.sum(matrix * row[None, :], 1)
    return (total * (power * top)).to(signal.dtype)
