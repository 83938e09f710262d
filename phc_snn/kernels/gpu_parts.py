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
def inverse_of(power):  # type: ignore[no-untyped-def]
    """One over a power of two; a division would cost as much as the product of a network."""
    exponent = 2046 - (power.to(tl.int64, bitcast=True) >> 52)
    return (exponent << 52).to(tl.float64, bitcast=True)


@triton.jit
def product_of(matrix, signal, top, shift):  # type: ignore[no-untyped-def]
    """`phc_snn.numerics.linear` of one row and one slice: every sum is exact, whatever its order.

    ``matrix`` (pre, post) is rounded to its grid, ``top`` is the power of two above each column.
    """
    power = power_above(tl.max(tl.abs(signal), 0).to(tl.float64))
    row = (signal.to(tl.float64) * inverse_of(power) + shift) - shift
    total = tl.sum(matrix * row[:, None], 0)
    return (total * (power * top)).to(signal.dtype)
