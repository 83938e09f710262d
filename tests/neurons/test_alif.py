"""`ALIF` against Eqs. 2-6 written out in numpy, neuron by neuron and step by step."""

import math

import numpy as np
import pytest
import snntorch
import torch

import phc_snn as phc
from tests.tolerances import UNDECIDABLE, assert_near, assert_same_bits

VALUES = {
    "membrane_decay": [0.1, 0.5, 0.9, 0.98],
    "adaptation_time": [1.0, 5.0, 20.0, 300.0],
    "adaptation_strength": [0.0, 0.3, 1.0, 2.0],
    "suppression_decay": [0.05, 0.5, 0.7, 0.95],
    "suppression_strength": [0.0, 0.4, 1.0, 3.0],
    "threshold": [0.5, 1.0, 1.5, 0.2],
}


def scalar_loop(made, current, state):
    """(T, 4) currents -> spikes, voltage and the end state, one number at a time."""
    lag, transform = made.refractory_lag, made.drive_transform
    given = {name: getattr(made, name).tolist() for name in VALUES}

    def f(value):
        return math.log1p(math.exp(value)) if transform == "softplus" else value

    spikes, voltages = np.zeros_like(current), np.zeros_like(current)
    end = np.zeros((3, current.shape[1]))
    for n in range(current.shape[1]):
        p = {name: values[n] for name, values in given.items()}
        forget = math.exp(-1.0 / p["adaptation_time"])
        gain = 1.0 if transform == "softplus" else 1.0 - forget
        adaptation, suppression, membrane = (float(part[n]) for part in state)
        for t in range(current.shape[0]):
            membrane = p["membrane_decay"] * membrane + f(current[t, n])
            excitation = 1.0 / (1.0 + math.exp(-(membrane - p["threshold"])))
            adaptation = forget * adaptation + gain * f(excitation)
            adapted = membrane - p["adaptation_strength"] * adaptation
            crossing = 1.0 if adapted > p["threshold"] else 0.0
            before = suppression
            suppression = (
                p["suppression_decay"] * suppression + p["suppression_strength"] * crossing
            )
            voltages[t, n] = adapted - (before if lag else suppression)
            spikes[t, n] = 1.0 if voltages[t, n] > p["threshold"] else 0.0
        end[:, n] = adaptation, suppression, membrane
    return spikes, voltages, end


def neuron(lag=0, transform="identity", dtype=torch.float64):
    made = phc.ALIF(4, refractory_lag=lag, drive_transform=transform).to(dtype)
    for name, values in VALUES.items():
        if name == "threshold":
            made.threshold.copy_(torch.tensor(values, dtype=dtype))
        else:
            setattr(made, name, values)
    return made


@torch.no_grad()
def test_values_are_those_assigned():
    made = neuron()
    for name, values in VALUES.items():
        assert_near(getattr(made, name), torch.tensor(values, dtype=torch.float64))


@torch.no_grad()
@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("transform", ["identity", "softplus"])
@pytest.mark.parametrize("at_rest", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_equals_a_scalar_loop(lag, transform, at_rest, dtype):
    current = torch.randn(300, 1, 4, dtype=dtype) * 1.5 + 0.4
    made = neuron(lag, transform, dtype)
    state = None if at_rest else phc.ALIFState(*torch.rand(3, 1, 4, dtype=dtype))
    given = np.zeros((3, 4)) if at_rest else np.stack([s[0].double().numpy() for s in state])
    spikes, voltage, end = scalar_loop(made, current[:, 0].double().numpy(), given)

    got_spikes, got_voltage, got_end = made.scan(current, state)
    decidable = np.abs(voltage - np.array(VALUES["threshold"])) > UNDECIDABLE
    assert 0.03 < spikes.mean() < 0.97, "the comparison is empty"
    assert np.array_equal(got_spikes[:, 0].double().numpy()[decidable], spikes[decidable])
    tolerance = {torch.float64: 1e-12, torch.float32: 1e-5}[dtype]
    assert_near(got_voltage[:, 0].double(), torch.from_numpy(voltage), tolerance)
    for got, wanted in zip(got_end, end, strict=True):
        assert_near(got[0].double(), torch.from_numpy(wanted), tolerance)


@torch.no_grad()
def test_without_adaptation_and_suppression_it_is_snntorch_leaky():
    made = phc.ALIF(6, adaptation_strength=0.0, suppression_strength=0.0)
    made.membrane_decay = torch.linspace(0.1, 0.95, 6)
    leaky = snntorch.Leaky(beta=made.membrane_decay.detach(), reset_mechanism="none")
    mem, state = torch.zeros(3, 6), None
    for x_t in torch.randn(100, 3, 6):
        spk, mem = leaky(x_t, mem)
        spikes, voltage, state = made.step(x_t, state)
        assert_same_bits(spikes, spk)
        assert_same_bits(voltage, mem)
        assert_same_bits(state.membrane, mem)


@torch.no_grad()
def test_adaptation_is_bounded_with_identity_and_grows_with_softplus():
    strong = torch.full((3000, 1, 1), 50.0)
    bounded = phc.ALIF(1, adaptation_time=500.0).scan(strong)[-1].adaptation
    assert 0.9 < float(bounded) <= 1.0
    growing = phc.ALIF(1, adaptation_time=500.0, drive_transform="softplus").scan(strong)[-1]
    assert float(growing.adaptation) > 100.0


@torch.no_grad()
def test_adaptation_lowers_the_firing_rate_over_time():
    made = phc.ALIF(
        1,
        membrane_decay=0.5,
        adaptation_strength=2.0,
        adaptation_time=50.0,
        suppression_decay=0.5,
        suppression_strength=0.0,
    )
    spikes, voltage, _ = made.scan(torch.full((400, 1, 1), 0.9))
    assert bool(spikes[1:5].any())
    assert not bool(spikes[-100:].any())
    assert float(voltage[-1]) < float(voltage[5])


@torch.no_grad()
def test_a_crossing_smaller_than_the_suppression_is_silent_only_without_lag():
    current = torch.zeros(2, 1, 1)
    current[0] = 1.3
    for lag, fires in ((0, False), (1, True)):
        made = phc.ALIF(1, adaptation_strength=0.0, suppression_strength=0.5, refractory_lag=lag)
        spikes, _, state = made.scan(current)
        assert bool(spikes[0]) == fires
        assert float(state.suppression) > 0  # the crossing counts all the same


@torch.no_grad()
def test_firing_is_strict():
    made = phc.ALIF(1, adaptation_strength=0.0, suppression_strength=0.0)
    assert float(made.step(torch.ones(1, 1))[0]) == 0.0
    assert float(made.step(torch.full((1, 1), 1.0001))[0]) == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"refractory_lag": 2}, "refractory_lag: got 2, expected 0 or 1"),
        ({"drive_transform": "relu"}, r"drive_transform: got 'relu', expected one of \('identity'"),
        ({"membrane_decay": 0.99}, "membrane_decay: got values from 0.99 to 0.99, expected 0 <="),
        ({"adaptation_time": -1.0}, "adaptation_time: got values from -1 to -1"),
        ({"adaptation_strength": -0.1}, "adaptation_strength: got values from -0.1"),
        ({"suppression_decay": 1.0}, "suppression_decay: got values from 1 to 1"),
        (
            {"suppression_strength": [1.0, -1.0, 1.0]},
            "suppression_strength: got values from -1 to 1",
        ),
        ({"threshold": [1.0, 2.0]}, r"threshold: got shape \(2,\), expected one value or one for"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        phc.ALIF(3, **options)


@pytest.mark.parametrize("features", [0, -1, 2.0, True, "3"])
def test_bad_features(features):
    with pytest.raises(
        ValueError, match=r"features: got .*, expected a positive number of neurons"
    ):
        phc.ALIF(features)
