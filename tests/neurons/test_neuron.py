"""A neuron as an snnTorch layer: calling convention, hidden state, reset and detach."""

import copy
import gc
import pickle
import weakref

import pytest
import snntorch
import torch
from snntorch import surrogate
from torch import nn

import phc_snn as phc
from tests.tolerances import assert_same_bits

NEURONS = {"ALIF": phc.ALIF, "LIF": phc.LIF}


@pytest.fixture(params=NEURONS)
def make(request):
    return NEURONS[request.param]


def test_is_an_snntorch_neuron(make):
    assert isinstance(make(3), snntorch.SpikingNeuron)


def test_call_returns_spikes_then_states_membrane_last(make):
    neuron, x = make(3), torch.randn(20, 2, 3) + 0.5
    expected = neuron.scan(x)
    states = ()
    for t, x_t in enumerate(x):
        spk, *states = neuron(x_t, *states)
        assert_same_bits(spk, expected[0][t])
    for got, wanted in zip(states, expected[-1], strict=True):
        assert_same_bits(got, wanted)
    assert type(expected[-1])._fields[-1] == "membrane"


def test_reset_mem_starts_a_loop(make):
    """The idiom of snnTorch: states from reset_mem before the loop, for any batch size."""
    neuron, x = make(3), torch.randn(2, 3)
    states = neuron.reset_mem()
    states = states if isinstance(states, tuple) else (states,)
    assert not any(state is None for state in states)
    spk, *after = neuron(x, *states)
    assert_same_bits(spk, neuron.step(x)[0])
    assert len(after) == len(states)


def test_none_means_at_rest(make):
    neuron, x = make(3), torch.randn(2, 3)
    count = len(neuron.initial_state(1))
    for states in ((), (None,) * count):
        assert_same_bits(neuron(x, *states)[0], neuron.step(x)[0])


def test_call_refuses_a_wrong_number_of_states():
    with pytest.raises(TypeError, match="states: got 1, expected 3: adaptation, suppression, mem"):
        phc.ALIF(3)(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(TypeError, match="states: got 2, expected 1: membrane"):
        phc.LIF(3)(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 3))


def test_a_state_that_is_partly_none_is_refused_by_name():
    x = torch.zeros(2, 3)
    with pytest.raises(TypeError, match=r"state.*got NoneType, expected a torch\.Tensor"):
        phc.ALIF(3)(x, x, None, x)
    with pytest.raises(TypeError, match=r"state.*got NoneType, expected a torch\.Tensor"):
        phc.ALIF(3).step(x, phc.ALIFState(None, None, None))


class TestHiddenState:
    def test_only_spikes_are_returned(self, make):
        hidden, plain = make(3, init_hidden=True), make(3)
        state = None
        for x_t in torch.randn(10, 2, 3) + 0.5:
            spikes, _, state = plain.step(x_t, state)
            assert_same_bits(hidden(x_t), spikes)

    def test_output_returns_the_states_too(self, make):
        hidden, x = make(3, init_hidden=True, output=True), torch.randn(2, 3)
        hidden(x)
        spk, *states = hidden(x)
        wanted_spk, *wanted = make(3)(x, *make(3)(x)[1:])
        assert_same_bits(spk, wanted_spk)
        for got, expected in zip(states, wanted, strict=True):
            assert_same_bits(got, expected)

    def test_passing_states_is_an_error(self, make):
        hidden, x = make(3, init_hidden=True), torch.zeros(2, 3)
        states = make(3)(x)[1:]
        with pytest.raises(TypeError, match=r"keeps its own state \(init_hidden=True\); pass no"):
            hidden(x, *states)

    def test_reset_forgets(self, make):
        hidden, x = make(3, init_hidden=True, output=True), torch.randn(2, 3)
        first = hidden(x)
        hidden.reset_mem()
        for got, wanted in zip(hidden(x), first, strict=True):
            assert_same_bits(got, wanted)

    def test_reset_works_before_the_first_call_and_for_another_batch(self, make):
        hidden = make(3, init_hidden=True)
        hidden.reset_mem()
        hidden(torch.zeros(2, 3))
        hidden.reset_mem()
        assert hidden(torch.zeros(5, 3)).shape == (5, 3)

    @pytest.mark.parametrize(
        ("x", "error", "message"),
        [
            (
                torch.zeros(4, 3),
                ValueError,
                "input_: batch size 4 does not match .* phc_snn.reset",
            ),
            (torch.zeros(2, 5), ValueError, r"x_t: got shape \(2, 5\)"),
            (torch.zeros(2, 3, dtype=torch.int64), TypeError, "x_t: got torch.int64"),
            (torch.zeros(2, 3, dtype=torch.float64), TypeError, "state.*: got torch.float32"),
            (torch.full((2, 3), torch.nan), ValueError, "x_t: 6 of 6 values are NaN or Inf"),
            (torch.zeros(7, 2, 3), ValueError, r"x_t: got shape \(7, 2, 3\).*call scan"),
        ],
    )
    def test_a_refused_call_leaves_it_as_it_was(self, make, x, error, message):
        hidden, twin = (make(3, init_hidden=True, output=True) for _ in range(2))
        good = torch.randn(2, 3)
        hidden(good), twin(good)
        with pytest.raises(error, match=message):
            hidden(x)
        for got, wanted in zip(hidden(good), twin(good), strict=True):
            assert_same_bits(got, wanted)

    def test_detach_cuts_the_graph(self, make):
        hidden = make(3, init_hidden=True, output=True)
        hidden(torch.ones(2, 3))
        hidden.detach_hidden()
        x = torch.ones(2, 3, requires_grad=True)
        spikes, *_ = hidden(x)
        spikes.sum().backward()  # would fail on a graph that was freed or shared
        hidden.reset_mem()
        hidden.detach_hidden()  # nothing to detach is no error

    @torch.no_grad()
    def test_can_be_copied_in_mid_sequence(self, make):
        hidden = make(3, init_hidden=True)
        x = torch.randn(2, 3)
        hidden(x)
        copied = copy.deepcopy(hidden)
        assert_same_bits(copied(x), hidden(x))


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 3), phc.LIF(3, init_hidden=True))
        self.inner = nn.ModuleDict({"deep": nn.ModuleList([phc.ALIF(3, init_hidden=True)])})

    def forward(self, x):
        return self.inner["deep"][0](self.layers(x) * 3.0)


def test_reset_reaches_nested_neurons_and_no_others():
    network, bystander = Nested(), phc.LIF(3, init_hidden=True)
    x = torch.randn(2, 4)
    first = [network(x) for _ in range(5)]
    bystander(torch.ones(2, 3))
    phc.reset(network)
    for wanted in first:
        assert_same_bits(network(x), wanted)
    late = bystander(torch.full((2, 3), 0.5))
    assert bool((late == 1).all()), "its membrane of 0.9 was to stay"
    assert not bool(phc.LIF(3)(torch.full((2, 3), 0.5))[0].any())


def test_detach_reaches_nested_neurons():
    network = Nested()
    for _ in range(3):  # truncated backpropagation through time
        network(torch.randn(2, 4)).sum().backward()
        phc.detach(network)


def test_snntorch_does_not_keep_neurons_alive(make):
    neuron = make(3)
    assert all(other is not neuron for other in snntorch.SpikingNeuron.instances)
    watch = weakref.ref(neuron)
    del neuron
    gc.collect()
    assert watch() is None


def test_learn_threshold(make):
    learnt, fixed = make(3, learn_threshold=True), make(3)
    assert "threshold" in dict(learnt.named_parameters())
    assert "threshold" not in dict(fixed.named_parameters())
    learnt.scan(torch.randn(20, 2, 3))[0].sum().backward()
    assert bool((learnt.threshold.grad != 0).all())


def test_threshold_is_one_for_each_neuron(make):
    neuron = make(3, threshold=[0.1, 5.0, 1e9])
    spikes = neuron.scan(torch.full((50, 1, 3), 2.0))[0]
    assert bool(spikes[..., 0].any())
    assert not bool(spikes[..., 2].any())
    assert "threshold" in neuron.state_dict()


def test_surrogates_of_snntorch_work(make):
    x = torch.randn(20, 2, 3, requires_grad=True)
    for spike_grad in (surrogate.atan(), surrogate.fast_sigmoid(), surrogate.sigmoid()):
        neuron = make(3, spike_grad=spike_grad)
        spikes, _, _ = neuron.scan(x)
        assert_same_bits(spikes, make(3).scan(x)[0])
        (grad,) = torch.autograd.grad(spikes.sum(), x)
        assert bool((grad != 0).any())


def test_surrogate_can_be_disabled(make):
    x = torch.randn(20, 2, 3, requires_grad=True)
    spikes, _, _ = make(3, surrogate_disable=True).scan(x)
    assert_same_bits(spikes, make(3).scan(x)[0])
    assert not spikes.requires_grad


def test_pickles_with_its_hidden_state(make):
    hidden = make(3, init_hidden=True)
    x = torch.randn(2, 3)
    with torch.no_grad():
        hidden(x)
        assert_same_bits(pickle.loads(pickle.dumps(hidden))(x), hidden(x))


def test_a_copy_takes_the_hidden_state_along_but_not_its_graph():
    neuron = phc.ALIF(3, init_hidden=True)
    x = torch.randn(2, 3)
    neuron(x)
    twin = copy.deepcopy(neuron)
    assert torch.equal(twin(x), neuron(x))
    assert torch.equal(pickle.loads(pickle.dumps(neuron))(x), twin(x))


def test_reset_and_detach_reach_snntorch_neurons_of_the_tree():
    net = nn.Sequential(
        nn.Linear(3, 4), snntorch.Leaky(beta=0.9, init_hidden=True), phc.ALIF(4, init_hidden=True)
    )
    other = snntorch.Leaky(beta=0.9, init_hidden=True)
    x = torch.randn(2, 3)
    first = net(x)
    other(torch.randn(2, 4))
    net(x)
    phc.detach(net)
    net(x).sum().backward()
    phc.reset(net)
    assert_same_bits(net(x), first)
    assert bool(other.mem.any()), "a neuron outside the tree was cleared"


@pytest.mark.parametrize("kind", [phc.S5, phc.PSpikeSSM])
def test_a_state_dict_of_another_discretization_is_refused(kind):
    """Its parameters have the same shapes, and mean something else."""
    saved = kind(4, discretization="bilinear").state_dict()
    kind(4, discretization="bilinear").load_state_dict(saved)
    with pytest.raises(RuntimeError, match="the saved neuron has another discretization than this"):
        kind(4).load_state_dict(saved)
    del saved["discretization_option"]  # of a time that did not save it
    kind(4).load_state_dict(saved)
