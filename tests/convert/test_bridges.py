"""Sequential fine-tuning, and the strategies of deployment beside each other."""

import json

import pytest
import torch

import phc_snn as phc
from phc_snn.solvers import Solver

SAMPLES = 12


@pytest.fixture
def model():
    return phc.PHCSSM(3, 2, neurons=16, gain=30.0, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(SAMPLES) % 2
    x = torch.randn(SAMPLES, 40, 3, generator=generator)
    x[..., 0] += labels[:, None] * 2.0 - 1.0
    return x, labels


def snapshot(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(model, before):
    return all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


class TestFinetune:
    def test_it_learns_with_sequential_and_puts_the_solver_back(self, model, data, monkeypatch):
        pytest.importorskip("lightning")
        used = []
        solve = phc.Sequential.solve
        monkeypatch.setattr(
            phc.Sequential, "solve", lambda self, *args: used.append(1) or solve(self, *args)
        )
        own, before = model.network.solver, snapshot(model)
        result = phc.finetune_sequential(model, *data, epochs=8, batch_size=6, learning_rate=0.02)
        assert len(used) == 16, "two steps in each of eight epochs"
        assert result.epochs == 8
        assert result.losses[-1] < result.losses[0]
        assert model.network.solver is own
        assert not same(model, before)
        assert not model.training

    def test_repeated_with_one_seed_it_gives_one_model(self, model, data):
        pytest.importorskip("lightning")
        first, second, other = (phc.PHCSSM.from_config(model.config()) for _ in range(3))
        for copy, seed in ((first, 1), (second, 1), (other, 2)):
            copy.load_state_dict(model.state_dict())
            phc.finetune_sequential(copy, *data, epochs=2, batch_size=4, seed=seed)
        assert same(second, snapshot(first))
        assert not same(other, snapshot(first))

    def test_an_error_puts_the_solver_back(self, model, data, monkeypatch):
        pytest.importorskip("lightning")

        def fail(*args):
            raise RuntimeError("on purpose")

        monkeypatch.setattr(phc.Sequential, "solve", fail)
        own = model.network.solver
        with pytest.raises(RuntimeError, match="on purpose"):
            phc.finetune_sequential(model, *data, epochs=1)
        assert model.network.solver is own

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"x": torch.zeros(12, 40)}, r"x: got \(12, 40\), expected \(samples, T, channels\)"),
            ({"x": torch.zeros(12, 40, 5)}, r"x: got \(12, 40, 5\), .* with 3 channels"),
            ({"labels": torch.zeros(3).long()}, r"labels: got \(3,\), expected one class number"),
            (
                {"x": torch.zeros(40, 12, 3)},
                r"one class number for each of 40 samples; x looks time-first, use x.transpose",
            ),
            (
                {"labels": torch.full((12,), 2)},
                "labels: got classes from 2 to 2, expected 0 to 1",
            ),
            ({"epochs": 0}, "epochs: got 0, expected a positive integer"),
            ({"batch_size": 0}, "batch_size: got 0"),
            ({"learning_rate": 0.0}, "learning_rate: got 0.0, expected a positive number"),
        ],
    )
    def test_bad_arguments(self, model, data, change, message):
        arguments = {"x": data[0], "labels": data[1], **change}
        with pytest.raises(ValueError, match=message):
            phc.finetune_sequential(model, **arguments)

    def test_only_a_classifier_can_be_fine_tuned(self, data):
        with pytest.raises(TypeError, match="model: got Linear, expected a PHCSSM"):
            phc.finetune_sequential(torch.nn.Linear(3, 2), *data)


class TestCompareBridges:
    def test_figures_are_those_of_the_runs(self, model, data):
        x, labels = data
        comparison = phc.compare_bridges(model, x, labels, sweeps=(6,))
        rows = {row.name: row for row in comparison.rows}
        assert list(rows) == ["as trained", "6 sweeps", "windows of 4", "exact"]
        with torch.no_grad():
            deployed = model(x.transpose(0, 1), solver=phc.Sequential())
            for name, solver in (("as trained", phc.Jacobi(4)), ("6 sweeps", phc.Jacobi(6))):
                output = model(x.transpose(0, 1), solver=solver)
                differing = int((output.solution.spikes != deployed.solution.spikes).sum())
                assert rows[name].differing_spikes == differing > 0
                accuracy = float((output.logits.argmax(-1) == labels).double().mean())
                assert rows[name].accuracy_parallel == accuracy
                assert rows[name].work == solver.sweeps
        accuracy = float((deployed.logits.argmax(-1) == labels).double().mean())
        for row in comparison.rows:
            assert row.accuracy_deployed == accuracy
            assert row.seconds > 0
            assert row.training_seconds == 0
        for name in ("windows of 4", "exact"):
            assert rows[name].differing_spikes == 0
            assert rows[name].accuracy_parallel == accuracy

    def test_fine_tuning_is_of_a_copy(self, model, data):
        pytest.importorskip("lightning")
        before, own = snapshot(model), model.network.solver
        comparison = phc.compare_bridges(
            model, *data, train_x=data[0], train_y=data[1], sweeps=(), epochs=6, learning_rate=0.02
        )
        assert same(model, before)
        assert model.network.solver is own
        tuned = comparison.rows[-1]
        assert tuned.name == "fine-tuned"
        assert tuned.training_seconds > 0
        assert tuned.accuracy_deployed >= comparison.rows[0].accuracy_deployed

    def test_table_frame_and_json(self, model, data):
        comparison = phc.compare_bridges(model, *data, sweeps=(2,))
        lines = str(comparison).splitlines()
        assert len(lines) == 1 + len(comparison.rows)
        assert max(map(len, lines)) < 100
        for line, row in zip(lines[1:], comparison.rows, strict=True):
            assert line.startswith(row.name)
        content = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
        assert content["exact"]["differing_spikes"] == 0
        pytest.importorskip("pandas")
        assert list(comparison.to_frame().index) == [row.name for row in comparison.rows]

    def test_windows_are_those_that_the_sweeps_cover(self, data):
        model = phc.PHCSSM(3, 2, neurons=16, gain=30.0, delay=3, solver=phc.Jacobi(5))
        names = [row.name for row in phc.compare_bridges(model, *data, sweeps=()).rows]
        assert names == ["as trained", "windows of 15", "exact"]

    def test_a_network_without_delay_has_no_exact_strategy(self, data):
        model = phc.PHCSSM(3, 2, neurons=16, delay=0)
        names = [row.name for row in phc.compare_bridges(model, *data, sweeps=(3,)).rows]
        assert names == ["as trained", "3 sweeps"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"train_x": torch.zeros(2, 4, 3)}, "train_x, train_y: got one of them, expected both"),
            ({"sweeps": (0,)}, "sweeps: got 0, expected a positive integer"),
            (
                {"train_x": torch.zeros(2, 4, 9), "train_y": torch.zeros(2).long()},
                r"train_x: got \(2, 4, 9\)",
            ),
        ],
    )
    def test_bad_arguments(self, model, data, options, message):
        with pytest.raises(ValueError, match=message):
            phc.compare_bridges(model, *data, **options)


def test_a_silent_network_is_compared_too(data):
    """No spike to relate the differing ones to: the table must not choke on it."""
    model = phc.PHCSSM(3, 2, neurons=16)
    with torch.no_grad():
        model.network.neuron.threshold.fill_(1e3)
    comparison = phc.compare_bridges(model, *data, sweeps=())
    assert all(row.differing_spikes == 0 for row in comparison.rows)
    json.dumps(comparison.to_dict(), allow_nan=False)
    assert isinstance(comparison.rows[0].solver, Solver)
    assert "nan" not in str(comparison)
