"""Whole networks in one kernel, against their tensor operations, on any number of threads."""

import pytest
import torch

import phc_snn as phc
from phc_snn.axes import WholeSequence
from phc_snn.kernels import UntraceableError
from phc_snn.kernels.cpu_source import EVERY
from phc_snn.solvers.base import progress
from phc_snn.state import map_state, tensors
from tests.builders import make_network
from tests.kernels.comparison import BOTH, assert_agree, assert_same_results, gradients, leaf


def one_to_one(features=8):
    weight = torch.linspace(-1.0, 1.0, features)
    neuron = phc.CubaLIF(features, reset_mechanism="zero", reset_input=True)
    return phc.PHC(neuron, phc.Delay(features), phc.OneToOneConnectome(weight))


def dense(features=8):
    weight = torch.randn(features, features) / features**0.5
    neuron = phc.LIF(features, reset_mechanism="subtract", reset_delay=False)
    bias = torch.linspace(0.0, 0.2, features)
    return phc.PHC(neuron, phc.Delay(features), phc.DenseConnectome(weight, bias))


NETWORKS = {
    "ALIF": lambda: make_network(delay=3),
    "LIF-no-plasticity": lambda: make_network(neuron="LIF", plasticity=False),
    "dense": dense,
    "one-to-one": one_to_one,
}


def leaves_of(network, x):
    """A circuit, its state and its input, all leaves, and a list of them."""
    circuit = network.circuit(x.dtype)
    circuit._neuron = map_state(leaf, circuit._neuron)
    circuit._synapses = [map_state(leaf, c) for c in circuit._synapses]
    circuit._connectome = map_state(leaf, circuit._connectome)
    state = map_state(leaf, network.initial_state(x.shape[1], dtype=x.dtype))
    x = leaf(x)
    found = tensors((x, state, circuit._neuron, *circuit._synapses, circuit._connectome))
    return circuit, state, x, [t for t in found if t.requires_grad]


def both(network, x, composed=True):
    """Results by the kernel and by operations, and the leaves that both hang on."""
    circuit, state, x, leaves = leaves_of(network, x)
    runs = (circuit._run_compiled, *((circuit._run_composed,) if composed else ()))
    return *(tensors(run(x, state)) for run in runs), leaves


def both_sweeps(network, x, backends=("sequential", "reference")):
    """As `both`, of a sweep; only the first has a kernel."""
    circuit, state, x, leaves = leaves_of(network, x)
    current = leaf(torch.randn_like(x))
    runs = (circuit.sweep(current, x, state, WholeSequence(backend)) for backend in backends)
    return *(tensors(run[:-1]) for run in runs), [current, *leaves]


RUNS = pytest.mark.parametrize("run", [both, both_sweeps])


@RUNS
@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("name", NETWORKS)
def test_results_and_gradients(name, dtype, run):
    network = NETWORKS[name]().to(dtype)
    for length in (1, 2, EVERY + 1):
        x = torch.randn(length, 3, network.features).to(dtype) + 0.3
        assert_agree(*run(network, x))


@RUNS
def test_nothing_is_read_before_it_is_written(run, request):
    network = NETWORKS["ALIF"]().float()
    x = torch.randn(EVERY + 1, 3, network.features) + 0.3
    assert_agree(*run(network, x))  # compiles, which poisoned memory would disturb
    request.getfixturevalue("poisoned")
    assert_agree(*run(network, x))


@RUNS
@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("name", NETWORKS)
def test_long_sequences(name, dtype, run):
    network = NETWORKS[name]().to(dtype)
    assert_agree(*run(network, torch.randn(1023, 2, network.features).to(dtype) + 0.3))


@RUNS
def test_weights_of_several_slices(run):
    network = dense(130).float()
    assert_agree(*run(network, torch.randn(EVERY + 1, 2, 130) + 0.3))


def test_a_sweep_takes_a_view_for_its_input():
    network = dense().double()
    wide = torch.randn(40, 3, 16, dtype=torch.float64)
    circuit, state = network.circuit(wide.dtype), network.initial_state(3, dtype=wide.dtype)
    current, driven = wide[..., ::2], wide[..., 1::2]
    time = WholeSequence("sequential")
    expected = circuit.sweep(current.contiguous(), driven.contiguous(), state, time)
    assert_same_results(tensors(circuit.sweep(current, driven, state, time)), tensors(expected))


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("batch", [1, 3, 70])
def test_a_sweep_measures_what_it_changed(batch, dtype):
    network = NETWORKS["ALIF"]().to(dtype)
    circuit, state, driven, _ = leaves_of(network, torch.randn(40, batch, 8).to(dtype))
    time = WholeSequence("sequential")
    current = circuit.sweep(driven, driven, state, time).following.detach()
    current[25:, 1:] += 1.0  # the last steps of all samples but the first
    sweep = circuit.sweep(current, driven, state, time)
    after = sweep.following.detach()
    assert_same_results(sweep.progress, progress(after, current, driven))
    equal = (after == current).all(-1).long().cumprod(0).sum(0)
    assert torch.equal(sweep.progress.equal, equal)
    torch.testing.assert_close(sweep.progress.change, (after - current).norm(dim=(0, 2)))
    torch.testing.assert_close(sweep.progress.size, (after - driven).norm(dim=(0, 2)).detach())


def test_second_derivatives_of_a_sweep():
    network = NETWORKS["ALIF"]().double()
    circuit, state, x, _ = leaves_of(network, torch.randn(6, 2, 8, dtype=torch.float64))

    found = []
    for backend in ("sequential", "reference"):
        current = leaf(x)
        after = circuit.sweep(current, x, state, WholeSequence(backend))[2]
        (first,) = torch.autograd.grad(after.square().sum(), current, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [current, x], allow_unused=True))
    for actual, expected in zip(*found, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["ALIF", "dense"])
@pytest.mark.parametrize("run", ["network", "sweep"])
def test_bits_do_not_depend_on_the_threads(name, run, restore_threads):
    network = NETWORKS[name]().float()
    x = torch.randn(300, 128, network.features) + 0.3  # enough values for four threads
    found = []
    for threads in (1, 2, 4, 4):
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        if run == "network":
            results, leaves = both(network, x, composed=False)
        else:
            results, leaves = both_sweeps(network, x, backends=("sequential",))
        found.append([*results, *gradients(results, leaves)])
    for other in found[1:]:
        assert_same_results(other, found[0])


class Doubled(phc.DenseConnectome):
    @staticmethod
    def transmit(signal, coefficients):
        return phc.numerics.linear(signal, coefficients[0] * 2)


class Plain(phc.DenseConnectome):
    @staticmethod
    def transmit(signal, coefficients):
        return signal @ coefficients[0].T


@pytest.mark.parametrize("kind", [Doubled, Plain])
def test_a_connectome_that_does_more_with_its_weights_has_no_kernel(kind):
    network = phc.PHC(phc.LIF(8), phc.Delay(8), kind(torch.randn(8, 8)))
    x = torch.randn(20, 2, 8) + 0.5
    circuit, state = network.circuit(x.dtype), network.initial_state(2)
    with pytest.raises(UntraceableError):
        circuit._run_compiled(x, state)
    assert_same_results(tensors(circuit.run(x, state)), tensors(circuit._run_composed(x, state)))
