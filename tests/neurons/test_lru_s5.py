"""LRU and S5: the published equations and first values."""

import math

import pytest
import torch

import phc_snn as phc
from phc_snn.neurons.statespace import hippo_legs
from tests.neurons.networks import assert_works_in_a_network
from tests.neurons.published import LENGTHS, assert_published_from, rate
from tests.processes import MODELS, vary
from tests.tolerances import assert_near


def matrices(p):
    into = torch.complex(p["input_real"], p["input_imaginary"])
    return into, torch.complex(p["output_real"], p["output_imaginary"]), p["feedthrough"]


def _linear(x, state, p, decay, gain, factor):
    into, out, feedthrough = matrices(p)
    h, rows = torch.complex(state["real"], state["imaginary"]), []
    for x_t in x.unbind(0):
        h = decay * h + x_t.to(into.dtype) @ (gain[:, None] * into).T
        rows.append(factor * (h @ out.T).real + feedthrough * x_t)
    y = torch.stack(rows)
    return [rate(y), y], {"real": h.real, "imaginary": h.imag}


def lru(x, state, p):
    decay = torch.exp(-torch.exp(p["log_rate"]) + 1j * torch.exp(p["log_angle"]))
    return _linear(x, state, p, decay, torch.exp(p["log_gain"]), 1.0)


def _s5(x, state, p, discretization):
    step = torch.exp(p["raw_time_step"])
    rate = p["rate"].clamp(max=-1e-4) + 1j * p["frequency"]
    if discretization == "zoh":
        decay = torch.exp(rate * step)
        gain = (decay - 1) / rate
    else:
        decay = (1 + step / 2 * rate) / (1 - step / 2 * rate)
        gain = step / (1 - step / 2 * rate)
    return _linear(x, state, p, decay, gain, 2.0)


ORACLES = {
    "LRU": lru,
    "S5": lambda x, state, p: _s5(x, state, p, "zoh"),
    "S5-bilinear": lambda x, state, p: _s5(x, state, p, "bilinear"),
}


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("start", ["zero", "random"])
@pytest.mark.parametrize("model", ORACLES)
def test_is_what_was_published(model, start, steps):
    assert_published_from(vary(MODELS[model]()), ORACLES[model], steps, start)


@pytest.mark.parametrize("model", ORACLES)
def test_works_in_a_network(model):
    assert_works_in_a_network(vary(MODELS[model]()))


@torch.no_grad()
def test_decays_of_an_lru_fill_a_ring():
    unit = phc.LRU(2, states=20_000, radius=(0.5, 0.9), phase=1.5)
    c = unit.coefficients(torch.float64)
    size = torch.hypot(c.decay_real, c.decay_imaginary)
    assert 0.4999 < float(size.min()) < 0.51
    assert 0.89 < float(size.max()) < 0.9001
    # Evenly over the area: half of them lie beyond the radius that halves it.
    assert float((size**2 > (0.5**2 + 0.9**2) / 2).double().mean()) == pytest.approx(0.5, abs=0.02)
    angle = torch.atan2(c.decay_imaginary, c.decay_real)
    assert 0.0 < float(angle.min()) < 0.001
    assert 1.499 < float(angle.max()) < 1.5001
    assert_near(torch.exp(unit.log_gain), torch.sqrt(1 - size**2).float())
    assert float(unit.input_real.std()) == pytest.approx(0.5, rel=0.02)
    assert float(unit.output_imaginary.std()) == pytest.approx(1 / math.sqrt(20_000), rel=0.02)
    whole = phc.LRU(2, states=20_000)
    assert all(bool(torch.isfinite(p).all()) for p in whole.parameters())


def test_s5_starts_from_the_eigenvalues_of_hippo():
    """The matrix and its low-rank part, written down as they are defined."""
    states = 6
    n = torch.arange(2 * states, dtype=torch.float64)
    root = torch.sqrt(2 * n + 1)
    hippo = -(torch.tril(root[:, None] * root, -1) + torch.diag(n + 1))
    low = torch.sqrt(n + 0.5)
    normal = (hippo + low[:, None] * low).to(torch.complex128)
    values, vectors = hippo_legs(states)
    assert_near(normal @ vectors, vectors * values)
    assert bool((values.imag < 0).all())
    assert_near(vectors.mH @ vectors, torch.eye(states, dtype=torch.complex128))
    layer = phc.S5(3, states=states)
    assert_near(layer.frequency, values.imag.float())
    assert_near(layer.rate, torch.full((states,), -0.5))


@torch.no_grad()
def test_first_values_of_s5():
    layer = phc.S5(400, states=50)
    assert 0.00099 < float(layer.time_step.min()) < 0.0015
    assert 0.08 < float(layer.time_step.max()) < 0.1001
    # B' has variance 1/100, half of it in either part of V* B'; C' has as much in both of its own.
    for part, variance in (
        (layer.input_real, 0.005),
        (layer.input_imaginary, 0.005),
        (layer.output_real, 0.01),
        (layer.output_imaginary, 0.01),
    ):
        assert float(part.square().mean()) == pytest.approx(variance, rel=0.05)


def test_a_rate_beyond_its_bound_gets_no_gradient():
    layer = phc.S5(3, states=2, time_step=0.1)
    with torch.no_grad():
        layer.rate[0] = 0.3
    layer.scan(torch.randn(20, 2, 3))[1].square().sum().backward()
    assert float(layer.rate.grad[0]) == 0.0 != float(layer.rate.grad[1])
    c = layer.coefficients(torch.float64)
    assert bool((torch.hypot(c.decay_real, c.decay_imaginary) < 1.0).all())


@pytest.mark.parametrize("kind", [phc.LRU, phc.S5])
def test_a_generator_makes_it_repeatable(kind):
    one, other = (kind(9, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert one.states == 9


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="states: got 0, expected a positive integer"):
        phc.LRU(3, states=0)
    with pytest.raises(ValueError, match=r"radius: got \(0\.9, 0\.2\), expected 0 <= inner"):
        phc.LRU(3, radius=(0.9, 0.2))
    with pytest.raises(ValueError, match=r"phase: got 0\.0, expected a positive angle"):
        phc.LRU(3, phase=0.0)
    with pytest.raises(ValueError, match="discretization: got 'euler', expected 'zoh' or"):
        phc.S5(3, discretization="euler")
