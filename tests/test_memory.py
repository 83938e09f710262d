"""Peak memory of a training step, counted in live tensors: the same in every run."""

import pytest
import torch

import phc_snn as phc
from benchmarks.memory import LiveTensors, peak_bytes
from benchmarks.networks import balanced


@pytest.mark.parametrize(("gain", "plasticity"), [(1.0, True), (10.0, False)])
def test_exact_takes_hardly_more_than_one_sweep(gain, plasticity):
    """Also where it steps: the graph of a stretch, not of the sequence."""
    network = balanced(gain, plasticity=plasticity)
    x = torch.randn(1024, 2, 32)
    one = peak_bytes(network, x, phc.Jacobi(1))
    assert peak_bytes(network, x, phc.Exact()) <= 48 * x.numel()
    # Sweeps that are all recorded take in proportion to their number, beyond a fixed part.
    four, eight = (peak_bytes(network, x, phc.Jacobi(sweeps)) for sweeps in (4, 8))
    assert four >= 1.4 * one
    assert eight - four >= 1.1 * (four - one)


def test_a_truncated_gradient_takes_no_more():
    network = balanced(1.0)
    x = torch.randn(1024, 2, 32)
    truncated = peak_bytes(network, x, phc.Exact(adjoint="truncated"))
    assert truncated <= peak_bytes(network, x, phc.Exact())


def test_a_second_step_takes_no_more_than_the_first():
    """Nothing of a step outlives it while its loss is still held."""
    network = balanced(1.0)
    x = torch.randn(256, 2, 32)
    with LiveTensors() as live:
        loss = network(x, solver=phc.Exact()).voltage.square().mean()
        loss.backward()
        first = live.peak
        again = network(x, solver=phc.Exact()).voltage.square().mean()
        again.backward()
    assert live.peak <= first + 1.2 * x.nbytes
    assert float(loss.detach()) == float(again.detach())


def test_the_count_is_the_same_in_every_run():
    network = balanced(1.0)
    x = torch.randn(128, 2, 32)
    assert len({peak_bytes(network, x, phc.Exact()) for _ in range(3)}) == 1


def test_what_was_there_before_is_not_counted():
    before = torch.zeros(1000)
    with LiveTensors() as live:
        before.add_(1.0)
        views = [before.detach(), before[1:], before.reshape(10, 100)]
        assert live.peak == 0
        copy = views[0].clone()
    assert live.peak == 4 * len(copy)


def test_the_count_sees_what_a_graph_keeps():
    """Two results for the backward pass, which no name holds, and which are gone after it."""
    x = torch.ones(1000, requires_grad=True)
    with LiveTensors() as live:
        y = x.exp().exp().sum()
        assert live.now == 2 * 4000 + 4
        y.backward()
        assert live.now == 4000 + 4, "the gradient and y are left"


def test_the_count_sees_what_is_held():
    with LiveTensors() as live:
        for _ in range(10):
            torch.zeros(1000)
        assert live.peak < 3 * 4000
        held = [torch.zeros(1000) for _ in range(10)]
        views = [t[1:].reshape(3, 333) for t in held]
    assert 10 * 4000 <= live.peak < 12 * 4000
    assert len(views) == 10
