"""The job that trains stacks on sets that are at hand."""

import json
from dataclasses import replace

import pytest
import torch
from torch.utils.data import TensorDataset

from benchmarks import results_page, stacks
from benchmarks.stacks import SETTINGS, Settings, benchmark
from phc_snn.training.recordings import Recordings


def two_classes(data, folder, *, seed):
    """Sequences whose first channel is above or below zero."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(60, 40, 3, generator=generator)
    y = torch.arange(60) % 2
    x[..., 0] += 4.0 * y[:, None] - 2.0
    parts = [TensorDataset(*(t[i : i + 20] for t in (x, y))) for i in (0, 20, 40)]
    validation = None if data == "without" else parts[1]
    return Recordings(("low", "high"), 3, parts[0], parts[2], {}, validation)


def test_it_trains_tests_and_sums_up(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(stacks, "read_recordings", two_classes)
    settings = Settings(
        "toy", hidden=(16,), epochs=12, batch_size=5, options={"csilif": {"longest": 5.0}}
    )
    found = benchmark(settings, tmp_path, ["silif", "csilif"], [0, 1], tmp_path)
    assert {group["settings"]["neuron"] for group in found["groups"]} == {"silif", "csilif"}
    for group in found["groups"]:
        assert len(group["runs"]) == 2
        assert group["test"][0] > 0.8
        assert group["validation"][0] > 0.8
    assert json.loads((tmp_path / "results.json").read_text()) == json.loads(json.dumps(found))
    assert "neuron = silif, seed = 1" in capsys.readouterr().out
    # What is there is not done again, and not taken for something else.
    monkeypatch.setattr(stacks, "train", None)
    assert benchmark(settings, tmp_path, ["silif", "csilif"], [0, 1], tmp_path) == found
    with pytest.raises(ValueError, match="holds a run of other settings"):
        benchmark(replace(settings, epochs=3), tmp_path, ["silif"], [0], tmp_path)
    monkeypatch.setattr(results_page, "RESULTS", tmp_path)
    results_page.keep(tmp_path, "toy")
    kept = json.loads((tmp_path / "toy.json").read_text())
    assert "| toy, neuron csilif | toy | 2 |" in results_page._others({"toy": kept})
    for key in ("commit", "machine", "versions"):
        assert kept[key]


def test_the_best_epoch_is_tested(monkeypatch):
    recordings = two_classes("toy", None, seed=0)
    scores = iter([0.5, 0.9, 0.7])
    kept = []

    def judged(model, part):
        kept.append({k: v.clone() for k, v in model.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(stacks, "accuracy", judged)
    model, about = stacks.train(Settings("toy", hidden=(4,), epochs=3), recordings, "silif", 0)
    assert about["best_epoch"] == 2
    for name, value in model.state_dict().items():
        assert torch.equal(value, kept[1][name]), name
    assert not model.training


def test_a_seed_is_a_run():
    recordings = two_classes("without", None, seed=0)
    settings = Settings("without", hidden=(4,), epochs=2)
    losses = [stacks.train(settings, recordings, "silif", seed)[1]["losses"] for seed in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_settings_are_those_of_known_sets():
    assert all(settings.data == name for name, settings in SETTINGS.items())
