"""`affine_scan`: its derivatives, first and second, in a, b and h0."""

import pytest
import torch

from phc_snn.scan import BACKENDS, affine_scan
from tests.scan.test_affine import COEFFICIENT_SHAPES, random
from tests.tolerances import GRADIENT_TOLERANCE, assert_near

# Those for a GPU are tested there (tests/test_gpu.py).
GENERAL = [name for name in BACKENDS if name != "log" and not name.startswith("triton")]


def problem(shape, dtype, length=5, low=-0.9, h_shape=(2, 3)):
    generator = torch.Generator().manual_seed(1)
    sizes = (length, 2, 3)
    a = random(COEFFICIENT_SHAPES[shape](*sizes), dtype, generator, low=low, high=0.9)
    b = random(sizes, dtype, generator, low=low)
    h0 = random(h_shape, dtype, generator, low=low)
    return [x.requires_grad_() for x in (a, b, h0)]


@pytest.mark.parametrize("backend", GENERAL)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", COEFFICIENT_SHAPES)
def test_gradients_of_a_b_and_h0(backend, dtype, shape):
    inputs = problem(shape, dtype)
    torch.autograd.gradcheck(lambda a, b, h0: affine_scan(a, b, h0, backend=backend), inputs)


@pytest.mark.parametrize("backend", GENERAL)
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
@pytest.mark.parametrize("shape", ["scalar", "N", "T1N", "TBN"])
def test_second_derivatives(backend, dtype, shape):
    inputs = problem(shape, dtype, length=4)

    def scan(a, b, h0):
        return affine_scan(a, b, h0, backend=backend)

    torch.autograd.gradgradcheck(scan, inputs, fast_mode=True)


@pytest.mark.parametrize("shape", ["scalar", "N", "TBN"])
def test_gradients_of_the_log_backend(shape):
    inputs = problem(shape, torch.float64, low=0.1)

    def scan(a, b, h0):
        return affine_scan(a, b, h0, backend="log")

    torch.autograd.gradcheck(scan, inputs)
    torch.autograd.gradgradcheck(scan, inputs, fast_mode=True)


@pytest.mark.parametrize("backend", GENERAL)
@pytest.mark.parametrize("h_shape", [(), (3,), (2, 1)])
def test_gradient_of_a_broadcast_initial_state(backend, h_shape):
    inputs = problem("N", torch.float64, h_shape=h_shape)
    torch.autograd.gradcheck(lambda a, b, h0: affine_scan(a, b, h0, backend=backend), inputs)


@pytest.mark.parametrize("backend", GENERAL)
@pytest.mark.parametrize("length", [1, 2, 3, 17, 64])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_gradients_equal_those_of_a_loop_of_torch_operations(backend, length, dtype):
    a, b, h0 = problem("TBN", dtype, length=length)
    weights = torch.randn(b.shape, dtype=dtype)
    h, states = h0, []
    for a_t, b_t in zip(a.unbind(0), b.unbind(0), strict=True):
        h = a_t * h + b_t
        states.append(h)
    expected = torch.autograd.grad((torch.stack(states) * weights).sum(), (a, b, h0))
    scanned = affine_scan(a, b, h0, backend=backend)
    actual = torch.autograd.grad((scanned * weights).sum(), (a, b, h0))
    for got, wanted in zip(actual, expected, strict=True):
        assert_near(got, wanted, GRADIENT_TOLERANCE[dtype])


@pytest.mark.parametrize("backend", GENERAL)
def test_empty_sequence_has_zero_gradients(backend):
    a, b, h0 = problem("N", torch.float64, length=0)
    affine_scan(a, b, h0, backend=backend).sum().backward()
    assert b.grad.shape == b.shape
    assert a.grad is None or not bool(a.grad.any())
    assert h0.grad is None or not bool(h0.grad.any())


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_each_gradient_alone(wanted):
    """What needs no gradient gets none, and the others do not suffer from it."""
    inputs = problem("TBN", torch.float64)
    everything = torch.autograd.grad(affine_scan(*inputs).square().sum(), inputs)
    alone = [x.detach().requires_grad_(i == wanted) for i, x in enumerate(inputs)]
    affine_scan(*alone).square().sum().backward()
    assert [x.grad is not None for x in alone] == [i == wanted for i in range(3)]
    assert_near(alone[wanted].grad, everything[wanted])


def test_half_precision_gradients_keep_their_dtype():
    a, b, h0 = problem("N", torch.bfloat16)
    affine_scan(a, b, h0).sum().backward()
    assert {x.grad.dtype for x in (a, b, h0)} == {torch.bfloat16}
