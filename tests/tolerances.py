"""The one table of tolerances. Where bits are promised, tests use `torch.equal` instead."""

import torch

# Largest error relative to the largest expected value (or to 1, if that is smaller).
TOLERANCE = {
    torch.float64: 1e-12,
    torch.complex128: 1e-12,
    torch.float32: 1e-5,
    torch.complex64: 1e-5,
    torch.bfloat16: 2e-2,
    torch.int64: 0.0,  # counters: these are whole numbers
}

# Gradients sum over the whole sequence, so their rounding errors do too.
GRADIENT_TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-3}

# Gradient of `Exact` against backpropagation through the step-by-step network, float64.
EXACT_GRADIENT = 1e-5

# Voltages closer to the threshold than this are undecidable in float32.
UNDECIDABLE = 1e-5


def relative_error(actual, expected):
    """Largest error relative to the largest expected magnitude, at least 1."""
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    if expected.numel() == 0:
        return 0.0
    wide = torch.complex128 if expected.is_complex() else torch.float64
    actual, expected = actual.detach().to(wide), expected.detach().to(wide)
    error = (actual - expected).abs().max()
    return float(error / expected.abs().max().clamp(min=1.0))


def assert_near(actual, expected, tolerance=None):
    """Equal to the tolerance of the expected dtype; NaN equals nothing."""
    limit = TOLERANCE[expected.dtype] if tolerance is None else tolerance
    error = relative_error(actual, expected)
    assert error <= limit, f"relative error {error:.3g}, at most {limit:.3g} expected"


def assert_same_bits(actual, expected):
    """Equal shape, dtype and values; the two signs of zero count as one."""
    assert actual.dtype == expected.dtype, (actual.dtype, expected.dtype)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    different = int((actual != expected).sum())
    assert different == 0, f"{different} of {expected.numel()} values differ"
