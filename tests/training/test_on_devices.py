"""What a training promises on a CPU and on a GPU alike: where it was cut off, it goes on."""

from dataclasses import replace

import pytest
import torch
from torch.utils.data import TensorDataset

import phc_snn as phc
from phc_snn.training import together
from phc_snn.training.batches import training_loader
from phc_snn.training.checkpoint import load_model
from phc_snn.training.lightning import Machines, fit_loader
from phc_snn.training.lightning_callbacks import SaveProgress
from phc_snn.training.optimization import Optimization
from phc_snn.training.recordings import Recordings
from phc_snn.training.together import train_together
from phc_snn.training.train import TrainConfig

pytest.importorskip("lightning")
DEVICES = pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)], ids=str
)


class CutError(Exception):
    """Stands for whatever ends a training early."""


def recordings(samples=20):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(samples, 40, 6, generator=generator)
    return TensorDataset(x, torch.arange(samples) % 2)


def weights(model):
    return torch.cat([p.detach().cpu().flatten() for p in model.parameters()])


@DEVICES
@pytest.mark.parametrize("solver", ["auto", "exact"])
def test_a_training_that_was_cut_off_ends_with_the_same_bits(device, solver, tmp_path, monkeypatch):
    """With a schedule, whose rate is a tensor on a GPU, R-STDP, and a smaller last batch.

    No graph can hold the steps of `Exact`; they are launched one by one.
    """
    solvers = {"auto": "auto", "exact": phc.Exact()}

    def fit(folder):
        model = phc.PHCSSM(
            6, 2, neurons=16, solver=solvers[solver], generator=torch.Generator().manual_seed(0)
        )
        loader = training_loader(recordings(), batch_size=8, seed=1, steps=5)
        result = fit_loader(
            model, loader, Optimization(0.02, clip=1.0), epochs=4, rstdp=phc.RSTDP(eta=0.5),
            machines=Machines(device), folder=tmp_path / folder, seconds=0.0,
        )  # fmt: skip
        return model, result

    whole, expected = fit("whole")
    keep = SaveProgress.on_train_epoch_end

    def cut(self, trainer, module):
        keep(self, trainer, module)
        if trainer.current_epoch == 1:
            raise CutError

    with monkeypatch.context() as patched:
        patched.setattr(SaveProgress, "on_train_epoch_end", cut)
        with pytest.raises(CutError):
            fit("cut")
    gone_on, found = fit("cut")
    assert found.losses == expected.losses
    assert torch.equal(weights(gone_on), weights(whole))


@DEVICES
def test_a_stack_that_was_cut_off_ends_with_the_same_bits(device, tmp_path, monkeypatch):
    data = recordings()
    monkeypatch.setattr(
        together, "read", lambda config: Recordings(("a", "b"), 6, data, data, {}, data)
    )

    def runs(folder):
        base = TrainConfig(
            neurons=16, stdp=True, dropout=0.0, solver="auto", batch_size=8, epochs=4,
            steps_per_epoch=5, device=device, checkpoint_seconds=0.0,
        )  # fmt: skip
        return {
            str(seed): replace(base, seed=seed, out=tmp_path / folder / str(seed))
            for seed in range(3)
        }

    def cut(news):
        if news.endswith("epoch 2"):
            raise CutError

    assert [error for _, error in train_together(runs("whole"))] == [""] * 3
    with pytest.raises(CutError):
        list(train_together(runs("cut"), cut))
    list(train_together(runs("cut")))
    for seed in "012":
        found = [weights(load_model(tmp_path / folder / seed)) for folder in ("whole", "cut")]
        assert torch.equal(*found)
