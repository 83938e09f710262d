"""The C code on three machines and a GPU, bit for bit."""

import pytest
import torch

import phc_snn as phc
from phc_snn.firmware import CORTEX_A76, CORTEX_M4, GPU, HOST, BitReference, deviation, verify
from phc_snn.named import NEURONS, make_neuron
from tests.tolerances import assert_near, assert_same_bits

TARGETS = (HOST, CORTEX_A76, CORTEX_M4)
WITH_GPU = (*TARGETS, pytest.param(GPU, marks=pytest.mark.gpu))


def lanes(name):
    """Whether the equations are scalar operations, and spikes are sent."""
    model = make_neuron(name, 2)
    state = model.initial_state(1)
    sends_spikes = model.emit.graded is None and not model.mixes
    return sends_spikes and all(part.shape == (1, 2) for part in state)


CASES = {
    "default": {},
    "lif": {"neuron": "lif"},
    "spikes read": {"readout": "spike"},
    "windows": {"windows": 3, "window_steps": 15},
    "one window": {"windows": 1, "window_steps": 7},
    "three steps": {"delay": 3},
    "delays": {"delay": [1, 2, 3, 1, 5, 2, 1, 1]},
    "no plasticity": {"plasticity": False},
    "no norm": {"encoder_norm": False, "drive": 0.7},
    "drive": {"drive": 1.3},
    "pre": {"release": "pre"},
    "softplus": {"drive_transform": "softplus"},
    "lag": {"refractory_lag": 1},
    "feedforward": {"topology": "feedforward"},
    **{name: {"neuron": name} for name in NEURONS if name not in ("alif", "lif") and lanes(name)},
    "no law": {"dale": None},
    "dense": {"topology": phc.Topology.feedforward(8, regions=1)},
}


def available(target):
    if target.missing:
        pytest.skip(f"{target.name}: {target.lacks}")


def make(seed=1, neurons=8, **options):
    generator = torch.Generator().manual_seed(seed)
    model = phc.PHCSSM(5, 3, neurons=neurons, generator=generator, **options)
    with torch.no_grad():
        for parameter in model.parameters():  # no two neurons alike
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model


def signal(steps=60, batch=4, seed=2):
    generator = torch.Generator().manual_seed(seed)
    return 2.0 * torch.randn(steps, batch, 5, generator=generator)


QUICK = [
    *((case, HOST) for case in CASES),
    *((case, target) for case in ("default", "windows", "delays") for target in TARGETS[1:]),
]
REST = [(case, target) for case in CASES for target in TARGETS if (case, target) not in QUICK]


@pytest.mark.parametrize(
    ("case", "target"),
    [
        *QUICK,
        *(pytest.param(*each, marks=pytest.mark.slow) for each in REST),
        *(pytest.param(case, GPU, marks=pytest.mark.gpu) for case in CASES),
    ],
    ids=lambda part: getattr(part, "name", part),
)
def test_every_bit_of_every_step(case, target):
    available(target)
    found = verify(make(**CASES[case]), signal(), target)
    assert found.exact, (found.selftest, found.differing)
    assert found.decisions == 1.0
    assert set(found.differing) >= {"voltage", "spikes", "logits"}


def test_all_states_are_compared():
    available(HOST)
    found = verify(make(), signal(), HOST)
    assert set(found.differing) == {
        "voltage", "adaptation", "suppression", "membrane", "utilisation", "depletion",
        "spikes", "logits",
    }  # fmt: skip
    assert found.values == 60 * 4 * (7 * 8 + 3)


@pytest.mark.parametrize("case", CASES)
def test_the_reference_is_the_network_to_rounding(case):
    """But for a spike that rounding decides, and what follows from it."""
    model, x = make(**CASES[case]), signal(steps=12)
    reference = BitReference(model)
    state, expected = None, model.initial_state(4)
    for x_t in x:
        logits, state = reference.step(x_t, state)
        wanted, expected = model.step(x_t, expected)
    assert_near(logits, wanted.detach(), 1e-4)
    for got, want in zip(state.network.neuron, expected.network.neuron, strict=True):
        assert_near(got, want.detach(), 1e-4)


def test_deviation_is_what_the_two_differ_by():
    model, x = make(), signal()
    found = deviation(model, x)
    assert found.steps == 60 * 4 * 8
    assert 0.0 < found.voltage_rmse <= found.voltage_max
    assert 0.0 <= found.decisions <= 1.0
    with torch.no_grad():
        truth = model(x, solver=phc.Sequential()).solution
        state, reference = None, BitReference(model)
        state = reference.initial_state(4)
        worst, differing = 0.0, 0
        for t, x_t in enumerate(x):
            spikes, voltage, _, state = reference.advance(x_t, state)
            worst = max(worst, float((voltage - truth.voltage[t]).abs().max()))
            differing += int((spikes != truth.spikes[t]).sum())
    assert found.voltage_max == pytest.approx(worst)
    assert found.differing_spikes == differing


@torch.no_grad()
def test_the_reference_does_not_know_its_batch():
    reference, x = BitReference(make()), signal()
    together, alone = None, None
    for x_t in x:
        logits, together = reference.step(x_t, together)
        single, alone = reference.step(x_t[1:2], alone)
        assert_same_bits(logits[1:2], single)


@pytest.mark.slow
@pytest.mark.parametrize("target", WITH_GPU, ids=lambda target: target.name)
def test_200_000_random_steps(target):
    available(target)
    found = verify(make(neurons=16), signal(steps=10_000, batch=20), target)
    assert found.exact, (found.selftest, found.differing)


@pytest.mark.slow
@pytest.mark.parametrize("target", WITH_GPU, ids=lambda target: target.name)
def test_a_real_test_set(target):
    """BasicMotions, trained for a moment: the same decision on every recording."""
    pytest.importorskip("aeon")
    available(target)
    from phc_snn.data import load_uea
    from phc_snn.training.lightning import fit

    data = load_uea("BasicMotions").standardized()
    model = phc.PHCSSM(6, 4, neurons=32, generator=torch.Generator().manual_seed(0))
    fit(model, data.train_x, data.train_y, epochs=8, batch_size=20, learning_rate=0.02)
    found = verify(model, data.test_x.transpose(0, 1), target)
    assert found.exact, (found.selftest, found.differing)
    assert found.decisions == 1.0
