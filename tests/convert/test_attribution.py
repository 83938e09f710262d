"""Differences whose cause is known are given to that cause."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import phc_snn as phc
from phc_snn.convert.attribution import CAUSES
from phc_snn.solvers import Solver
from tests.builders import currents, make_network, on_the_edge


def attribution(network, x, solver):
    found = phc.measure_divergence(network, x, solvers={"it": solver}, sweeps=0).solvers["it"]
    if found.attribution is not None:
        assert found.attribution.total == found.differing_spikes
    return found.attribution


def by_cause(found):
    return {cause: getattr(found, cause) for cause in CAUSES if getattr(found, cause)}


@pytest.mark.parametrize("solver", [phc.Sequential(), phc.Exact(), phc.Jacobi(80)])
def test_nothing_differs_nothing_is_attributed(solver):
    network = make_network(gain=3.0)
    assert by_cause(attribution(network, currents(network, 60), solver)) == {}


@pytest.mark.parametrize(
    "solver",
    [
        phc.Jacobi(2),
        phc.Jacobi(40, tolerance=0.3),
        phc.Jacobi(2, window=20),
        phc.Jacobi(2, start="sensory"),
        phc.Exact(max_sweeps=2),
    ],
)
def test_sweeps_that_stopped_early(solver):
    """A sensory start plays no part where the drive is 1: it is the same current."""
    network = make_network(gain=6.0, plasticity=False)
    found = by_cause(attribution(network, currents(network, 60), solver))
    assert set(found) == {"sweeps"}


def test_drive_of_the_first_sweep():
    """One sweep less than enough, which only the detour of the first one makes too few."""
    network = make_network(gain=1.0, drive=0.5)
    x = currents(network, 60)
    enough = int(network(x, solver=phc.Jacobi(80, tolerance=0.0)).sweeps.max())
    needed = next(
        k
        for k in range(enough, 0, -1)
        if attribution(network, x, phc.Jacobi(k, start="sensory")).total
    )
    found = by_cause(attribution(network, x, phc.Jacobi(needed, start="sensory")))
    straight = attribution(network, x, phc.Jacobi(needed)).total
    assert found["first_drive"] > 0
    assert found.get("sweeps", 0) <= straight


def test_state_carried_from_sweep_to_sweep():
    network = make_network(gain=1.0)
    x = currents(network, 60)
    assert attribution(network, x, phc.Jacobi(60)).total == 0
    found = by_cause(attribution(network, x, phc.Jacobi(60, carry_state=True)))
    assert set(found) == {"carried_state"}


def test_rounding():
    """Every sweep is made, and still a scan that sums in another order flips a spike."""
    network, x = on_the_edge()
    found = by_cause(attribution(network, x, phc.Jacobi(2, backend="associative")))
    assert set(found) == {"rounding"}
    assert by_cause(attribution(network, x, phc.Jacobi(2, backend="sequential"))) == {}


def test_rounding_in_windows():
    """The windows are as long as the sweeps prove: what differs is not for want of sweeps."""
    network, x = on_the_edge()
    for window in (64, 200):
        solver = phc.Jacobi(window, window=window, backend="associative")
        assert set(by_cause(attribution(network, x, solver))) == {"rounding"}


def test_what_a_rounded_spike_sets_off_is_rounding():
    """The first flipped spike changes the course of a network that amplifies it."""
    alone, x = on_the_edge(120)
    connectome = phc.HierarchicalConnectome(
        alone.connectome.topology, gain=100.0, generator=torch.Generator().manual_seed(0)
    )
    network = phc.PHC(alone.neuron, phc.Delay(16), connectome)
    solver = phc.Jacobi(121, tolerance=0.0, backend="associative")
    found = phc.measure_divergence(network, x, solvers={"it": solver}, sweeps=0).solvers["it"]
    assert set(by_cause(found.attribution)) == {"rounding"}
    assert found.differing_spikes > found.differing_undecidable > 0, "not all of them were close"


def test_each_spike_counts_for_the_first_cause_without_which_it_agrees():
    network = make_network(features=16, gain=4.0, plasticity=False, drive=0.5)
    x = currents(network, 80)
    with torch.no_grad():
        truth = network(x, solver=phc.Sequential()).spikes
        as_is, restarted, driven, enough = (
            network(x, solver=solver).spikes != truth
            for solver in (
                phc.Jacobi(8, start="sensory", carry_state=True),
                phc.Jacobi(8, start="sensory"),
                phc.Jacobi(8),
                phc.Jacobi(80),
            )
        )
    found = attribution(network, x, phc.Jacobi(8, start="sensory", carry_state=True))
    assert not enough.any()
    assert found.carried_state == int((as_is & ~restarted).sum()) > 0
    assert found.first_drive == int((as_is & restarted & ~driven).sum()) > 0
    assert found.sweeps == int((as_is & restarted & driven).sum()) > 0
    assert found.rounding == 0


def test_counterfactuals_are_run_once_for_all_solvers(monkeypatch):
    network = make_network(gain=6.0, plasticity=False)
    runs = []
    forward = phc.PHC.forward

    def counted(self, x, *, solver):
        runs.append(len(x))
        return forward(self, x, solver=solver)

    monkeypatch.setattr(phc.PHC, "forward", counted)
    solvers = {str(k): phc.Jacobi(k) for k in (1, 2, 3)}
    phc.measure_divergence(network, currents(network, 90), solvers=solvers, sweeps=0)
    assert runs.count(90) == 1 + 3 + 1  # the reference, the solvers, all sweeps made


def test_causes_beside_each_other():
    network = make_network(features=16, gain=6.0, plasticity=False, drive=0.5)
    solver = phc.Jacobi(3, start="sensory", carry_state=True)
    found = by_cause(attribution(network, currents(network, 80), solver))
    assert set(found) >= {"carried_state", "sweeps"}


def test_no_attribution_without_a_delay_or_of_a_foreign_solver():
    instant = make_network(synapses=[phc.TsodyksMarkram(8)])
    assert attribution(instant, currents(instant, 20), phc.Jacobi(2)) is None

    class Foreign(Solver):
        def solve(self, circuit, x_seq, state):
            return phc.Jacobi(2).solve(circuit, x_seq, state)

    class Derived(phc.Jacobi):
        """Whatever it does: it is not what `Jacobi` does."""

        def solve(self, circuit, x_seq, state):
            solution = super().solve(circuit, x_seq, state)
            return replace(solution, spikes=1.0 - solution.spikes)

    network = make_network()
    assert attribution(network, currents(network, 20), Foreign()) is None
    assert attribution(network, currents(network, 20), Derived(40)) is None
    found = phc.measure_divergence(
        network, currents(network, 20), solvers={"it": phc.Jacobi(1)}, reference=phc.Jacobi(2)
    )
    assert found.solvers["it"].attribution is None
    assert found.reference.attribution is None


@settings(max_examples=25)
@given(
    gain=st.floats(0.1, 20.0),
    sweeps=st.integers(1, 6),
    start=st.sampled_from(["driven", "sensory"]),
    carry=st.booleans(),
    window=st.sampled_from([None, 7, 20]),
    backend=st.sampled_from(["auto", "associative"]),
    drive=st.sampled_from([1.0, 0.7]),
)
def test_the_causes_add_up(gain, sweeps, start, carry, window, backend, drive):
    network = make_network(gain=gain, drive=drive, dtype=torch.float32)
    solver = phc.Jacobi(sweeps, start=start, carry_state=carry, window=window, backend=backend)
    found = attribution(network, currents(network, 40), solver)
    assert all(getattr(found, cause) >= 0 for cause in CAUSES)
    if not carry:
        assert found.carried_state == 0
    if start == "driven":
        assert found.first_drive == 0


def test_a_classifier_is_attributed_too():
    torch.manual_seed(0)
    model = phc.PHCSSM(3, 4, neurons=16, gain=40.0)
    found = by_cause(attribution(model, torch.randn(60, 5, 3), phc.Jacobi(1)))
    assert set(found) == {"sweeps"}
