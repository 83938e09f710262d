"""The SiLIF family: the published equations, and the fixed-point form."""

import math

import pytest
import torch

import phc_snn as phc
from tests.neurons.networks import assert_sweeps_find_the_spikes
from tests.neurons.published import LENGTHS, assert_published, boxcar
from tests.processes import MODELS, vary
from tests.tolerances import assert_near

FAMILY = ("NormalizedLIF", "AdLIF", "CAdLIF", "SiLIF", "CSiLIF")


def lif(x, state, parameters):
    decay = parameters["raw_membrane_decay"].clamp(math.exp(-1 / 5), math.exp(-1 / 25))
    u, s, rows = state["membrane"], state["spikes"], []
    for current in x.unbind(0):
        u = decay * (u - s) + (1 - decay) * current
        s = boxcar(u - 1.0)
        rows.append((s, u))
    return [torch.stack(column) for column in zip(*rows, strict=True)], {"membrane": u, "spikes": s}


def _adaptive(x, state, al, be, a, b):
    w, s, u = state["adaptation"], state["spikes"], state["membrane"]
    rows = []
    for current in x.unbind(0):
        w = be * w + a * u + b * s
        u = al * (u - s) + (1 - al) * (current - w)
        s = boxcar(u - 1.0)
        rows.append((s, u))
    outputs = [torch.stack(column) for column in zip(*rows, strict=True)]
    return outputs, {"adaptation": w, "spikes": s, "membrane": u}


def adlif(x, state, p):
    al = p["raw_membrane_decay"].clamp(math.exp(-1 / 5), math.exp(-1 / 25))
    be = p["raw_adaptation_decay"].clamp(math.exp(-1 / 30), math.exp(-1 / 120))
    return _adaptive(x, state, al, be, p["raw_a"].clamp(-1, 1), p["raw_b"].clamp(0, 2))


def cadlif(x, state, p):
    al, be = p["raw_membrane_decay"].clamp(0.36, 0.96), p["raw_adaptation_decay"].clamp(0.96, 0.99)
    return _adaptive(x, state, al, be, p["raw_a"].clamp(0, 1), p["raw_b"].clamp(0, 2))


def silif(x, state, p):
    al = torch.exp(-torch.exp(p["raw_membrane_rate"] + p["raw_time_step"]))
    be = torch.exp(-torch.exp(p["raw_adaptation_rate"] + p["raw_time_step"]))
    return _adaptive(x, state, al, be, p["raw_a"].clamp(0, 1), p["raw_b"].clamp(0, 2))


def csilif(x, state, p):
    rate = -torch.exp(p["raw_decay_rate"]) + 1j * p["frequency"]
    al = torch.exp(rate * torch.exp(p["raw_time_step"]))
    u, s, rows = torch.complex(state["membrane"], state["imaginary"]), state["spikes"], []
    for current in x.unbind(0):
        u = al * (u - s / 2) + p["b"] * current
        s = boxcar(2 * u.real - 1.0)
        rows.append((s, 2 * u.real))
    outputs = [torch.stack(column) for column in zip(*rows, strict=True)]
    return outputs, {"spikes": s, "imaginary": u.imag, "membrane": u.real}


ORACLES = dict(zip(FAMILY, (lif, adlif, cadlif, silif, csilif), strict=True))


def drive(steps, gain=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return gain * torch.rand(steps, 3, 5, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("start", ["zero", "random"])
@pytest.mark.parametrize("model", FAMILY)
def test_is_what_was_published(model, start, steps):
    neuron = vary(MODELS[model]())
    make = neuron.initial_state if start == "zero" else neuron.random_state
    x = drive(steps, gain=8.0)
    assert 0.01 < float(neuron.scan(x)[0].detach().mean()) < 0.9
    assert_published(neuron, ORACLES[model], x, make(3, dtype=torch.float64))


@pytest.mark.parametrize("model", FAMILY)
def test_one_compiled_loop_does_a_sequence(model):
    """No scan is exact here, and a loop of tensor operations would be slow."""
    from phc_snn.kernels import chain_refusal

    neuron = MODELS[model]()
    x = drive(5)
    stage = neuron.stage(neuron.coefficients(x.dtype), neuron.initial_state(3, dtype=x.dtype))
    assert chain_refusal([stage], x) is None


@pytest.mark.parametrize("model", FAMILY)
def test_sweeps_find_the_same_spikes(model):
    past = drive(30, gain=8.0, seed=1)
    assert_sweeps_find_the_spikes(vary(MODELS[model]()), drive(200, gain=8.0), past)


@pytest.mark.parametrize("model", FAMILY)
def test_too_few_sweeps_are_not_certified(model):
    neuron = vary(MODELS[model]())
    x = drive(200, gain=8.0)
    short = neuron.by_sweeps(x, max_sweeps=2)
    assert short.sweeps == 2
    assert not bool(short.certified.all())
    wrong = (short.spikes != neuron.scan(x)[0]).any(-1).any(0)
    assert bool(wrong.any())
    assert not bool((wrong & short.certified).any())


def test_sweeps_of_no_steps():
    neuron = phc.SiLIF(3)
    state = neuron.random_state(2)
    swept = neuron.by_sweeps(torch.zeros(0, 2, 3), state)
    assert swept.spikes.shape == (0, 2, 3)
    assert swept.sweeps == 0
    assert swept.state is state
    assert swept.certified.tolist() == [True, True]


def test_sweeps_refuse_what_scan_refuses():
    with pytest.raises(ValueError, match="x_seq"):
        phc.SiLIF(3).by_sweeps(torch.zeros(4, 2, 5))
    with pytest.raises(ValueError, match="max_sweeps: got 0"):
        phc.SiLIF(3).by_sweeps(torch.zeros(4, 2, 3), max_sweeps=0)


def test_a_state_is_drawn_if_asked():
    neuron = phc.SiLIF(50)
    state = neuron.random_state(4, generator=torch.Generator().manual_seed(1))
    again = neuron.random_state(4, generator=torch.Generator().manual_seed(1))
    assert all(torch.equal(a, b) for a, b in zip(state, again, strict=True))
    for part in state:
        assert float(part.min()) >= 0.0
        assert float(part.max()) < 1.0
        assert float(part.std()) > 0.2
    assert not any(bool(part.any()) for part in neuron.initial_state(4))


def test_first_values_are_in_the_published_ranges():
    neuron = phc.SiLIF(2000).requires_grad_(False)
    assert 10.0 <= float(neuron.membrane_rate.min()) < 12.0
    assert 240.0 < float(neuron.membrane_rate.max()) <= 250.001
    assert 2.499 <= float(neuron.adaptation_rate.min()) < 2.6
    assert 9.8 < float(neuron.adaptation_rate.max()) <= 10.001
    assert_near(neuron.time_step, torch.full((2000,), 0.004))
    # Even in the logarithm: the median is the geometric mean of the ends.
    assert float(neuron.membrane_rate.median()) == pytest.approx(50.0, rel=0.1)
    resonator = phc.CSiLIF(2000, longest=5.0).requires_grad_(False)
    assert_near(resonator.decay_rate, torch.full((2000,), 0.5))
    assert float(resonator.frequency[0]) == pytest.approx(math.pi)
    assert 0.0099 < float(resonator.time_step.min()) < 0.0105
    assert 4.8 < float(resonator.time_step.max()) <= 5.001


def test_a_generator_makes_it_repeatable():
    make = lambda: phc.SiLIF(9, generator=torch.Generator().manual_seed(3))  # noqa: E731
    for one, other in zip(make().parameters(), make().parameters(), strict=True):
        assert torch.equal(one, other)


def test_clipped_parameters_get_no_gradient_outside():
    neuron = phc.AdLIF(2, membrane_decay=0.9, a=[0.5, 0.5])
    with torch.no_grad():
        neuron.raw_a[0] = 1.5
    neuron.scan(drive(20).float()[..., :2])[1].sum().backward()
    assert neuron.a.tolist() == [1.0, 0.5]
    outside, inside = neuron.raw_a.grad.tolist()
    assert outside == 0.0 != inside


def test_the_reset_is_part_of_the_equations():
    with pytest.raises(ValueError, match="reset_delay: got False, expected True: SiLIF"):
        phc.SiLIF(3, reset_delay=False)
    with pytest.raises(ValueError, match="reset_mechanism: got 'zero'"):
        phc.SiLIF(3, reset_mechanism="zero")
    with pytest.raises(ValueError, match=r"longest: got 0\.0"):
        phc.CSiLIF(3, longest=0.0)


@torch.no_grad()
@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
def test_inhibition_is_of_what_leaves_the_layer():
    neuron, quiet = phc.SiLIF(4), phc.SiLIF(4, inhibition=True)
    quiet.load_state_dict(neuron.state_dict())
    x = drive(60, gain=8.0).float()[..., :4]
    spikes, voltage, state = neuron.scan(x)
    fewer, same, end = quiet.scan(x)
    assert torch.equal(voltage, same)
    assert torch.equal(state.spikes, end.spikes)
    assert float(fewer.sum(-1).max()) == 1.0 < float(spikes.sum(-1).max())


def test_clipped_parameters_have_a_gradient_on_their_bounds():
    """What starts there, as SiLIF(a=0, b=0) does, can learn."""
    neuron = phc.SiLIF(4, a=0.0, b=0.0, threshold=0.1)
    neuron.scan(drive(50, gain=8.0).float()[..., :4])[1].sum().backward()
    assert bool((neuron.raw_a.grad != 0).all())
    assert bool((neuron.raw_b.grad != 0).all())


@pytest.mark.parametrize("model", [phc.AdLIF, phc.CAdLIF])
def test_what_is_drawn_is_in_range_whatever_float32_makes_of_the_bounds(model):
    neuron = model(4096, generator=torch.Generator().manual_seed(166))
    assert bool((neuron.a >= 0).all())


@torch.no_grad()
def test_fresh_neurons_stay_finite():
    for model in (phc.AdLIF, phc.CAdLIF, phc.SiLIF, phc.CSiLIF, phc.NormalizedLIF):
        neuron = model(256)
        assert bool(torch.isfinite(neuron.scan(torch.randn(1000, 2, 256))[1]).all()), model


@torch.no_grad()
def test_sweeps_of_a_hard_reset_do_not_hang_on_what_is_sent():
    neuron = phc.SpikingSSM(3, modes=4, threshold=0.3, spike_grad=phc.RectifiedTanh())
    x = drive(60).float()[..., :3]
    sent, voltage, _ = neuron.scan(x)
    swept = neuron.by_sweeps(x)
    assert bool(swept.certified.all())
    assert_near(swept.voltage, voltage)
    assert_near(swept.spikes, sent)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("model", [*FAMILY, "SpikingSSM"])
def test_sweeps_in_half_precision(model, dtype):
    neuron = MODELS[model]().to(dtype)
    swept = neuron.by_sweeps(drive(20, gain=8.0).to(dtype))
    assert swept.spikes.dtype == swept.voltage.dtype == dtype
    neuron.by_sweeps(drive(5).to(dtype), swept.state)
