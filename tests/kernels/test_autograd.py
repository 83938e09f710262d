"""What a kernel is to autograd: second derivatives, results without a gradient, memory let go."""

import gc
import weakref

import pytest
import snntorch.surrogate
import torch

import phc_snn as phc
from phc_snn.emit import known_slope
from phc_snn.surrogate import FastSigmoid
from tests.builders import currents, make_network
from tests.processes import signal, vary
from tests.tolerances import assert_near

RECOGNISED = {
    "fast sigmoid": snntorch.surrogate.fast_sigmoid(slope=10),
    "atan": snntorch.surrogate.atan(alpha=3.0),
    "sigmoid": snntorch.surrogate.sigmoid(slope=5),
    "own": FastSigmoid(2.0),
}


@pytest.mark.parametrize("name", RECOGNISED)
def test_a_recognised_derivative_is_that_of_the_function(name):
    slope = known_slope(RECOGNISED[name])
    x = torch.linspace(-1.0, 1.0, 101, requires_grad=True)
    (wanted,) = torch.autograd.grad(RECOGNISED[name](x).sum(), x)
    assert_near(slope.derivative(x.detach()), wanted, 1e-5)


@pytest.mark.parametrize(
    "function",
    [
        snntorch.surrogate.triangular(),
        snntorch.surrogate.straight_through_estimator(),
        lambda x: FastSigmoid()(x),
    ],
)
def test_other_functions_are_not_recognised(function):
    assert known_slope(function) is None


def test_a_function_that_does_not_do_what_its_maker_says_is_not_recognised():
    function = snntorch.surrogate.atan(alpha=2.0)

    def inner(x):
        return FastSigmoid(9.0)(x) + 0.0 * alpha

    alpha = 2.0
    inner.__module__, inner.__qualname__ = function.__module__, function.__qualname__
    assert known_slope(function) is not None
    assert known_slope(inner) is None


@pytest.mark.parametrize("name", ["atan", "sigmoid"])
def test_a_layer_of_snntorchs_surrogate_has_its_gradient(name):
    """Of the kernel, against the steps, which call the function itself."""
    network = make_network(neuron="LIF", spike_grad=RECOGNISED[name])
    x = currents(network, 40).requires_grad_()
    (found,) = torch.autograd.grad(network(x, solver=phc.Sequential()).voltage.sum(), x)
    circuit = network.circuit(x.dtype)
    assert circuit.refusal(x, network.initial_state(3, dtype=x.dtype)) is None
    voltage = circuit._run_composed(x, network.initial_state(3, dtype=x.dtype))[1]
    (wanted,) = torch.autograd.grad(voltage.sum(), x)
    assert_near(found, wanted, 1e-6)  # snnTorch's functions compute in float32


@pytest.mark.parametrize("whole_network", [False, True])
def test_second_derivatives(whole_network):
    """A penalty on the gradient, as the steps one by one have it."""
    network = make_network(features=4, gain=3.0)
    x = currents(network, 12, batch=2).requires_grad_()

    def penalty(run):
        (first,) = torch.autograd.grad(run().square().sum(), x, create_graph=True)
        return torch.autograd.grad(first.square().sum(), [x, *network.neuron.parameters()])

    def by_steps():
        state, voltages = None, []
        for x_t in x.unbind(0):
            if whole_network:
                _, voltage, state = network.step(x_t, state)
            else:
                _, voltage, state = network.neuron.step(x_t, state)
            voltages.append(voltage)
        return torch.stack(voltages)

    def by_kernel():
        if whole_network:
            return network(x, solver=phc.Sequential()).voltage
        return network.neuron.scan(x)[1]

    for got, wanted in zip(penalty(by_kernel), penalty(by_steps), strict=True):
        assert_near(got, wanted, 1e-9)


def test_memory_is_let_go_with_the_backward_pass():
    neuron = vary(phc.ALIF(5)).double()
    x = signal(neuron, 40).requires_grad_()
    spikes, voltage, state = neuron.scan(x)
    kept = voltage.sum() + spikes.sum()
    watched = weakref.ref(spikes)
    kept.backward()
    del spikes, voltage, state
    gc.collect()
    assert watched() is None
    assert kept.grad_fn is not None


def test_threads_do_with_tiny_numbers_what_the_calling_thread_does():
    neuron = phc.LIF(64, membrane_decay=0.5)
    x = torch.zeros(500, 64, 64)
    x[0] = 1e-30 * torch.rand(64, 64)
    threads = torch.get_num_threads()
    lasting = []
    try:
        for flushes in (False, True):
            assert torch.set_flush_denormal(flushes) or not flushes
            found = []
            for count in (1, 2):
                torch.set_num_threads(count)
                with torch.no_grad():
                    found.append(neuron.scan(x)[1])
            assert torch.equal(*found)
            lasting.append(int((found[0] != 0).any(-1).any(-1).sum()))
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)
    assert lasting[0] > lasting[1] > 0


def doubly(features=4, drive=1.0):
    """A network whose operations can all be differentiated twice."""
    torch.manual_seed(0)
    synapses = [phc.Delay(features, 2), phc.TsodyksMarkram(features)]
    connectome = phc.DenseConnectome(
        torch.randn(features, features), torch.linspace(0.0, 0.2, features)
    )
    return phc.PHC(phc.ALIF(features), synapses, connectome, drive=drive).double()


@pytest.mark.parametrize("drive", [1.0, 0.7])
@pytest.mark.parametrize("length", [1, 6])
@pytest.mark.parametrize(
    "solver", [phc.Sequential(), phc.Jacobi(1), phc.Jacobi(3), phc.Jacobi(2, start="sensory")]
)
def test_a_gradient_that_can_be_differentiated_is_the_gradient(solver, length, drive):
    """A sweep's current, state and coefficients hang on one another: no path counts twice."""
    network = doubly(drive=drive)
    x = (torch.randn(2 * length, 2, 4).double() + 0.5).requires_grad_()
    leaves = [x, *network.parameters()]

    def loss():
        first = network(x[:length], solver=solver)
        second = network(x[length:], first.state, solver=solver)
        return second.voltage.square().sum() + first.current.square().sum()

    plain = torch.autograd.grad(loss(), leaves, allow_unused=True)
    doubled = torch.autograd.grad(loss(), leaves, allow_unused=True, create_graph=True)
    for actual, expected in zip(doubled, plain, strict=True):
        if expected is not None:
            torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


def test_second_derivatives_of_sweeps_are_those_of_the_reference():
    network = doubly()
    x = (torch.randn(5, 2, 4).double() + 0.5).requires_grad_()
    leaves = [x, *network.parameters()]
    found = []
    for backend in ("sequential", "reference"):
        voltage = network(x, solver=phc.Jacobi(3, backend=backend)).voltage
        first = torch.autograd.grad(voltage.square().sum(), leaves, create_graph=True)
        size = sum(g.square().sum() for g in first)
        found.append(torch.autograd.grad(size, leaves, allow_unused=True))
    for actual, expected in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-8)


def test_the_input_of_sweeps_may_be_filled_again_before_the_backward_pass():
    network = doubly()
    x = torch.randn(5, 2, 4).double() + 0.5
    found = []
    for again in (False, True):
        given = x.clone()
        voltage = network(given, solver=phc.Jacobi(3)).voltage
        if again:
            given.zero_()
        found.append(torch.autograd.grad(voltage.sum(), list(network.parameters())))
    for actual, expected in zip(*found, strict=True):
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("solver", [phc.Sequential(), phc.Jacobi(3), phc.Jacobi(3, tolerance=0.1)])
def test_functional_gradients_of_networks(solver):
    network = doubly()
    x = torch.randn(6, 2, 4).double() + 0.5

    def loss(x):
        return network(x, solver=solver).voltage.square().sum()

    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    assert_near(torch.func.grad(loss)(x), expected, 1e-12)
