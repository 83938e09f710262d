"""The figures of `measure_divergence` against ones counted by hand."""

import json
import math

import pytest
import torch

import phc_snn as phc
from tests.builders import make_network, on_the_edge


@pytest.fixture
def network():
    torch.manual_seed(0)
    connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(16), gain=30.0)
    return phc.PHC(phc.ALIF(16), [phc.Delay(16), phc.TsodyksMarkram(16)], connectome)


def test_exact_does_not_differ_and_one_sweep_does(network):
    x = torch.randn(60, 5, 16)
    solvers = {"one": phc.Jacobi(1), "exact": phc.Exact()}
    divergence = phc.measure_divergence(network, x, solvers=solvers)
    exact, one = divergence.solvers["exact"], divergence.solvers["one"]
    assert exact.differing_spikes == 0
    assert exact.first_differing_step is None
    assert exact.voltage_max == 0
    assert one.differing_spikes > 0
    assert one.first_differing_step >= 1
    assert one.logits is None


def test_figures_are_those_counted_by_hand(network):
    x = torch.randn(40, 3, 16)
    divergence = phc.measure_divergence(network, x, solvers={"two": phc.Jacobi(2)})
    two = divergence.solvers["two"]
    with torch.no_grad():
        a, b = network(x, solver=phc.Jacobi(2)), network(x, solver=phc.Sequential())
    count = first = 0
    first = None
    for t in range(40):
        differing = int((a.spikes[t] != b.spikes[t]).sum())
        count += differing
        if differing and first is None:
            first = t
    assert two.differing_spikes == count
    assert two.first_differing_step == first
    assert two.spike_difference == pytest.approx(count / float(b.spikes.sum()))
    assert two.step_difference == pytest.approx(count / (40 * 3 * 16))
    error = (a.voltage - b.voltage).double()
    assert two.voltage_rmse == pytest.approx(float(error.square().mean().sqrt()))
    assert two.voltage_max == pytest.approx(float(error.abs().max()))
    assert two.rate_difference == pytest.approx(float((a.spikes - b.spikes).mean()), abs=1e-9)


def test_a_classifier_is_compared_by_its_decisions():
    torch.manual_seed(1)
    model = phc.PHCSSM(3, 4, neurons=16, gain=30.0)
    solvers = {"one": phc.Jacobi(1), "exact": phc.Exact()}
    divergence = phc.measure_divergence(model, torch.randn(50, 12, 3), solvers=solvers)
    assert divergence.solvers["exact"].agreement == 1.0
    assert divergence.solvers["exact"].logits_max == 0.0
    assert divergence.solvers["one"].logits_max > 0
    text = str(divergence)
    assert [line.split()[0] for line in text.splitlines()] == [
        "solver",
        "reference",
        "one",
        "exact",
    ]


@pytest.mark.parametrize("shape", [(0, 3, 16), (5, 0, 16)])
def test_empty_input_is_no_error(network, shape):
    divergence = phc.measure_divergence(network, torch.zeros(shape), solvers={"k": phc.Jacobi(2)})
    assert divergence.solvers["k"].differing_spikes == 0
    assert math.isnan(divergence.solvers["k"].spike_difference)
    str(divergence)


def test_a_silent_reference_has_no_rate_per_spike(network):
    x = torch.full((10, 2, 16), -5.0)
    divergence = phc.measure_divergence(network, x, solvers={"k": phc.Jacobi(2)})
    assert math.isnan(divergence.solvers["k"].spike_difference)


def test_undecidable_spikes_are_counted_apart():
    network, x = on_the_edge()
    solvers = {"tree": phc.Jacobi(2, backend="associative"), "loop": phc.Jacobi(2)}
    divergence = phc.measure_divergence(network, x, solvers=solvers)
    reference, tree = divergence.reference, divergence.solvers["tree"]
    with torch.no_grad():
        voltage = network(x, solver=phc.Sequential()).voltage
    by_hand = sum(abs(v - 1.0) <= 1e-5 for v in voltage.double().flatten().tolist())
    assert reference.undecidable_spikes == by_hand > 1000
    assert tree.differing_spikes > 0
    assert tree.differing_undecidable == tree.differing_spikes
    assert divergence.solvers["loop"].differing_undecidable == 0
    strict = phc.measure_divergence(network, x, solvers=solvers, tolerance=0.0)
    assert strict.reference.undecidable_spikes < by_hand


@pytest.mark.parametrize(("threshold", "scale"), [(1.0, 1.0), (0.25, 1.0), (40.0, 40.0)])
def test_undecidable_is_relative_to_thresholds_above_one(threshold, scale):
    """One step from rest: the voltage is the current."""
    distances = torch.tensor([0.0, 0.9e-5, -0.9e-5, 1.2e-5, -1.2e-5, 0.5, -3.0, 0.9e-3])
    neuron = phc.LIF(8, membrane_decay=0.5, threshold=threshold)
    connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(8), gain=0.0)
    network = phc.PHC(neuron, phc.Delay(8), connectome).double()
    at = network.neuron.threshold.detach()
    x = (at + scale * distances.double())[None, None]
    voltage = network(x, solver=phc.Sequential()).voltage[0, 0] - at
    assert voltage.tolist() == pytest.approx((scale * distances).tolist(), abs=1e-6 * scale)
    for tolerance, expected in ((1e-5, 3), (1e-3, 6), (0.6, 7), (1e-13, 1)):
        found = phc.measure_divergence(network, x, solvers={}, tolerance=tolerance)
        assert found.reference.undecidable_spikes == expected


def test_curve_is_that_of_as_many_sweeps():
    network = make_network(gain=3.0)
    x = torch.randn(50, 4, 8, dtype=torch.float64)
    curve = phc.measure_divergence(network, x, sweeps=40).curve
    with torch.no_grad():
        truth = network(x, solver=phc.Sequential())
        for k in (1, 2, 5, len(curve)):
            swept = network(x, solver=phc.Jacobi(k))
            differs = swept.spikes != truth.spikes
            assert float(curve.step_difference[k - 1]) == pytest.approx(
                float(differs.double().mean())
            )
            assert float(curve.voltage_rmse[k - 1]) == pytest.approx(
                float((swept.voltage - truth.voltage).square().mean().sqrt())
            )
            assert torch.equal(curve.certified_steps[k - 1], swept.certified_steps)
            equal = [
                next((t for t in range(50) if bool(differs[t, i].any())), 50) for i in range(4)
            ]
            assert curve.equal_steps[k - 1].tolist() == equal
            assert torch.equal(curve.residuals[k - 1], swept.residuals[k - 1])
    assert bool((curve.certified_steps <= curve.equal_steps).all())
    assert curve.certified_steps[-1].tolist() == [50] * 4, "it ends where everything is proved"
    assert int(curve.certified_steps[-2].min()) < 50
    assert len(phc.measure_divergence(network, x, sweeps=0).curve) == 0
    assert len(phc.measure_divergence(network, x, sweeps=3).curve) == 3


def test_a_long_name_gives_way_in_the_table(network):
    name = "a name " * 20
    found = phc.measure_divergence(network, torch.randn(5, 2, 16), solvers={name: phc.Jacobi(2)})
    lines = str(found).splitlines()
    assert max(map(len, lines)) < 100
    assert lines[2].startswith("a name a name")
    assert "…  " in lines[2]


def test_default_solvers_are_those_that_can_solve_it(network):
    x = torch.randn(5, 2, 16)
    assert set(phc.measure_divergence(network, x).solvers) == {"own", "exact"}
    assert set(phc.measure_divergence(network, x.bfloat16()).solvers) == {"own"}
    instant = make_network(synapses=[phc.TsodyksMarkram(8)], dtype=torch.float32)
    assert set(phc.measure_divergence(instant, torch.randn(5, 2, 8)).solvers) == {"own"}


def test_to_dict_is_json_and_to_frame_has_a_row_for_each_solver(network):
    x = torch.randn(20, 3, 16)
    phase = phc.phase_diagram(network, x, gains=(1,), delays=(1, 2), limit=5)
    divergence = phc.measure_divergence(network, x, solvers={"two": phc.Jacobi(2)}, phase=phase)
    content = json.loads(json.dumps(divergence.to_dict(), allow_nan=False))
    assert set(content["solvers"]) == {"reference", "two"}
    two = content["solvers"]["two"]
    assert two["differing_spikes"] == divergence.solvers["two"].differing_spikes
    assert two["from_sweeps"] == divergence.solvers["two"].attribution.sweeps
    assert content["solvers"]["reference"]["from_sweeps"] is None
    assert content["phase"]["delays"] == [1, 2]
    frame = divergence.to_frame()
    assert list(frame.index) == ["reference", "two"]
    assert frame.loc["two", "work_mean"] == 2.0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"solvers": [phc.Jacobi(2)]}, TypeError, "solvers: got list, expected a dict"),
        ({"solvers": {"a": "exact"}}, TypeError, "a: got 'exact', expected a solver"),
        ({"solvers": {1: phc.Exact()}}, TypeError, "solvers: got the name 1, expected a string"),
        (
            {"solvers": {"reference": phc.Exact()}},
            ValueError,
            "solvers: the name 'reference' is taken",
        ),
        ({"phase": 3}, TypeError, "phase: got int, expected what phase_diagram returns"),
        ({"tolerance": "a"}, TypeError, "tolerance: got 'a', expected a number or None"),
        ({"tolerance": math.nan}, ValueError, "tolerance: got nan, expected a number"),
        ({"time_constant": "a"}, TypeError, "time_constant: got str, expected a positive"),
        ({"reference": 4}, TypeError, "reference: got 4, expected a solver"),
        ({"sweeps": -1}, ValueError, "sweeps: got -1, expected an integer of at least 0"),
        ({"sweeps": 2.0}, ValueError, "sweeps: got 2.0"),
        ({"tolerance": -1.0}, ValueError, "tolerance: got -1.0, expected a number"),
        ({"time_constant": 0.0}, ValueError, "time_constant: got 0.0"),
    ],
)
def test_bad_arguments(network, options, error, message):
    with pytest.raises(error, match=message):
        phc.measure_divergence(network, torch.randn(5, 2, 16), **options)


@pytest.mark.parametrize("measure", [phc.measure_divergence, phc.phase_diagram])
def test_bad_models_and_input(network, measure):
    with pytest.raises(TypeError, match="model: got Linear, expected a PHC or a PHCSSM"):
        measure(torch.nn.Linear(2, 2), torch.randn(5, 2, 16))
    with pytest.raises(ValueError, match=r"x_seq: got shape \(5, 16\), expected \(T, B, N\)"):
        measure(network, torch.randn(5, 16))
    with pytest.raises(ValueError, match=r"x_seq: got shape \(5, 2, 4\), expected \(T, B, D_in\)"):
        measure(phc.PHCSSM(3, 2, neurons=8), torch.randn(5, 2, 4))


def test_accuracy_needs_a_classifier_and_its_labels(network):
    found = phc.measure_divergence(network, torch.randn(5, 2, 16))
    with pytest.raises(ValueError, match="only a PHCSSM has decisions"):
        found.reference.accuracy(torch.zeros(2))
    model = phc.PHCSSM(3, 2, neurons=8)
    found = phc.measure_divergence(model, torch.randn(5, 4, 3))
    decisions = found.reference.logits.argmax(-1)
    assert found.reference.accuracy(decisions) == 1.0
    assert found.reference.accuracy(1 - decisions) == 0.0
    with pytest.raises(ValueError, match=r"labels: got shape \(3,\), expected \(4,\)"):
        found.reference.accuracy(decisions[:3])


class TestPhaseDiagram:
    def test_figures_are_those_of_the_varied_network(self):
        """A factor on the weights is a network that was built with them."""
        network = make_network(gain=1.0)
        x = torch.randn(40, 3, 8, dtype=torch.float64)
        found = phc.phase_diagram(network, x, gains=(0.5, 4.0), delays=(1, 3), limit=50)
        for row, delay in enumerate((1, 3)):
            for column, gain in enumerate((0.5, 4.0)):
                other = make_network(gain=gain, delay=delay)
                with torch.no_grad():
                    truth = other(x, solver=phc.Sequential())
                    four = other(x, solver=phc.Jacobi(4))
                    swept = other(x, solver=phc.Jacobi(50, tolerance=0.0))
                    exact = other(x, solver=phc.Exact())
                at = (row, column)
                assert float(found.sweeps[at]) == float(swept.sweeps.double().median())
                differs = float((four.spikes != truth.spikes).double().mean())
                assert float(found.difference[at]) == pytest.approx(differs)
                assert float(found.work[at]) == pytest.approx(float(exact.work.median()))
                assert float(found.rate[at]) == pytest.approx(float(truth.spikes.mean()))

    def test_the_model_is_not_changed(self):
        model = phc.PHCSSM(3, 2, neurons=8)
        before = {name: t.clone() for name, t in model.state_dict().items()}
        phc.phase_diagram(model, torch.randn(10, 2, 3), gains=(3.0,), delays=(2,))
        assert model.network.delay == 1
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, before[name])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"gains": ()}, r"gains: got \(\), expected numbers"),
            ({"gains": (-1.0,)}, r"gains: got \(-1.0,\), expected numbers of at least 0"),
            ({"gains": ("1",)}, r"gains: got \('1',\), expected numbers of at least 0"),
            ({"delays": ()}, "delays: got none, expected at least one"),
            ({"delays": (0,)}, "delays: got 0, expected a positive integer"),
            ({"limit": 0}, "limit: got 0, expected a positive integer"),
        ],
    )
    def test_bad_arguments(self, network, options, message):
        with pytest.raises(ValueError, match=message):
            phc.phase_diagram(network, torch.randn(5, 2, 16), **options)

    def test_empty_input(self, network):
        with pytest.raises(ValueError, match=r"x_seq: got shape \(0, 2, 16\), expected some"):
            phc.phase_diagram(network, torch.randn(0, 2, 16))
