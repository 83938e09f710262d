"""Networks for tests. Their values are given here, so that no test hangs on a default."""

import torch

import phc_snn as phc
from phc_snn.state import map_state, tensors
from tests.tolerances import assert_same_bits


def make_network(
    *,
    neuron="ALIF",
    features=8,
    delay=1,
    gain=2.0,
    plasticity=True,
    drive=1.0,
    dtype=torch.float64,
    seed=0,
    synapses=None,
    **options,
):
    """A network whose recurrent weights add up to about ``gain`` of each sign onto each neuron.

    Excitation and inhibition are in balance, so that with a large gain activity is chaotic rather
    than saturated: the hardest case for a solver.
    """
    generator = torch.Generator().manual_seed(seed)
    topology = phc.Topology.bidirectional(features)
    connectome = phc.HierarchicalConnectome(topology)
    with torch.no_grad():
        random = torch.rand(features, features, generator=generator) * 2.0
        for kind in (topology.excitatory, ~topology.excitatory):
            inputs = (topology.mask & kind).sum(1, keepdim=True).clamp(min=1)
            random = torch.where(kind, random * gain / inputs, random)
        connectome.raw_weight.copy_(random)
    if neuron == "LIF":
        cells = phc.LIF(features, membrane_decay=0.8, **options)
    else:
        cells = phc.ALIF(
            features,
            membrane_decay=0.8,
            adaptation_time=10.0,
            adaptation_strength=0.5,
            suppression_decay=0.6,
            suppression_strength=0.3,
            **options,
        )
    if synapses is None:
        synapses = [phc.Delay(features, steps=delay)]
        if plasticity:
            synapses.append(
                phc.TsodyksMarkram(
                    features, increment=0.6, facilitation_time=30.0, depression_time=10.0
                )
            )
    return phc.PHC(cells, synapses, connectome, drive=drive).to(dtype)


def on_the_edge(steps=400):
    """Unconnected neurons whose voltage comes to rest on the threshold: rounding decides.

    In float32; the voltage is within 1e-5 of the threshold from about the middle on.
    """
    features = 16
    connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(features), gain=0.0)
    decay = torch.linspace(0.5, 0.93, features)
    network = phc.PHC(phc.LIF(features, membrane_decay=decay), phc.Delay(features), connectome)
    resting = 1.0 - network.neuron.membrane_decay.detach()
    return network, resting.expand(steps, 2, features).clone()


def currents(network, steps, batch=3, seed=1):
    """Input that makes every neuron fire some of the time, in the dtype of the network."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, batch, network.features, generator=generator, dtype=torch.float64)
    return (0.7 * x + 0.3).to(network.connectome.raw_weight.dtype)


def carried_state(network, batch=3):
    """What a chunk before has left: every part of the state is in use."""
    with torch.no_grad():
        return network(currents(network, 11, batch, seed=2), solver=phc.Sequential()).state


def one_sample(x, state, i):
    return x[:, i : i + 1], None if state is None else map_state(lambda s: s[i : i + 1], state)


def assert_same_state(actual, expected):
    for got, wanted in zip(tensors(actual), tensors(expected), strict=True):
        assert_same_bits(got, wanted)


def assert_same_solution(actual, expected):
    """Spikes, voltage, current and every part of the state, in every bit."""
    for name in ("spikes", "voltage", "current"):
        assert_same_bits(getattr(actual, name), getattr(expected, name))
    assert_same_state(actual.state, expected.state)


def leading_equal_steps(actual, expected):
    """(B,) the leading steps on which spikes, voltage and current are equal in every bit."""
    equal = torch.ones_like(expected.spikes, dtype=torch.bool)
    for name in ("spikes", "voltage", "current"):
        equal &= getattr(actual, name) == getattr(expected, name)
    return equal.all(-1).long().cumprod(0).sum(0)


def gradients(network, x, state, solver, cotangent_seed=5):
    """Gradients of one scalar of everything that a solution holds.

    In the order: input, the tensors of the initial state, the parameters.
    """
    x = x.detach().clone().requires_grad_()
    if state is not None:
        state = map_state(lambda s: s.detach().clone().requires_grad_(), state)
    solution = network(x, state, solver=solver)
    generator = torch.Generator().manual_seed(cotangent_seed)
    results = [solution.spikes, solution.voltage, solution.current, *tensors(solution.state)]
    total = sum(
        (r * torch.randn(r.shape, generator=generator, dtype=r.dtype)).sum() for r in results
    )
    leaves = [x, *([] if state is None else tensors(state)), *network.parameters()]
    found = torch.autograd.grad(total, leaves, allow_unused=True)
    return [torch.zeros_like(t) if g is None else g for t, g in zip(leaves, found, strict=True)]


def assert_same_gradients(actual, expected, tolerance):
    """Each tensor's gradient, relative to that tensor's largest."""
    for got, wanted in zip(actual, expected, strict=True):
        if wanted.numel() == 0:
            assert got.shape == wanted.shape
            continue
        largest = float(wanted.abs().max())
        error = float((got - wanted).abs().max())
        assert error <= tolerance * max(largest, 1e-12), f"{error:.3g} of {largest:.3g}"
