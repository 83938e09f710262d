"""Every neuron model through the same loop: solvers, divergence, training, saving, by its name."""

import copy

import pytest
import torch

import phc_snn as phc
from phc_snn.named import NEURONS, make_neuron, neuron_class
from phc_snn.state import tensors
from tests.test_fresh_network import movements, white_noise
from tests.tolerances import assert_near, assert_same_bits

STEPS, BATCH = 40, 3


def classifier(name, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    return phc.PHCSSM(4, 3, neurons=10, neuron=name, generator=generator, **options)


def signal(steps=STEPS, dtype=torch.float32, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.randn(steps, BATCH, 4, generator=generator, dtype=torch.float64).to(dtype)


def is_graded(name):
    return make_neuron(name, 2).emit.graded is not None


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", NEURONS)
def test_solvers_and_steps_agree_in_every_bit(name, dtype):
    model = classifier(name).to(dtype)
    x = model.encoder(signal(dtype=dtype))
    network = model.network
    wanted = network(x, solver=phc.Sequential())
    assert bool(wanted.spikes.any())
    assert not torch.equal(wanted.current, x), "nothing came back through the connectome"
    exact = network(x, solver=phc.Exact())
    assert bool(exact.converged.all())
    many = network(x, solver=phc.Jacobi(STEPS))
    for solution in (exact, many):
        assert_same_bits(solution.spikes, wanted.spikes)
        assert_same_bits(solution.voltage, wanted.voltage)
        for got, expected in zip(tensors(solution.state), tensors(wanted.state), strict=True):
            assert_same_bits(got, expected)
    state = None
    for t, x_t in enumerate(x):
        spikes, voltage, state = network.step(x_t, state)
        assert_same_bits(spikes, wanted.spikes[t])
        assert_same_bits(voltage, wanted.voltage[t])
    for got, expected in zip(tensors(state), tensors(wanted.state), strict=True):
        assert_same_bits(got, expected)


@pytest.mark.parametrize("name", NEURONS)
def test_gradients_of_exact_are_those_of_the_steps(name):
    found = []
    for solver in (phc.Sequential(), phc.Exact()):
        model = classifier(name).double()
        output = model(signal(dtype=torch.float64), solver=solver)
        model.loss(output, torch.tensor([0, 1, 2])).backward()
        found.append({key: p.grad for key, p in model.named_parameters()})
        missing = [key for key, g in found[-1].items() if g is None or not bool(g.any())]
        assert not missing, missing
    for key, wanted in found[0].items():
        assert_near(found[1][key], wanted, 1e-8)  # the adjoint of Exact stops at a tolerance


@pytest.mark.parametrize("name", NEURONS)
def test_divergence_is_measured(name):
    model = classifier(name)
    solvers = {"one": phc.Jacobi(1), "exact": phc.Exact()}
    found = phc.measure_divergence(
        model.network, model.encoder(signal()).detach(), solvers=solvers
    ).solvers
    assert found["exact"].differing_spikes == 0 == found["exact"].voltage_max
    assert found["one"].voltage_max > 0.0
    assert found["one"].figures()["spikes"] > 0


@pytest.mark.parametrize("name", NEURONS)
def test_learns(name):
    torch.manual_seed(0)
    labels = torch.arange(24) % 3
    time = torch.arange(20)[:, None]
    waves = torch.stack([torch.sin((0.3 + 0.4 * labels) * time + k) for k in range(4)], -1)
    x = waves + 0.1 * torch.randn(waves.shape)
    model = classifier(name, topology=phc.Topology.feedforward(10, regions=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model.loss(model(x, solver=phc.Sequential()), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.75 * losses[0], losses[::8]


@torch.no_grad()
@pytest.mark.parametrize("name", NEURONS)
def test_a_config_and_the_weights_are_the_model(name):
    model = classifier(name)
    assert model.config()["neuron"] == name
    again = phc.PHCSSM.from_config(model.config())
    again.load_state_dict(model.state_dict())
    assert_same_bits(again(signal()).logits, model(signal()).logits)
    assert_same_bits(copy.deepcopy(model)(signal()).logits, model(signal()).logits)


@torch.no_grad()
@pytest.mark.parametrize("signals", [white_noise, movements])
@pytest.mark.parametrize(
    "name", [name for name, model in NEURONS.items() if name != "lif" and not model.SPONTANEOUS]
)
def test_a_fresh_network_is_active_and_no_neuron_is_out_of_reach(name, signals):
    for seed in range(2):
        generator = torch.Generator().manual_seed(seed)
        model = phc.PHCSSM(6, 4, neurons=32, neuron=name, generator=generator)
        sent = model(signals(generator), solver=phc.Sequential()).solution.spikes
        activity = float(sent.mean())
        assert 0.02 <= activity <= 0.4, f"seed {seed}: {activity}"
        assert bool(sent.any(0).any(0).all()), f"seed {seed}"


def test_names():
    assert neuron_class("SiLIF") is neuron_class("silif") is phc.SiLIF
    assert {"alif", "lif", "cubalif", "silif", "csilif"} <= set(NEURONS)
    with pytest.raises(ValueError, match=r"neuron: got 'lstm', expected one of \('alif', 'lif'"):
        neuron_class("lstm")
    with pytest.raises(ValueError, match="neuron: got 3"):
        neuron_class(3)
    with pytest.raises(ValueError, match="neuron: 'silif' has no drive_transform; take 'alif'"):
        phc.PHCSSM(3, 2, neurons=8, neuron="silif", drive_transform="softplus")


def test_what_is_drawn_hangs_on_the_generator():
    make = lambda: make_neuron("silif", 6, torch.Generator().manual_seed(4))  # noqa: E731
    for one, other in zip(make().parameters(), make().parameters(), strict=True):
        assert_same_bits(one, other)


def test_nir_has_no_such_neuron():
    pytest.importorskip("nir")
    with pytest.raises(ValueError, match="SiLIF"):
        phc.to_nir(phc.SiLIF(3), dt=1e-3)


@torch.no_grad()
def test_draws_are_the_seeds_or_a_generators():
    model, x = classifier("pspikessm"), signal()
    assert_same_bits(model(x).logits, model(x).logits)
    generator = torch.Generator().manual_seed(1)
    one, other = (model(x, model.initial_state(BATCH, generator=generator)) for _ in range(2))
    assert not torch.equal(one.solution.spikes, other.solution.spikes)
    again = torch.Generator().manual_seed(1)
    assert_same_bits(model(x, model.initial_state(BATCH, generator=again)).logits, one.logits)
    ensemble = phc.Ensemble([model, classifier("pspikessm", seed=1)])
    state = ensemble.initial_state(BATCH, generator=torch.Generator().manual_seed(1))
    assert not torch.equal(state[0].network.neuron.draws, state[1].network.neuron.draws)
    silent = classifier("alif").initial_state(2, generator=generator)
    assert not any(bool(part.any()) for part in silent.network.neuron)
