"""Neurons with a reset against snnTorch's: the same bits, gradients to rounding."""

import itertools

import pytest
import snntorch
import torch

import phc_snn as phc
from phc_snn import numerics
from tests.tolerances import assert_near, assert_same_bits

MECHANISMS = ("none", "subtract", "zero")


def currents(steps=200, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(steps, 3, 4, generator=generator, dtype=torch.float64) + 0.2).to(dtype)


def thresholds():
    return torch.tensor([0.5, 1.0, 1.3, 0.8])


def pair(kind, mechanism, delayed, dtype=torch.float64):
    """One of our neurons and snnTorch's of the same parameters."""
    shared = {
        "threshold": thresholds(),
        "reset_mechanism": mechanism,
        "reset_delay": delayed,
        "learn_threshold": True,
    }
    if kind == "Leaky":
        ours = phc.LIF(4, membrane_decay=[0.5, 0.9, 0.95, 0.2], **shared).to(dtype)
        theirs = snntorch.Leaky(
            beta=ours.membrane_decay.detach().clone(), learn_beta=True, spike_grad=ours.spike_grad,
            **shared,
        )  # fmt: skip
    else:
        ours = phc.CubaLIF(
            4, current_decay=[0.5, 0.3, 0.8, 0.7], membrane_decay=[0.5, 0.9, 0.95, 0.2],
            reset_input=mechanism == "zero", **shared,
        ).to(dtype)  # fmt: skip
        theirs = snntorch.Synaptic(
            alpha=ours.current_decay.detach().clone(),
            beta=ours.membrane_decay.detach().clone(),
            learn_alpha=True, learn_beta=True, spike_grad=ours.spike_grad, **shared,
        )  # fmt: skip
    return ours, theirs.to(dtype)


def loop(neuron, x):
    """snnTorch's own loop: spikes and each state, (T, B, N)."""
    states = neuron.reset_mem()
    states = states if isinstance(states, tuple) else (states,)
    rows = []
    for x_t in x.unbind(0):
        spk, *states = neuron(x_t, *states)
        rows.append((spk, *states))
    return [torch.stack(column) for column in zip(*rows, strict=True)]


CASES = list(itertools.product(("Leaky", "Synaptic"), MECHANISMS, (True, False)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("kind", "mechanism", "delayed"), CASES)
@torch.no_grad()
def test_spikes_and_states_are_snntorchs_in_every_bit(kind, mechanism, delayed, dtype):
    ours, theirs = pair(kind, mechanism, delayed, dtype)
    x = currents(dtype=dtype)
    wanted_spikes, *wanted_states = loop(theirs, x)
    assert 0.05 < float(wanted_spikes.mean()) < 0.95
    for spikes, *states in (loop(ours, x),):
        assert_same_bits(spikes, wanted_spikes)
        for got, wanted in zip(states, wanted_states, strict=True):
            assert_same_bits(got, wanted)
    spikes, _, state = ours.scan(x)
    assert_same_bits(spikes, wanted_spikes)
    for got, wanted in zip(state, wanted_states, strict=True):
        assert_same_bits(got, wanted[-1])


@pytest.mark.parametrize(("kind", "mechanism", "delayed"), CASES)
def test_gradients_are_those_of_snntorchs_loop(kind, mechanism, delayed):
    ours, theirs = pair(kind, mechanism, delayed)
    x = currents(60)
    weights = torch.randn(60, 3, 4, dtype=torch.float64)

    def gradients(neuron, run):
        leaf = x.clone().requires_grad_()
        (weights * run(neuron, leaf)).sum().backward()
        decays = [
            getattr(neuron, name)
            for name in ("current_decay", "membrane_decay", "alpha", "beta")
            if hasattr(neuron, name)
        ]
        return leaf.grad, neuron.threshold.grad, decays

    wanted_x, wanted_threshold, decays = gradients(theirs, lambda n, v: loop(n, v)[0])
    found_x, found_threshold, _ = gradients(ours, lambda n, v: n.scan(v)[0])
    assert_near(found_x, wanted_x)
    assert_near(found_threshold, wanted_threshold)
    for name, decay in zip(
        ("raw_current_decay", "raw_membrane_decay")[-len(decays) :], decays, strict=True
    ):
        value = decay.detach()
        assert_near(getattr(ours, name).grad, decay.grad * value * (1.0 - value), 1e-11)


class LearntSlope(torch.nn.Module):
    """A step whose surrogate has a parameter."""

    def __init__(self):
        super().__init__()
        self.slope = torch.nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

    def forward(self, x):
        soft = torch.sigmoid(self.slope * x)
        return (x > 0).to(x) + (soft - soft.detach())


def lateral(x):
    """A step whose surrogate crosses from neuron to neuron."""
    soft = torch.softmax(4.0 * x, dim=-1)
    return (x > 0).to(x) + (soft - soft.detach())


UNKNOWN = {"learnt": LearntSlope(), "lateral": lateral, "smooth": numerics.sigmoid}


@pytest.mark.parametrize("mechanism", ["subtract", "zero"])
@pytest.mark.parametrize("name", [*UNKNOWN, "inhibition"])
def test_a_spike_function_that_is_not_known_is_called_in_each_step(name, mechanism):
    """Its spikes act in their own step, so its derivative is needed there, all of it."""
    options = {"reset_mechanism": mechanism, "reset_delay": False}
    if name == "inhibition":
        with pytest.warns(UserWarning, match="Inhibition is an unstable feature"):
            neuron = phc.LIF(4, inhibition=True, **options).double()
    else:
        neuron = phc.LIF(4, spike_grad=UNKNOWN[name], **options).double()
    x = currents(40).requires_grad_()
    leaves = [x, *neuron.parameters()]
    state, rows = None, []
    for x_t in x.unbind(0):
        spikes, voltage, state = neuron.step(x_t, state)
        rows.append((spikes, voltage))
    stepped = [torch.stack(column) for column in zip(*rows, strict=True)]
    scanned = neuron.scan(x)[:2]
    weight = torch.randn_like(x)
    for got, wanted in zip(scanned, stepped, strict=True):
        assert_same_bits(got, wanted)
    found, expected = (
        torch.autograd.grad((weight * s).sum() + v.square().sum(), leaves)
        for s, v in (scanned, stepped)
    )
    for got, wanted in zip(found, expected, strict=True):
        assert_near(got, wanted)
    with pytest.raises(ValueError, match=r"backend 'numba' does not take the spike function"):
        neuron.scan(x, backend="numba")


@pytest.mark.parametrize("delayed", [True, False])
def test_functional_gradients_pass_a_reset(delayed):
    neuron = phc.LIF(4, reset_mechanism="subtract", reset_delay=delayed).double()
    x = currents(30)
    found = torch.func.grad(lambda v: neuron.scan(v)[1].square().sum())(x)
    leaf = x.clone().requires_grad_()
    neuron.scan(leaf)[1].square().sum().backward()
    assert_near(found, leaf.grad)


@pytest.mark.parametrize(
    "other",
    [
        {"reset_mechanism": "zero"},
        {"reset_mechanism": "subtract", "reset_delay": False},
        {"reset_mechanism": "none"},
    ],
)
def test_a_state_dict_of_another_reset_is_refused(other):
    saved = phc.LIF(4, reset_mechanism="subtract").state_dict()
    with pytest.raises(RuntimeError, match="the saved neuron has another reset than this one, L"):
        phc.LIF(4, **other).load_state_dict(saved)
    saved = phc.CubaLIF(4, reset_mechanism="zero", reset_input=True).state_dict()
    with pytest.raises(RuntimeError, match="reset_options: the saved neuron has another reset"):
        phc.CubaLIF(4, reset_mechanism="zero").load_state_dict(saved)


def test_second_derivatives_are_refused():
    neuron = phc.LIF(4, reset_mechanism="subtract").double()
    x = currents(5).requires_grad_()
    (grad,) = torch.autograd.grad(neuron.scan(x)[0].sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="differentiate twice"):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reset_mechanism": "half"}, "reset_mechanism: got 'half', expected one of"),
        (
            {"reset_mechanism": "subtract", "reset_input": True},
            "reset_input: got True with reset_mechanism='subtract', expected 'zero'",
        ),
        ({"state_quant": torch.round}, "state_quant: got .* expected False: a quantised state"),
    ],
)
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        phc.LIF(4, **options)


def test_a_model_without_reset_says_which_have_one():
    with pytest.raises(ValueError, match=r"reset_mechanism: got 'zero'.*ALIF has no reset, LIF"):
        phc.ALIF(4, reset_mechanism="zero")


@pytest.mark.parametrize("backend", ["associative", "log"])
def test_backends_that_are_parallel_over_time_are_refused(backend):
    neuron = phc.LIF(4, reset_mechanism="zero")
    with pytest.raises(ValueError, match=f"backend '{backend}' is parallel over time, which a res"):
        neuron.scan(torch.zeros(3, 2, 4), backend=backend)


def test_a_named_backend_that_does_not_take_the_input_is_an_error():
    neuron = phc.LIF(4, reset_mechanism="zero").bfloat16()
    x = torch.zeros(3, 2, 4, dtype=torch.bfloat16)
    assert neuron.scan(x)[0].dtype == torch.bfloat16
    with pytest.raises(ValueError, match=r"backend 'numba' does not take torch\.bfloat16"):
        neuron.scan(x, backend="numba")


def test_reset_mechanism_can_be_changed():
    neuron = phc.LIF(4, reset_mechanism="subtract")
    neuron.reset_mechanism = "zero"
    x = currents(30, torch.float32)
    assert_same_bits(neuron.scan(x)[0], phc.LIF(4, reset_mechanism="zero").scan(x)[0])
    with pytest.raises(ValueError, match="reset_mechanism: got 'half'"):
        neuron.reset_mechanism = "half"
    assert neuron.reset_mechanism == "zero"
