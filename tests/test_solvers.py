"""Properties of the solvers over random networks, and their settings."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import phc_snn as phc
from phc_snn.solvers import solver_from_dict, solver_to_dict
from tests.builders import (
    assert_same_gradients,
    assert_same_solution,
    carried_state,
    currents,
    gradients,
    leading_equal_steps,
    make_network,
)
from tests.tolerances import EXACT_GRADIENT


@st.composite
def problems(draw, max_steps=40):
    """A random network, its input, and a state or None."""
    features = draw(st.integers(4, 12))
    delay = draw(
        st.one_of(
            st.integers(1, 8),
            st.lists(st.integers(1, 8), min_size=features, max_size=features),
        )
    )
    network = make_network(
        neuron=draw(st.sampled_from(["ALIF", "LIF"])),
        features=features,
        delay=delay,
        gain=10.0 ** draw(st.floats(-1.0, 1.0)),
        plasticity=draw(st.booleans()),
        dtype=draw(st.sampled_from([torch.float32, torch.float64])),
        seed=draw(st.integers(0, 10_000)),
    )
    batch = draw(st.integers(1, 3))
    x = currents(network, draw(st.integers(1, max_steps)), batch, seed=draw(st.integers(0, 10_000)))
    return network, x, carried_state(network, batch) if draw(st.booleans()) else None


@torch.no_grad()
@settings(max_examples=150)
@given(problem=problems())
def test_exact_is_sequential_bit_for_bit(problem):
    network, x, state = problem
    truth = network(x, state, solver=phc.Sequential())
    exact = network(x, state, solver=phc.Exact())
    assert_same_solution(exact, truth)
    assert bool(exact.converged.all())
    assert exact.certified_steps.tolist() == [len(x)] * x.shape[1]
    assert int(exact.sweeps.max()) <= math.ceil(len(x) / network.delay) + 1


@torch.no_grad()
@settings(max_examples=100)
@given(problem=problems(), sweeps=st.integers(1, 12), at_most=st.integers(1, 4))
def test_sweeps_make_their_prefix_exact_and_certify_no_more_than_is_true(problem, sweeps, at_most):
    network, x, state = problem
    truth = network(x, state, solver=phc.Sequential())
    jacobi = network(x, state, solver=phc.Jacobi(sweeps))
    right = leading_equal_steps(jacobi, truth)
    assert bool((right >= min(sweeps * network.delay, len(x))).all())
    assert bool((jacobi.certified_steps <= right).all())
    tolerant = network(x, state, solver=phc.Jacobi(40, tolerance=0.3))
    assert bool((tolerant.certified_steps <= leading_equal_steps(tolerant, truth)).all())
    given_up = network(x, state, solver=phc.Exact(max_sweeps=at_most))
    assert bool((given_up.certified_steps <= leading_equal_steps(given_up, truth)).all())
    assert torch.equal(given_up.converged, given_up.certified_steps == len(x))


@torch.no_grad()
@settings(max_examples=60)
@given(problem=problems(), sweeps=st.integers(1, 4), narrower=st.integers(0, 3))
def test_a_window_that_the_sweeps_cover_is_exact(problem, sweeps, narrower):
    network, x, state = problem
    window = max(1, sweeps * network.delay - narrower)
    truth = network(x, state, solver=phc.Sequential())
    solution = network(x, state, solver=phc.Jacobi(sweeps, window=window))
    assert_same_solution(solution, truth)
    assert bool((solution.certified_steps <= len(x)).all())


@settings(max_examples=25)
@given(problem=problems(max_steps=25))
def test_gradients_of_exact_and_of_enough_sweeps_are_those_of_sequential(problem):
    network, x, state = problem
    network, x = network.double(), x.double()
    state = None if state is None else carried_state(network, x.shape[1])
    expected = gradients(network, x, state, phc.Sequential())
    enough = phc.Jacobi(math.ceil(len(x) / network.delay) + 1)
    for solver in (phc.Exact(), enough):
        assert_same_gradients(gradients(network, x, state, solver), expected, EXACT_GRADIENT)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: phc.Jacobi(0), "sweeps: got 0, expected a positive integer"),
        (lambda: phc.Jacobi(2.0), "sweeps: got 2.0, expected a positive integer"),
        (lambda: phc.Jacobi(True), "sweeps: got True"),
        (lambda: phc.Jacobi(window=0), "window: got 0, expected a positive integer"),
        (
            lambda: phc.Jacobi(tolerance=-0.1),
            "tolerance: got -0.1, expected a number of at least 0",
        ),
        (lambda: phc.Jacobi(tolerance=math.nan), "tolerance: got nan"),
        (lambda: phc.Jacobi(start="zero"), r"start: got 'zero', expected one of \('driven', 'sens"),
        (lambda: phc.Exact(max_sweeps=0), "max_sweeps: got 0, expected a positive integer"),
        (lambda: phc.Jacobi(backend="cuda"), "backend: got 'cuda', expected one of 'auto', 'seq"),
        (lambda: phc.Exact(adjoint="bptt"), r"adjoint: got 'bptt', expected one of \('exact', 't"),
        (lambda: phc.Exact(adjoint_sweeps=0), "adjoint_sweeps: got 0, expected a positive"),
        (
            lambda: phc.Exact(adjoint_tolerance=-1.0),
            "adjoint_tolerance: got -1.0, expected a number",
        ),
        (
            lambda: phc.Sequential(transmissions=0),
            "transmissions: got 0, expected a positive integer",
        ),
        (lambda: solver_from_dict({"name": "Newton"}), "solver: got 'Newton', expected one of"),
        (lambda: solver_from_dict({"sweeps": 3}), "solver: got None, expected one of"),
        (lambda: solver_from_dict({"name": "Exact", "sweeps": 3}), "solver: Exact does not take"),
    ],
)
def test_bad_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "solver",
    [
        phc.Sequential(3),
        phc.Jacobi(5, tolerance=0.1, window=7, start="sensory", carry_state=True, backend="log"),
        phc.Exact(max_sweeps=9, adjoint_tolerance=1e-3),
        phc.Exact(adjoint="truncated", adjoint_sweeps=2),
    ],
)
def test_dict_round_trip(solver):
    assert solver_from_dict(solver_to_dict(solver)) == solver
