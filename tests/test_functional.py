"""Pure steps: the modules' own, without a module."""

import pytest
import torch

import phc_snn as phc
from phc_snn import functional as F  # noqa: N812
from phc_snn.state import map_state, tensors
from tests.processes import MODELS, signal, vary
from tests.tolerances import assert_near, assert_same_bits

STEPS = {
    phc.LIF: F.lif_step,
    phc.CubaLIF: F.cuba_lif_step,
    phc.ALIF: F.alif_step,
    phc.TsodyksMarkram: F.tsodyks_markram_step,
    phc.Delay: F.delay_step,
}

STATED = [name for name, make in MODELS.items() if type(make()) in STEPS]


def parameters_of(process, dtype):
    if isinstance(process, phc.Delay):
        return F.DelayParameters(process.delay)
    return process.coefficients(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("model", STATED)
@torch.no_grad()
def test_is_the_step_of_the_module(model, dtype):
    process = vary(MODELS[model]())
    step, parameters = STEPS[type(process)], parameters_of(process, dtype)
    x = signal(process, 40, dtype=dtype)
    state = wanted_state = None
    for x_t in x:
        out, state = step(x_t, state, parameters)
        wanted, *_, wanted_state = process.step(x_t, wanted_state)
        assert_same_bits(out, wanted)
    assert type(state) is type(wanted_state)
    for got, expected in zip(tensors(state), tensors(wanted_state), strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("model", ["LIF", "CubaLIF", "ALIF", "Delay-1", "TsodyksMarkram-post"])
@torch.no_grad()
def test_defaults_are_those_of_the_module(model):
    process = MODELS[model]()
    state = wanted_state = None
    for x_t in signal(process, 30):
        out, state = STEPS[type(process)](x_t, state)
        wanted, *_, wanted_state = process.step(x_t, wanted_state)
        assert_same_bits(out != 0, wanted != 0)
    for got, expected in zip(tensors(state), tensors(wanted_state), strict=True):
        assert_near(got, expected, 1e-6)  # the module's parameters are float32


@pytest.mark.parametrize("model", STATED)
@torch.no_grad()
def test_nothing_that_is_passed_is_changed(model):
    process = vary(MODELS[model]())
    step, parameters = STEPS[type(process)], parameters_of(process, torch.float64)
    x = signal(process, 5)
    state = None
    for x_t in x:
        _, state = step(x_t, state, parameters)
    kept = map_state(torch.clone, state), map_state(torch.clone, tuple(parameters)), x[4].clone()
    first = step(x[4], state, parameters)
    second = step(x[4], state, parameters)
    now = [*tensors(state), *tensors(tuple(parameters)), x[4]]
    for value, before in zip(now, tensors(kept), strict=True):
        assert_same_bits(value, before)
    for one, other in zip(tensors(first), tensors(second), strict=True):
        assert_same_bits(one, other)


@torch.no_grad()
def test_two_half_steps_decay_as_one_step():
    state = phc.ALIFState(*(torch.full((1, 3), 0.5, dtype=torch.float64) for _ in range(3)))
    silent = F.ALIFParameters(threshold=100.0)
    _, whole = F.alif_step(torch.zeros(1, 3, dtype=torch.float64), state, silent)
    half = state
    for _ in range(2):
        _, half = F.alif_step(torch.zeros(1, 3, dtype=torch.float64), half, silent, dt=0.5)
    assert_near(half.membrane, whole.membrane)
    assert_near(half.suppression, whole.suppression)


@torch.no_grad()
def test_a_delay_is_a_time_not_a_number_of_steps():
    x = torch.eye(8)[:, None, :1]  # one spike in the first step
    for delay, dt, arrives in ((1.0, 1.0, 1), (2.0, 0.5, 4), (0.3, 0.1, 3)):
        state, out = None, []
        for x_t in x:
            signal_t, state = F.delay_step(x_t, state, F.DelayParameters(delay), dt)
            out.append(float(signal_t))
        assert out.index(1.0) == arrives


def test_gradients_reach_state_and_parameters():
    decay = torch.full((3,), 0.9, requires_grad=True)
    state = phc.LIFState(torch.zeros(2, 3, requires_grad=True))
    spikes, after = F.lif_step(torch.ones(2, 3), state, F.LIFParameters(decay))
    spikes, after = F.lif_step(torch.ones(2, 3), after, F.LIFParameters(decay))
    spikes.sum().backward()
    assert bool((decay.grad != 0).all())
    assert bool((state.membrane.grad != 0).all())


@pytest.mark.parametrize("dt", [0.0, -1.0, float("nan"), float("inf")])
def test_a_duration_that_is_none_is_refused(dt):
    for step in STEPS.values():
        with pytest.raises(ValueError, match=r"dt: got .* expected a positive duration"):
            step(torch.zeros(2, 3), dt=dt)


@pytest.mark.parametrize(("delay", "dt"), [(1.0, 0.3), (-1.0, 1.0)])
def test_a_delay_that_is_no_number_of_steps_is_refused(delay, dt):
    with pytest.raises(ValueError, match=r"parameters: got a delay of .* expected a whole number"):
        F.delay_step(torch.zeros(2, 3), None, F.DelayParameters(delay), dt)


def test_a_state_of_another_kind_shape_or_delay_is_refused():
    x = torch.zeros(2, 3)
    with pytest.raises(TypeError, match="state: got CubaLIFState, expected the LIFState"):
        F.lif_step(x, phc.CubaLIFState(x, x))
    with pytest.raises(ValueError, match=r"state.membrane: got shape \(1, 3\), expected \(2, 3\)"):
        F.lif_step(x, phc.LIFState(x[:1]))
    _, state = F.delay_step(x, None, F.DelayParameters(2.0))
    with pytest.raises(ValueError, match=r"state.queue: got shape \(2, 2, 3\), expected \(2, 4, "):
        F.delay_step(x, state, F.DelayParameters(2.0), dt=0.5)
    with pytest.raises(TypeError, match=r"x: got torch.int64"):
        F.lif_step(x.long())
    with pytest.raises(TypeError, match="dt: got str, expected a number"):
        F.lif_step(x, dt="1")


@torch.no_grad()
def test_a_step_can_be_mapped_over_samples():
    x = torch.randn(5, 2, 3) + 0.5
    mapped = torch.vmap(lambda v: F.alif_step(v)[0])(x)
    assert_same_bits(mapped, torch.stack([F.alif_step(v)[0] for v in x]))
