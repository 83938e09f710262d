"""`Exact`: its gradient, its account of itself, and what it refuses."""

from dataclasses import replace

import pytest
import torch

import phc_snn as phc
from phc_snn.state import map_state
from tests.builders import (
    assert_same_gradients,
    assert_same_solution,
    carried_state,
    currents,
    gradients,
    make_network,
    one_sample,
)
from tests.tolerances import EXACT_GRADIENT, assert_near


@pytest.mark.parametrize("plasticity", [True, False])
@pytest.mark.parametrize("gain", [0.1, 1.0, 10.0])
def test_gradient_over_a_longer_sequence(gain, plasticity):
    network = make_network(gain=gain, plasticity=plasticity)
    x, state = currents(network, 120), carried_state(network)
    expected = gradients(network, x, state, phc.Sequential())
    actual = gradients(network, x, state, phc.Exact())
    assert_same_gradients(actual, expected, EXACT_GRADIENT)
    assert all(bool(g.any()) for g in expected if g.shape == (8,)), "parameters do not act"


def exploding(features, mask, decay):
    """All excitatory, to be held just below the threshold, where gradients grow at every step."""
    topology = phc.Topology.from_masks(mask, torch.ones(features, dtype=torch.bool))
    connectome = phc.HierarchicalConnectome(topology)
    with torch.no_grad():
        connectome.raw_weight.fill_(1.0)
    return phc.PHC(phc.LIF(features, membrane_decay=decay), phc.Delay(features), connectome)


def assert_gradient_of_the_last_voltage(network, x):
    x.requires_grad_()
    expected, actual = (
        torch.autograd.grad(network(x, solver=solver).voltage[-1, :, -1].sum(), x)
        for solver in (phc.Sequential(), phc.Exact())
    )
    assert float(expected[0].abs().max()) > 1e4
    assert_same_gradients(actual, expected, EXACT_GRADIENT)


def test_gradient_comes_back_through_a_quiet_time():
    """The first adjoint sweeps change almost nothing, and stopping there would lose all of it.

    Few paths lead back through a time of inhibition, but before it they multiply.
    """
    network = exploding(6, ~torch.eye(6, dtype=torch.bool), 0.5).double()
    x = torch.full((60, 1, 6), 0.45, dtype=torch.float64)
    x[30:] = -2.0
    assert_gradient_of_the_last_voltage(network, x)


def test_gradient_comes_back_through_a_weak_synapse():
    """As above, where a strong cotangent of another neuron hides the small one at every step."""
    mask = ~torch.eye(7, dtype=torch.bool)
    mask[6] = mask[:, 6] = False
    mask[6, 0] = True
    network = exploding(7, mask, [0.5] * 6 + [0.99])
    with torch.no_grad():
        network.connectome.raw_weight[6, 0] = 1e-8
    x = torch.full((40, 1, 7), 0.45, dtype=torch.float64)
    x[..., 6] = 0.0
    assert_gradient_of_the_last_voltage(network.double(), x)


def test_gradient_of_a_sample_does_not_know_its_batch():
    network = make_network(gain=5.0)
    x, state = currents(network, 40), carried_state(network)
    x.requires_grad_()
    (together,) = torch.autograd.grad(
        network(x, state, solver=phc.Exact()).voltage.sum(), x, retain_graph=True
    )
    for i in range(3):
        sample, its_state = one_sample(x.detach(), state, i)
        sample.requires_grad_()
        voltage = network(sample, its_state, solver=phc.Exact()).voltage
        (alone,) = torch.autograd.grad(voltage.sum(), sample)
        assert_same_gradients([alone], [together[:, i : i + 1]], 1e-10)


def test_backward_twice_accumulates():
    network = make_network()
    x = currents(network, 20).requires_grad_()
    total = network(x, solver=phc.Exact()).voltage.sum()
    total.backward(retain_graph=True)
    once = x.grad.clone()
    total.backward()
    assert_near(x.grad, 2.0 * once)


def test_second_derivatives_are_refused():
    network = make_network()
    x = currents(network, 10).requires_grad_()
    total = network(x, solver=phc.Exact()).voltage.sum()
    with pytest.raises(NotImplementedError, match="Exact gives first derivatives; for second on"):
        torch.autograd.grad(total, x, create_graph=True)


@pytest.mark.parametrize("synapses", [None, [phc.Delay(8, 0)], [phc.TsodyksMarkram(8)]])
def test_refuses_a_network_without_delay(synapses):
    network = make_network(synapses=synapses or [])
    with pytest.raises(ValueError, match=r"Exact needs a synaptic delay .* has d = 0.*put a"):
        network(currents(network, 5), solver=phc.Exact())


def test_giving_up_is_reported():
    network = make_network(gain=8.0, plasticity=False)
    x = currents(network, 60)
    few = network(x, solver=phc.Exact(max_sweeps=2))
    assert not bool(few.converged.any())
    assert few.sweeps.tolist() == [2, 2, 2]
    assert few.residuals.shape == (2, 3)
    enough = network(x, solver=phc.Exact())
    assert bool((enough.sweeps > 2).all())
    assert torch.equal(
        network(x, solver=phc.Exact(max_sweeps=int(enough.sweeps.max()))).converged,
        enough.converged,
    )


def test_a_proved_sample_costs_no_further_sweep():
    network = make_network(gain=8.0, plasticity=False)
    x = currents(network, 60)
    x[:, 1] = -1.0  # silent: nothing to iterate
    solution = network(x, solver=phc.Exact())
    assert int(solution.sweeps[1]) < int(solution.sweeps[0])
    left = torch.isnan(solution.residuals[:, 1])
    assert left.tolist() == [k >= int(solution.sweeps[1]) for k in range(len(left))]


def test_memory_for_the_gradient_does_not_grow_with_the_sweeps():
    def saved(gain):
        network, sizes = make_network(gain=gain, plasticity=False), []
        x = currents(network, 60).requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.append(t.numel()) or t, lambda t: t
        ):
            solution = network(x, solver=phc.Exact())
        return int(solution.sweeps.max()), sum(sizes)

    (few, small), (many, large) = saved(0.1), saved(10.0)
    assert many >= 2 * few
    assert large == small


def test_nothing_is_recorded_without_gradients():
    network = make_network()
    with torch.no_grad():
        assert not network(currents(network, 9), solver=phc.Exact()).voltage.requires_grad


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_do_not_depend_on_the_threads(dtype):
    """Large enough that every operation is divided among the threads."""
    network = make_network(features=64, gain=4.0, dtype=dtype)
    x = currents(network, 40, batch=16)
    truth = network(x, solver=phc.Sequential())
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert_same_solution(network(x, solver=phc.Exact()), truth)
        assert_same_solution(network(x[:, :1], solver=phc.Sequential()), _first_sample(truth))
    finally:
        torch.set_num_threads(before)


def _first_sample(solution):
    return replace(
        solution,
        spikes=solution.spikes[:, :1],
        voltage=solution.voltage[:, :1],
        current=solution.current[:, :1],
        state=map_state(lambda s: s[:1], solution.state),
    )


@pytest.mark.parametrize(("dtype", "weight"), [(torch.float32, 1e7), (torch.float64, 1e16)])
def test_gradient_is_not_hidden_by_a_stronger_neuron(dtype, weight):
    """A clique whose gradient explodes, beside an unconnected neuron with a large cotangent."""
    mask = torch.ones(7, 7, dtype=torch.bool).fill_diagonal_(False)
    mask[6] = mask[:, 6] = False
    topology = phc.Topology.from_masks(mask, torch.ones(7, dtype=torch.bool))
    connectome = phc.HierarchicalConnectome(topology)
    with torch.no_grad():
        connectome.raw_weight.fill_(1.0)
    network = phc.PHC(phc.LIF(7, membrane_decay=0.5), phc.Delay(7), connectome).to(dtype)
    x = torch.full((60, 1, 7), 0.45, dtype=dtype, requires_grad=True)
    gradients = []
    for solver in (phc.Sequential(), phc.Exact()):
        voltage = network(x, solver=solver).voltage
        loss = weight * voltage[..., 6].sum() + voltage[-1, :, :6].sum()
        gradients.append(torch.autograd.grad(loss, x)[0][..., :6])
    assert_same_gradients(gradients[1:], gradients[:1], EXACT_GRADIENT)


def test_gradient_without_a_surrogate():
    network = phc.PHC(
        phc.ALIF(8, surrogate_disable=True),
        phc.Delay(8),
        phc.HierarchicalConnectome(phc.Topology.bidirectional(8)),
    ).double()
    x = torch.randn(20, 2, 8, dtype=torch.float64, requires_grad=True)
    expected, actual = (
        torch.autograd.grad(network(x, solver=solver).voltage.sum(), x)
        for solver in (phc.Sequential(), phc.Exact())
    )
    assert_same_gradients(actual, expected, 1e-12)


def test_gradient_of_a_threshold_that_is_no_parameter():
    network = make_network(gain=1.0)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    threshold = network.neuron.threshold.requires_grad_(True)
    found = []
    for solver in (phc.Sequential(), phc.Exact()):
        total = network(currents(network, 60), solver=solver).voltage.square().sum()
        found.append(torch.autograd.grad(total, threshold)[0])
    assert_same_gradients(found[1:], found[:1], EXACT_GRADIENT)


def test_outputs_behave_as_those_of_sequential_do():
    network = make_network(surrogate_disable=True)
    x = currents(network, 40).requires_grad_()
    for solver in (phc.Sequential(), phc.Exact()):
        solution = network(x, solver=solver)
        assert not solution.spikes.requires_grad
        assert solution.voltage.requires_grad


def test_a_gradient_that_is_not_a_number_has_not_settled():
    network = make_network()
    network.check_finite = False
    x = currents(network, 40)
    x[5, 1, 3] = torch.nan
    solution = network(x.requires_grad_(), solver=phc.Exact())
    solution.voltage.sum().backward()
    assert bool(solution.adjoint.stepped[1])
    assert not bool(solution.adjoint.stepped[[0, 2]].any())
    assert bool(torch.isfinite(x.grad[:, [0, 2]]).all())
