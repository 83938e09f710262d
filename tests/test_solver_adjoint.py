"""The gradients of `Exact`: the true one, the truncated and the unrolled, and their account."""

import pytest
import torch

import phc_snn as phc
from phc_snn.solvers.adjoint import PATIENCE
from tests.builders import (
    assert_same_gradients,
    assert_same_solution,
    carried_state,
    currents,
    gradients,
    make_network,
)
from tests.tolerances import EXACT_GRADIENT


def relative_errors(actual, expected):
    """Norm of the error of each tensor's gradient, relative to that gradient."""
    return [
        float((a - e).norm() / e.norm()) for a, e in zip(actual, expected, strict=True) if e.any()
    ]


def classifier_gradients(model, x, labels, solver):
    """Name -> gradient of the training loss; parameters that a loss does not reach are left out."""
    model.zero_grad()
    model.loss(model(x, solver=solver), labels).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("readout", ["voltage", "spike"])
@pytest.mark.parametrize("topology", ["bidirectional", "feedforward"])
@pytest.mark.parametrize("gain", [8.0, 80.0])
def test_every_parameter_of_a_classifier(gain, topology, readout):
    generator = torch.Generator().manual_seed(3)
    model = phc.PHCSSM(
        3, 4, neurons=16, gain=gain, topology=topology, readout=readout, generator=generator
    ).double()
    x = torch.randn(150, 6, 3, generator=generator, dtype=torch.float64)
    labels = torch.arange(6) % 4
    expected = classifier_gradients(model, x, labels, phc.Sequential())
    actual = classifier_gradients(model, x, labels, phc.Exact())
    assert set(actual) == set(expected)
    for part in ("encoder.weight", "norm.bias", "connectome", "threshold", "time", "decay",
                 "strength", "increment", "decoder"):  # fmt: skip
        assert any(part in name for name in expected), part
    for name, wanted in expected.items():
        error = float((actual[name] - wanted).norm() / wanted.norm().clamp(min=1e-30))
        assert error <= EXACT_GRADIENT, f"{name}: {error:.2e}"


@pytest.mark.parametrize(("neuron", "gain"), [("ALIF", 10.0), ("LIF", 10.0), ("LIF", 30.0)])
@pytest.mark.parametrize("delay", [1, 4, [1, 2, 3, 4, 5, 2, 1, 8]])
def test_strong_networks_are_stepped_back_through(neuron, gain, delay):
    if isinstance(delay, list):
        delay = delay * 3
    network = make_network(neuron=neuron, gain=gain, delay=delay, plasticity=False, features=24)
    x, state = currents(network, 150), carried_state(network)
    expected = gradients(network, x, state, phc.Sequential())
    actual = gradients(network, x, state, phc.Exact())
    assert max(relative_errors(actual, expected)) <= EXACT_GRADIENT
    solution = network(x.requires_grad_(), state, solver=phc.Exact())
    solution.voltage.sum().backward()
    assert bool(solution.adjoint.stepped.all())
    assert solution.adjoint.residual.tolist() == [0.0, 0.0, 0.0]


def test_samples_are_stepped_back_through_each_by_itself():
    """A chaotic sample beside ones that settle, all with the right gradient."""
    network = make_network(gain=4.0)
    x = currents(network, 200, batch=4)
    x[:, [0, 2]] = x[:, [0, 2]] * 0.1 - 1.0
    expected = gradients(network, x, None, phc.Sequential())
    actual = gradients(network, x, None, phc.Exact())
    assert max(relative_errors(actual, expected)) <= EXACT_GRADIENT
    inputs = x.requires_grad_()
    together = network(inputs, solver=phc.Exact())
    together.voltage.sum().backward()
    assert not bool(together.adjoint.stepped[[0, 2]].any())
    for i in range(4):
        alone = network(x[:, i : i + 1].detach().requires_grad_(), solver=phc.Exact())
        alone.voltage.sum().backward()
        assert bool(alone.adjoint.stepped[0] == together.adjoint.stepped[i])
        assert int(alone.adjoint.sweeps[0]) == int(together.adjoint.sweeps[i])


def test_account_of_the_backward_pass():
    network = make_network(gain=0.5)
    x = currents(network, 60)
    with torch.no_grad():
        assert network(x, solver=phc.Exact()).adjoint is None
    assert network(x, solver=phc.Sequential()).adjoint is None
    solution = network(x, solver=phc.Exact())
    account = solution.adjoint
    assert (account.kind, account.sweeps, account.residual) == ("exact", None, None)
    solution.voltage.sum().backward()
    assert account.sweeps.shape == account.residual.shape == account.stepped.shape == (3,)
    assert bool((account.sweeps >= 2).all())
    assert bool((account.sweeps <= PATIENCE).all())
    assert bool((account.residual <= 1e-6).all())
    assert not bool(account.stepped.any())


def test_a_looser_tolerance_takes_fewer_sweeps():
    network = make_network(gain=1.0)
    x = currents(network, 80)
    found = []
    for tolerance in (1e-1, 1e-4, 1e-7):
        solution = network(x, solver=phc.Exact(adjoint_tolerance=tolerance))
        solution.voltage.square().mean().backward()
        assert bool((solution.adjoint.residual <= tolerance).all())
        found.append(int(solution.adjoint.sweeps.max()))
    assert found[0] < found[1] < found[2]


def test_truncated_adjoint_approaches_the_true_gradient():
    network = make_network(gain=1.0)
    x, state = currents(network, 80), carried_state(network)
    expected = gradients(network, x, state, phc.Sequential())
    errors = []
    for k in (1, 2, 4, 8):
        solver = phc.Exact(adjoint="truncated", adjoint_sweeps=k)
        assert_same_solution(
            network(x, state, solver=solver), network(x, state, solver=phc.Exact())
        )
        errors.append(max(relative_errors(gradients(network, x, state, solver), expected)))
        solution = network(x, state, solver=solver)
        solution.voltage.sum().backward()
        assert solution.adjoint.sweeps.tolist() == [k, k, k]
        assert not bool(solution.adjoint.stepped.any())
        assert bool((solution.adjoint.residual > 0).all())
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1e-3 > 1e-4 > errors[-1]


def test_one_truncated_sweep_by_hand():
    """m = g + F'(I)^T g: the direct effect, and the paths through one transmission."""
    network = make_network(gain=1.0)
    x = currents(network, 30).requires_grad_()
    current = network(x, solver=phc.Exact()).current.detach().requires_grad_()
    spikes, voltage, _ = network.neuron.scan(current)
    signal = spikes
    for synapse in network.synapses:
        signal, _ = synapse.scan(signal)
    image = network.connectome(signal)
    (direct,) = torch.autograd.grad(voltage.sum(), current, retain_graph=True)
    (through,) = torch.autograd.grad(image, current, direct)
    solver = phc.Exact(adjoint="truncated", adjoint_sweeps=1)
    (found,) = torch.autograd.grad(network(x, solver=solver).voltage.sum(), x)
    assert_same_gradients([found], [direct + through], 1e-12)


def test_unrolled_is_the_gradient_of_the_sweeps():
    network = make_network(gain=1.0)
    x, state = currents(network, 60), carried_state(network)
    solver = phc.Exact(adjoint="unrolled")
    solution = network(x, state, solver=solver)
    assert_same_solution(solution, network(x, state, solver=phc.Sequential()))
    assert bool(solution.converged.all())
    assert solution.adjoint.kind == "unrolled"
    for i in range(3):
        chosen = slice(i, i + 1)
        before = phc.PHCState(
            type(state.neuron)(*(s[chosen] for s in state.neuron)),
            tuple(type(s)(*(t[chosen] for t in s)) for s in state.synapses),
        )
        sweeps = int(solution.sweeps[i])
        expected = gradients(network, x[:, chosen], before, phc.Jacobi(sweeps))
        actual = gradients(network, x[:, chosen], before, solver)
        assert_same_gradients(actual, expected, 1e-12)


def test_no_differing_spike_and_still_another_gradient():
    """Why the adjoint is solved for: forward convergence does not give the gradient."""
    network = make_network(gain=0.5)
    x = currents(network, 60)
    expected = gradients(network, x, None, phc.Sequential())
    truth = network(x, solver=phc.Sequential())
    unrolled = network(x, solver=phc.Exact(adjoint="unrolled"))
    assert torch.equal(unrolled.spikes, truth.spikes)
    off = relative_errors(gradients(network, x, None, phc.Exact(adjoint="unrolled")), expected)
    right = relative_errors(gradients(network, x, None, phc.Exact()), expected)
    assert max(off) > 1e3 * max(right)
    assert max(right) <= EXACT_GRADIENT


def test_memory_of_unrolled_sweeps_grows_with_them():
    network = make_network(gain=0.5)
    x = currents(network, 120).requires_grad_()

    def saved(solver):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.append(t.numel()) or t, lambda t: t
        ):
            network(x, solver=solver)
        return sum(sizes)

    one = saved(phc.Jacobi(1))
    assert saved(phc.Jacobi(4)) > 3.5 * one
    assert saved(phc.Exact()) <= 8 * x.numel()  # its passes do not add to it


@pytest.mark.parametrize(
    "outputs", [("voltage",), ("spikes",), ("current",), ("spikes", "current")]
)
def test_gradient_of_each_output(outputs):
    network = make_network(gain=1.0)
    x = currents(network, 40).requires_grad_()
    found = []
    for solver in (phc.Sequential(), phc.Exact()):
        solution = network(x, solver=solver)
        total = sum((getattr(solution, name) * torch.arange(8.0)).sum() for name in outputs)
        found.append(torch.autograd.grad(total, [x, *network.parameters()]))
    assert_same_gradients(found[1], found[0], EXACT_GRADIENT)


def test_gradient_through_chunks():
    """The state that a chunk hands on carries the gradient into the chunk before."""
    network = make_network(gain=1.0)
    x = currents(network, 60)
    found = []
    for solver in (phc.Sequential(), phc.Exact()):
        inputs, state, total = x.clone().requires_grad_(), None, 0.0
        for chunk in inputs.split([7, 40, 13]):
            solution = network(chunk, state, solver=solver)
            state = solution.state
            total = total + solution.voltage.square().sum()
        found.append(torch.autograd.grad(total, [inputs, *network.parameters()]))
    assert_same_gradients(found[1], found[0], EXACT_GRADIENT)


def test_gradient_of_an_unproved_solution_is_that_of_its_equation():
    """Where sweeps were cut short the adjoint is solved at the current that they led to."""
    network = make_network(gain=1.0)
    x = currents(network, 60).requires_grad_()
    solution = network(x, solver=phc.Exact(max_sweeps=1))
    assert not bool(solution.converged.any())
    (found,) = torch.autograd.grad(solution.voltage.sum(), x)
    assert bool(torch.isfinite(found).all())
    assert bool(found.any())


@pytest.mark.parametrize("shape", [(0, 3, 8), (5, 0, 8)])
@pytest.mark.parametrize("kind", ["exact", "truncated", "unrolled"])
def test_empty_input_has_an_empty_gradient(shape, kind):
    network = make_network()
    x = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    network(x, solver=phc.Exact(adjoint=kind)).voltage.sum().backward()
    assert x.grad is None or x.grad.shape == shape


def test_frozen_parameters_get_no_gradient():
    network = make_network()
    for parameter in network.neuron.parameters():
        parameter.requires_grad_(False)
    network(currents(network, 20), solver=phc.Exact()).voltage.sum().backward()
    assert all(p.grad is None for p in network.neuron.parameters())
    assert bool(network.connectome.raw_weight.grad.any())
