"""LrcSSM: the published equations, and Newton's method over a sequence."""

import pytest
import torch

import phc_snn as phc
from phc_snn.kernels import chain_refusal
from tests.neurons.networks import assert_works_in_a_network
from tests.neurons.published import LENGTHS, assert_published, rate
from tests.processes import MODELS, signal, vary
from tests.tolerances import assert_near

FORMS = ("LrcSSM", "LrcSSM-symmetric")


def lrc_ssm(x, state, p):
    h, rows = state["membrane"], []
    for x_t in x.unbind(0):
        sensed = torch.sigmoid(p["sensory_sigma"] * (x_t - p["sensory_mu"]))
        felt = torch.sigmoid(p["sigma"] * (h - p["mu"]))
        a = -torch.sigmoid(p["gleak"] + p["sensory_w"] * sensed + p["w"] * felt)
        b = p["vleak"] * torch.tanh(p["gleak"] + p["sensory_h"] * sensed + p["h"] * felt)
        charge = p["elastance_kernel"] * h + p["elastance_bias"]
        if "elastance_shift" in p:
            shift = p["elastance_shift"]
            elastance = torch.sigmoid(charge + shift) - torch.sigmoid(charge - shift)
        else:
            elastance = torch.sigmoid(charge)
        h = h + elastance * (a * h + b)
        rows.append(h)
    y = torch.stack(rows)
    # The threshold in `MODELS` is -1.
    return [rate(y + 1.0), y], {"membrane": h}


@pytest.mark.parametrize("steps", LENGTHS)
@pytest.mark.parametrize("start", ["zero", "random"])
@pytest.mark.parametrize("model", FORMS)
def test_is_what_was_published(model, start, steps):
    neuron = vary(MODELS[model]())
    state = neuron.initial_state(3, dtype=torch.float64)
    if start == "random":
        state = phc.LrcSSMState(torch.randn_like(state.membrane))
    assert_published(neuron, lrc_ssm, 2.0 * signal(neuron, steps), state)


@pytest.mark.parametrize("model", FORMS)
def test_works_in_a_network(model):
    assert_works_in_a_network(vary(MODELS[model]()))


@pytest.mark.parametrize("model", FORMS)
def test_one_compiled_loop_does_a_sequence(model):
    neuron = MODELS[model]()
    x = signal(neuron, 5)
    stage = neuron.stage(neuron.coefficients(x.dtype), neuron.initial_state(3, dtype=x.dtype))
    assert chain_refusal([stage], x) is None


@torch.no_grad()
@pytest.mark.parametrize("elastance", ["single", "symmetric"])
@pytest.mark.parametrize("steps", [50, 1000])
def test_newton_needs_a_few_sweeps(steps, elastance):
    neuron = phc.LrcSSM(32, elastance=elastance).double()
    x = 2.0 * torch.randn(steps, 4, 32, dtype=torch.float64)
    far = phc.LrcSSMState(torch.randn(4, 32, dtype=torch.float64))  # it never goes that far itself
    for start, most in ((None, 6), (far, 9)):
        outputs = neuron.scan(x, start)
        found = neuron.by_newton(x, start)
        assert bool(found.converged.all())
        assert 3 <= int(found.sweeps.min())
        assert int(found.sweeps.max()) <= most
        assert float(found.residual.max()) <= 1e-13
        for got, wanted in zip(found[:2], outputs[:2], strict=True):
            assert_near(got, wanted)
        assert_near(found.state.membrane, outputs[2].membrane)


@torch.no_grad()
def test_newton_in_float32():
    neuron = phc.LrcSSM(16)
    x = torch.randn(300, 3, 16)
    found = neuron.by_newton(x)
    assert bool(found.converged.all())
    assert int(found.sweeps.max()) <= 6
    assert_near(found.membrane, neuron.scan(x)[1])


@torch.no_grad()
def test_a_sweep_makes_at_least_one_more_step_right():
    """Also where neurons are bistable, and sweeps overshoot on the way."""
    neuron = phc.LrcSSM(16).double()
    for name, value in (("sigma", 12.0), ("h", 1.5), ("vleak", 1.0), ("gleak", -0.2)):
        getattr(neuron, name).fill_(value)
    x = torch.randn(60, 4, 16, dtype=torch.float64)
    membrane = neuron.scan(x)[1]
    for sweeps in (1, 5, 20):
        found = neuron.by_newton(x, max_sweeps=sweeps)
        assert_near(found.membrane[:sweeps], membrane[:sweeps], 1e-9)
    whole = neuron.by_newton(x)
    assert bool(whole.converged.all())
    assert_near(whole.membrane, membrane, 1e-9)


@torch.no_grad()
def test_newton_reports_what_it_did_not_reach():
    neuron = phc.LrcSSM(8).double()
    x = torch.randn(50, 3, 8, dtype=torch.float64)
    short = neuron.by_newton(x, max_sweeps=2)
    assert short.sweeps.tolist() == [2, 2, 2]
    assert not bool(short.converged.any())
    assert bool((short.residual > 1e-13).all())
    assert bool(neuron.by_newton(x, max_sweeps=2, tolerance=0.1).converged.all())


@torch.no_grad()
def test_a_sample_does_not_depend_on_its_batch_mates():
    neuron = phc.LrcSSM(8).double()
    x = torch.randn(50, 3, 8, dtype=torch.float64)
    x[:, 1] = 0.0  # done sooner than the others
    together = neuron.by_newton(x)
    for i in range(3):
        alone = neuron.by_newton(x[:, i : i + 1])
        assert torch.equal(alone.membrane, together.membrane[:, i : i + 1])
        assert torch.equal(alone.sweeps, together.sweeps[i : i + 1])
        assert torch.equal(alone.residual, together.residual[i : i + 1])


@torch.no_grad()
def test_newton_over_no_steps():
    neuron = phc.LrcSSM(3)
    state = phc.LrcSSMState(torch.rand(2, 3))
    found = neuron.by_newton(torch.zeros(0, 2, 3), state)
    assert found.membrane.shape == (0, 2, 3)
    assert torch.equal(found.state.membrane, state.membrane)
    assert found.sweeps.tolist() == [0, 0]
    assert bool(found.converged.all())


def test_wrong_arguments_are_refused():
    neuron, x = phc.LrcSSM(3), torch.zeros(4, 2, 3)
    with pytest.raises(ValueError, match="elastance: got 'double', expected 'single' or"):
        phc.LrcSSM(3, elastance="double")
    with pytest.raises(ValueError, match="max_sweeps: got 0"):
        neuron.by_newton(x, max_sweeps=0)
    with pytest.raises(ValueError, match=r"tolerance: got -1\.0, expected 0 or more"):
        neuron.by_newton(x, tolerance=-1.0)
    with pytest.raises(TypeError, match=r"x_seq: got torch\.bfloat16, expected float32 or float64"):
        neuron.by_newton(x.bfloat16())
    with pytest.raises(ValueError, match="x_seq"):
        neuron.by_newton(x[..., :2])
    with pytest.raises(ValueError, match="backend 'associative' does not take what feeds back"):
        neuron.scan(x, backend="associative")


def test_a_generator_makes_it_repeatable():
    one, other = (phc.LrcSSM(9, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not hasattr(one, "elastance_shift")
    assert bool((phc.LrcSSM(9, elastance="symmetric").elastance_shift >= 0.5).all())
