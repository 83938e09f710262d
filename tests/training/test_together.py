"""Runs trained as one batch: each is what it would be alone."""

import gc
import json
import weakref
from dataclasses import replace

import pytest
import torch

import phc_snn as phc
from phc_snn.training import learner, together
from phc_snn.training.checkpoint import load_model
from phc_snn.training.learner import Learner
from phc_snn.training.stack import Stack
from phc_snn.training.sweep import Grid, sweep
from phc_snn.training.together import check_stackable, stacks, train_together
from phc_snn.training.train import TrainConfig, resume, train
from tests.tolerances import assert_near

pytest.importorskip("lightning")
pytest.importorskip("aeon")
BASE = TrainConfig(
    data="BasicMotions", protocol="uea", neurons=8, regions=2, readout="voltage", dropout=0.0,
    stdp=True, solver="auto", batch_size=16, steps_per_epoch=3, epochs=2, learning_rate=0.01,
    schedule="constant", checkpoint_seconds=0.0, patience=50,
)  # fmt: skip
GRID = Grid(
    BASE,
    {
        "learning_rate": (0.01, 0.001),
        "topology": ("bidirectional", "feedforward"),
        "seed": (2345, 3456),
    },
)


def networks(count=3):
    return [
        phc.PHCSSM(5, 2, neurons=8, solver="auto", generator=torch.Generator().manual_seed(k))
        for k in range(count)
    ]


@pytest.mark.parametrize("rule", [None, phc.RSTDP(eta=0.5)], ids=["", "rstdp"])
def test_a_stack_trains_each_network_as_it_is_trained_alone(rule):
    stacked, alone = networks(), networks()
    stack = Stack(stacked, rule)
    adams = [torch.optim.Adam(m.parameters(), lr=0.01) for m in (*stacked, *alone)]
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        x = torch.randn(3, 20, 6, 5, generator=generator)
        labels = torch.randint(2, (3, 6), generator=generator)
        losses, right, spikes = stack.backward(x, labels)
        for adam in adams[:3]:
            adam.step()
        stack.reinforce(spikes, right)
        for k, model in enumerate(alone):
            adams[3 + k].zero_grad()
            output = model(x[k])
            loss = model.loss(output, labels[k])
            loss.backward()
            adams[3 + k].step()
            accuracy = (output.logits.argmax(-1) == labels[k]).float().mean()
            assert_near(losses[k], loss)
            assert float(right[k]) == float(accuracy)
            if rule is not None:
                reward = rule.reward(accuracy, 2)
                rule.update(model.connectome, output.solution.spikes.detach(), reward)
    for one, other in zip(stacked, alone, strict=True):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert_near(a, b, 1e-4)


def test_runs_of_a_sweep_are_those_that_train_alone(tmp_path):
    told = []
    result = sweep(GRID, tmp_path, engine="stacked", progress=lambda *x: told.append(x))
    assert [t[0] for t in told if "together" not in t[2]] == list(range(9))
    assert (0, 8, "8 together, epoch 2") in told
    assert len(result.groups) == 4
    for name, config in list(GRID.runs(tmp_path).items())[::3]:
        alone = train(replace(config, out=tmp_path / "alone" / name))
        found = load_model(tmp_path / name)
        for a, b in zip(found.parameters(), alone.model.parameters(), strict=True):
            assert_near(a, b, 1e-4)
        report = json.loads((tmp_path / name / "report.json").read_text())
        assert report["training"]["validation"] == alone.training.validation
        assert report["training"]["best_epoch"] == alone.training.best_epoch
        assert report["modes"]["sequential"]["accuracy"] == alone.modes["sequential"].accuracy
        assert report["command"] == config.command()


def weights(folder):
    return torch.cat([p.detach().flatten() for p in load_model(folder).parameters()])


class CutError(Exception):
    """Stands for whatever ends a sweep early."""


def cut(done, of, news):
    if news.endswith("epoch 2"):
        raise CutError


LONG = replace(GRID, base=replace(BASE, epochs=4, schedule="cosine", patience=1))


def test_runs_that_are_cut_off_go_on_with_the_same_bits(tmp_path):
    sweep(LONG, tmp_path / "whole", engine="stacked")
    with pytest.raises(CutError):
        sweep(LONG, tmp_path / "cut", engine="stacked", progress=cut)
    sweep(LONG, tmp_path / "cut", engine="stacked")
    for name in LONG.runs(tmp_path):
        assert torch.equal(weights(tmp_path / "whole" / name), weights(tmp_path / "cut" / name))
        reports = [
            json.loads((tmp_path / folder / name / "report.json").read_text())["training"]
            for folder in ("whole", "cut")
        ]
        for part in ("losses", "validation", "best_epoch", "epochs"):
            assert reports[0][part] == reports[1][part]


def test_other_runs_beside_one_change_it_to_rounding_only(tmp_path):
    sweep(LONG, tmp_path / "whole", engine="stacked")
    with pytest.raises(CutError):
        sweep(LONG, tmp_path / "cut", engine="stacked", progress=cut)
    less = replace(LONG, axes=LONG.axes | {"learning_rate": (0.001,)})
    sweep(less, tmp_path / "cut", engine="stacked")
    sweep(LONG, tmp_path / "cut", engine="stacked", jobs=3)
    for name in LONG.runs(tmp_path):
        assert_near(weights(tmp_path / "cut" / name), weights(tmp_path / "whole" / name), 1e-4)


def test_a_run_that_learns_too_fast_fails_alone(tmp_path, monkeypatch):
    end = Learner.end_epoch

    def one_fails(self, losses):
        bad = self.config.seed == 3456 and self.config.learning_rate == 0.001
        end(self, losses * torch.nan if bad else losses)

    monkeypatch.setattr(Learner, "end_epoch", one_fails)
    with pytest.raises(RuntimeError, match=r"2 of 8 runs failed.*loss no number in epoch 1"):
        sweep(GRID, tmp_path, engine="stacked")
    complete = [path.parent.name for path in tmp_path.glob("*/report.json")]
    assert len(complete) == 6
    assert len(list(tmp_path.glob("*/settings.toml"))) == 6
    monkeypatch.setattr(Learner, "end_epoch", end)
    sweep(GRID, tmp_path, engine="stacked")
    assert len(list(tmp_path.glob("*/report.json"))) == 8


def test_what_gives_tensors_a_shape_parts_the_stacks(tmp_path):
    grid = Grid(BASE, {"neurons": (8, 12), "seed": (0, 1, 2)})
    sizes = [len(stack) for stack in stacks(grid.runs(tmp_path))]
    assert sizes == [3, 3]
    assert [len(stack) for stack in stacks(grid.runs(tmp_path), 2)] == [2, 1, 2, 1]
    assert [len(stack) for stack in stacks(GRID.runs(tmp_path))] == [8]


@pytest.mark.parametrize(
    "given",
    [
        {"members": 2},
        {"dropout": 0.1},
        {"devices": 2},
        {"nodes": 2},
        {"log": "csv"},
        {"solver": "exact"},
        {"strategy": "ddp"},
    ],
    ids=str,
)
def test_settings_that_it_does_not_take_are_refused_before_any_run(given, tmp_path):
    ((name, value),) = given.items()
    with pytest.raises(ValueError, match=rf"engine: stacked does not train .*{name} = {value!r}"):
        check_stackable(replace(BASE, **given))
    with pytest.raises(ValueError, match="use the engine local"):
        sweep(Grid(replace(BASE, **given), {"seed": (0,)}), tmp_path, engine="stacked")
    assert list(tmp_path.iterdir()) == []


def test_recordings_of_different_lengths_are_refused(tmp_path):
    grid = Grid(
        replace(BASE, protocol="archive"),
        {"data": ("JapaneseVowels", "BasicMotions"), "seed": (0,)},
    )
    with pytest.raises(RuntimeError, match=r"1 of 2 .*those of JapaneseVowels differ; use the"):
        sweep(grid, tmp_path, engine="stacked")
    (complete,) = tmp_path.glob("*/report.json")
    assert complete.parent.name == "data=BasicMotions,seed=0"


def test_a_folder_that_cannot_be_written_to_is_one_runs_failure(tmp_path, monkeypatch):
    whole = learner.finish

    def one_fails(config, *given):
        if config.seed == 3456:
            raise OSError("no space left on device")
        return whole(config, *given)

    monkeypatch.setattr(learner, "finish", one_fails)
    with pytest.raises(RuntimeError, match=r"4 of 8 runs failed.*no space left"):
        sweep(GRID, tmp_path, engine="stacked")
    assert len(list(tmp_path.glob("*/report.json"))) == 4
    monkeypatch.undo()
    sweep(GRID, tmp_path, engine="stacked")  # they have learned all they had to
    assert len(list(tmp_path.glob("*/report.json"))) == 8


def test_runs_at_different_epochs_have_batches_of_their_own_size(tmp_path):
    """Of a pass of four batches the last is smaller, and three make an epoch."""
    one = Grid(replace(BASE, epochs=4), {"seed": (2345,)})
    two = Grid(one.base, {"seed": (2345, 3456)})

    def cut_at_once(done, of, news):
        if news.endswith("epoch 1"):
            raise CutError

    with pytest.raises(CutError):
        sweep(one, tmp_path, engine="stacked", progress=cut_at_once)
    sweep(two, tmp_path, engine="stacked")
    sweep(two, tmp_path / "whole", engine="stacked")
    for name in two.runs(tmp_path):
        assert_near(weights(tmp_path / name), weights(tmp_path / "whole" / name), 1e-4)


def test_nothing_of_a_stack_is_left_when_the_next_is_made(tmp_path, monkeypatch):
    alive, made = [], together.Rounds.__init__

    def noted(self, learners):
        made(self, learners)
        alive.append(weakref.ref(self))
        assert [ref() is self for ref in alive if ref() is not None] == [True]

    monkeypatch.setattr(together.Rounds, "__init__", noted)
    runs = {str(n): replace(BASE, epochs=n, seed=n, out=tmp_path / str(n)) for n in range(1, 5)}
    gc.disable()
    try:
        assert len(list(train_together(runs))) == 4
    finally:
        gc.enable()
    assert len(alive) > 2


def test_seeds_that_split_nothing_share_their_recordings():
    config = replace(BASE, protocol="archive")
    there = {}
    for seed in (0, 1):
        given = together.read(replace(config, seed=seed))
        there[seed] = together._on_device(given, config, torch.device("cpu"), dict(there))
    assert there[0] is there[1]


def test_the_two_engines_do_not_take_over_from_one_another(tmp_path):
    config = replace(BASE, out=tmp_path / "run")
    train(config)
    (tmp_path / "run" / "report.json").unlink()
    with pytest.raises(ValueError, match=r"begun by the engine local; go on with that one"):
        list(train_together({"run": config}))
    other = replace(BASE, out=tmp_path / "other")
    list(train_together({"other": other}))
    with pytest.raises(ValueError, match=r"resume: .*other.* engine stacked"):
        resume(tmp_path / "other")


def test_how_often_progress_is_kept_does_not_tell_runs_apart(tmp_path):
    sweep(LONG, tmp_path, engine="stacked")
    rarely = replace(LONG, base=replace(LONG.base, checkpoint_seconds=60.0))
    told = []
    sweep(rarely, tmp_path, engine="stacked", progress=lambda *x: told.append(x))
    assert told == [(8, 8, "")]


def test_no_epoch_is_an_untrained_network(tmp_path):
    config = replace(BASE, epochs=0, out=tmp_path / "run")
    assert list(train_together({"run": config})) == [("run", "")]
    fresh = learner.make_model(config, together.read(config))
    assert torch.equal(
        weights(tmp_path / "run"), torch.cat([p.detach().flatten() for p in fresh.parameters()])
    )
