"""What generated Triton kernels call."""

import triton
import triton.language as tl


@triton.jit
def on_grid(x, largest, bits):  # type: ignore[no-untyped-def]
    """Float32 numbers, rounded to ``bits`` bits below the power of two above ``largest``; float64.

    As `phc_snn.numerics.product` rounds a row, but not divided by that power. Below the smallest
    normal number the power is too large, and the grid is still finer than the numbers.
    """
    exponent = (largest.to(tl.int32, bitcast=True) >> 23) + (1023 - 127 + 1 + 52 - bits)
    shift = ((exponent.to(tl.int64) << 52) | (1 << 51)).to(tl.float64, bitcast=True)
    return (x.to(tl.float64) + shift) - shift  # 1.5 * 2**52 units: the sum is in whole units


@triton.jit
def product_of(matrix, signal, bits):  # type: ignore[no-untyped-def]
    """`phc_snn.numerics.linear` of one row and one slice: every sum is exact, whatever its order.

    ``matrix`` (pre, post) is on its grid.
    """
    # Of numbers that are not negative the bits have the same order, and a warp finds the largest
    # integer in one instruction.
    size = tl.abs(signal).to(tl.int32, bitcast=True)
    # A vector: what hangs on one number would be computed by every thread for all of the row.
    largest = tl.maximum(size, tl.max(size, 0))
    return sum_of_rows(matrix, on_grid(signal, largest, bits)).to(signal.dtype)


@triton.jit
def sum_of_rows(matrix, factors):  # type: ignore[no-untyped-def]
    """``factors @ matrix``, in eight rows at a time, so that no sum waits for the one before."""
    a0, a1, a2, a3, a4, a5, a6, a7 = _eighths(matrix)
    b0, b1, b2, b3, b4, b5, b6, b7 = _eighths(tl.broadcast_to(factors[:, None], matrix.shape))
    total = tl.fma(a1, b1, a0 * b0)
    total = tl.fma(a2, b2, total)
    total = tl.fma(a3, b3, total)
    total = tl.fma(a4, b4, total)
    total = tl.fma(a5, b5, total)
    total = tl.fma(a6, b6, total)
    return tl.sum(tl.fma(a7, b7, total), 0)


@triton.jit
def _eighths(x):  # type: ignore[no-untyped-def]
    even, odd = _halves(x)
    a, b = _halves(even)
    c, d = _halves(odd)
    a0, a1 = _halves(a)
    b0, b1 = _halves(b)
    c0, c1 = _halves(c)
    d0, d1 = _halves(d)
    return a0, a1, b0, b1, c0, c1, d0, d1


@triton.jit
def _halves(x):  # type: ignore[no-untyped-def]
    """Every second row, and the others."""
    return tl.split(tl.permute(tl.reshape(x, (x.shape[0] // 2, 2, x.shape[1])), (0, 2, 1)))


@triton.jit
def quotient_of(x, y):  # type: ignore[no-untyped-def]
    """``x / y`` in float32 for y from 1 to 2**60, correctly rounded where it is a normal number.

    The operations of ``tl.div_rn`` without its branch for all other numbers: a branch keeps the
    compiler from computing several steps at once.
    """
    inverse = 1.0 / y
    inverse = tl.fma(tl.fma(-y, inverse, 1.0), inverse, inverse)
    quotient = x * inverse
    quotient = tl.fma(tl.fma(-y, quotient, x), inverse, quotient)
    return tl.fma(tl.fma(-y, quotient, x), inverse, quotient)
