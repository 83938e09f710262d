"""LinOSS: the published equations, energy, and the form that is parallel over time."""

import pytest
import torch

import phc_snn as phc
from phc_snn.kernels import Stage, chain_refusal
from phc_snn.neurons import linoss
from phc_snn.state import map_state, tensors
from tests.neurons.networks import assert_works_in_a_network
from tests.neurons.published import LENGTHS, assert_published, rate
from tests.neurons.test_lru_s5 import matrices
from tests.processes import MODELS, in_steps, outputs_of, signal, vary
from tests.tolerances import assert_near


def _linoss(x, state, p, implicit):
    into, out, feedthrough = matrices(p)
    stiffness, step = torch.relu(p["stiffness"]), torch.sigmoid(p["raw_time_step"])
    z, y = (torch.complex(*state[name].chunk(2, -1)) for name in ("velocity", "position"))
    rows = []
    for x_t in x.unbind(0):
        z = z + step * (x_t.to(into.dtype) @ into.T - stiffness * y)
        if implicit:
            z = z / (1 + step**2 * stiffness)
        y = y + step * z
        rows.append((y @ out.T).real + feedthrough * x_t)
    after = {"velocity": z, "position": y}
    output = torch.stack(rows)
    return [rate(output), output], {
        name: torch.cat([value.real, value.imag], -1) for name, value in after.items()
    }


ORACLES = {
    "LinOSS-IM": lambda x, state, p: _linoss(x, state, p, True),
    "LinOSS-IMEX": lambda x, state, p: _linoss(x, state, p, False),
}


def random_state(neuron):
    return map_state(torch.randn_like, neuron.initial_state(3, dtype=torch.float64))


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("start", ["zero", "random"])
@pytest.mark.parametrize("model", ORACLES)
def test_is_what_was_published(model, start, steps):
    neuron = vary(MODELS[model]())
    zero = neuron.initial_state(3, dtype=torch.float64)
    state = zero if start == "zero" else random_state(neuron)
    assert_published(neuron, ORACLES[model], signal(neuron, steps), state)


@pytest.mark.parametrize("model", ORACLES)
def test_works_in_a_network(model):
    assert_works_in_a_network(vary(MODELS[model]()))


@pytest.mark.parametrize("model", ORACLES)
def test_is_parallel_over_time_if_asked(model):
    """Outputs, state and every gradient of a thousand steps."""
    neuron = vary(MODELS[model]()).double()
    found = []
    for backend in ("auto", "associative"):
        x = signal(neuron, 1000).requires_grad_()
        torch.manual_seed(1)
        state = map_state(torch.Tensor.requires_grad_, random_state(neuron))
        results = outputs_of(neuron.scan(x, state, backend=backend))
        total = sum((r * torch.linspace(-1.0, 1.0, r.shape[-1])).sum() for r in results)
        leaves = [x, *tensors(state), *neuron.parameters()]
        found.append((*results, *torch.autograd.grad(total, leaves, allow_unused=True)))
    for got, wanted in zip(*found, strict=True):
        assert (got is None) == (wanted is None)
        if wanted is not None:
            assert_near(got, wanted)


def test_one_compiled_loop_does_a_sequence():
    for dtype in (torch.float32, torch.float64):
        motion = phc.LinOSS(3).coefficients(dtype).motion
        resting = phc.LinOSSState(*torch.zeros(2, 2, 6, dtype=dtype))
        stage = Stage(linoss._oscillate, motion, resting)
        assert chain_refusal([stage], torch.zeros(5, 2, 6, dtype=dtype)) is None


@torch.no_grad()
def test_what_the_reference_loop_gives_has_the_same_bits():
    for model in ORACLES:
        neuron = vary(MODELS[model]())
        x, state = signal(neuron, 30), random_state(neuron)
        for got, wanted in zip(
            outputs_of(neuron.scan(x, state, backend="reference")),
            outputs_of(in_steps(neuron, x, state)),
            strict=True,
        ):
            assert torch.equal(got, wanted)


@torch.no_grad()
@pytest.mark.parametrize("model", [phc.LinOSS, phc.LinOSSIMEX])
def test_energy(model):
    """Half a step apart, z^2 + A y^2 - step A y z stays for ever; the implicit form loses it."""
    neuron = model(3, states=4).double()
    stiffness, step = (v.repeat(2) for v in (neuron.stiffness, neuron.time_step))

    def energy(state):
        z, y = state.velocity, state.position
        return z * z + stiffness * y * y - step * stiffness * y * z

    start = random_state(neuron)
    *_, state = neuron.scan(torch.zeros(3000, 3, 3, dtype=torch.float64), start)
    share = energy(state) / energy(start)
    if model is phc.LinOSSIMEX:
        assert not neuron.forgets
        assert_near(share, torch.ones_like(share), 1e-11)
    else:
        assert neuron.forgets
        assert bool((share < 0.01).all())


def test_first_values_are_the_published_ones():
    neuron = phc.LinOSS(400, states=900).requires_grad_(False)
    assert 0.0 <= float(neuron.stiffness.min()) < 0.01
    assert 0.99 < float(neuron.stiffness.max()) <= 1.0
    assert 0.5 <= float(neuron.time_step.min()) < 0.502
    assert 0.729 < float(neuron.time_step.max()) <= 0.7311
    assert float(neuron.input_real.abs().max()) == pytest.approx(1 / 20, rel=0.001)
    assert float(neuron.output_imaginary.abs().max()) == pytest.approx(1 / 30, rel=0.001)
    one, other = (phc.LinOSS(9, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_stiffness_below_zero_is_none_and_gets_no_gradient():
    neuron = phc.LinOSS(3, stiffness=[-0.2, 0.0, 0.4])
    neuron.scan(torch.randn(20, 2, 3))[1].square().sum().backward()
    assert float(neuron.stiffness.grad[0]) == 0.0 != float(neuron.stiffness.grad[2])
    motion = neuron.coefficients(torch.float64).motion
    assert motion.position_to_velocity[:3].detach().tolist()[:2] == [0.0, 0.0]


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="states: got -1"):
        phc.LinOSS(3, states=-1)
    with pytest.raises(ValueError, match=r"stiffness: got shape \(3,\)"):
        phc.LinOSS(3, states=4, stiffness=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="'log' does not take two states that drive one another"):
        phc.LinOSS(3).scan(torch.zeros(4, 2, 3), backend="log")
