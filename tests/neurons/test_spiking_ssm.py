"""SpikingSSM: the published equations, and the fixed-point form."""

import pytest
import torch

import phc_snn as phc
from phc_snn.kernels import chain_refusal
from phc_snn.neurons import spiking_ssm
from phc_snn.state import map_state
from tests.neurons.networks import assert_sweeps_find_the_spikes, assert_works_in_a_network
from tests.neurons.published import LENGTHS, assert_published, triangle
from tests.neurons.test_s4d import filtered
from tests.processes import MODELS, signal, vary
from tests.tolerances import assert_near


def spiking_ssm_oracle(x, state, p):
    y, modes = filtered(x, state, p)
    u, rows = state["membrane"], []
    for current in (y / torch.exp(p["raw_threshold_scale"])).unbind(0):
        v = 0.125 * u + current
        s = triangle(v - 1.0)
        u = (1 - s.detach()) * v
        rows.append((s, v))
    outputs = [torch.stack(column) for column in zip(*rows, strict=True)]
    return outputs, {**modes, "membrane": u}


def make():
    return vary(MODELS["SpikingSSM"]())


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("start", ["zero", "random"])
def test_is_what_was_published(start, steps):
    neuron = make()
    state = neuron.initial_state(3, dtype=torch.float64)
    if start == "random":
        state = map_state(torch.randn_like, state)
    x = 2.0 * signal(neuron, steps)
    assert 0.05 < float(neuron.scan(x)[0].detach().mean()) < 0.9
    assert_published(neuron, spiking_ssm_oracle, x, state)


def test_works_in_a_network():
    assert_works_in_a_network(make())


def test_one_compiled_loop_does_the_reset():
    c = make().coefficients(torch.float64)
    firing = spiking_ssm._Firing(c.membrane_decay, c.threshold, c.emit)
    resting = spiking_ssm._Membrane(torch.zeros(3, 5, dtype=torch.float64))
    stage = phc.kernels.Stage(spiking_ssm._fire, firing, resting)
    assert chain_refusal([stage], signal(make(), 5)) is None


@torch.no_grad()
def test_sweeps_find_the_same_spikes():
    neuron = make()
    x = 2.0 * signal(neuron, 200)
    start = assert_sweeps_find_the_spikes(neuron, x, signal(neuron, 30, seed=1))
    short = neuron.by_sweeps(x, start, max_sweeps=1)
    assert not bool(short.certified.all())


@torch.no_grad()
def test_the_threshold_divides_the_current():
    neuron = phc.SpikingSSM(3, membrane_decay=0.0)
    x = torch.randn(20, 2, 3)
    current = neuron.scan(x)[1]
    neuron.threshold_scale = [0.5, 1.0, 2.0]
    assert_near(neuron.scan(x)[1] * torch.tensor([0.5, 1.0, 2.0]), current)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"membrane_decay: got 1\.5, expected 0 <= membrane_decay"):
        phc.SpikingSSM(3, membrane_decay=1.5)
    with pytest.raises(ValueError, match="reset_mechanism: got 'none'"):
        phc.SpikingSSM(3, reset_mechanism="none")
    with pytest.raises(ValueError, match="backend 'associative' does not take what feeds back"):
        phc.SpikingSSM(3).scan(torch.zeros(4, 2, 3), backend="associative")
