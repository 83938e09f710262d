"""A network and its copy by way of a graph or a file: the same spikes, and the same parameters.

For LIF and CubaLIF these are equal in every bit, and so are all voltages. ALIF's lie in another
range, scaled or behind a softplus, where a float32 parameter cannot hit every value: to rounding.
"""

import numpy as np
import pytest
import torch

import phc_snn as phc
from phc_snn.convert.nir import Chain, from_nir, read_nir, to_nir, write_nir
from tests.convert.nir.networks import B, N, T, inputs, recurrent, spikes_of, spread

nir = pytest.importorskip("nir", reason="needs the extra 'export'")

VARIED = {"threshold": spread(0.5, 1.5), "membrane_decay": spread(0.3, 0.95, seed=1)}
NEURONS = {
    f"{kind.__name__}-{reset}": (
        lambda kind=kind, reset=reset: kind(N, reset_mechanism=reset, **VARIED)
    )
    for kind in (phc.LIF, phc.CubaLIF)
    for reset in ("none", "zero", "subtract")
}
NEURONS |= {
    f"ALIF-lag-{lag}": (
        lambda lag=lag: phc.ALIF(
            N,
            adaptation_strength=0.0,
            suppression_strength=spread(0.1, 0.9),
            refractory_lag=lag,
            **VARIED,
        )
    )
    for lag in (0, 1)
}
NEURONS |= {
    f"no-leak-{reset}": lambda reset=reset: phc.LIF(N, membrane_decay=1.0, reset_mechanism=reset)
    for reset in ("none", "zero", "subtract")
}
NEURONS |= {
    "no-memory": lambda: phc.LIF(N, membrane_decay=0.0, threshold=0.4),
    "at-once": lambda: phc.LIF(N, reset_mechanism="zero", reset_delay=False),
}


def assert_same_run(model, copy, x_seq):
    ours, theirs = spikes_of(model, x_seq), spikes_of(copy, x_seq)
    assert ours.numel() >= 12_800
    assert 0.005 < ours.mean() < 0.95
    assert int((ours != theirs).sum()) == 0


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("dt", [1e-4, 0.3])
def test_neurons(name, dt, tmp_path):
    torch.manual_seed(0)
    neuron = NEURONS[name]()
    write_nir(tmp_path / "neuron.nir", neuron, dt=dt)
    copy = from_nir(tmp_path / "neuron.nir")
    assert type(copy.layers[0]) is type(neuron)
    if name != "at-once":
        assert copy.layers[0].reset_mechanism == neuron.reset_mechanism
        found = copy.layers[0].coefficients(torch.float32)._asdict()
        for parameter, value in neuron.coefficients(torch.float32)._asdict().items():
            if not isinstance(value, torch.Tensor):
                continue  # spike functions and the reset, which the run below tells
            if not name.startswith("ALIF"):
                assert torch.equal(found[parameter], value)
            elif not parameter.startswith("adaptation"):
                torch.testing.assert_close(found[parameter], value, rtol=5e-7, atol=0.0)
    assert_same_run(neuron, copy, inputs())
    assert_same_run(neuron, from_nir(to_nir(copy, dt=2 * dt)), inputs())


@pytest.mark.parametrize("name", NEURONS)
@pytest.mark.parametrize("steps", [1, 3, tuple(1 + i % 5 for i in range(N))], ids=str)
def test_recurrent_networks(name, steps, tmp_path):
    network = recurrent(NEURONS[name](), steps=steps, bias=spread(-0.2, 0.1), drive=0.7)
    write_nir(tmp_path / "network.nir", network, dt=1e-3)
    copy = from_nir(tmp_path / "network.nir")
    (layer,) = copy.layers
    assert isinstance(layer, phc.PHC)
    assert layer.drive == pytest.approx(0.7)
    assert torch.equal(layer.connectome.weight, network.connectome.weight)
    assert torch.equal(layer.connectome.bias, network.connectome.bias)
    assert torch.equal(layer.synapses[0].delay, network.synapses[0].delay)
    assert_same_run(network, copy, inputs())
    x_seq = inputs()
    if not isinstance(layer.neuron, phc.ALIF):
        assert torch.equal(network(x_seq).voltage, layer(x_seq).voltage)
    assert_same_run(network, from_nir(to_nir(copy, dt=0.5)), x_seq)


def test_delays_in_a_row_add_up():
    network = recurrent(phc.LIF(N, reset_mechanism="zero"))
    network.synapses = torch.nn.ModuleList([phc.Delay(N, 2), phc.Delay(N, 0), phc.Delay(N, 1)])
    graph = to_nir(network, dt=0.5)
    assert np.all(graph.nodes["layer_0"].nodes["delay"].delay == 1.0)
    assert_same_run(network, from_nir(graph), inputs())


@pytest.mark.parametrize(
    "connectome",
    [
        phc.HierarchicalConnectome(phc.Topology.bidirectional(N), gain=4.0),
        phc.OneToOneConnectome(spread(-1, 1)),
    ],
    ids=["masked", "one to one"],
)
def test_connectomes_come_back_as_their_weights(connectome):
    neuron = phc.LIF(N, reset_mechanism="zero")
    network = phc.PHC(neuron, phc.Delay(N), connectome, solver=phc.Sequential())
    copy = from_nir(to_nir(network, dt=1e-3))
    expected = connectome.weight
    expected = torch.diag(expected) if expected.dim() == 1 else expected
    assert torch.equal(copy.layers[0].connectome.weight, expected)
    assert_same_run(network, copy, inputs())


def test_a_stack():
    torch.manual_seed(0)
    network = recurrent(phc.LIF(N, reset_mechanism="zero"), steps=2)
    second = phc.CubaLIF(5)
    layers = [torch.nn.Linear(6, N), network, phc.Delay(N, 3), torch.nn.Linear(N, 5, bias=False)]
    stack = Chain([*layers, phc.OneToOneConnectome(torch.rand(5)), second])
    copy = from_nir(to_nir(stack, dt=1e-3))
    assert [type(layer) for layer in copy.layers] == [type(layer) for layer in stack.layers]
    x_seq = 2 * torch.randn(T, B, 6)
    assert torch.equal(spikes_of(stack, x_seq), spikes_of(copy, x_seq))
    nested = torch.nn.Sequential(torch.nn.Sequential(*layers[:2]), torch.nn.ModuleList(layers[2:]))
    assert len(from_nir(to_nir(nested, dt=1e-3)).layers) == 4


def test_a_matrix_before_a_network_that_is_no_drive_stays_a_layer():
    network = recurrent(phc.LIF(N, reset_mechanism="zero"), bias=spread(-0.2, 0.1))
    for weight in (torch.diag(spread(0.5, 1.5)), torch.ones(N, N)):
        first = torch.nn.Linear(N, N, bias=False)
        with torch.no_grad():
            first.weight.copy_(weight)
        copy = from_nir(to_nir(Chain([first, network]), dt=1e-3))
        assert [type(layer) for layer in copy.layers] == [torch.nn.Linear, phc.PHC]
        assert torch.equal(copy.layers[0].weight, weight)


def test_float64_weights_and_parameters_stay_float64(tmp_path):
    previous = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        network = recurrent(phc.LIF(N, reset_mechanism="zero", **VARIED)).double()
        with torch.no_grad():
            network.connectome.weight.add_(1e-12)
        write_nir(tmp_path / "network.nir", network, dt=1e-3)
        copy = from_nir(tmp_path / "network.nir")
        assert torch.equal(copy.layers[0].connectome.weight, network.connectome.weight)
        assert_same_run(network, copy, inputs().double())
    finally:
        torch.set_default_dtype(previous)


def test_bfloat16_weights_go_out_as_float32():
    layer = torch.nn.Linear(3, 2).bfloat16()
    node = to_nir(layer, dt=1e-3).nodes["layer_0"]
    assert node.weight.dtype == np.float32
    assert np.array_equal(node.weight, layer.weight.detach().float().numpy())


def test_the_graph_says_how_it_is_to_be_run(tmp_path):
    write_nir(tmp_path / "network.nir", phc.LIF(3, reset_mechanism="zero"), dt=2e-3)
    graph = read_nir(tmp_path / "network.nir")
    assert graph.metadata == {"discretisation": "forward Euler", "dt": 2e-3}
    node = graph.nodes["layer_0"]
    np.testing.assert_allclose(node.tau, 2e-3 / 0.1, rtol=1e-6)
    np.testing.assert_allclose(node.v_threshold, 0.1, rtol=1e-6)
    assert np.all(node.r == 1)


def test_another_time_step_is_another_network():
    """The file's times are seconds: half the step, half the leak of a step."""
    graph = to_nir(phc.LIF(3, membrane_decay=0.8, reset_mechanism="zero"), dt=1e-3)
    half = from_nir(graph, dt=0.5e-3).layers[0]
    torch.testing.assert_close(half.membrane_decay, torch.full((3,), 0.9))
    torch.testing.assert_close(half.threshold, torch.full((3,), 2.0))


def test_delays_count_in_steps():
    graph = to_nir(phc.Delay(3, [0, 2, 4]), dt=1e-3)
    assert from_nir(graph, dt=0.5e-3).layers[0].delay.tolist() == [0, 4, 8]


def test_chunks_and_steps_of_a_chain_have_the_bits_of_the_whole():
    torch.manual_seed(0)
    network = recurrent(phc.CubaLIF(N, reset_mechanism="zero"), steps=2, scale=0.1)
    chain = Chain([torch.nn.Linear(6, N), network, phc.Delay(N, 2), torch.nn.Linear(N, 4)])
    x_seq = torch.randn(T, B, 6)
    whole, _ = chain(x_seq)
    first, state = chain(x_seq[:37])
    second, state = chain(x_seq[37:], state)
    assert torch.equal(torch.cat([first, second]), whole)
    state, outputs = None, []
    for x_t in x_seq.unbind(0):
        output, state = chain.step(x_t, state)
        outputs.append(output)
    assert torch.equal(torch.stack(outputs), whole)


def test_a_chain_that_came_in_can_be_trained():
    network = recurrent(phc.LIF(N, reset_mechanism="zero"))
    copy = from_nir(to_nir(torch.nn.Sequential(torch.nn.Linear(6, N), network), dt=1e-3))
    output, _ = copy(torch.randn(20, B, 6))
    output.sum().backward()
    assert all(
        p.grad is not None and torch.isfinite(p.grad).all()
        for p in (copy.layers[0].weight, copy.layers[1].connectome.weight)
    )


def test_a_chain_refuses_what_it_cannot_run():
    with pytest.raises(TypeError, match=r"layers\[1\]: got ReLU, expected an nn.Linear, a neuron"):
        Chain([torch.nn.Linear(3, 3), torch.nn.ReLU()])
    with pytest.raises(ValueError, match="layers: got none, expected at least one"):
        Chain([])
    with pytest.raises(ValueError, match="state: got 2 states, expected one for each of 1 layers"):
        Chain([phc.LIF(3)])(torch.zeros(5, 2, 3), (None, None))
