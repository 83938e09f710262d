"""Whole networks in one kernel, against their tensor operations, on any number of threads."""

import pytest
import torch

import phc_snn as phc
from phc_snn.kernels import UntraceableError
from phc_snn.kernels.cpu_source import EVERY
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


def both(network, x, composed=True):
    """Results by the kernel and by operations, and the leaves that both hang on."""
    circuit = network.circuit(x.dtype)
    circuit._neuron = map_state(leaf, circuit._neuron)
    circuit._synapses = [map_state(leaf, c) for c in circuit._synapses]
    circuit._connectome = map_state(leaf, circuit._connectome)
    state = map_state(leaf, network.initial_state(x.shape[1], dtype=x.dtype))
    x = leaf(x)
    found = tensors((x, state, circuit._neuron, *circuit._synapses, circuit._connectome))
    leaves = [t for t in found if t.requires_grad]
    runs = (circuit._run_compiled, *((circuit._run_composed,) if composed else ()))
    return *(tensors(run(x, state)) for run in runs), leaves


@pytest.mark.parametrize("dtype", BOTH)
@pytest.mark.parametrize("name", NETWORKS)
def test_results_and_gradients(name, dtype):
    network = NETWORKS[name]().to(dtype)
    for length in (1, 2, EVERY + 1):
        x = torch.randn(length, 3, network.features).to(dtype) + 0.3
        assert_agree(*both(network, x))


def test_weights_of_several_slices():
    network = dense(130).float()
    assert_agree(*both(network, torch.randn(EVERY + 1, 2, 130) + 0.3))


@pytest.mark.parametrize("name", ["ALIF", "dense"])
def test_bits_do_not_depend_on_the_threads(name, restore_threads):
    network = NETWORKS[name]().float()
    x = torch.randn(300, 128, network.features) + 0.3  # enough values for four threads
    found = []
    for threads in (1, 2, 4, 4):
        torch.set_num_threads(threads)
        results, leaves = both(network, x, composed=False)
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
