"""A neuron of this library in snnTorch's place: its own contracts, asked of ours.

The patterns are those that snnTorch tests its ``Leaky`` and ``Synaptic`` with.
"""

import inspect
import itertools

import pytest
import snntorch as snn
import torch
from snntorch import surrogate

import phc_snn as phc
from tests.tolerances import assert_near, assert_same_bits

MODELS = (phc.ALIF, phc.LIF, phc.CubaLIF)


def states_of(neuron):
    states = neuron.reset_mem()
    return states if isinstance(states, tuple) else (states,)


# --- keywords -------------------------------------------------------------------------------------

SHARED = (
    "threshold",
    "spike_grad",
    "surrogate_disable",
    "init_hidden",
    "inhibition",
    "learn_threshold",
    "reset_mechanism",
    "state_quant",
    "output",
)


@pytest.mark.parametrize("model", MODELS)
def test_shared_keywords_in_snntorchs_order_with_its_defaults(model):
    ours = inspect.signature(model).parameters
    theirs = inspect.signature(snn.SpikingNeuron).parameters
    assert [name for name in ours if name in SHARED] == list(SHARED)
    assert [name for name in theirs if name in SHARED] == list(SHARED)
    for name in set(SHARED) - {"reset_mechanism"}:
        assert ours[name].default == theirs[name].default, name
    # Without reset by default: that is what runs in parallel.
    assert ours["reset_mechanism"].default == "none"


@pytest.mark.parametrize("model", MODELS)
def test_unknown_keywords_are_refused(model):
    with pytest.raises(TypeError, match="unexpected keyword argument 'beta'"):
        model(3, beta=0.9)


# --- calls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("init_hidden", "output"), [*itertools.product((False, True), repeat=2)])
def test_what_a_call_returns(make, init_hidden, output):
    neuron = make(3, init_hidden=init_hidden, output=output)
    result = neuron(torch.randn(2, 3))
    states = len(neuron.initial_state(0))
    if init_hidden and not output:
        assert isinstance(result, torch.Tensor)
        assert neuron.outputs == 1
    else:
        assert len(result) == 1 + states == neuron.outputs
        assert all(part.shape == (2, 3) for part in result)


def test_one_sample_without_a_batch(make):
    neuron, x = make(3), torch.randn(20, 3) + 0.5
    states, batched = states_of(neuron), states_of(neuron)
    for x_t in x:
        spk, *states = neuron(x_t, *states)
        wanted, *batched = neuron(x_t[None], *batched)
        assert_same_bits(spk, wanted[0])
    for got, expected in zip(states, batched, strict=True):
        assert_same_bits(got, expected[0])
    hidden = make(3, init_hidden=True)
    assert hidden(x[0]).shape == (3,)
    assert hidden(x[1]).shape == (3,)


@torch.no_grad()
def test_a_leak_halves_the_membrane():
    """Input once, then none: the membrane decays by beta, and nothing fires."""
    neuron = phc.LIF(1, membrane_decay=0.5)
    mem = neuron.reset_mem()
    record = []
    for x in torch.tensor([[0.25], [0.0]]):
        spk, mem = neuron(x, mem)
        record.append(mem)
        assert not bool(spk.any())
    assert float(record[0]) == 2 * float(record[1])


@torch.no_grad()
def test_reset_by_subtraction_takes_the_threshold_and_to_zero_all():
    x = torch.full((1, 1), 4.0)
    after = {}
    for mechanism in ("none", "subtract", "zero"):
        neuron = phc.LIF(1, membrane_decay=0.5, threshold=1.0, reset_mechanism=mechanism)
        _, mem = neuron(x, neuron.reset_mem())
        _, mem = neuron(torch.zeros(1, 1), mem)
        after[mechanism] = float(mem)
    assert after == {"none": 2.0, "subtract": 1.0, "zero": 0.0}


@torch.no_grad()
def test_a_synaptic_current_outlives_its_input():
    neuron = phc.CubaLIF(1, current_decay=0.5, membrane_decay=0.5, threshold=10.0)
    syn, mem = neuron.reset_mem()
    _, syn, mem = neuron(torch.ones(1, 1), syn, mem)
    _, syn, mem = neuron(torch.zeros(1, 1), syn, mem)
    assert float(syn) == 0.5
    assert float(mem) == 1.0  # half of what was, and the current that is left


# --- the limits in which ours is theirs -----------------------------------------------------------


def leaky(**options):
    return snn.Leaky(reset_mechanism="none", spike_grad=phc.FastSigmoid(), **options)


LIMITS = {
    "ALIF": lambda: phc.ALIF(
        4, membrane_decay=[0.2, 0.5, 0.9, 0.97], adaptation_strength=0.0, suppression_strength=0.0
    ),
    "LIF": lambda: phc.LIF(4, membrane_decay=[0.2, 0.5, 0.9, 0.97]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("limit", LIMITS)
def test_without_adaptation_and_suppression_it_is_leaky(limit, dtype):
    """Spikes and membrane bit for bit, gradients of input and decay to rounding."""
    ours = LIMITS[limit]().to(dtype)
    decay = ours.membrane_decay.detach().clone()
    theirs = leaky(beta=decay.clone(), learn_beta=True).to(dtype)
    x = torch.randn(200, 3, 4, dtype=dtype) * 0.7 + 0.2
    own, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    spikes, _, state = ours.scan(own)
    mem, wanted = theirs.reset_mem(), []
    for x_t in other.unbind(0):
        spk, mem = theirs(x_t, mem)
        wanted.append(spk)
    wanted = torch.stack(wanted)
    assert 0.05 < float(wanted.detach().mean()) < 0.95
    assert_same_bits(spikes, wanted)
    assert_same_bits(state.membrane, mem)
    weight = torch.randn_like(x)
    (spikes * weight).sum().backward()
    (wanted * weight).sum().backward()
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    assert_near(own.grad, other.grad, tolerance)
    upper = 0.99 if limit == "ALIF" else 1.0
    slope = decay * (1.0 - decay / upper)  # of the bounded sigmoid that keeps it in range
    assert_near(ours.raw_membrane_decay.grad, theirs.beta.grad * slope, 10 * tolerance)


# --- surrogates -----------------------------------------------------------------------------------

SURROGATES = {
    "atan": surrogate.atan(),
    "fast_sigmoid": surrogate.fast_sigmoid(),
    "sigmoid": surrogate.sigmoid(),
    "triangular": surrogate.triangular(),
    "straight_through": surrogate.straight_through_estimator(),
    "spike_rate_escape": surrogate.spike_rate_escape(),
    "custom": surrogate.custom_surrogate(lambda x, grad, out: grad * (x.abs() < 0.5)),
}


@pytest.mark.parametrize("name", SURROGATES)
def test_any_surrogate_closure(make, name):
    """The same spikes in steps and over the sequence, and the surrogate's own gradient."""
    neuron = make(3, spike_grad=SURROGATES[name])
    # Moderate: snnTorch's sigmoid overflows to NaN where the membrane is 3.5 below the threshold.
    x = (0.2 * torch.randn(20, 2, 3) + 0.2).requires_grad_()
    spikes, _, _ = neuron.scan(x)
    state, stepped = None, []
    for x_t in x.unbind(0):
        out, _, state = neuron.step(x_t, state)
        stepped.append(out)
    stepped = torch.stack(stepped)
    assert_same_bits(spikes, stepped)
    assert_same_bits(spikes.detach(), make(3).scan(x.detach())[0])
    (grad,) = torch.autograd.grad(spikes.sum(), x)
    (wanted,) = torch.autograd.grad(stepped.sum(), x)
    assert bool((grad != 0).any())
    assert_near(grad, wanted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_default_surrogate_keeps_the_dtype(make, dtype):
    x = torch.randn(4, 2, 3, dtype=dtype, requires_grad=True)
    spikes, _, _ = make(3).to(dtype).scan(x)
    assert spikes.dtype == dtype
    (grad,) = torch.autograd.grad(spikes.sum(), x)
    assert grad.dtype == dtype


def test_inhibition_lets_one_neuron_fire():
    with pytest.warns(UserWarning, match="Inhibition is an unstable feature"):
        ours = phc.LIF(5, membrane_decay=0.9, inhibition=True)
    with pytest.warns(UserWarning, match="Inhibition is an unstable feature"):
        theirs = leaky(beta=ours.membrane_decay.detach().clone(), inhibition=True)
    x = torch.randn(30, 4, 5) + 0.3
    spikes, _, _ = ours.scan(x)
    mem = theirs.reset_mem()
    for t, x_t in enumerate(x):
        spk, mem = theirs(x_t, mem)
        assert_same_bits(spikes[t], spk)
    assert int(spikes.sum(-1).max()) == 1
