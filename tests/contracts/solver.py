"""What every solver promises, as functions of (solver, network, x, state).

`SOLVER_CONTRACTS` hold for all solvers, `EXACT_CONTRACTS` for those that promise the result of
`Sequential`.
"""

import torch

import phc_snn as phc
from phc_snn.state import map_state, tensors
from tests.builders import (
    assert_same_gradients,
    assert_same_solution,
    assert_same_state,
    gradients,
    leading_equal_steps,
    one_sample,
)
from tests.tolerances import EXACT_GRADIENT, assert_same_bits


@torch.no_grad()
def contract_certificate_is_true(solver, network, x, state):
    """Never are more steps certified than lead without a difference from `Sequential`."""
    solution = network(x, state, solver=solver)
    truth = network(x, state, solver=phc.Sequential())
    assert bool((solution.certified_steps <= leading_equal_steps(solution, truth)).all())


@torch.no_grad()
def contract_proved_samples_end_in_the_right_state(solver, network, x, state):
    solution = network(x, state, solver=solver)
    truth = network(x, state, solver=phc.Sequential())
    proved = solution.certified_steps == len(x)
    for got, wanted in zip(tensors(solution.state), tensors(truth.state), strict=True):
        assert_same_bits(got[proved], wanted[proved])


@torch.no_grad()
def contract_sample_does_not_know_its_batch(solver, network, x, state):
    together = network(x, state, solver=solver)
    for i in range(x.shape[1]):
        alone = network(*one_sample(x, state, i), solver=solver)
        for name in ("spikes", "voltage", "current"):
            assert_same_bits(getattr(alone, name)[:, 0], getattr(together, name)[:, i])
        for name in ("sweeps", "certified_steps", "converged", "work"):
            assert bool(getattr(alone, name)[0] == getattr(together, name)[i]), name
        by_itself, in_company = alone.residuals[:, 0], together.residuals[:, i]
        assert torch.equal(by_itself[~by_itself.isnan()], in_company[~in_company.isnan()])
        assert_same_state(alone.state, map_state(lambda s, i=i: s[i : i + 1], together.state))


@torch.no_grad()
def contract_input_and_state_are_not_changed(solver, network, x, state):
    given = network.initial_state(x.shape[1], dtype=x.dtype) if state is None else state
    kept, x_kept = map_state(torch.clone, given), x.clone()
    network(x, given, solver=solver)
    assert_same_bits(x, x_kept)
    assert_same_state(given, kept)


@torch.no_grad()
def contract_rest_may_be_given_or_left_out(solver, network, x, state):
    rest = network.initial_state(x.shape[1], dtype=x.dtype)
    assert_same_solution(network(x, rest, solver=solver), network(x, solver=solver))


@torch.no_grad()
def contract_empty_sequence_keeps_state(solver, network, x, state):
    solution = network(x[:0], state, solver=solver)
    given = network.initial_state(x.shape[1], dtype=x.dtype) if state is None else state
    for name in ("spikes", "voltage", "current"):
        assert_same_bits(getattr(solution, name), x[:0])
    assert_same_state(solution.state, given)
    assert solution.certified_steps.tolist() == [0] * x.shape[1]


@torch.no_grad()
def contract_empty_batch(solver, network, x, state):
    nobody = None if state is None else map_state(lambda s: s[:0], state)
    solution = network(x[:, :0], nobody, solver=solver)
    assert solution.spikes.shape == (len(x), 0, network.features)
    for name in ("sweeps", "certified_steps", "converged", "work"):
        assert getattr(solution, name).shape == (0,)
    assert all(tensor.shape[0] == 0 for tensor in tensors(solution.state))


@torch.no_grad()
def contract_solution_is_well_formed(solver, network, x, state):
    solution = network(x, state, solver=solver)
    batch = x.shape[1]
    for name in ("spikes", "voltage", "current"):
        value = getattr(solution, name)
        assert (value.shape, value.dtype) == (x.shape, x.dtype)
        assert bool(torch.isfinite(value).all())
    assert set(solution.spikes.unique().tolist()) <= {0.0, 1.0}
    for name, dtype in (
        ("sweeps", torch.int64),
        ("certified_steps", torch.int64),
        ("converged", torch.bool),
        ("work", torch.float64),
    ):
        value = getattr(solution, name)
        assert (value.shape, value.dtype) == ((batch,), dtype), name
    assert bool((solution.certified_steps >= 0).all())
    assert bool((solution.certified_steps <= len(x)).all())
    assert solution.residuals.dim() == 2
    assert solution.residuals.shape[1] == batch
    assert type(solution.state) is phc.PHCState


@torch.no_grad()
def contract_nothing_is_proved_without_work(solver, network, x, state):
    """Work counts every update: at least one for each step, and for each step that is proved."""
    solution = network(x, state, solver=solver)
    assert bool((solution.work * len(x) >= solution.certified_steps).all())
    assert bool((solution.work >= 1).all())


@torch.no_grad()
def contract_current_drives_the_spikes(solver, network, x, state):
    """Spikes and voltage are the neurons' answer to the current, from the state that was given."""
    solution = network(x, state, solver=solver)
    start = None if state is None else state.neuron
    spikes, voltage, end = network.neuron.scan(solution.current, start)
    assert_same_bits(solution.spikes, spikes)
    assert_same_bits(solution.voltage, voltage)
    assert_same_state(solution.state.neuron, end)


@torch.no_grad()
def contract_repeats(solver, network, x, state):
    assert_same_solution(network(x, state, solver=solver), network(x, state, solver=solver))


@torch.no_grad()
def contract_equals_sequential(solver, network, x, state):
    solution = network(x, state, solver=solver)
    assert_same_solution(solution, network(x, state, solver=phc.Sequential()))
    assert bool(solution.converged.all())


@torch.no_grad()
def contract_chunks_equal_whole(solver, network, x, state):
    whole = network(x, state, solver=solver)
    for sizes in ([1, len(x) - 1], [5, 7, len(x) - 12], [0, 9, 0, len(x) - 9]):
        parts, carried = [], state
        for chunk in x.split(sizes):
            parts.append(network(chunk, carried, solver=solver))
            carried = parts[-1].state
        for name in ("spikes", "voltage", "current"):
            assert_same_bits(torch.cat([getattr(p, name) for p in parts]), getattr(whole, name))
        assert_same_state(carried, whole.state)


@torch.no_grad()
def contract_steps_equal_whole(solver, network, x, state):
    """The deployed loop: `PHC.step`, one sample after the other."""
    whole = network(x, state, solver=solver)
    carried = state
    for t, x_t in enumerate(x):
        spikes, voltage, carried = network.step(x_t, carried)
        assert_same_bits(spikes, whole.spikes[t])
        assert_same_bits(voltage, whole.voltage[t])
    assert_same_state(carried, whole.state)


def contract_gradient_is_that_of_sequential(solver, network, x, state):
    expected = gradients(network, x, state, phc.Sequential())
    assert_same_gradients(gradients(network, x, state, solver), expected, EXACT_GRADIENT)


EXACT_CONTRACTS = {
    f.__name__: f
    for f in (
        contract_equals_sequential,
        contract_chunks_equal_whole,
        contract_steps_equal_whole,
        contract_gradient_is_that_of_sequential,
    )
}
SOLVER_CONTRACTS = {
    name: function
    for name, function in dict(vars()).items()
    if name.startswith("contract_") and name not in EXACT_CONTRACTS
}
