"""Fine-tuning with the solver that the network is deployed with."""

import signal
import sys

import pytest
import torch

import phc_snn as phc
from phc_snn.extras import MissingExtraError
from tests.convert.weights import same, snapshot


@pytest.fixture
def lightning():
    return pytest.importorskip("lightning")


def before_each_solve(monkeypatch, act):
    """Have ``act`` called with the number of the call, before `Sequential` solves."""
    calls = []
    solve = phc.Sequential.solve

    def watched(self, *args):
        calls.append(self)
        act(len(calls))
        return solve(self, *args)

    monkeypatch.setattr(phc.Sequential, "solve", watched)
    return calls


@pytest.mark.usefixtures("lightning")
class TestTraining:
    def test_it_learns_with_sequential_and_puts_the_solver_back(self, model, data, monkeypatch):
        used = before_each_solve(monkeypatch, lambda _: None)
        own, before = model.network.solver, snapshot(model)
        result = phc.finetune_sequential(model, *data, epochs=8, batch_size=6, learning_rate=0.02)
        assert len(used) == 16, "two steps in each of eight epochs"
        assert result.epochs == 8
        assert result.losses[-1] < result.losses[0]
        assert model.network.solver is own
        assert not same(model, before)
        assert not model.training

    def test_one_step_is_one_step_of_adam_on_the_sequential_loss(self, model, data):
        """Against the same step written out; with the parallel loss it would be another one."""
        x, labels = data

        def stepped(solver):
            copy = phc.PHCSSM.from_config(model.config())
            copy.load_state_dict(model.state_dict())
            optimizer = torch.optim.Adam(copy.parameters(), lr=0.01)
            copy.loss(copy(x.transpose(0, 1), solver=solver), labels).backward()
            optimizer.step()
            return copy.network.connectome.raw_weight.detach()

        sequential, parallel = stepped(phc.Sequential()), stepped(phc.Jacobi(4))
        phc.finetune_sequential(model, *data, epochs=1, batch_size=12, learning_rate=0.01)
        found = model.network.connectome.raw_weight.detach()
        # The order of the samples in the batch is another one, and with it that of the sums.
        torch.testing.assert_close(found, sequential, rtol=1e-5, atol=1e-5)
        assert float((found - parallel).abs().max()) > 1e-3

    def test_repeated_with_one_seed_it_gives_one_model(self, model, data):
        first, second, other = (phc.PHCSSM.from_config(model.config()) for _ in range(3))
        for copy, seed in ((first, 1), (second, 1), (other, 2)):
            copy.load_state_dict(model.state_dict())
            phc.finetune_sequential(copy, *data, epochs=2, batch_size=4, seed=seed)
        assert same(second, snapshot(first))
        assert not same(other, snapshot(first))

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_an_error_puts_the_solver_back(self, model, data, monkeypatch, error):
        from phc_snn.training import lightning as loop

        def fail(trained, *args, **options):
            assert isinstance(trained.network.solver, phc.Sequential)
            raise error("on purpose")

        monkeypatch.setattr(loop, "fit", fail)
        own = model.network.solver
        with pytest.raises(error, match="on purpose"):
            phc.finetune_sequential(model, *data, epochs=1)
        assert model.network.solver is own

    def test_an_error_in_a_step_puts_the_solver_back(self, model, data, monkeypatch):
        def fail(call):
            if call == 2:
                raise RuntimeError("on purpose")

        before_each_solve(monkeypatch, fail)
        own = model.network.solver
        with pytest.raises(RuntimeError, match="on purpose"):
            phc.finetune_sequential(model, *data, epochs=2)
        assert model.network.solver is own

    def test_ctrl_c_ends_the_training_and_keeps_what_was_learned(self, model, data, monkeypatch):
        def press(call):
            if call == 3:
                signal.raise_signal(signal.SIGINT)

        used = before_each_solve(monkeypatch, press)
        own, before = model.network.solver, snapshot(model)
        result = phc.finetune_sequential(model, *data, epochs=50, batch_size=12)
        assert result.interrupted
        assert len(used) == 3, "the step under way is finished, and no other begun"
        assert model.network.solver is own
        assert not same(model, before)

    def test_labels_that_are_no_class_numbers(self, model, data):
        own = model.network.solver
        with pytest.raises(TypeError, match=r"labels: got torch.float32"):
            phc.finetune_sequential(model, data[0], data[1].float(), epochs=1)
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
        ({"labels": torch.full((12,), 2)}, "labels: got classes from 2 to 2, expected 0 to 1"),
        ({"epochs": 0}, "epochs: got 0, expected a positive integer"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"learning_rate": 0.0}, "learning_rate: got 0.0, expected a positive number"),
    ],
)
def test_bad_arguments(model, data, change, message):
    arguments = {"x": data[0], "labels": data[1], **change}
    with pytest.raises(ValueError, match=message):
        phc.finetune_sequential(model, **arguments)


def test_only_a_classifier_can_be_fine_tuned(data):
    with pytest.raises(TypeError, match="model: got Linear, expected a PHCSSM"):
        phc.finetune_sequential(torch.nn.Linear(3, 2), *data)


def test_without_lightning_it_says_what_to_install(model, data, monkeypatch):
    monkeypatch.delitem(sys.modules, "phc_snn.training.lightning", raising=False)
    monkeypatch.delattr("phc_snn.training.lightning", raising=False)
    monkeypatch.setitem(sys.modules, "lightning", None)
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    own, before = model.network.solver, snapshot(model)
    with pytest.raises(MissingExtraError, match=r"pip install 'phc-snn\[train\]'"):
        phc.finetune_sequential(model, *data)
    assert model.network.solver is own
    assert same(model, before)
