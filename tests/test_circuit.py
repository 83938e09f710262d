"""What the solvers put together, by itself."""

from typing import NamedTuple

import pytest
import torch

import phc_snn as phc
from phc_snn.axes import WholeSequence
from phc_snn.solution import PHCState
from tests.builders import make_network
from tests.tolerances import assert_same_bits


class TraceState(NamedTuple):
    level: torch.Tensor


class Trace(phc.Process):
    """A low-pass filter: it goes on when its input has ended."""

    def initial_state(self, batch_size, *, device=None, dtype=None):
        return TraceState(torch.full((batch_size, self.features), 0.5, device=device, dtype=dtype))

    def coefficients(self, dtype):
        return ()

    @staticmethod
    def dynamics(x, state, c, time):
        level, last = time.recur(0.9, x, state.level)
        return (level,), TraceState(last)


def biased(synapses):
    weight = torch.linspace(-1.0, 1.0, 16).reshape(4, 4)
    return phc.PHC(phc.LIF(4), synapses, phc.DenseConnectome(weight, torch.full((4,), 0.1)))


NETWORKS = {
    "published": lambda: make_network(delay=3),
    "several delays": lambda: biased([phc.Delay(4, [1, 2, 5, 3]), phc.Delay(4, 2)]),
    "no delay": lambda: biased([]),
    "a process that echoes": lambda: biased([phc.Delay(4, 2), Trace(4)]),
}


@pytest.mark.parametrize("length", [1, 4, 8, 40])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_under_way_arrives_and_then_nothing_changes(name, length):
    network = NETWORKS[name]()
    x = torch.randn(30, 2, network.features) + 0.5
    state = network(x, solver=phc.Sequential()).state  # with spikes under way
    circuit, time = network.circuit(x.dtype), WholeSequence("sequential")
    like = torch.empty(length, 2, network.features)
    rows = circuit.silent(like, PHCState(state.neuron, state.synapses), time)
    expected, _ = circuit.transmit(torch.zeros_like(like), state, time)
    assert len(rows) <= length
    assert_same_bits(rows, expected[: len(rows)])
    assert_same_bits(rows[-1:].expand(length - len(rows), -1, -1), expected[len(rows) :])
    assert float(expected.detach().abs().max()) > 0 or not state.synapses


def test_a_drive_of_one_adds_the_input_itself():
    network = make_network()
    x = torch.randn(5, 1, network.features)
    assert network.circuit(x.dtype).driven(x) is x
    network.drive = 2.0
    assert_same_bits(network.circuit(x.dtype).driven(x), 2.0 * x)


def test_other_equations_have_to_say_anew_that_they_do_not_echo():
    class Other(phc.TsodyksMarkram):
        dynamics = phc.Delay.dynamics

    class Silent(Other):
        echoes = False

    class Same(phc.TsodyksMarkram):
        pass

    assert not phc.TsodyksMarkram.echoes
    assert not Same.echoes
    assert Other.echoes
    assert not Silent.echoes
