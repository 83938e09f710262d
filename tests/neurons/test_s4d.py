"""S4D and its binary form: the published equations."""

import math

import pytest
import torch

import phc_snn as phc
from tests.neurons.networks import assert_works_in_a_network
from tests.neurons.published import LENGTHS, Published, assert_published_from, rate
from tests.processes import MODELS, signal, vary
from tests.tolerances import assert_near


def filtered(x, state, p):
    """The published filter, in complex numbers."""
    rate = -torch.exp(p["log_rate"]) + 1j * p["frequency"]
    decay = torch.exp(rate * torch.exp(p["raw_time_step"]))
    weight = torch.complex(p["output_real"], p["output_imaginary"]) * (decay - 1) / rate
    h, rows = torch.complex(state["real"], state["imaginary"]), []
    for x_t in x.unbind(0):
        h = decay * h + x_t[:, None]
        rows.append(2 * (weight * h).sum(-2).real + p["feedthrough"] * x_t)
    return torch.stack(rows), {"real": h.real, "imaginary": h.imag}


def s4d(x, state, p):
    y, state = filtered(x, state, p)
    return [rate(y), y], state


def binary_s4d(x, state, p):
    y, state = filtered(x, state, p)
    return [Published.apply(y, lambda y: 1 / (4 * y.abs() + 1) ** 2), y], state


ORACLES = {"S4D": s4d, "BinaryS4D": binary_s4d}


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("start", ["zero", "random"])
@pytest.mark.parametrize("model", ORACLES)
def test_is_what_was_published(model, start, steps):
    assert_published_from(vary(MODELS[model]()), ORACLES[model], steps, start)


@pytest.mark.parametrize("model", ORACLES)
def test_works_in_a_network(model):
    assert_works_in_a_network(vary(MODELS[model]()))


@torch.no_grad()
def test_a_spike_function_makes_it_binary():
    plain, firing = phc.S4D(4), phc.S4D(4, spike_grad=phc.FastSigmoid(), threshold=0.1)
    firing.load_state_dict({**plain.state_dict(), "threshold": firing.threshold})
    x = signal(plain, 30).float()
    out, y, _ = plain.scan(x)
    spikes, same, _ = firing.scan(x)
    assert torch.equal(same, y)
    assert torch.equal(out, phc.RectifiedTanh()(y))
    assert torch.equal(spikes, (y > 0.1).float())


@torch.no_grad()
def test_first_values_are_the_published_ones():
    neuron = phc.S4D(2000)
    assert neuron.log_rate.shape == (32, 2000)
    assert_near(neuron.log_rate.exp(), torch.full((32, 2000), 0.5))
    assert_near(neuron.frequency[:, 7], math.pi * torch.arange(32))
    steps = neuron.time_step
    assert 0.00099 < float(steps.min()) < 0.00102
    assert 0.098 < float(steps.max()) < 0.1001
    assert float(steps.median()) == pytest.approx(0.01, rel=0.1)
    for part in (neuron.output_real, neuron.output_imaginary):
        assert float(part.std()) == pytest.approx(math.sqrt(0.5), rel=0.02)
    assert float(neuron.feedthrough.std()) == pytest.approx(1.0, rel=0.1)


def test_a_generator_makes_it_repeatable():
    make = lambda: phc.S4D(9, generator=torch.Generator().manual_seed(3))  # noqa: E731
    for one, other in zip(make().parameters(), make().parameters(), strict=True):
        assert torch.equal(one, other)


@torch.no_grad()
def test_short_steps_keep_their_digits():
    """exp(A dt) - 1 is a small difference: float32 would have three digits of it left."""
    neuron = phc.S4D(3, modes=5, time_step=1e-5)
    exact = neuron.filter(torch.float64)
    for got, wanted in zip(neuron.filter(torch.float32), exact, strict=True):
        assert torch.allclose(got.double(), wanted, rtol=1e-7, atol=0.0)


def test_a_wrong_number_of_modes_is_refused():
    with pytest.raises(ValueError, match="modes: got 0, expected a positive integer"):
        phc.S4D(3, modes=0)
