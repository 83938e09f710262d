"""`PHC`: what it is built of, what it refuses, and the equations of the loop."""

import copy
import pickle

import pytest
import torch

import phc_snn as phc
from phc_snn.solvers import as_solver
from phc_snn.state import map_state, tensors
from tests.builders import (
    assert_same_solution,
    assert_same_state,
    carried_state,
    currents,
    make_network,
)
from tests.tolerances import assert_near, assert_same_bits


def connectome(features=8):
    return phc.HierarchicalConnectome(phc.Topology.bidirectional(features))


@torch.no_grad()
@pytest.mark.parametrize("drive", [1.0, 0.3])
def test_equations_of_the_loop(drive):
    """I[t] = W synapses(s)[t] + drive x[t], written out with the parts themselves."""
    network = make_network(drive=drive, delay=2, gain=4.0)
    x = currents(network, 40)
    solution = network(x, solver=phc.Sequential())
    delay, plasticity = network.synapses
    weight = network.connectome.weight
    neuron = delayed = efficacy = None
    due = torch.zeros(2, 3, 8, dtype=torch.float64)  # what was fired two steps ago and one step ago
    for t, x_t in enumerate(x):
        released, efficacy = plasticity.step(due[0], efficacy)
        current = released @ weight.T + drive * x_t
        spikes, voltage, neuron = network.neuron.step(current, neuron)
        _, delayed = delay.step(spikes, delayed)
        due = torch.stack([due[1], spikes])
        assert_near(current, solution.current[t])
        assert_near(voltage, solution.voltage[t])
        assert_same_bits(spikes, solution.spikes[t])


@pytest.mark.parametrize(
    ("synapses", "delay"),
    [
        (lambda: [phc.Delay(8, 3)], 3),
        (lambda: [phc.Delay(8, [1, 2, 3, 4, 5, 6, 7, 8])], 1),
        (lambda: [phc.Delay(8, 2), phc.TsodyksMarkram(8), phc.Delay(8, 1)], 3),
        (lambda: [phc.TsodyksMarkram(8)], 0),
        (lambda: phc.Delay(8, 4), 4),
        (lambda: (phc.Delay(8),), 1),
        (lambda: None, 0),
        (list, 0),
    ],
)
def test_delay_is_the_smallest_along_an_axon(synapses, delay):
    network = phc.PHC(phc.ALIF(8), synapses(), connectome())
    assert network.delay == delay
    assert network(torch.randn(5, 2, 8), solver=phc.Sequential()).spikes.shape == (5, 2, 8)


def test_default_solver_and_its_override():
    assert make_network().solver == phc.Jacobi(4)
    network = phc.PHC(phc.ALIF(8), phc.Delay(8), connectome(), solver=phc.Exact())
    x = torch.randn(30, 2, 8)
    assert_same_solution(network(x), network(x, solver=phc.Sequential()))
    assert network(x, solver=phc.Jacobi(2)).sweeps.tolist() == [2, 2]


@torch.no_grad()
def test_float64_input_to_a_float32_network():
    network = make_network(dtype=torch.float32)
    x = torch.randn(10, 2, 8, dtype=torch.float64)
    for solver in (phc.Sequential(), phc.Jacobi(3), phc.Exact()):
        solution = network(x, solver=solver)
        assert {t.dtype for t in tensors(solution.state)} == {torch.float64}
        assert solution.voltage.dtype == torch.float64


@torch.no_grad()
@pytest.mark.parametrize("solver", [phc.Sequential(), phc.Jacobi(3)], ids=str)
def test_bfloat16(solver):
    network = make_network(dtype=torch.bfloat16)
    solution = network(currents(network, 12), solver=solver)
    assert solution.voltage.dtype == torch.bfloat16
    assert {t.dtype for t in tensors(solution.state)} == {torch.bfloat16}
    with pytest.raises(ValueError, match=r"Exact proves bits, and torch\.bfloat16 rounds"):
        network(currents(network, 12), solver=phc.Exact())


@pytest.mark.parametrize("solver", ["exact", phc.Exact])
def test_what_is_no_solver(solver):
    network = make_network()
    with pytest.raises(TypeError, match=r"solver: got .*, expected a solver such as"):
        network(currents(network, 3), solver=solver)
    with pytest.raises(TypeError, match=r"solver: got .*, expected a solver such as"):
        phc.PHC(network.neuron, None, network.connectome, solver=solver)


@pytest.mark.parametrize("drive", [float("nan"), float("inf")])
def test_drive_is_finite(drive):
    network = make_network()
    with pytest.raises(ValueError, match=r"drive: got .*, expected a finite number"):
        phc.PHC(network.neuron, None, network.connectome, drive=drive)


@torch.no_grad()
@pytest.mark.parametrize("solver", [phc.Sequential(), phc.Jacobi(3), phc.Exact()], ids=str)
def test_memory_layout_is_irrelevant(solver):
    network = make_network()
    x = currents(network, 12)
    turned = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert_same_solution(network(turned, solver=solver), network(x, solver=solver))


@torch.no_grad()
def test_copies_behave_alike():
    network = make_network(gain=5.0)
    x, state = currents(network, 30), carried_state(network)
    expected = network(x, state, solver=phc.Exact())
    other = make_network(gain=1.0, seed=9)
    other.load_state_dict(network.state_dict())
    for made in (copy.deepcopy(network), pickle.loads(pickle.dumps(network)), other):
        assert_same_solution(made(x, state, solver=phc.Exact()), expected)


def test_every_parameter_learns():
    network = make_network(gain=4.0)
    for solver in (phc.Sequential(), phc.Jacobi(3), phc.Exact()):
        network.zero_grad()
        network(currents(network, 40), solver=solver).voltage.square().sum().backward()
        for name, parameter in network.named_parameters():
            assert bool(torch.isfinite(parameter.grad).all()), name
            assert bool(parameter.grad.any()), name


def test_gradient_of_masked_weights_is_zero():
    network = make_network(gain=4.0)
    network(currents(network, 20), solver=phc.Exact()).voltage.sum().backward()
    mask = network.connectome.mask
    gradient = network.connectome.raw_weight.grad
    assert not bool(gradient[~mask].any())
    assert bool(gradient[mask].any())


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        (
            lambda: (torch.nn.ReLU(), None, connectome()),
            TypeError,
            "neuron: got ReLU, expected a phc_snn neuron",
        ),
        (lambda: (phc.Delay(8), None, connectome()), TypeError, "neuron: got Delay, expected"),
        (
            lambda: (phc.ALIF(8), [torch.nn.ReLU()], connectome()),
            TypeError,
            "synapses: got ReLU, expected synaptic processes",
        ),
        (lambda: (phc.ALIF(8), [phc.LIF(8)], connectome()), TypeError, "synapses: got LIF"),
        (
            lambda: (phc.ALIF(6), None, connectome()),
            ValueError,
            "neuron, synapses, connectome: got",
        ),
        (lambda: (phc.ALIF(8), [phc.Delay(4)], connectome()), ValueError, "expected one number"),
        (lambda: (phc.ALIF(8), None, connectome(10)), ValueError, "expected one number"),
        (
            lambda: (phc.ALIF(8), [phc.Delay(4), phc.Delay(8)], connectome()),
            ValueError,
            "expected one number",
        ),
    ],
)
def test_parts_that_do_not_fit(parts, error, message):
    with pytest.raises(error, match=message):
        phc.PHC(*parts())


NAN = torch.zeros(6, 3, 8)
NAN[4, 1, 2] = torch.nan


@torch.no_grad()
@pytest.mark.parametrize("solver", [phc.Sequential(), phc.Jacobi(3), phc.Exact()], ids=str)
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (
            torch.zeros(6, 3, 7),
            ValueError,
            r"x_seq: got shape \(6, 3, 7\), expected \(T, B, N\) with",
        ),
        (torch.zeros(6, 8), ValueError, r"x_seq: got shape \(6, 8\).*unsqueeze\(1\)"),
        (
            torch.zeros(6, 4, 8),
            ValueError,
            "x_seq: batch size 4 does not match the carried state's 3",
        ),
        (torch.zeros(3, 6, 8), ValueError, r"batch-first, use x_seq.transpose\(0, 1\)"),
        (torch.zeros(6, 8, 3), ValueError, r"bring time to the front: x_seq.permute\(2, 0, 1\)"),
        (
            torch.zeros(8, 3, 6),
            ValueError,
            r"\(channels, batch, time\), use x_seq.permute\(2, 1, 0\)",
        ),
        (torch.zeros(6, 3, 8).int(), TypeError, r"x_seq: got torch.int32.*x_seq.float\(\)"),
        (torch.zeros(6, 3, 8) * 1j, TypeError, "x_seq: got torch.complex64, expected a floating"),
        (
            torch.zeros(6, 3, 8).double(),
            TypeError,
            "the input is torch.float64; convert one of them",
        ),
        (NAN, ValueError, r"x_seq: 1 of 144 values are NaN or Inf, .*first at index \(4, 1, 2\)"),
        (NAN / 0.0, ValueError, "x_seq: 144 of 144 values are NaN or Inf"),
        ([[0.0]], TypeError, "x_seq: got list, expected a torch.Tensor"),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(solver, x, error, message):
    network = make_network(dtype=torch.float32)
    good, state = currents(network, 6), carried_state(network)
    kept = map_state(torch.clone, state)
    expected = network(good, state, solver=solver)
    with pytest.raises(error, match=message):
        network(x, state, solver=solver)
    assert_same_state(state, kept)
    assert_same_solution(network(good, state, solver=solver), expected)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(3, 7), ValueError, r"x_t: got shape \(3, 7\), expected \(B, N\) with N = 8"),
        (torch.zeros(5, 3, 8), ValueError, r"x_t: .*for a whole sequence call scan .* or forward"),
        (torch.zeros(4, 8), ValueError, "x_t: batch size 4 does not match the carried state's 3"),
        (torch.zeros(3, 8).bool(), TypeError, "x_t: got torch.bool"),
        (torch.full((3, 8), torch.inf), ValueError, "x_t: 24 of 24 values are NaN or Inf"),
    ],
)
def test_bad_input_of_a_step(x, error, message):
    network = make_network(dtype=torch.float32)
    state = carried_state(network)
    kept = map_state(torch.clone, state)
    with pytest.raises(error, match=message):
        network.step(x, state)
    assert_same_state(state, kept)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda s: tuple(s), TypeError, "state: got tuple, expected the PHCState that an earlier"),
        (lambda s: s.neuron, TypeError, "state: got ALIFState, expected the PHCState"),
        (lambda s: s._replace(synapses=s.synapses[:1]), TypeError, "state.synapses: got tuple"),
        (
            lambda s: s._replace(neuron=s.neuron._replace(membrane=torch.zeros(3, 9))),
            ValueError,
            r"state.neuron.membrane: got shape \(3, 9\), expected \(3, 8\)",
        ),
        (
            lambda s: s._replace(synapses=(phc.DelayState(torch.zeros(3, 2, 8)), s.synapses[1])),
            ValueError,
            r"state.synapses\[0\].queue: got shape \(3, 2, 8\), expected \(3, 1, 8\)",
        ),
        (
            lambda s: s._replace(neuron=s.neuron._replace(membrane=None)),
            TypeError,
            r"state.neuron.membrane: got NoneType, expected a torch\.Tensor",
        ),
        (lambda s: s._replace(neuron=None), TypeError, "state.neuron: got NoneType, expected"),
        (lambda s: 3, TypeError, "state: got int, expected the PHCState"),
    ],
)
def test_bad_states(change, error, message):
    network = make_network(dtype=torch.float32)
    state = change(carried_state(network))
    with pytest.raises(error, match=message):
        network(torch.zeros(4, 3, 8), state)
    with pytest.raises(error, match=message):
        network.step(torch.zeros(3, 8), state)


def test_a_state_on_another_device():
    network = make_network(dtype=torch.float32)
    state = map_state(lambda s: s.to("meta"), carried_state(network))
    with pytest.raises(
        ValueError, match=r"state\.neuron\.adaptation: is on meta, the input on cpu"
    ):
        network(torch.zeros(4, 3, 8), state)


def test_the_check_for_nan_can_be_switched_off():
    network = make_network(dtype=torch.float32)
    network.check_finite = False
    spoilt = network(NAN, solver=phc.Sequential()).voltage
    assert bool(torch.isnan(spoilt[4, 1, 2]))
    assert bool(torch.isfinite(spoilt[:4]).all())


@pytest.mark.parametrize(
    ("solver", "recordable"),
    [
        ("auto", True),
        (phc.Sequential(), True),
        (phc.Jacobi(2), True),
        (phc.Jacobi(2, tolerance=1e-3), False),
        (phc.Exact(), False),
    ],
    ids=str,
)
def test_what_hangs_on_a_value_cannot_be_recorded(solver, recordable):
    network = make_network(features=4)
    network.solver = as_solver(solver)
    x = torch.zeros(3, 2, 4, dtype=torch.float64)
    assert network.recordable(x) == recordable
    with pytest.raises(ValueError, match="x_seq: got shape"):
        network.recordable(x[0])
