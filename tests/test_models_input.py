"""`PHCSSM`: configuration, copies, and what it refuses."""

import copy
import json
import pickle

import pytest
import torch

import phc_snn as phc
from phc_snn.state import map_state
from tests.builders import assert_same_solution, assert_same_state
from tests.classifiers import data, make
from tests.tolerances import assert_same_bits


def varied(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * (torch.rand(parameter.shape, generator=generator) - 0.5))
    return model


@torch.no_grad()
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"topology": "feedforward", "readout": "spike", "delay": 3, "plasticity": False},
        {"delay": [1, 2, 3, 4] * 4, "release": "pre", "refractory_lag": 1, "drive": 0.5},
        {"drive_transform": "softplus", "dale": "projection", "solver": phc.Exact(max_sweeps=50)},
        {
            "dale": None,
            "solver": phc.Jacobi(2, window=9),
            "label_smoothing": 0.0,
            "rate_target": 0.3,
        },
        {"topology": phc.Topology.bidirectional(16, regions=3), "solver": phc.Sequential()},
    ],
    ids=lambda options: "-".join(options) or "default",
)
def test_config_and_state_dict_rebuild_the_model(options):
    model = varied(make(**options), 3)
    config = json.loads(json.dumps(model.config()))
    rebuilt = phc.PHCSSM.from_config(config)
    rebuilt.load_state_dict(model.state_dict())
    x, labels = data(), torch.tensor([0, 1, 2, 0])
    expected, actual = model(x), rebuilt(x)
    assert_same_solution(actual.solution, expected.solution)
    assert_same_bits(actual.logits, expected.logits)
    assert_same_bits(rebuilt.loss(actual, labels), model.loss(expected, labels))
    assert rebuilt.config() == model.config()


@torch.no_grad()
def test_copies_behave_alike():
    model, x = varied(make(), 3), data()
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_same_bits(copied(x).logits, model(x).logits)


def test_generator_repeats():
    for one, other in zip(make(4).parameters(), make(4).parameters(), strict=True):
        assert_same_bits(one.detach(), other.detach())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: {**c, "layers": 3},
            r"config: unknown entries \['layers'\], missing entries \[\]",
        ),
        (lambda c: {k: c[k] for k in c if k != "drive"}, r"missing entries \['drive'\]"),
        (lambda c: {**c, "readout": "current"}, "readout: got 'current', expected one of"),
        (lambda c: {**c, "topology": {}}, "not a topology written by to_dict"),
        (lambda c: {**c, "solver": {"name": "Newton"}}, "solver: got 'Newton'"),
    ],
)
def test_bad_configs(change, message):
    with pytest.raises(ValueError, match=message):
        phc.PHCSSM.from_config(change(make().config()))


def cut_topology():
    """Two regions that do not talk to each other."""
    region = torch.arange(16) // 8
    mask = (region[:, None] == region[None, :]).fill_diagonal_(False)
    return phc.Topology.from_masks(mask, torch.arange(16) % 8 < 6, region)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_features": 0}, "in_features: got 0, expected a positive integer"),
        ({"in_features": 2.0}, "in_features: got 2.0, expected a positive integer"),
        ({"num_classes": 0}, "num_classes: got 0, expected a positive integer"),
        ({"num_classes": True}, "num_classes: got True"),
        ({"readout": "rate"}, r"readout: got 'rate', expected one of \('voltage', 'spike'\)"),
        (
            {"topology": "ring"},
            r"topology: got 'ring', expected one of \('feedforward', 'bidirectio",
        ),
        (
            {"topology": phc.Topology.feedforward(10)},
            "topology: has 10 neurons, expected neurons=16",
        ),
        ({"topology": cut_topology()}, "mask: no path leads from the 6 input neurons .* 6 readout"),
        ({"neurons": 2}, "region 0 has no excitatory neuron, expected at least one"),
        ({"delay": -1}, "steps: got -1, expected at least 0"),
        ({"drive_transform": "relu"}, "drive_transform: got 'relu'"),
        ({"release": "late"}, "release: got 'late'"),
        ({"refractory_lag": 3}, "refractory_lag: got 3"),
        ({"gain": -1.0}, "gain: got -1.0"),
        ({"dale": "clamp"}, "dale: got 'clamp'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


SPOILT = torch.zeros(30, 4, 5)
SPOILT[7, 2, 1] = torch.inf


@torch.no_grad()
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(30, 4, 6), ValueError, r"x_seq: got shape \(30, 4, 6\), expected .* = 5"),
        (torch.zeros(30, 5), ValueError, r"x_seq: got shape \(30, 5\)"),
        (torch.zeros(4, 30, 5), ValueError, r"batch-first, use x_seq.transpose\(0, 1\)"),
        (
            torch.zeros(30, 2, 5),
            ValueError,
            "x_seq: batch size 2 does not match the carried state's 4",
        ),
        (torch.zeros(30, 4, 5).long(), TypeError, r"x_seq: got torch.int64.*x_seq.float\(\)"),
        (
            SPOILT,
            ValueError,
            r"x_seq: 1 of 600 values are NaN or Inf, .*first at index \(7, 2, 1\)",
        ),
    ],
)
def test_bad_input_is_refused_and_changes_nothing(x, error, message):
    model = make()
    state = model(data()).state
    kept = map_state(torch.clone, state)
    expected = model(data(), state)
    with pytest.raises(error, match=message):
        model(x, state)
    assert_same_state(state, kept)
    assert_same_bits(model(data(), state).logits, expected.logits)


@torch.no_grad()
def test_bad_states_and_bad_steps():
    model = make()
    state = model(data()).state
    with pytest.raises(TypeError, match="state: got PHCState, expected the PHCSSMState"):
        model(data(), state.network)
    with pytest.raises(ValueError, match=r"x_t: got shape \(4, 6\), expected"):
        model.step(torch.zeros(4, 6), state)
    with pytest.raises(ValueError, match="x_t: 1 of 20 values are NaN or Inf"):
        model.step(SPOILT[7], state)
    with pytest.raises(ValueError, match=r"x_t: got shape .*for a whole sequence call"):
        model.step(SPOILT, state)


@torch.no_grad()
def test_the_check_for_nan_can_be_switched_off():
    model = make()
    model.check_finite = False
    assert bool(torch.isnan(model(SPOILT).logits[2]).any())


@torch.no_grad()
def test_input_of_another_dtype_than_the_weights_runs_or_is_refused_by_name():
    model, x = make(), data(dtype=torch.float64)
    try:
        logits = model(x).logits
    except TypeError as error:
        assert "x_seq" in str(error)  # noqa: PT017
    else:
        assert bool(torch.isfinite(logits).all())


@torch.no_grad()
def test_empty_sequence_keeps_the_state():
    model = make()
    state = model(data()).state
    for solver in (phc.Sequential(), phc.Jacobi(3), phc.Exact()):
        output = model(data(0), state, solver=solver)
        assert_same_state(output.state, state)
        assert output.solution.spikes.shape == (0, 4, 16)
        assert output.logits.shape == (4, 3)
        assert model(data(3, 0), solver=solver).logits.shape == (0, 3)


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        (
            torch.zeros(4),
            TypeError,
            "labels: got torch.float32, expected a tensor",
        ),
        ([0, 1, 0, 1], TypeError, "labels: got list"),
        (
            torch.zeros(20).long(),
            ValueError,
            r"labels: got shape \(20,\) .*transpose",
        ),
        (torch.zeros(4, 1).long(), ValueError, r"labels: got shape \(4, 1\)"),
    ],
)
def test_labels_that_do_not_fit(labels, kind, message):
    model = make()
    output = model(data()[:, :4])
    with pytest.raises(kind, match=message):
        model.loss(output, labels)


def test_labels_of_any_integer_dtype():
    model = make()
    output = model(data()[:, :4])
    losses = {
        float(model.loss(output, torch.tensor([0, 1, 0, 1]).to(d)).detach()) for d in INTEGERS
    }
    assert len(losses) == 1


INTEGERS = (torch.int64, torch.int32, torch.uint8)


def test_a_silent_network_is_reported():
    model = make()
    x = torch.full_like(data(), 0.0)
    with pytest.warns(UserWarning, match="no neuron fired in this batch"):
        model.loss(model(x), torch.zeros(x.shape[1]).long())
