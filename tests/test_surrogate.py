"""The spike function."""

import copy
import pickle

import pytest
import torch
from snntorch import surrogate

import phc_snn as phc
from tests.tolerances import assert_near


def test_fires_strictly_above_zero():
    x = torch.tensor([-1.0, -1e-30, -0.0, 0.0, 1e-30, 1.0])
    assert phc.FastSigmoid()(x).tolist() == [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("slope", [1.0, 4.0, 25.0])
def test_derivative(dtype, slope):
    x = torch.linspace(-3.0, 3.0, 61, dtype=dtype, requires_grad=True)
    spikes = phc.FastSigmoid(slope)(x)
    (grad,) = torch.autograd.grad(spikes.sum(), x)
    assert spikes.dtype == grad.dtype == dtype
    assert_near(grad, (slope * x.detach().abs() + 1.0) ** -2)


def test_derivative_is_that_of_snntorch():
    x = torch.linspace(-2.0, 2.0, 41, requires_grad=True)
    (ours,) = torch.autograd.grad(phc.FastSigmoid(25.0)(x).sum(), x)
    (theirs,) = torch.autograd.grad(surrogate.fast_sigmoid(25.0)(x).sum(), x)
    assert_near(ours, theirs)


def test_has_a_second_derivative():
    x = torch.tensor([-0.5, 0.25], dtype=torch.float64, requires_grad=True)
    (first,) = torch.autograd.grad(phc.FastSigmoid()(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    expected = -8.0 * torch.sign(x.detach()) * (4.0 * x.detach().abs() + 1.0) ** -3
    assert_near(second, expected)


def test_pickles_copies_and_compares_by_value():
    function = phc.FastSigmoid(7.0)
    assert pickle.loads(pickle.dumps(function)) == function
    assert copy.deepcopy(function) == function
    assert function != phc.FastSigmoid(8.0)


@pytest.mark.parametrize("slope", [0.0, -1.0, float("nan")])
def test_refuses_a_slope_that_is_not_positive(slope):
    with pytest.raises(ValueError, match=f"slope: got {slope}, expected a positive number"):
        phc.FastSigmoid(slope)


@pytest.mark.parametrize("width", [1.0, 0.5])
def test_boxcar_is_open_below_and_closed_above(width):
    x = torch.tensor([-0.5, -0.49, 0.0, 0.5, 0.51]) * width
    x.requires_grad_()
    (grad,) = torch.autograd.grad(phc.Boxcar(width)(x).sum(), x)
    assert grad.tolist() == [0.0, 1.0, 1.0, 1.0, 0.0]


def test_boxcar_refuses_a_width_that_is_not_positive():
    with pytest.raises(ValueError, match=r"width: got 0\.0, expected a positive number"):
        phc.Boxcar(0.0)


def test_triangle():
    x = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.25, 1.0, 3.0], requires_grad=True)
    spikes = phc.Triangle()(x)
    (grad,) = torch.autograd.grad(spikes.sum(), x)
    assert spikes.tolist() == [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert grad.tolist() == [0.0, 0.0, 0.5, 1.0, 0.75, 0.0, 0.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rectified_tanh(dtype):
    x = torch.linspace(-30.0, 30.0, 601, dtype=dtype, requires_grad=True)
    y = phc.RectifiedTanh()(x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    assert y.dtype == grad.dtype == dtype
    x, y = x.detach(), y.detach()
    assert_near(y, torch.tanh(x).clamp(min=0.0))
    assert_near(grad, torch.where(y > 0.0, 1.0 - torch.tanh(x).square(), 0.0))
    assert float(y.min()) == 0.0
    assert 1.0 - 1e-15 < float(y.max()) <= 1.0


@pytest.mark.parametrize("function", [phc.Boxcar(0.5), phc.Triangle(), phc.RectifiedTanh()])
def test_spike_functions_pickle_and_compare_by_value(function):
    assert pickle.loads(pickle.dumps(function)) == function
    assert function != phc.FastSigmoid()
