"""`Jacobi`: tolerance, windows and start."""

import math

import pytest
import torch

import phc_snn as phc
from tests.builders import (
    assert_same_gradients,
    assert_same_solution,
    carried_state,
    currents,
    gradients,
    leading_equal_steps,
    make_network,
)
from tests.tolerances import EXACT_GRADIENT, assert_same_bits


def test_tolerance_stops_each_sample_by_itself():
    network = make_network(gain=8.0, plasticity=False)
    x = currents(network, 50, batch=4)
    x[:, 2] = -1.0
    solution = network(x, solver=phc.Jacobi(60, tolerance=0.05))
    sweeps = solution.sweeps.tolist()
    assert len(set(sweeps)) > 1
    assert bool(solution.converged.all())
    for i, k in enumerate(sweeps):
        residuals = solution.residuals[:, i]
        assert not bool((residuals[: k - 1] < 0.05).any())
        assert float(residuals[k - 1]) < 0.05
        assert bool(torch.isnan(residuals[k:]).all())
        fixed = network(x, solver=phc.Jacobi(k))
        assert_same_bits(solution.spikes[:, i], fixed.spikes[:, i])


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_stopping_does_not_know_the_batch_even_on_the_edge(dtype):
    """The tolerance lies between what a sample has alone and in company, if these differ."""
    network = make_network(gain=8.0, plasticity=False, dtype=dtype)
    x = currents(network, 50, batch=5)
    together = network(x, solver=phc.Jacobi(6)).residuals
    for i in range(5):
        alone = network(x[:, i : i + 1], solver=phc.Jacobi(6)).residuals[:, 0]
        for k in range(6):
            edge = max(float(alone[k]), float(together[k, i]))
            if not math.isfinite(edge):
                continue
            solver = phc.Jacobi(6, tolerance=edge)
            in_company = network(x, solver=solver)
            by_itself = network(x[:, i : i + 1], solver=solver)
            assert int(in_company.sweeps[i]) == int(by_itself.sweeps[0])
            assert_same_bits(in_company.voltage[:, i], by_itself.voltage[:, 0])


def test_silence_has_converged_from_the_second_sweep():
    network = make_network()
    solution = network(-currents(network, 20).abs() - 1.0, solver=phc.Jacobi(5, tolerance=0.1))
    assert not bool(solution.spikes.any())
    assert solution.sweeps.tolist() == [2, 2, 2]
    assert bool(solution.converged.all())
    assert solution.residuals[0].tolist() == [math.inf] * 3
    assert solution.residuals[1].tolist() == [0.0] * 3


def test_unmet_tolerance_is_reported():
    network = make_network(gain=8.0, plasticity=False)
    solution = network(currents(network, 60), solver=phc.Jacobi(2, tolerance=1e-9))
    assert not bool(solution.converged.any())


def test_one_sweep_knows_no_recurrence():
    network = make_network()
    x = currents(network, 20)
    solution = network(x, solver=phc.Jacobi(1))
    spikes, voltage, _ = network.neuron.scan(x)
    assert_same_bits(solution.spikes, spikes)
    assert_same_bits(solution.voltage, voltage)


def test_sensory_start_is_one_sweep_behind():
    """The paper's first sweep leaves the drive out, so exactness starts with the second."""
    network = make_network(drive=0.5, gain=4.0)
    x = currents(network, 30)
    truth = network(x, solver=phc.Sequential())
    for k in (1, 2, 5):
        solution = network(x, solver=phc.Jacobi(k, start="sensory"))
        right = leading_equal_steps(solution, truth)
        assert bool((right >= k - 1).all())
    first = network(x, solver=phc.Jacobi(1, start="sensory"))
    assert_same_bits(first.current, x)
    drive_one = make_network(drive=1.0, gain=4.0)
    assert_same_solution(
        drive_one(x, solver=phc.Jacobi(3, start="sensory")), drive_one(x, solver=phc.Jacobi(3))
    )


def test_a_window_as_long_as_the_sequence_is_none():
    network = make_network()
    x, state = currents(network, 20), carried_state(network)
    for window in (20, 500):
        assert_same_solution(
            network(x, state, solver=phc.Jacobi(3, window=window)),
            network(x, state, solver=phc.Jacobi(3)),
        )


def test_gradient_reaches_through_windows():
    network = make_network()
    x, state = currents(network, 25), carried_state(network)
    expected = gradients(network, x, state, phc.Sequential())
    windowed = gradients(network, x, state, phc.Jacobi(4, window=4))
    assert_same_gradients(windowed, expected, EXACT_GRADIENT)


def test_has_second_derivatives():
    network = make_network()
    x = currents(network, 10).requires_grad_()
    total = network(x, solver=phc.Jacobi(3)).voltage.square().sum()
    (first,) = torch.autograd.grad(total, x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert bool(torch.isfinite(second).all())


@torch.no_grad()
def test_carried_state_never_leads_to_the_causal_network():
    """The end of the sequence acts on its beginning, however many sweeps there are."""
    network = make_network(gain=1.0)
    x = currents(network, 40)
    truth = network(x, solver=phc.Sequential())
    settled = network(x, solver=phc.Jacobi(60, carry_state=True))
    assert bool((leading_equal_steps(settled, truth) < 40).all())
    assert settled.certified_steps.tolist() == [0, 0, 0]
    assert not bool(settled.converged.any())
    assert bool(network(x, solver=phc.Jacobi(60)).converged.all())


@torch.no_grad()
def test_one_sweep_has_nothing_to_carry():
    network = make_network()
    x, state = currents(network, 20), carried_state(network)
    carrying = network(x, state, solver=phc.Jacobi(1, carry_state=True))
    assert_same_solution(carrying, network(x, state, solver=phc.Jacobi(1)))
    assert bool((carrying.certified_steps >= 1).all())


@torch.no_grad()
def test_second_carrying_sweep_starts_where_the_first_ended():
    network = make_network()
    x = currents(network, 20)
    first = network(x, solver=phc.Jacobi(1))
    second = network(x, solver=phc.Jacobi(2, carry_state=True))
    spikes, voltage, _ = network.neuron.scan(second.current, first.state.neuron)
    assert_same_bits(second.spikes, spikes)
    assert_same_bits(second.voltage, voltage)


@torch.no_grad()
@pytest.mark.parametrize("delay", [1, 3])
def test_causality_alone_proves_the_first_steps(delay):
    network = make_network(gain=30.0, delay=delay, plasticity=False)
    x = currents(network, 60)
    for k in (1, 2, 5):
        assert bool((network(x, solver=phc.Jacobi(k)).certified_steps >= k * delay).all())
    windows = network(x, solver=phc.Jacobi(5, window=5 * delay))
    assert bool(windows.converged.all())
    assert windows.work.tolist() == [5.0, 5.0, 5.0]
    detour = make_network(gain=30.0, delay=delay, plasticity=False, drive=0.5)
    truth = detour(x, solver=phc.Sequential())
    sensory = detour(x, solver=phc.Jacobi(5, start="sensory"))
    assert bool((sensory.certified_steps <= leading_equal_steps(sensory, truth)).all())
    assert bool((sensory.certified_steps >= 4 * delay).all())


@torch.no_grad()
def test_backend_is_that_of_the_scans():
    network = make_network(gain=1.0, dtype=torch.float32)
    x = currents(network, 300)
    truth = network(x, solver=phc.Sequential())
    same = network(x, solver=phc.Jacobi(60, backend="sequential"))
    other = network(x, solver=phc.Jacobi(60, backend="associative"))
    assert_same_bits(same.voltage, truth.voltage)
    assert bool((other.voltage != truth.voltage).any())


@torch.no_grad()
def test_nothing_is_certified_without_a_delay():
    """Sweeping and stepping can settle on different solutions: there may be several."""
    network = make_network(neuron="LIF", features=6, synapses=[phc.TsodyksMarkram(6)])
    solution = network(currents(network, 16), solver=phc.Jacobi(40))
    assert solution.certified_steps.tolist() == [0, 0, 0]
    assert not bool(solution.converged.any())
