"""The loop that trains: the same weights from tensors, loaders, and processes."""

import signal

import pytest
import torch
from torch.utils.data import DataLoader

import phc_snn as phc
from phc_snn.data import collate_events, event_loader
from phc_snn.training.lightning import Classifier, Machines, fit, fit_loader
from phc_snn.training.optimization import Optimization, rates_to

SLOW = Optimization(0.01)


def network(seed=0):
    return phc.PHCSSM(3, 2, neurons=8, generator=torch.Generator().manual_seed(seed))


def one(batch):
    """A loader of this one batch."""
    return DataLoader([batch], batch_size=None)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.fixture
def samples():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, 20, 3, generator=generator), torch.arange(12) % 2


def test_it_is_adam_with_a_cosine(samples):
    """Against a loop of torch alone, with the same bits."""
    x, labels = samples
    batch = x.transpose(0, 1).contiguous()
    ours, plain = network(), network()
    fit_loader(ours, one((batch, None, labels)), Optimization(0.01), epochs=3)
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    for _ in range(3):
        optimizer.zero_grad()
        plain.loss(plain(batch), labels).backward()
        optimizer.step()
        schedule.step()
    assert torch.equal(weights(ours), weights(plain))


def test_a_loader_of_equal_lengths_trains_as_tensors_do(samples):
    x, labels = samples
    first, second = network(), network()
    found = fit(first, x, labels, batch_size=5, epochs=3, learning_rate=0.01)
    items = list(zip(x, labels.tolist(), strict=True))
    generator = torch.Generator().manual_seed(0)
    loader = event_loader(items, batch_size=5, shuffle=True, generator=generator)
    other = fit_loader(second, loader, SLOW, epochs=3)
    assert found.losses == pytest.approx(other.losses, rel=1e-5)
    torch.testing.assert_close(weights(first), weights(second))


def test_padding_is_no_part_of_the_training():
    """What stands in the padding changes no weight."""
    frames = [torch.randn(steps, 3) for steps in (20, 9, 14)]
    batch = collate_events([(f, i % 2) for i, f in enumerate(frames)])
    noise = torch.where(batch.mask[..., None], batch.frames, torch.randn(20, 3, 3))
    found = []
    for x in (batch.frames, noise):
        model = network()
        fit_loader(model, one(batch._replace(frames=x)), SLOW, epochs=3)
        found.append(weights(model))
    torch.testing.assert_close(*found, rtol=0.0, atol=1e-7)


@pytest.mark.parametrize(
    "other",
    [
        Optimization(0.02),
        Optimization(0.01, "constant"),
        Optimization(0.01, weight_decay=1.0),
        Optimization(0.01, clip=1e-9),
        Optimization(0.01, dynamics_rate=0.1),
    ],
)
def test_each_option_has_an_effect(samples, other):
    batch = (samples[0].transpose(0, 1), None, samples[1])
    found = []
    for optimization in (SLOW, other):
        model = network()
        fit_loader(model, one(batch), optimization, epochs=3)
        found.append(weights(model))
    assert not torch.equal(*found)


def test_weights_of_the_best_epoch_the_latest_of_equal_ones(samples, monkeypatch):
    batch = (samples[0].transpose(0, 1), None, samples[1])
    accuracies = iter([0.25, 0.75, 0.5, 0.75, 0.25, 0.0])
    seen = []

    def validated(self):
        self.validation.append(next(accuracies))
        self.log("validation", self.validation[-1], logger=False)
        seen.append(weights(self.model))

    monkeypatch.setattr("phc_snn.training.lightning.Classifier.on_validation_epoch_end", validated)
    model = network()
    found = fit_loader(model, one(batch), SLOW, epochs=6, validation=one(batch))
    assert found.best_epoch == 4
    assert torch.equal(weights(model), seen[3])
    assert not torch.equal(seen[3], seen[5])


@pytest.mark.parametrize(("patience", "epochs"), [(0, 2), (1, 3), (3, 5), (None, 9)])
def test_it_ends_after_more_epochs_than_this_without_a_better_one(
    samples, monkeypatch, patience, epochs
):
    batch = (samples[0].transpose(0, 1), None, samples[1])

    def validated(self):
        self.validation.append(0.5)
        self.log("validation", 0.5, logger=False)

    monkeypatch.setattr("phc_snn.training.lightning.Classifier.on_validation_epoch_end", validated)
    found = fit_loader(
        network(), one(batch), SLOW, epochs=9, validation=one(batch), patience=patience
    )
    assert found.epochs == epochs


@pytest.mark.parametrize("precision", ["32-true", "64-true"])
@pytest.mark.parametrize("cut", [1, 2, 3, 4, None])
def test_cut_off_at_any_epoch_it_ends_at_the_same_one(
    samples, monkeypatch, tmp_path, cut, precision
):
    """With patience: how long was waited has to be known again."""
    x, labels = samples
    wide = torch.float64 if precision == "64-true" else torch.float32
    batch = (x.transpose(0, 1).to(wide), None, labels)
    accuracies = [0.5, 0.75, 0.75, 0.25, 0.5, 0.75, 1.0]
    step = Classifier._step
    dies = [cut]

    def mortal(self, *arguments):
        if self.current_epoch == dies[0]:
            raise RuntimeError("power cut")
        return step(self, *arguments)

    def validated(self):
        self.validation.append(accuracies[len(self.validation)])

    monkeypatch.setattr(Classifier, "_step", mortal)
    monkeypatch.setattr(Classifier, "on_validation_epoch_end", validated)

    def run(folder):
        model = network()
        found = fit_loader(
            model, one(batch), SLOW, epochs=7, validation=one(batch), patience=2,
            machines=Machines(precision=precision), folder=folder, seconds=0.0,
        )  # fmt: skip
        return found, weights(model)

    if cut is not None:
        with pytest.raises(RuntimeError, match="power cut"):
            run(tmp_path / "cut")
    dies[0] = None
    whole, expected = run(tmp_path / "whole")
    assert (whole.epochs, whole.best_epoch) == (5, 3)
    for _ in range(2):  # to its end, and once more when it has ended
        found, values = run(tmp_path / "cut")
        assert found.losses == whole.losses
        assert (found.epochs, found.best_epoch) == (5, 3)
        assert values.dtype == wide
        assert torch.equal(values, expected)


def test_validation_is_measured(samples):
    batch = (samples[0].transpose(0, 1), None, samples[1])
    model = network()
    found = fit_loader(model, one(batch), SLOW, epochs=1, validation=one(batch))
    right = model(batch[0]).logits.argmax(-1) == samples[1]
    assert found.validation == [pytest.approx(right.double().mean().item())]


def test_a_loss_that_is_no_number_is_named(samples):
    batch = (samples[0].transpose(0, 1), None, samples[1])
    model = network()
    torch.nn.init.constant_(model.decoder.bias, torch.nan)
    with pytest.raises(ValueError, match=r"learning_rate: 0\.01 made the loss nan in epoch 1; use"):
        fit_loader(model, one(batch), SLOW, epochs=5)


def test_epochs_are_logged_those_before_a_cut_included(samples, tmp_path, monkeypatch):
    batch = (samples[0].transpose(0, 1), None, samples[1])
    options = {"validation": one(batch), "folder": tmp_path, "seconds": 0.0, "log": "csv"}

    step = Classifier._step

    def died(self, *arguments):
        if self.current_epoch == 2:
            raise RuntimeError("power cut")
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "_step", died)
        with pytest.raises(RuntimeError, match="power cut"):
            fit_loader(network(), one(batch), SLOW, epochs=4, **options)
    found = fit_loader(network(), one(batch), SLOW, epochs=4, **options)
    lines = (tmp_path / "logs" / "metrics.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,accuracy,validation"
    losses = [float(line.split(",")[1]) for line in lines[1:]]
    assert losses == found.losses
    assert len(losses) == 4


def test_rates_that_were_read_to_the_cpu_go_where_the_weights_are():
    # No GPU is needed to see where a tensor goes.
    weight = torch.nn.Parameter(torch.zeros(1, device="meta"))
    optimizer = torch.optim.Adam([weight], lr=torch.tensor(0.1), capturable=True)
    torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    rates_to(optimizer, weight.device)
    group = optimizer.param_groups[0]
    assert group["lr"].device == group["initial_lr"].device == weight.device


def test_a_log_needs_a_folder(samples):
    batch = (samples[0].transpose(0, 1), None, samples[1])
    with pytest.raises(ValueError, match="log: got 'csv' without a folder"):
        fit_loader(network(), one(batch), SLOW, epochs=2, log="csv")


def test_rstdp_acts_after_each_step_of_the_optimizer(samples):
    """Against a loop of torch, with the same bits: reward, then change, after the update."""
    x, labels = samples
    batch = (x.transpose(0, 1).contiguous(), None, labels)
    ours, plain = network(), network()
    rule = phc.RSTDP(eta=0.5, reward_baseline=0.0)  # a reward whatever the accuracy is
    fit_loader(ours, one(batch), Optimization(0.01, "constant"), epochs=3, rstdp=rule)
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        output = plain(batch[0])
        plain.loss(output, labels).backward()
        optimizer.step()
        accuracy = (output.logits.argmax(-1) == labels).float().mean()
        rule.update(plain.connectome, output.solution.spikes, rule.reward(accuracy, 2))
    assert torch.equal(weights(ours), weights(plain))
    without = network()
    fit_loader(without, one(batch), Optimization(0.01, "constant"), epochs=3)
    assert not torch.equal(weights(ours), weights(without))


def test_epochs_are_logged_for_tensorboard(samples, tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    batch = (samples[0].transpose(0, 1), None, samples[1])
    found = fit_loader(network(), one(batch), SLOW, epochs=2, folder=tmp_path, log="tensorboard")
    events = reader.EventAccumulator(str(tmp_path / "logs")).Reload()
    assert [e.value for e in events.Scalars("loss")] == pytest.approx(found.losses, rel=1e-5)


@pytest.mark.parametrize("log", ["none", "csv"])
def test_ctrl_c_before_the_first_step_leaves_an_untrained_network(samples, tmp_path, log):
    x, labels = samples
    batch = (x.transpose(0, 1).contiguous(), None, labels)

    class Pressed(DataLoader):
        def __iter__(self):
            signal.raise_signal(signal.SIGINT)
            return iter([])

    model = network()
    result = fit_loader(
        model, Pressed([batch], batch_size=None), SLOW, epochs=3, folder=tmp_path, log=log
    )
    assert result.interrupted
    assert result.losses == []
    assert torch.equal(weights(model), weights(network()))


def test_the_time_of_a_training_is_kept_with_it(samples, tmp_path):
    x, labels = samples
    loader = one((x.transpose(0, 1).contiguous(), None, labels))
    first = fit_loader(network(), loader, SLOW, epochs=2, folder=tmp_path, seconds=0.0)
    again = fit_loader(network(), loader, SLOW, epochs=2, folder=tmp_path, seconds=0.0)
    assert again.seconds > 0.5 * first.seconds


def test_dynamics_have_a_learning_rate_of_their_own():
    model = network()
    optimizer = Optimization(0.02, dynamics_rate=0.5).optimizer(model, torch.device("cpu"))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        dynamics = name.startswith(("network.neuron.", "network.synapses."))
        assert rates[id(parameter)] == (0.01 if dynamics else 0.02), name
    assert len(rates) == len(list(model.parameters()))
