"""The forward half of `Exact`: budgets of sweeps, and what it asks of a process."""

from typing import NamedTuple

import pytest
import torch

import phc_snn as phc
from tests.builders import (
    assert_same_gradients,
    assert_same_solution,
    currents,
    gradients,
    make_network,
)
from tests.tolerances import EXACT_GRADIENT


@torch.no_grad()
@pytest.mark.parametrize("gain", [0.5, 2.0, 20.0])
@pytest.mark.parametrize("budget", [1, 4, 9])
def test_a_budget_gives_what_as_many_sweeps_give(gain, budget):
    network = make_network(gain=gain, features=16)
    x = currents(network, 200)
    exact = network(x, solver=phc.Exact(max_sweeps=budget))
    jacobi = network(x, solver=phc.Jacobi(budget))
    assert_same_solution(exact, jacobi)
    assert bool((exact.certified_steps >= jacobi.certified_steps).all())
    assert bool((exact.sweeps <= budget).all())


def test_a_budget_gives_the_same_with_and_without_a_gradient():
    network = make_network(gain=1.0, features=16)
    x = currents(network, 200)
    for kind in ("exact", "truncated", "unrolled"):
        solver = phc.Exact(max_sweeps=3, adjoint=kind)
        with torch.no_grad():
            silent = network(x, solver=solver)
        assert_same_solution(network(x, solver=solver), silent)


class Leak(phc.Process):
    """A process with a number for a coefficient and a constant in its state."""

    def __init__(self, features, ends_in=lambda state, last: state):
        super().__init__(features)
        self.ends_in = ends_in

    def initial_state(self, batch_size, *, device=None, dtype=None):
        shape = (batch_size, self.features)
        return LeakState(*(torch.zeros(shape, device=device, dtype=dtype) for _ in range(2)))

    def coefficients(self, dtype):
        return 0.5

    def dynamics(self, x, state, c, time):
        trace, last = time.recur(torch.tensor(c, dtype=x.dtype), x, state.trace)
        return (trace,), LeakState(last, self.ends_in(state.constant, last))


class LeakState(NamedTuple):
    trace: torch.Tensor
    constant: torch.Tensor


@pytest.mark.parametrize("gain", [0.3, 20.0])
def test_a_process_with_numbers_and_constants(gain):
    """It is swept at a small gain, and stepped back through at a large one."""
    network = make_network(gain=gain, synapses=[phc.Delay(8), Leak(8)])
    x = currents(network, 100)
    assert_same_solution(network(x, solver=phc.Exact()), network(x, solver=phc.Sequential()))
    expected = gradients(network, x, None, phc.Sequential())
    assert_same_gradients(gradients(network, x, None, phc.Exact()), expected, EXACT_GRADIENT)


def test_a_state_that_is_no_trajectory_is_named():
    leak = Leak(8, ends_in=lambda constant, last: constant + 1.0)
    network = make_network(gain=0.3, synapses=[phc.Delay(8), leak])
    with pytest.raises(
        TypeError, match=r"its tensors must be those that time\.recur and time\.shi"
    ):
        network(currents(network, 100), solver=phc.Exact())
