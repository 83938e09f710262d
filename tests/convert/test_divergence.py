"""The figures of `measure_divergence` against ones counted by hand."""

import math

import pytest
import torch

import phc_snn as phc


@pytest.fixture
def network():
    torch.manual_seed(0)
    connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(16), gain=30.0)
    return phc.PHC(phc.ALIF(16), [phc.Delay(16), phc.TsodyksMarkram(16)], connectome)


def test_exact_does_not_differ_and_one_sweep_does(network):
    x = torch.randn(60, 5, 16)
    solvers = {"one": phc.Jacobi(1), "exact": phc.Exact()}
    divergence = phc.measure_divergence(network, x, solvers=solvers)
    exact, one = divergence.solvers["exact"], divergence.solvers["one"]
    assert exact.differing_spikes == 0
    assert exact.first_differing_step is None
    assert exact.voltage_max == 0
    assert one.differing_spikes > 0
    assert one.first_differing_step >= 1
    assert one.logits is None


def test_figures_are_those_counted_by_hand(network):
    x = torch.randn(40, 3, 16)
    divergence = phc.measure_divergence(network, x, solvers={"two": phc.Jacobi(2)})
    two = divergence.solvers["two"]
    with torch.no_grad():
        a, b = network(x, solver=phc.Jacobi(2)), network(x, solver=phc.Sequential())
    count = first = 0
    first = None
    for t in range(40):
        differing = int((a.spikes[t] != b.spikes[t]).sum())
        count += differing
        if differing and first is None:
            first = t
    assert two.differing_spikes == count
    assert two.first_differing_step == first
    assert two.spike_difference == pytest.approx(count / float(b.spikes.sum()))
    assert two.step_difference == pytest.approx(count / (40 * 3 * 16))
    error = (a.voltage - b.voltage).double()
    assert two.voltage_rmse == pytest.approx(float(error.square().mean().sqrt()))
    assert two.voltage_max == pytest.approx(float(error.abs().max()))
    assert two.rate_difference == pytest.approx(float((a.spikes - b.spikes).mean()), abs=1e-9)


def test_a_classifier_is_compared_by_its_decisions():
    torch.manual_seed(1)
    model = phc.PHCSSM(3, 4, neurons=16, gain=30.0)
    solvers = {"one": phc.Jacobi(1), "exact": phc.Exact()}
    divergence = phc.measure_divergence(model, torch.randn(50, 12, 3), solvers=solvers)
    assert divergence.solvers["exact"].agreement == 1.0
    assert divergence.solvers["exact"].logits_max == 0.0
    assert divergence.solvers["one"].logits_max > 0
    text = str(divergence)
    assert [line.split()[0] for line in text.splitlines()] == [
        "solver",
        "reference",
        "one",
        "exact",
    ]


@pytest.mark.parametrize("shape", [(0, 3, 16), (5, 0, 16)])
def test_empty_input_is_no_error(network, shape):
    divergence = phc.measure_divergence(network, torch.zeros(shape), solvers={"k": phc.Jacobi(2)})
    assert divergence.solvers["k"].differing_spikes == 0
    assert math.isnan(divergence.solvers["k"].spike_difference)
    str(divergence)


def test_a_silent_reference_has_no_rate_per_spike(network):
    x = torch.full((10, 2, 16), -5.0)
    divergence = phc.measure_divergence(network, x, solvers={"k": phc.Jacobi(2)})
    assert math.isnan(divergence.solvers["k"].spike_difference)
