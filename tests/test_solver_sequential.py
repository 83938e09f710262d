"""`Sequential` without a delay: a spike acts in the step that it is fired in."""

import torch

import phc_snn as phc
from tests.builders import currents, make_network
from tests.tolerances import assert_same_bits


def test_sequential_iterates_inside_the_step_and_reports():
    network = make_network(synapses=[], gain=3.0)
    x = currents(network, 40)
    solution = network(x, solver=phc.Sequential(transmissions=4))
    once = network(x, solver=phc.Sequential(transmissions=1))
    assert solution.converged.dtype == torch.bool
    spikes, voltage, _ = network.neuron.scan(x)
    assert_same_bits(once.spikes, spikes)  # one transmission: no recurrence within the step
    assert not torch.equal(solution.spikes, once.spikes)
    assert torch.isfinite(voltage).all()


def test_a_fixed_point_is_reported_and_satisfies_the_loop():
    network = make_network(synapses=[phc.TsodyksMarkram(8)], gain=0.05, features=8)
    x = currents(network, 30)
    solution = network(x, solver=phc.Sequential(transmissions=20))
    assert bool(solution.converged.all())
    signal, _ = network.synapses[0].scan(solution.spikes)
    assert_same_bits(network.connectome(signal) + x, solution.current)


def test_a_cycle_is_reported():
    """Excitation that an inhibitory answer takes back at once: there is no fixed point."""
    topology = phc.Topology.from_edges([(0, 1), (1, 0)], torch.tensor([True, False]))
    connectome = phc.HierarchicalConnectome(topology)
    with torch.no_grad():
        connectome.raw_weight.fill_(5.0)
    network = phc.PHC(phc.LIF(2), None, connectome)
    solution = network(torch.tensor([[[2.0, 0.0]]]), solver=phc.Sequential())
    assert solution.converged.tolist() == [False]


def test_step_is_the_loop():
    network = make_network(synapses=[], gain=3.0)
    x = currents(network, 15)
    whole = network(x, solver=phc.Sequential())
    state = None
    for t, x_t in enumerate(x):
        spikes, _, state = network.step(x_t, state)
        assert_same_bits(spikes, whole.spikes[t])
