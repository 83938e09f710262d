"""Every solver keeps every contract, and every contract catches a solver that breaks it."""

import pytest
import torch

import phc_snn as phc
from phc_snn.solvers.search import Search
from tests.broken import solvers as broken
from tests.builders import carried_state, currents, leading_equal_steps, make_network
from tests.contracts.solver import EXACT_CONTRACTS, SOLVER_CONTRACTS

NETWORKS = {
    "ALIF": lambda **o: make_network(**o),
    "ALIF-d3-gain10": lambda **o: make_network(delay=3, gain=10.0, plasticity=False, **o),
    "LIF-d2": lambda **o: make_network(neuron="LIF", delay=2, gain=5.0, **o),
    "delays-per-neuron": lambda **o: make_network(delay=[1, 2, 3, 4, 5, 2, 1, 8], **o),
    "softplus-lag": lambda **o: make_network(drive_transform="softplus", refractory_lag=1, **o),
    "two-delays": lambda **o: make_network(
        synapses=[
            phc.TsodyksMarkram(8, release="pre"),
            phc.Delay(8, 0),
            phc.Delay(8, 2),
            phc.Delay(8, 1),
        ],
        **o,
    ),
    "drive-0.5": lambda **o: make_network(drive=0.5, gain=4.0, **o),
}
SOLVERS = {
    "Sequential": phc.Sequential(),
    "Jacobi-1": phc.Jacobi(1),
    "Jacobi-4": phc.Jacobi(4),
    "Jacobi-30": phc.Jacobi(30),
    "Jacobi-tolerance": phc.Jacobi(40, tolerance=0.2),
    "Jacobi-window": phc.Jacobi(3, window=7),
    "Jacobi-window-tolerance": phc.Jacobi(9, window=10, tolerance=0.1),
    "Jacobi-sensory": phc.Jacobi(3, start="sensory"),
    "Exact": phc.Exact(),
    "Exact-2": phc.Exact(max_sweeps=2),
    "Jacobi-sequential": phc.Jacobi(3, backend="sequential"),
}
EXACT = {
    "Sequential": phc.Sequential(),
    "Exact": phc.Exact(),
    "Jacobi-enough": phc.Jacobi(101),  # a sweep for each step, and one
}
# (network, whether a state is carried, dtype): each kind of each at least once.
CASES = [
    ("ALIF", False, torch.float32),
    ("ALIF-d3-gain10", True, torch.float64),
    ("LIF-d2", True, torch.float32),
    ("delays-per-neuron", True, torch.float64),
]
CAUGHT = {
    "contract_certificate_is_true": [broken.ClaimsAfterOneSweep, broken.ClaimsOneStepTooMany],
    "contract_proved_samples_end_in_the_right_state": [
        broken.ClaimsWithoutTheState,
        broken.ClaimsAfterOneSweep,
    ],
    "contract_sample_does_not_know_its_batch": [
        broken.CentresTheBatch,
        broken.StopsWithTheWholeBatch,
    ],
    "contract_input_and_state_are_not_changed": [broken.ChangesTheStateInPlace],
    "contract_rest_may_be_given_or_left_out": [broken.NeverTwiceTheSame],
    "contract_empty_sequence_keeps_state": [broken.ForgetsOnEmptyInput],
    "contract_empty_batch": [broken.AddsASample],
    "contract_solution_is_well_formed": [broken.CountsForTheWholeBatch],
    "contract_nothing_is_proved_without_work": [broken.CountsHalfOfItsWork],
    "contract_current_drives_the_spikes": [broken.ReturnsTheNextCurrent],
    "contract_repeats": [broken.IsRandom],
    "contract_equals_sequential": [broken.ClaimsAfterOneSweep, broken.CarriesStateFromSweepToSweep],
    "contract_chunks_equal_whole": [broken.IgnoresTheState],
    "contract_steps_equal_whole": [broken.IgnoresTheState],
    "contract_gradient_is_that_of_sequential": [broken.CutsTheLoopFromTheGraph],
}
CONTRACTS = {**SOLVER_CONTRACTS, **EXACT_CONTRACTS}
STEPS = 24
LONG = 100
"""Long enough for `Exact` to sweep over windows of every network, not only to step."""


def problem(network, carried, steps=STEPS):
    return currents(network, steps), carried_state(network) if carried else None


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("contract", SOLVER_CONTRACTS)
def test_contract(contract, solver, case):
    network, carried, dtype = case
    made = NETWORKS[network](dtype=dtype)
    SOLVER_CONTRACTS[contract](SOLVERS[solver], made, *problem(made, carried))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("solver", EXACT)
@pytest.mark.parametrize("contract", EXACT_CONTRACTS)
def test_exact_contract(contract, solver, network):
    made = NETWORKS[network]()
    EXACT_CONTRACTS[contract](EXACT[solver], made, *problem(made, True, LONG))


@torch.no_grad()
@pytest.mark.parametrize("network", NETWORKS)
def test_exact_sweeps_over_windows_of_these_networks(network, monkeypatch):
    swept = []
    sweep = Search._sweep
    monkeypatch.setattr(
        Search, "_sweep", lambda self, samples: swept.append(samples) or sweep(self, samples)
    )
    made = NETWORKS[network]()
    made(*problem(made, True, LONG), solver=phc.Exact())
    assert len(swept) >= 2


@pytest.mark.parametrize("contract", EXACT_CONTRACTS)
def test_exact_contract_from_rest_in_float32(contract):
    if contract == "contract_gradient_is_that_of_sequential":
        pytest.skip("promised for float64")
    made = make_network(gain=6.0, dtype=torch.float32)
    EXACT_CONTRACTS[contract](phc.Exact(), made, *problem(made, False))


def test_every_contract_has_a_broken_solver():
    assert set(CAUGHT) == set(CONTRACTS)


@pytest.mark.parametrize(
    ("contract", "solver"), [(name, s) for name, solvers in CAUGHT.items() for s in solvers]
)
def test_contract_catches(contract, solver):
    network = make_network(gain=6.0)
    with pytest.raises(AssertionError):
        CONTRACTS[contract](solver(), network, *problem(network, True))


@torch.no_grad()
@pytest.mark.parametrize("network", NETWORKS)
def test_the_networks_are_not_trivial(network):
    """They fire, not always, and one sweep is not enough: there is something to solve."""
    made = NETWORKS[network]()
    x, _ = problem(made, False)
    truth = made(x, solver=phc.Sequential())
    rough = made(x, solver=phc.Jacobi(1))
    assert 0.02 < float(truth.spikes.mean()) < 0.9
    assert bool((leading_equal_steps(rough, truth) < STEPS).all())
