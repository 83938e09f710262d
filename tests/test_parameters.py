"""Parameters that stay in range whatever an optimiser does to them."""

import pytest
import torch
from torch import nn

import phc_snn as phc
from phc_snn.parameters import Constrained, per_neuron


class Vectors(nn.Module):
    bounded = Constrained(0.0, 0.99)
    shifted = Constrained(-1.0, 3.0)
    positive = Constrained(0.0)
    time = Constrained(0.05, exponential=True)

    def __init__(self, **values):
        super().__init__()
        defaults = {"bounded": 0.5, "shifted": 1.0, "positive": 2.0, "time": 20.0}
        for name, value in {**defaults, **values}.items():
            getattr(type(self), name).create(self, 3, value)


NAMES = ("bounded", "shifted", "positive", "time")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("bounded", [0.001, 0.5, 0.9899]),
        ("shifted", [-0.999, 0.0, 2.99]),
        ("positive", [1e-4, 1.0, 500.0]),
        ("time", [0.06, 1.0, 5000.0]),
    ],
)
def test_value_is_what_was_assigned(name, values):
    for module in (Vectors(**{name: values}), Vectors()):
        setattr(module, name, values)
        assert getattr(module, name).tolist() == pytest.approx(values, rel=1e-5, abs=1e-7)
        module = module.double()
        setattr(module, name, torch.tensor(values, dtype=torch.float64))
        assert getattr(module, name).tolist() == pytest.approx(values, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_one_number_serves_all_neurons(name):
    module = Vectors(**{name: 0.7})
    assert getattr(module, name).shape == (3,)
    assert getattr(module, name).tolist() == pytest.approx([0.7] * 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("raw", [-1e30, -200.0, 0.0, 80.0, 1e30])
def test_value_stays_in_range_for_any_raw_value(name, raw):
    module = Vectors()
    kind = getattr(Vectors, name)
    with torch.no_grad():
        getattr(module, f"raw_{name}").fill_(raw)
    value = getattr(module, name)
    assert not bool(torch.isnan(value).any())
    assert bool((value >= kind.lower).all())
    assert kind.upper is None or bool((value <= kind.upper).all())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_value_stays_in_range_under_an_optimiser(name, optimizer):
    module = Vectors()
    step = optimizer(module.parameters(), lr=3.0)
    kind = getattr(Vectors, name)
    for _ in range(20):
        step.zero_grad()
        getattr(module, name).sum().backward()  # pushes towards the lower bound
        step.step()
    assert bool((getattr(module, name) >= kind.lower).all())


@pytest.mark.parametrize("name", NAMES)
def test_gradient_reaches_the_raw_parameter(name):
    module = Vectors().double()
    raw = getattr(module, f"raw_{name}")

    def value(raw):
        return torch.func.functional_call(_Reader(module, name), {f"module.raw_{name}": raw}, ())

    torch.autograd.gradcheck(value, (raw.detach().clone().requires_grad_(),))


class _Reader(nn.Module):
    def __init__(self, module, name):
        super().__init__()
        self.module, self.name = module, name

    def forward(self):
        return getattr(self.module, self.name)


@pytest.mark.parametrize("name", NAMES)
def test_lower_bound_can_be_assigned_and_stays(name):
    lower = getattr(Vectors, name).lower
    module = Vectors(**{name: lower})
    assert getattr(module, name).tolist() == pytest.approx([lower] * 3)
    getattr(module, name).sum().backward()
    grad = getattr(module, f"raw_{name}").grad
    assert grad.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bounded", 0.99, r"bounded: got values from 0.99 to 0.99, expected 0 <= bounded < 0.99"),
        ("bounded", -0.1, "bounded: got values from -0.1 to -0.1"),
        ("bounded", [0.1, 0.2, 1.5], "bounded: got values from 0.1 to 1.5"),
        ("shifted", 3.0, "expected -1 <= shifted < 3"),
        ("positive", -1e-9, "expected 0 <= positive < inf"),
        ("positive", float("inf"), "positive: got values from inf to inf"),
        ("positive", float("nan"), "positive: got values from nan to nan"),
        ("time", 0.0, "expected 0.05 <= time < inf"),
        ("time", [1.0, 2.0], r"time: got shape \(2,\), expected one value or one for each of 3"),
        ("time", [[1.0, 2.0, 3.0]], r"time: got shape \(1, 3\)"),
    ],
)
def test_values_out_of_range_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        Vectors(**{name: value})
    module = Vectors()
    before = getattr(module, name).clone()
    with pytest.raises(ValueError, match=message):
        setattr(module, name, value)
    assert torch.equal(getattr(module, name), before)


def test_per_neuron_makes_a_copy_in_float64():
    given = torch.ones(3)
    made = per_neuron("v", given, 3)
    made.zero_()
    assert given.tolist() == [1.0, 1.0, 1.0]
    assert made.dtype == torch.float64
    assert per_neuron("v", 2, 4).tolist() == [2.0] * 4


def test_a_value_at_its_bound_survives_weight_decay():
    neuron = phc.ALIF(2, suppression_strength=0.0)
    optimizer = torch.optim.Adam(neuron.parameters(), lr=0.1, weight_decay=1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        neuron.scan(torch.randn(10, 2, 2))[1].square().sum().backward()
        optimizer.step()
    assert neuron.suppression_strength.tolist() == [0.0, 0.0]


def test_a_time_constant_driven_far_stays_finite():
    neuron = phc.ALIF(2)
    with torch.no_grad():
        neuron.raw_adaptation_time.fill_(500.0)
    neuron.scan(torch.randn(10, 2, 2))[1].sum().backward()
    assert bool(torch.isfinite(neuron.adaptation_time).all())
    assert bool(torch.isfinite(neuron.raw_adaptation_time.grad).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_exact_value_is_read_as_it_was_assigned(dtype):
    """As snnTorch's decays are, to compute the same bits."""
    values = torch.tensor([i / 100 for i in range(30, 101)], dtype=dtype)
    neuron = phc.LIF(len(values)).to(dtype)
    neuron.membrane_decay = values
    assert torch.equal(neuron.membrane_decay.detach(), values)
    # Below, the sigmoid has fewer digits than the number; it comes as near as they allow.
    small = torch.linspace(0.0, 0.3, 1001, dtype=dtype)
    neuron = phc.LIF(len(small)).to(dtype)
    neuron.membrane_decay = small
    error = (neuron.membrane_decay.detach() - small).abs()
    assert float(error.max()) <= 0.26 * torch.finfo(dtype).eps
    assert float(error[0]) == 0.0
