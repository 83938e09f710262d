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
    x = torch.randn(512, 2, 32)
    one = peak_bytes(network, x, phc.Jacobi(1))
    assert peak_bytes(network, x, phc.Exact()) <= 1.5 * one
    assert peak_bytes(network, x, phc.Exact(adjoint="truncated")) <= 1.5 * one
    assert peak_bytes(network, x, phc.Jacobi(4)) >= 2 * one
    assert peak_bytes(network, x, phc.Jacobi(8)) >= 3.5 * one


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
    assert live.peak <= 1.1 * first
    assert float(loss.detach()) == float(again.detach())


def test_the_count_sees_what_is_held():
    with LiveTensors() as live:
        for _ in range(10):
            torch.zeros(1000)
        assert live.peak < 3 * 4000
        held = [torch.zeros(1000) for _ in range(10)]
        views = [t[1:].reshape(3, 333) for t in held]
    assert 10 * 4000 <= live.peak < 12 * 4000
    assert len(views) == 10
