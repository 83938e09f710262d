"""A neuron of any kind inside a recurrent network."""

import torch

import phc_snn as phc
from phc_snn.state import tensors
from tests.tolerances import assert_near, assert_same_bits


def assert_works_in_a_network(neuron, gain=1.0):
    """Every way to the sequential result has its bits, and training moves every parameter.

    Args:
        neuron: Any.
        gain: Of the input.
    """
    generator = torch.Generator().manual_seed(5)
    n = neuron.features
    connectome = phc.DenseConnectome(0.5 * torch.randn(n, n, generator=generator))
    network = phc.PHC(neuron, [phc.Delay(n, steps=2), phc.TsodyksMarkram(n)], connectome)
    for dtype in (torch.float64, torch.float32):
        x = gain * torch.randn(40, 2, n, generator=generator).to(dtype)
        with torch.no_grad():
            wanted = network(x, solver=phc.Sequential())
            assert bool(wanted.spikes.any())
            exact = network(x, solver=phc.Exact())
            rows, state = [], None
            for x_t in x.unbind(0):
                *outputs, state = network.step(x_t, state)
                rows.append(outputs)
            spikes, voltage = map(torch.stack, zip(*rows, strict=True))
        assert bool(exact.converged.all())
        expected = [wanted.spikes, wanted.voltage, *tensors(wanted.state)]
        for found in (
            [exact.spikes, exact.voltage, *tensors(exact.state)],
            [spikes, voltage, *tensors(state)],
        ):
            for got, other in zip(found, expected, strict=True):
                assert_same_bits(got, other)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    solution = network(x, solver=phc.Exact())
    (solution.voltage.square().mean() + solution.spikes.mean()).backward()
    optimizer.step()
    for name, parameter in network.named_parameters():
        assert bool(torch.isfinite(parameter).all()), name
        assert not torch.equal(parameter, before[name]), name


def assert_sweeps_find_the_spikes(neuron, x, past):
    """Spikes, voltages and state of `scan`, from the state that ``past`` leaves; the sweeps."""
    _, _, start = neuron.scan(past)
    spikes, voltage, state = neuron.scan(x, start)
    swept = neuron.by_sweeps(x, start)
    assert bool(swept.certified.all())
    assert 2 < swept.sweeps <= len(x) + 1
    assert torch.equal(swept.spikes, spikes)
    assert_near(swept.voltage, voltage)
    for got, wanted in zip(tensors(swept.state), tensors(state), strict=True):
        assert_near(got, wanted)
    return start
