"""`affine_scan`: values, against a plain loop in numpy and against the reference backend."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phc_snn.scan import BACKENDS, affine_scan
from tests.tolerances import TOLERANCE, assert_near, assert_same_bits

# Those for a GPU are tested there (tests/test_gpu.py).
ON_THE_CPU = [name for name in BACKENDS if not name.startswith("triton")]

REAL = (torch.float32, torch.float64, torch.bfloat16)
COMPLEX = (torch.complex64, torch.complex128)
# Shapes of the coefficients for b of (T, B, N); 0 stands for T, 1 for B, 2 for N.
COEFFICIENT_SHAPES = {
    "scalar": lambda t, b, n: (),
    "one": lambda t, b, n: (1,),
    "N": lambda t, b, n: (n,),
    "BN": lambda t, b, n: (b, n),
    "1BN": lambda t, b, n: (1, b, n),
    "T1N": lambda t, b, n: (t, 1, n),
    "TB1": lambda t, b, n: (t, b, 1),
    "T11": lambda t, b, n: (t, 1, 1),
    "TBN": lambda t, b, n: (t, b, n),
}
STATE_SHAPES = {
    "none": None,
    "scalar": lambda t, b, n: (),
    "N": lambda t, b, n: (n,),
    "B1": lambda t, b, n: (b, 1),
    "BN": lambda t, b, n: (b, n),
}


def random(shape, dtype, generator, low=-1.0, high=1.0):
    wide = torch.complex128 if dtype.is_complex else torch.float64
    value = torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low
    if dtype.is_complex:
        other = torch.rand(shape, generator=generator, dtype=torch.float64) * (high - low) + low
        value = torch.complex(value, other) / 2**0.5
    return value.to(wide).to(dtype)


@st.composite
def problems(draw, dtypes=REAL + COMPLEX, low=-1.0):
    sizes = (
        draw(st.integers(0, 21), label="T"),
        draw(st.integers(0, 3), label="B"),
        draw(st.integers(0, 9), label="N"),
    )
    dtype = draw(st.sampled_from(dtypes))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    a_shape = COEFFICIENT_SHAPES[draw(st.sampled_from(sorted(COEFFICIENT_SHAPES)))](*sizes)
    h_shape = STATE_SHAPES[draw(st.sampled_from(sorted(STATE_SHAPES)))]
    a = random(a_shape, dtype, generator, low=low)
    b = random(sizes, dtype, generator, low=low)
    h0 = None if h_shape is None else random(h_shape(*sizes), dtype, generator, low=low)
    return a, b, h0


def loop(a, b, h0):
    """The recurrence in numpy, written without any of the library's code."""
    wide = np.complex128 if b.is_complex() else np.float64

    def wide_array(x):
        return x.to(torch.complex128 if b.is_complex() else torch.float64).numpy().astype(wide)

    coefficients = np.broadcast_to(wide_array(a), tuple(b.shape))
    values = wide_array(b)
    h = np.zeros(b.shape[1:], wide) if h0 is None else wide_array(h0)
    out = np.zeros(tuple(b.shape), wide)
    for t in range(len(out)):
        h = coefficients[t] * h + values[t]
        out[t] = h
    return torch.from_numpy(out)


@pytest.mark.parametrize("backend", ["auto", "sequential", "reference", "numba", "associative"])
@given(problem=problems())
def test_equals_a_plain_loop(backend, problem):
    a, b, h0 = problem
    h = affine_scan(a, b, h0, backend=backend)
    assert h.dtype == b.dtype
    assert_near(h, loop(a, b, h0), TOLERANCE[b.dtype])


@given(problem=problems(dtypes=REAL, low=0.05))
def test_log_backend_equals_a_plain_loop(problem):
    a, b, h0 = problem
    h = affine_scan(a, b, h0, backend="log")
    assert h.dtype == b.dtype
    # A sum of logarithms loses digits with T; what is promised is about 1e-3 at T = 17,984.
    assert_near(h, loop(a, b, h0), 10 * TOLERANCE[b.dtype])


@pytest.mark.parametrize("backend", ["auto", "sequential", "numba"])
@given(problem=problems(dtypes=REAL))
def test_has_the_bits_of_the_reference(backend, problem):
    a, b, h0 = problem
    expected = affine_scan(a, b, h0, backend="reference")
    assert_same_bits(affine_scan(a, b, h0, backend=backend), expected)


@pytest.mark.parametrize("backend", ["sequential", "numba"])
@given(problem=problems(dtypes=COMPLEX))
def test_has_the_bits_of_the_reference_for_complex_input(backend, problem):
    a, b, h0 = problem
    expected = affine_scan(a, b, h0, backend="reference")
    assert_same_bits(affine_scan(a, b, h0, backend=backend), expected)


@pytest.mark.parametrize("backend", ON_THE_CPU)
@pytest.mark.parametrize("length", [0, 1, 2, 3, 17, 1024])
@pytest.mark.parametrize("lanes", [(), (4,), (0,), (2, 0), (2, 3), (2, 1, 3)])
def test_any_length_and_any_trailing_shape(backend, length, lanes):
    generator = torch.Generator().manual_seed(length)
    a = random(lanes, torch.float64, generator, low=0.05, high=0.95)
    b = random((length, *lanes), torch.float64, generator, low=0.05)
    h = affine_scan(a, b, backend=backend)
    assert h.shape == b.shape
    assert_near(h, loop(a, b, None), 1e-9 if backend == "log" else None)


@pytest.mark.parametrize("backend", ON_THE_CPU)
def test_memory_layout_is_irrelevant(backend):
    generator = torch.Generator().manual_seed(0)
    a = random((7, 3, 4), torch.float64, generator, low=0.05)
    b = random((7, 3, 4), torch.float64, generator, low=0.05)
    h0 = random((3, 4), torch.float64, generator, low=0.05)
    expected = affine_scan(a, b, h0, backend=backend)
    turned = [x.transpose(0, -1).contiguous().transpose(0, -1) for x in (a, b, h0)]
    assert_same_bits(affine_scan(*turned, backend=backend), expected)
    spread = [x.repeat_interleave(2, dim=-1)[..., ::2] for x in (a, b, h0)]
    assert_same_bits(affine_scan(*spread, backend=backend), expected)


@pytest.mark.parametrize("backend", ["reference", "numba", "associative"])
def test_lazily_conjugated_and_negated_input(backend):
    generator = torch.Generator().manual_seed(0)
    b = random((9, 3), torch.complex128, generator)
    a = torch.tensor(0.5 + 0.2j, dtype=torch.complex128)
    expected = affine_scan(a, b.conj().resolve_conj(), backend="reference")
    assert_near(affine_scan(a, b.conj(), backend=backend), expected)
    negated = b.conj().imag
    assert negated.is_neg()
    expected = affine_scan(a.real, negated.resolve_neg(), backend="reference")
    assert_near(affine_scan(a.real, negated, backend=backend), expected)


@pytest.mark.parametrize("backend", ["reference", "numba", "associative"])
def test_dtypes_promote(backend):
    b = torch.ones(4, 2)
    for a, dtype in (
        (torch.tensor(0.5, dtype=torch.float64), torch.float64),
        (torch.tensor(0.5j), torch.complex64),
        (torch.tensor(0.5, dtype=torch.bfloat16), torch.float32),
    ):
        assert affine_scan(a, b, backend=backend).dtype == dtype


def test_half_precision_is_rounded_once_at_the_end():
    generator = torch.Generator().manual_seed(0)
    for dtype in (torch.bfloat16, torch.float16):
        a, b = random((4,), dtype, generator), random((200, 2, 4), dtype, generator)
        h = affine_scan(a, b)
        assert_same_bits(h, affine_scan(a.float(), b.float()).to(dtype))


@pytest.mark.parametrize("backend", ["reference", "numba", "associative"])
@pytest.mark.parametrize("shape", ["scalar", "N", "BN", "1BN"])
def test_constant_coefficients_are_never_spread_over_time(backend, shape, monkeypatch):
    """Forward and backward, in every derivative: the backend sees one time step of them."""
    from importlib import import_module

    module = import_module(BACKENDS[backend])
    seen, scan = [], module.scan

    def spy(a, b, h0, reverse):
        seen.append((a.shape[0], a.untyped_storage().nbytes()))
        return scan(a, b, h0, reverse)

    monkeypatch.setattr(module, "scan", spy)
    sizes = (64, 2, 3)
    a = torch.full(COEFFICIENT_SHAPES[shape](*sizes), 0.5, requires_grad=True)
    b = torch.ones(sizes, requires_grad=True)
    h = affine_scan(a, b, backend=backend)
    (grad,) = torch.autograd.grad(h.sum(), a, create_graph=True)
    grad.sum().backward()
    assert len(seen) >= 2  # the last backward pass may be one loop of its own
    assert {steps for steps, _ in seen} == {1}
    assert max(size for _, size in seen) <= 2 * 3 * 4


@pytest.mark.parametrize("decay", [0.01, 0.5, 0.99])
@pytest.mark.parametrize("backend", ["numba", "associative"])
def test_a_million_steps_are_finite_and_accurate(backend, decay):
    generator = torch.Generator().manual_seed(0)
    b = torch.rand(1_000_000, 2, generator=generator) + 0.5
    a, h0 = torch.tensor(decay), torch.tensor(3.0)
    exact = affine_scan(a.double(), b.double(), h0.double(), backend="numba")
    h = affine_scan(a, b, h0, backend=backend)
    assert bool(torch.isfinite(h).all())
    assert float(((h.double() - exact) / exact).abs().max()) <= 1e-5
    signed = b - 1.0
    exact = affine_scan(a.double(), signed.double(), backend="numba")
    assert_near(affine_scan(a, signed, backend=backend), exact, 1e-5)


@pytest.mark.parametrize("backend", ["numba", "associative"])
def test_a_million_different_decays_do_not_overflow(backend):
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(1_000_000, 2, generator=generator)
    b = torch.randn(1_000_000, 2, generator=generator)
    exact = affine_scan(a.double(), b.double(), backend="numba")
    assert_near(affine_scan(a, b, backend=backend), exact, 1e-5)
