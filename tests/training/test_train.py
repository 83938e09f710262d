"""`phc-snn train`: recordings of any length in, a network that tells them apart out."""

import json
from dataclasses import asdict, replace
from statistics import median

import pytest
import torch
from torch.utils.data import DataLoader

import phc_snn as phc
from phc_snn.data import collate_events, event_loader, load_events
from phc_snn.training.checkpoint import load_model, read_config
from phc_snn.training.lightning import fit, fit_loader
from phc_snn.training.measure import MeasureConfig, measure
from phc_snn.training.recordings import ScaledFrames, ShiftedFrames, log_deviation, read_recordings
from phc_snn.training.train import TrainConfig, evaluate, fit_recordings, train
from tests.recordings import SHARED

pytest.importorskip("tonic")
FILES = {"model.safetensors", "model.json", "command.txt", "report.json"}


@pytest.fixture
def config(bars, tmp_path):
    return TrainConfig(data_dir=bars, neurons=16, epochs=2, out=tmp_path / "out")


class TestRecordings:
    def test_events_are_scaled_by_the_training_part_alone(self, bars):
        found = read_recordings("nmnist", bars, shift=0)
        assert found.features == 2 * 17 * 17
        assert found.classes[0] == "0 - zero"
        for split, part in (("train", found.train), ("test", found.test)):
            raw = load_events("nmnist", bars, downsample=2, split=split)
            frames = [f.flatten(1).log1p() for f, _ in raw]
            if split == "train":
                scale = torch.cat(frames).std(correction=0)
            for i in (0, 7):
                torch.testing.assert_close(part[i][0], frames[i] / scale)

    def test_what_it_keeps_is_enough_to_read_the_set_again(self, bars):
        found = read_recordings("nmnist", bars, window=20.0, downsample=3)
        about = json.loads(json.dumps(found.about))
        again = load_events("nmnist", bars, split="test", **about["events"])
        first, second = found.test[1], ScaledFrames(again, **about["scaling"])[1]
        assert torch.equal(first[0], second[0])
        assert first[1] == second[1]

    @pytest.mark.parametrize("shape", [(2, 5, 4), (7,)], ids=["camera", "audio"])
    def test_shifts_move_whole_recordings(self, shape):
        frames = torch.zeros(3, *shape)
        middle = tuple(size // 2 for size in shape[-2:])
        frames[(slice(None), *((1,) if len(shape) == 3 else ()), *middle)] = 1.0
        generator = torch.Generator().manual_seed(0)
        shifted = ShiftedFrames([(frames, 5)], 1, generator)
        places = set()
        for _ in range(60):
            moved, label = shifted[0]
            assert label == 5
            assert moved.shape == frames.shape
            assert torch.equal(moved[0], moved[2]), "all steps move together"
            (place,) = moved[0].nonzero().tolist()
            places.add(tuple(p - m for p, m in zip(place[-len(middle) :], middle, strict=True)))
        ways = (-1, 0, 1)
        assert (
            places == {(y, x) for y in ways for x in ways}
            if len(shape) == 3
            else places == {(x,) for x in ways}
        )

    def test_only_the_training_recordings_are_moved(self, bars):
        found = read_recordings("nmnist", bars)
        assert torch.equal(found.test[0][0], found.test[0][0])
        assert any(not torch.equal(found.train[0][0], found.train[0][0]) for _ in range(9))

    def test_silent_recordings_have_a_scale_too(self):
        assert log_deviation([(torch.zeros(4, 2), 0), (torch.zeros(0, 2), 0)]) == 1.0

    def test_a_set_of_the_archive(self):
        pytest.importorskip("aeon")
        found = read_recordings("BasicMotions", None)
        assert found.features == 6
        assert len(found.train) == len(found.test) == 40
        assert set(found.about) == {"scaling"}

    @pytest.mark.parametrize(
        ("arguments", "options", "message"),
        [
            (("nmnist", None), {}, "data_dir: got none, expected the folder in which NMNIST lies"),
            (("BasicMotions", None), {"window": 5.0}, r"window: got 5\.0, but BasicMotions has no"),
            (("BasicMotions", None), {"downsample": 2}, "downsample: got 2, but BasicMotions"),
            (
                ("BasicMotions", None),
                {"cache": "x"},
                "cache: got x, but BasicMotions has",
            ),
        ],
    )
    def test_settings_that_do_not_fit_the_set(self, arguments, options, message):
        with pytest.raises(ValueError, match=message):
            read_recordings(*arguments, **options)


def one(batch):
    """A loader of this one batch."""
    return DataLoader([batch], batch_size=None)


class TestFit:
    def test_a_loader_of_equal_lengths_trains_as_tensors_do(self):
        x, labels = torch.randn(12, 20, 3), torch.arange(12) % 2
        models = [phc.PHCSSM(3, 2, neurons=8, generator=torch.Generator().manual_seed(0))
                  for _ in range(2)]  # fmt: skip
        options = {"epochs": 3, "learning_rate": 0.01}
        first = fit(models[0], x, labels, batch_size=5, **options)
        items = list(zip(x, labels.tolist(), strict=True))
        generator = torch.Generator().manual_seed(0)
        loader = event_loader(items, batch_size=5, shuffle=True, generator=generator)
        second = fit_loader(models[1], loader, **options)
        assert first.losses == pytest.approx(second.losses, rel=1e-5)
        for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
            torch.testing.assert_close(a, b)

    def test_padding_is_no_part_of_the_training(self):
        """What stands in the padding changes no weight."""
        frames = [torch.randn(steps, 3) for steps in (20, 9, 14)]
        batch = collate_events([(f, i % 2) for i, f in enumerate(frames)])
        noise = torch.where(batch.mask[..., None], batch.frames, torch.randn(20, 3, 3))
        found = []
        for x in (batch.frames, noise):
            model = phc.PHCSSM(3, 2, neurons=8, generator=torch.Generator().manual_seed(0))
            fit_loader(model, one(batch._replace(frames=x)), epochs=3, learning_rate=0.01)
            found.append([p.detach() for p in model.parameters()])
        for a, b in zip(*found, strict=True):
            torch.testing.assert_close(a, b, rtol=0.0, atol=1e-7)

    def test_dropout_is_repeatable_and_not_without_effect(self):
        x, labels = torch.randn(10, 6, 3), torch.zeros(6).long()

        def weights(**options):
            model = phc.PHCSSM(3, 2, neurons=8, generator=torch.Generator().manual_seed(0))
            fit_loader(model, one((x, None, labels)), epochs=2, learning_rate=0.01, **options)
            return torch.cat([p.detach().flatten() for p in model.parameters()])

        assert torch.equal(weights(dropout=0.5, seed=3), weights(dropout=0.5, seed=3))
        assert not torch.equal(weights(dropout=0.5, seed=3), weights(dropout=0.5, seed=4))
        assert not torch.equal(weights(dropout=0.5, seed=3), weights())


def test_writes_all_it_promises(config):
    result = train(config)
    assert {path.name for path in result.folder.iterdir()} == FILES
    report = json.loads((result.folder / "report.json").read_text())
    assert report["recordings"] == 12
    assert report["parameters"]["trainable"] == result.model.count_parameters().trainable
    assert report["training"]["epochs"] == 2
    assert set(report["modes"]) == {"parallel", "sequential"}
    for name, mode in result.modes.items():
        assert report["modes"][name]["accuracy"] == mode.accuracy
    assert 0.0 <= result.agreement <= 1.0
    saved = read_config(result.folder)
    assert saved["data"] == "nmnist"
    assert saved["events"] == {"window": 10.0, "downsample": 2}


def test_the_written_model_decides_as_the_trained_one(config):
    result = train(config)
    test = read_recordings("nmnist", config.data_dir).test
    loaded = load_model(result.folder).eval()
    for name, solver in (("parallel", config.make_solver()), ("sequential", phc.Sequential())):
        again = evaluate(loaded, test, solver, batch_size=5)
        assert again.decisions == result.modes[name].decisions


def test_a_repeated_run_gives_the_same_weights_with_and_without_a_cache(config, tmp_path):
    first = train(config)
    second = train(replace(config, out=tmp_path / "again", cache=tmp_path / "cache"))
    third = train(replace(config, out=tmp_path / "third", cache=tmp_path / "cache"))
    for other in (second, third):
        for a, b in zip(first.model.parameters(), other.model.parameters(), strict=True):
            assert torch.equal(a, b)


def test_learns_to_tell_bars_that_move_sideways_from_others(bars):
    config = TrainConfig(
        data_dir=bars, neurons=16, epochs=40, batch_size=6, learning_rate=0.02, dropout=0.2
    )
    recordings = read_recordings(config.data, bars)
    model, _ = fit_recordings(config, recordings)
    for solver in (config.make_solver(), phc.Sequential()):
        assert evaluate(model, recordings.test, solver).accuracy >= 0.9


def test_a_set_of_the_archive_trains_the_same_way(tmp_path):
    pytest.importorskip("aeon")
    result = train(TrainConfig(data="BasicMotions", neurons=8, epochs=1, out=tmp_path / "out"))
    assert {path.name for path in result.folder.iterdir()} == FILES
    measured = measure(MeasureConfig(result.folder, curve=1))
    for mode in ("parallel", "sequential"):
        assert measured.accuracy[mode] == pytest.approx(result.modes[mode].accuracy)


def test_the_measurement_says_that_it_does_not_read_events(config):
    result = train(config)
    with pytest.raises(ValueError, match="data: nmnist are event recordings, which this command"):
        measure(MeasureConfig(result.folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neurons": 0}, "neurons: got 0, expected a positive integer"),
        ({"neurons": 3, "regions": 2}, "region 1 has no excitatory neuron"),
        ({"topology": "star"}, "topology: got 'star', expected one of"),
        ({"device": "abacus"}, "device: got 'abacus'"),
        ({"solver": "newton"}, "solver: got 'newton', expected one of"),
        ({"readout": "mean"}, "readout: got 'mean', expected one of"),
        ({"shift": -1}, "shift: got -1, expected 0 or more cells"),
        ({"dropout": 1.0}, r"dropout: got 1\.0, expected at least 0 and below 1"),
        ({"epochs": -1}, "epochs: got -1, expected 0 or more"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"threads": 0}, "threads: got 0"),
        ({"data_dir": None}, "data_dir: got none"),
        ({"window": 0.0}, r"window: got 0\.0 ms"),
    ],
)
def test_bad_settings_leave_nothing(config, changes, message):
    with pytest.raises(ValueError, match=message):
        train(replace(config, **changes))
    assert not config.out.exists()


def test_the_command_repeats_the_settings(config):
    words = config.command().split()
    assert words[:2] == ["phc-snn", "train"]
    for name, value in asdict(config).items():
        option = f"--{name.replace('_', '-')}"
        assert (option in words) == (value is not None)
        if value is not None:
            assert words[words.index(option) + 1] == str(value)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no N-MNIST recordings beside the repository")
def test_the_default_settings_learn_nmnist():
    """1,000 recordings to learn from, 100 to be tested on: median of 3 seeds."""
    found = []
    for seed in range(3):
        recordings = read_recordings("nmnist", SHARED, seed=seed)
        config = TrainConfig(data_dir=SHARED, seed=seed)
        model, _ = fit_recordings(config, recordings)
        assert model.count_parameters().trainable <= 60_000
        solvers = (config.make_solver(), phc.Sequential())
        found.append([evaluate(model, recordings.test, solver).accuracy for solver in solvers])
    for mode in zip(*found, strict=True):
        assert median(mode) >= 0.85
