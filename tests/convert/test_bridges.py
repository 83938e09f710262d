"""The strategies of deployment beside each other."""

import json

import pytest
import torch

import phc_snn as phc
from phc_snn.solvers import Solver
from tests.convert.weights import same, snapshot


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

    def test_the_accuracy_deployed_is_that_of_the_deployed_network(self, model, data):
        """Labelled by its own decisions it makes no mistake; a parallel run decides otherwise."""
        x, _ = data
        with torch.no_grad():
            logits = torch.stack(
                [model(x.transpose(0, 1), solver=s).logits for s in (None, phc.Sequential())]
            )
            margins = logits[..., 0] - logits[..., 1]
            chosen = (margins[0] - margins[1]).abs().argmax()
            model.decoder.bias[1] += margins[:, chosen].mean()  # between the two runs' margins
            decisions = model(x.transpose(0, 1), solver=phc.Sequential()).logits.argmax(-1)
        rows = {row.name: row for row in phc.compare_bridges(model, x, decisions).rows}
        assert all(row.accuracy_deployed == 1.0 for row in rows.values())
        assert rows["as trained"].accuracy_parallel < 1.0
        assert rows["exact"].accuracy_parallel == 1.0

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
        # The same training by hand gives the figures of this row.
        phc.finetune_sequential(model, *data, epochs=6, learning_rate=0.02)
        again = phc.compare_bridges(model, *data, sweeps=()).rows[0]
        for figure in ("accuracy_parallel", "accuracy_deployed", "differing_spikes", "work"):
            assert getattr(tuned, figure) == getattr(again, figure)
        assert tuned.solver is own

    def test_fine_tuning_that_was_cut_short_says_so(self, model, data, monkeypatch):
        pytest.importorskip("lightning")
        from phc_snn.training import lightning

        monkeypatch.setattr(
            lightning, "fit", lambda *_, **__: lightning.TrainingResult(1, [0.5], True, 0.25)
        )
        comparison = phc.compare_bridges(model, *data, train_x=data[0], train_y=data[1], sweeps=())
        assert comparison.rows[-1].name == "fine-tuned, cut short"
        assert comparison.rows[-1].training_seconds == 0.25

    @pytest.mark.gpu
    def test_on_a_gpu_fine_tuning_included(self, model, data):
        pytest.importorskip("lightning")
        x, labels = (values.cuda() for values in data)
        model.cuda()
        comparison = phc.compare_bridges(
            model, x, labels, train_x=data[0], train_y=data[1], sweeps=(8,), epochs=2
        )
        names = ["as trained", "8 sweeps", "windows of 4", "exact", "fine-tuned"]
        assert [row.name for row in comparison.rows] == names
        assert comparison.rows[3].differing_spikes == 0
        assert next(model.parameters()).is_cuda

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
            (
                {"train_x": torch.zeros(2, 4, 3), "train_y": torch.zeros(3).long()},
                r"train_y: got \(3,\), expected one class number for each of 2 samples",
            ),
            ({"x": torch.zeros(40, 12, 3)}, r"x looks time-first, use x.transpose\(0, 1\)"),
            ({"labels": torch.full((12,), 2)}, "labels: got classes from 2 to 2, expected 0 to 1"),
        ],
    )
    def test_bad_arguments_are_refused_before_anything_runs(
        self, model, data, monkeypatch, options, message
    ):
        monkeypatch.setattr(model, "forward", None)
        arguments = {"x": data[0], "labels": data[1], **options}
        with pytest.raises(ValueError, match=message):
            phc.compare_bridges(model, **arguments)

    def test_only_a_classifier_has_bridges(self, data):
        with pytest.raises(TypeError, match="model: got Linear, expected a PHCSSM"):
            phc.compare_bridges(torch.nn.Linear(3, 2), *data)


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
