"""Existing snnTorch layers as processes and networks: spike for spike, and the same gradient."""

import itertools

import pytest
import snntorch
import torch
from snntorch import surrogate

import phc_snn as phc
from tests.tolerances import assert_near, assert_same_bits

N = 12
RESETS = ("subtract", "zero", "none")
# RSynaptic with reset_delay=False fails in snnTorch itself.
RECURRENT = [
    (kind, mechanism, dense, delayed)
    for kind, mechanism, dense, delayed in itertools.product(
        ("RLeaky", "RSynaptic"), RESETS, (True, False), (True, False)
    )
    if kind == "RLeaky" or delayed
]


def currents(steps=150, batch=4, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(steps, batch, N, generator=generator, dtype=torch.float64) * 0.7 + 0.2).to(
        dtype
    )


def recurrent(kind, mechanism="subtract", dense=True, delayed=True, dtype=torch.float64, seed=0):
    """A recurrent layer of snnTorch, every parameter learnable and each neuron different."""
    generator = torch.Generator().manual_seed(seed)

    def between(low, high):
        return low + (high - low) * torch.rand(N, generator=generator)

    options = {
        "beta": between(0.5, 0.95),
        "threshold": between(0.7, 1.5),
        "learn_beta": True,
        "learn_threshold": True,
        "reset_mechanism": mechanism,
        "reset_delay": delayed,
        # snnTorch's own surrogates return float32, with which its recurrence refuses float64.
        "spike_grad": surrogate.atan() if dtype == torch.float32 else phc.FastSigmoid(),
    }
    if kind == "RSynaptic":
        options |= {"alpha": between(0.3, 0.9), "learn_alpha": True}
    if dense:
        options["linear_features"] = N
    else:
        options |= {"all_to_all": False, "V": between(-1.0, 1.0)}
    layer = getattr(snntorch, kind)(**options)
    if dense:
        with torch.no_grad():
            layer.recurrent.weight.copy_(torch.randn(N, N, generator=generator) / N**0.5)
            layer.recurrent.bias.copy_(between(-0.1, 0.1))
    return layer.to(dtype)


def loop(layer, x):
    """snnTorch's own loop: spikes and membrane (T, B, N)."""
    states = layer.reset_mem()
    spikes, membranes = [], []
    for x_t in x.unbind(0):
        states = layer(x_t, *states)
        spikes.append(states[0])
        membranes.append(states[-1])
    return torch.stack(spikes), torch.stack(membranes)


@pytest.mark.parametrize(("kind", "mechanism", "dense", "delayed"), RECURRENT)
@torch.no_grad()
def test_sequential_and_exact_are_snntorchs_loop_spike_for_spike(kind, mechanism, dense, delayed):
    for seed in range(3):
        layer = recurrent(kind, mechanism, dense, delayed, seed=seed)
        x = currents(seed=seed)
        spikes, membrane = loop(layer, x)
        assert 0.01 < float(spikes.mean()) < 0.99
        network = phc.from_snntorch(layer)
        stepped = network(x, solver=phc.Sequential())
        assert_same_bits(stepped.spikes, spikes)
        assert_near(stepped.state.neuron.membrane, membrane[-1])
        exact = network(x, solver=phc.Exact())
        assert bool(exact.converged.all())
        assert_same_bits(exact.spikes, stepped.spikes)
        assert_same_bits(exact.voltage, stepped.voltage)


@torch.no_grad()
def test_float32_differs_only_where_rounding_decides():
    """None of 288,000 neuron-steps when this was written; one may, where rounding differs."""
    flipped = 0
    for seed in range(10):
        layer = recurrent("RLeaky", dtype=torch.float32, seed=seed)
        x = currents(600, dtype=torch.float32, seed=seed)
        spikes, _ = loop(layer, x)
        found = phc.from_snntorch(layer)(x, solver=phc.Sequential()).spikes
        # After the first flip two trajectories are two networks: count samples, not spikes.
        flipped += int((found != spikes).any(-1).any(0).sum())
    assert flipped <= 1


@pytest.mark.parametrize(("kind", "mechanism", "dense", "delayed"), RECURRENT)
def test_gradient_of_exact_is_that_of_snntorchs_loop(kind, mechanism, dense, delayed):
    layer = recurrent(kind, mechanism, dense, delayed)
    x = currents(60)
    cotangent = torch.randn(x.shape, dtype=torch.float64)

    leaf = x.clone().requires_grad_()
    (loop(layer, leaf)[0] * cotangent).sum().backward()
    network = phc.from_snntorch(layer)
    own = x.clone().requires_grad_()
    (network(own, solver=phc.Exact()).spikes * cotangent).sum().backward()

    assert_near(own.grad, leaf.grad, 1e-6)
    neuron, connectome = network.neuron, network.connectome
    assert_near(neuron.threshold.grad, layer.threshold.grad, 1e-6)
    for name, raw in (("beta", "raw_membrane_decay"), ("alpha", "raw_current_decay")):
        if hasattr(layer, name):
            value = getattr(layer, name).detach()
            wanted = getattr(layer, name).grad * value * (1.0 - value)  # of a sigmoid
            assert_near(getattr(neuron, raw).grad, wanted, 1e-6)
    if dense:
        assert_near(connectome.weight.grad, layer.recurrent.weight.grad, 1e-6)
        assert_near(connectome.bias.grad, layer.recurrent.bias.grad, 1e-6)
    else:
        assert_near(connectome.weight.grad, layer.recurrent.V.grad, 1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("mechanism", RESETS)
@pytest.mark.parametrize("delayed", [True, False])
@torch.no_grad()
def test_feedforward_layers_keep_every_bit(mechanism, delayed, dtype):
    """With the decays of snnTorch's tutorials, which float32 has to meet exactly."""
    options = {"reset_mechanism": mechanism, "reset_delay": delayed, "threshold": 0.9}
    for layer in (
        snntorch.Leaky(beta=0.9, **options),
        snntorch.Leaky(beta=torch.tensor([0.5, 0.95, 0.99, 1.0] * 3), **options),
        snntorch.Leaky(beta=1.5, **options),  # clipped to 1 in its forward
        snntorch.Synaptic(alpha=0.85, beta=0.8, **options),
    ):
        layer.to(dtype).spike_grad = phc.FastSigmoid()
        x = currents(dtype=dtype)
        states = layer.reset_mem()
        states = states if isinstance(states, tuple) else (states,)
        neuron = phc.from_snntorch(layer, features=N)
        spikes, _, state = neuron.scan(x)
        for t, x_t in enumerate(x):
            spk, *states = layer(x_t, *states)
            assert_same_bits(spikes[t], spk)
        for got, wanted in zip(state, states, strict=True):
            assert_same_bits(got, wanted)


def test_stands_in_its_layers_place():
    x = currents(20, dtype=torch.float32)
    for output in (False, True):
        layer = snntorch.Leaky(beta=0.9, init_hidden=True, output=output)
        neuron = phc.from_snntorch(layer, features=N)
        for x_t in x:
            got, wanted = neuron(x_t), layer(x_t)
            pairs = zip(got, wanted, strict=True) if output else [(got, wanted)]
            for one, other in pairs:
                assert_same_bits(one, other)


def test_inhibition_comes_along():
    with pytest.warns(UserWarning, match="Inhibition is an unstable feature"):
        layer = snntorch.Leaky(beta=0.9, inhibition=True, reset_delay=False)
    with pytest.warns(UserWarning, match="Inhibition is an unstable feature"):
        neuron = phc.from_snntorch(layer, features=N)
    x = currents(40, dtype=torch.float32)
    mem = layer.reset_mem()
    spikes = neuron.scan(x)[0]
    for t, x_t in enumerate(x):
        spk, mem = layer(x_t, mem)
        assert_same_bits(spikes[t], spk)
    assert int(spikes.sum(-1).max()) == 1


def test_what_is_learnable_stays_so():
    fixed = phc.from_snntorch(snntorch.RLeaky(beta=0.9, linear_features=3, learn_recurrent=False))
    assert not any(p.requires_grad for p in fixed.parameters())
    learnt = phc.from_snntorch(
        snntorch.RLeaky(beta=0.9, linear_features=3, learn_beta=True, learn_threshold=True)
    )
    assert all(p.requires_grad for p in learnt.parameters())
    assert len(list(learnt.parameters())) == 4


def test_a_layer_that_was_frozen_later_stays_frozen():
    layer = snntorch.RLeaky(beta=0.9, linear_features=3)
    layer.recurrent.requires_grad_(False)
    assert not any(p.requires_grad for p in phc.from_snntorch(layer).parameters())
    layer.recurrent.bias.requires_grad_(True)
    network = phc.from_snntorch(layer)
    assert [n for n, p in network.named_parameters() if p.requires_grad] == ["connectome.bias"]


def test_a_reset_that_is_said_but_not_run_is_refused():
    """snnTorch binds the function when the layer is built."""
    layer = snntorch.Leaky(beta=0.9, reset_mechanism="subtract")
    layer.reset_mechanism = "zero"
    with pytest.raises(ValueError, match="says reset_mechanism='zero' and holds 'zero', but runs"):
        phc.from_snntorch(layer, features=2)
    loaded = snntorch.Leaky(beta=0.9, reset_mechanism="subtract")
    loaded.load_state_dict(snntorch.Leaky(beta=0.9, reset_mechanism="zero").state_dict())
    with pytest.raises(ValueError, match="says reset_mechanism='subtract' and holds 'zero'"):
        phc.from_snntorch(loaded, features=2)


def test_a_hidden_state_of_a_recurrent_layer_becomes_the_networks():
    layer = snntorch.RLeaky(beta=0.9, linear_features=N, init_hidden=True, output=True)
    network = phc.from_snntorch(layer)
    stacked = phc.StepLayer(network, init_hidden=True, output=True)
    for x_t in currents(10, dtype=torch.float32):
        (got, _), (wanted, _) = stacked(x_t), layer(x_t)
        assert_same_bits(got, wanted)


def test_an_integer_beta_is_a_number():
    neuron = phc.from_snntorch(snntorch.Leaky(beta=1), features=3)
    assert neuron.membrane_decay.tolist() == [1.0, 1.0, 1.0]


def test_the_layer_stays_as_it_is():
    layer = recurrent("RLeaky")
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    network = phc.from_snntorch(layer)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    for name, value in layer.state_dict().items():
        assert_same_bits(value, before[name])


def test_divergence_of_an_own_network():
    network = phc.from_snntorch(recurrent("RLeaky"))
    x = currents(100)
    solvers = {"1 sweep": phc.Jacobi(1), "exact": phc.Exact()}
    divergence = phc.measure_divergence(network, x, solvers=solvers)
    assert divergence.solvers["1 sweep"].differing_spikes > 0
    assert divergence.solvers["exact"].differing_spikes == 0
    phc.phase_diagram(network, x, gains=(0.5, 2.0), delays=(1,))


class StochasticSpike:
    def __call__(self, x):
        return (x > torch.randn_like(x)).to(x.dtype)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: phc.from_snntorch(torch.nn.ReLU()), TypeError, "module: got ReLU, expected a lay"),
        (
            lambda: phc.from_snntorch(torch.nn.Sequential(snntorch.Leaky(beta=0.9))),
            TypeError,
            "got Sequential.*convert these layers one by one",
        ),
        (lambda: phc.from_snntorch(snntorch.Lapicque(beta=0.9)), TypeError, "got Lapicque"),
        (
            lambda: phc.from_snntorch(snntorch.Leaky(beta=0.9)),
            ValueError,
            "features: every parameter of this Leaky is one number",
        ),
        (
            lambda: phc.from_snntorch(snntorch.Leaky(beta=torch.ones(4) / 2), features=5),
            ValueError,
            "features: got {'beta': 4, 'features': 5}, expected one number",
        ),
        (
            lambda: phc.from_snntorch(snntorch.Leaky(beta=0.9), features=0),
            ValueError,
            "features: got 0",
        ),
        (
            lambda: phc.from_snntorch(snntorch.RLeaky(beta=0.9, conv2d_channels=2, kernel_size=3)),
            ValueError,
            "module: its recurrence is a convolution",
        ),
        (
            lambda: phc.from_snntorch(
                snntorch.Leaky(beta=0.9, state_quant=torch.round), features=2
            ),
            ValueError,
            "module: has state_quant",
        ),
        (
            lambda: phc.from_snntorch(
                snntorch.Leaky(beta=0.9, graded_spikes_factor=2.0), features=2
            ),
            ValueError,
            "module: has graded spikes",
        ),
        (
            lambda: phc.from_snntorch(
                snntorch.RSynaptic(alpha=0.9, beta=0.9, linear_features=2, reset_delay=False)
            ),
            ValueError,
            "module: is an RSynaptic with reset_delay=False",
        ),
        (
            lambda: phc.from_snntorch(
                snntorch.Leaky(beta=0.9, spike_grad=StochasticSpike()), features=2
            ),
            ValueError,
            "module: its spike_grad does not fire exactly where",
        ),
    ],
)  # fmt: skip
def test_what_has_no_counterpart_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
