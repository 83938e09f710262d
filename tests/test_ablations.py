"""The job that measures what each part is worth."""

import json
from dataclasses import replace

import pytest

from benchmarks import ablations, results_page
from benchmarks.ablations import CHANGES, ablate, named
from phc_snn.training.train_config import TrainConfig

pytest.importorskip("lightning")
pytest.importorskip("aeon")


def test_every_change_has_a_name_of_its_own_and_is_one():
    assert len({named(change) for change in CHANGES}) == len(CHANGES)
    bases = [
        TrainConfig(),
        TrainConfig(encoder_norm=False, windows=8, window_steps=9, standardize=True),
        TrainConfig(solver="auto"),
    ]
    for change in CHANGES[1:]:
        assert any(replace(base, **change) != base for base in bases), change


def test_it_sums_up_what_the_engine_can_train(tmp_path, monkeypatch, capsys):
    changes = ({}, {"windows": 1}, {"neuron": "lif"}, {"solver": "exact"})
    monkeypatch.setattr(ablations, "CHANGES", changes)
    base = TrainConfig(
        data="BasicMotions", protocol="uea", neurons=8, solver="auto", dropout=0.0, epochs=1,
        steps_per_epoch=1, patience=5,
    )  # fmt: skip
    found = ablate(base, tmp_path, "stacked")
    assert [group["settings"] for group in found["groups"]] == [{}, {"neuron": "lif"}]
    assert "solver = exact: left out; engine: stacked does not train" in capsys.readouterr().out
    assert found == json.loads((tmp_path / "results.json").read_text())
    text = results_page._ablations("tiny_ablations", found)
    assert "| unchanged |" in text
    assert "| neuron = lif |" in text
    again = ablate(base, tmp_path, "stacked")
    assert again == found
