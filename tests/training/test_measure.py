"""The job of ``phc-snn divergence``, in this process; tests/test_cli.py runs it in its own."""

import json
from pathlib import Path

import pytest
import torch

from phc_snn import PHCSSM, Exact, Jacobi, Sequential
from phc_snn.data import load_published, load_uea
from phc_snn.training.checkpoint import load_model, save_model
from phc_snn.training.measure import MeasureConfig, _parallel, measure, read_test_set

pytest.importorskip("aeon")
pytest.importorskip("plotly")
pytest.importorskip("matplotlib")


@pytest.fixture
def folder(tmp_path):
    """A run's folder, as `compare` leaves it, of an untrained model."""
    dataset = load_uea().standardized()
    model = PHCSSM(
        dataset.channels,
        len(dataset.classes),
        neurons=8,
        solver=Jacobi(3, start="sensory"),
        generator=torch.Generator().manual_seed(0),
    )
    save_model(
        model,
        tmp_path / "run",
        data=dataset.name,
        classes=dataset.classes,
        scaling={"mean": dataset.mean.tolist(), "scale": dataset.scale.tolist()},
    )
    return tmp_path / "run"


def change(folder, **entries):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def test_the_files_hold_what_was_measured(folder):
    told = []
    result = measure(MeasureConfig(folder, sweeps=5, curve=2), told.append)
    assert told == ["reading the data", "comparing the solvers", "writing the report"]
    assert result.folder == folder / "divergence"
    files = {"divergence.png", "report.html", "report.json"}
    assert {path.name for path in result.folder.iterdir()} == files
    assert list(result.divergence.solvers) == ["parallel", "5 sweeps", "exact"]
    written = json.loads((result.folder / "report.json").read_text())
    assert written["accuracy"] == result.accuracy
    assert {name: written[name] for name in ("solvers", "curve")} == result.divergence.to_dict()
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert "BasicMotions: 40 test samples of 100 steps, 6 channels" in page


def test_the_phase_diagram_is_whole(folder, monkeypatch):
    """Measured row by row; each row at its place."""
    monkeypatch.setattr("phc_snn.training.measure._DELAYS", (1, 3))
    told = []
    phase = measure(MeasureConfig(folder, curve=1, phase=True), told.append).divergence.phase
    assert told[1:3] == [
        "varying the recurrent gain at delay 1 (1 of 2)",
        "varying the recurrent gain at delay 3 (2 of 2)",
    ]
    assert phase.delays == (1, 3)
    for part in (phase.sweeps, phase.difference, phase.work, phase.rate):
        assert part.shape == (2, len(phase.gains))
    assert float(phase.sweeps[0, -1]) > float(phase.sweeps[1, -1]), "a longer delay settles sooner"


@pytest.mark.parametrize(
    ("own", "name", "expected"),
    [
        (Jacobi(3, start="sensory"), None, Jacobi(3, start="sensory")),
        (Jacobi(3, start="sensory"), "jacobi", Jacobi(3, start="sensory")),
        (Jacobi(3, start="sensory"), "exact", Exact()),
        (Jacobi(3, start="sensory"), "sequential", Sequential()),
        (Exact(), "jacobi", Jacobi()),
    ],
)
def test_the_parallel_mode_keeps_the_options_of_the_training(own, name, expected):
    model = PHCSSM(2, 2, neurons=4, solver=own)
    assert _parallel(MeasureConfig(Path("x"), solver=name), model) == expected


def test_the_data_are_scaled_as_in_training(folder):
    """Half the scale of one channel in the checkpoint: twice its input, and other spikes."""
    before = measure(MeasureConfig(folder, curve=1)).divergence.reference.solution.spikes
    saved = json.loads((folder / "model.json").read_text())["scaling"]
    saved["scale"][0] /= 2  # of one only: the encoder's norm takes out what all have in common
    change(folder, scaling=saved)
    after = measure(MeasureConfig(folder, curve=1)).divergence.reference.solution.spikes
    mean, scale = (torch.tensor(saved[part]) for part in ("mean", "scale"))
    x = ((load_uea().test_x - mean) / scale).transpose(0, 1)
    expected = load_model(folder)(x, solver=Sequential()).solution.spikes
    assert torch.equal(after, expected)
    assert not torch.equal(before, after)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"scaling": {"mean": [1.0]}}, r"scaling is not a mean and a scale of 6 .* \(KeyError"),
        ({"scaling": 5}, r"scaling is not a mean and a scale of 6 channels \(TypeError"),
        (
            {"scaling": {"mean": [0.0, 1.0], "scale": [1.0, 1.0]}},
            r"scaling is not a mean and a scale of 6 channels \(RuntimeError",
        ),
        ({"data": 5}, r"data: .* does not say what the model was trained on; name a set"),
        ({"classes": ["a", "b", "c", "d"]}, r"data: BasicMotions has the classes \['badminton'"),
    ],
)
def test_a_damaged_run_is_refused_and_nothing_made(folder, damage, message):
    change(folder, **damage)
    with pytest.raises(ValueError, match=message):
        measure(MeasureConfig(folder))
    assert {path.name for path in folder.iterdir()} == {"model.json", "model.safetensors"}


def test_a_model_of_other_data_is_refused(tmp_path):
    save_model(PHCSSM(5, 4, neurons=8), tmp_path)
    with pytest.raises(ValueError, match="data: BasicMotions has 6 channels and 4 classes, the mo"):
        measure(MeasureConfig(tmp_path, data="BasicMotions"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"solver": "newton"}, "solver: got 'newton', expected one of"),
        ({"device": "abacus"}, "device: got 'abacus', expected one of 'cpu', 'cuda', 'auto'"),
        ({"curve": 0}, "curve: got 0"),
    ],
)
def test_settings_are_checked_before_the_run_is_read(settings, message):
    with pytest.raises(ValueError, match=message):
        measure(MeasureConfig(Path("/nowhere"), **settings))


def test_command_has_the_switches_that_are_on():
    config = MeasureConfig(Path("a b"), phase=True, data="X", sample=0)
    assert config.command() == (
        "phc-snn divergence 'a b' --data X --sweeps 16 --curve 40 --phase --no-bridges --epochs 20 "
        "--sample 0 --device cpu --threads 1"
    )


def test_a_model_of_the_published_protocol_is_measured_on_what_its_split_tests(folder):
    change(folder, protocol={"name": "uea", "seed": 5678})
    saved = json.loads((folder / "model.json").read_text())
    model = load_model(folder)
    dataset = read_test_set(MeasureConfig(folder), saved, model)
    expected = load_published("BasicMotions", seed=5678)
    mean, scale = (torch.tensor(saved["scaling"][part]) for part in ("mean", "scale"))
    assert torch.equal(dataset.test_x, (expected.test_x - mean) / scale)
    other = read_test_set(MeasureConfig(folder, data="BasicMotions"), saved, model)
    assert torch.equal(other.test_x, dataset.test_x), "named again, it is the same set"


@pytest.mark.parametrize("protocol", [{"name": "uea"}, 7])
def test_a_protocol_without_its_seed(folder, protocol):
    change(folder, protocol=protocol)
    with pytest.raises(ValueError, match=r"checkpoint: got the protocol .*, expected one with its"):
        measure(MeasureConfig(folder))


def test_series_are_averaged_as_in_training(folder):
    change(folder, series={"average": 5, "unshift": None})
    saved = json.loads((folder / "model.json").read_text())
    dataset = read_test_set(MeasureConfig(folder), saved, load_model(folder))
    expected = load_uea("BasicMotions").averaged(5)
    mean, scale = (torch.tensor(saved["scaling"][part]) for part in ("mean", "scale"))
    assert torch.equal(dataset.test_x, (expected.test_x - mean) / scale)


@pytest.mark.parametrize("series", [{"average": 5}, 7])
def test_a_series_that_was_not_kept_whole(folder, series):
    change(folder, series=series)
    with pytest.raises(ValueError, match=r"checkpoint: got the series .*, expected its average"):
        measure(MeasureConfig(folder))


def test_sequences_of_different_lengths_are_refused(tmp_path):
    save_model(PHCSSM(12, 9, neurons=8), tmp_path / "run", data="JapaneseVowels")
    with pytest.raises(ValueError, match="data: got sequences of 7 to 29 steps, expected one len"):
        measure(MeasureConfig(tmp_path / "run"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
