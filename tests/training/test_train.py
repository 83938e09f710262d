"""`phc-snn train`: recordings of any length in, a network that tells them apart out."""

import json
from dataclasses import asdict, replace
from statistics import median

import pytest
import torch

import phc_snn as phc
from phc_snn.data import load_events
from phc_snn.training.batches import draws
from phc_snn.training.checkpoint import load_classifier, load_model, read_config
from phc_snn.training.event_frames import ScaledFrames, ShiftedFrames, log_deviation
from phc_snn.training.measure import MeasureConfig, measure
from phc_snn.training.recordings import Recordings, read_recordings
from phc_snn.training.settings import from_mapping, read_settings, write_settings
from phc_snn.training.train import (
    TrainConfig,
    evaluate,
    fit_recordings,
    make_model,
    resume,
    train,
)
from tests.recordings import SHARED

pytest.importorskip("tonic")
FILES = {
    "model.safetensors", "model.json", "command.txt", "settings.toml", "report.json", "progress",
}  # fmt: skip


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
        shifted = ShiftedFrames([(frames, 5)], 1)
        assert torch.equal(shifted[0][0], frames), "only what is drawn is moved"
        generator = torch.Generator().manual_seed(0)
        places = set()
        for _ in range(60):
            moved, label = shifted.drawn(0, generator)
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
        still = found.train[0][0]
        moved = [found.train.drawn(0, draws(i))[0] for i in range(9)]
        assert any(not torch.equal(x, still) for x in moved)
        assert torch.equal(found.test.drawn(0, draws(0))[0], found.test[0][0])

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


def test_writes_all_it_promises(config):
    result = train(config)
    assert {path.name for path in result.folder.iterdir()} == FILES
    report = json.loads((result.folder / "report.json").read_text())
    assert report["recordings"] == 12
    assert report["parameters"]["trainable"] == result.model.count_parameters().trainable
    assert report["training"]["epochs"] == 2
    assert report["data"]["events"] == {"window": 10.0, "downsample": 2}
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


def test_an_ensemble_trains_the_same_way_and_its_first_member_as_alone(tmp_path):
    pytest.importorskip("aeon")
    config = TrainConfig(
        data="BasicMotions", average=5, neurons=8, epochs=2, dropout=0.3, clip=1.0, members=3,
        stdp=True, out=tmp_path / "three",
    )  # fmt: skip
    three = train(config)
    one = train(replace(config, members=1, out=tmp_path / "one"))
    found = load_classifier(tmp_path / "three")
    for a, b in zip(found.members[0].parameters(), one.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(found.members[1].decoder.weight, found.members[0].decoder.weight)
    report = json.loads((tmp_path / "three" / "report.json").read_text())
    assert report["parameters"]["trainable"] == 3 * one.model.count_parameters().trainable
    again = resume(tmp_path / "three")  # complete: evaluated once more
    assert again.modes["sequential"].decisions == three.modes["sequential"].decisions
    with pytest.raises(ValueError, match="holds an ensemble of 3 networks, expected one network"):
        measure(MeasureConfig(tmp_path / "three"))


def test_the_measurement_says_that_it_does_not_read_events(config):
    result = train(config)
    with pytest.raises(ValueError, match="data: nmnist are event recordings, which this command"):
        measure(MeasureConfig(result.folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neurons": 0}, "neurons: got 0, expected 1 or more"),
        ({"neurons": 3, "regions": 2}, "region 1 has no excitatory neuron"),
        ({"topology": "star"}, "topology: got 'star', expected one of"),
        ({"device": "abacus"}, "device: got 'abacus'"),
        ({"solver": "newton"}, "solver: got 'newton', expected one of"),
        ({"readout": "mean"}, "readout: got 'mean', expected one of"),
        ({"shift": -1}, "shift: got -1, expected 0 or more"),
        ({"dropout": 1.0}, r"dropout: got 1\.0, expected 0\.0 to 0\.99"),
        ({"dale": "nobody"}, "dale: got 'nobody', expected one of 'construction', 'projection'"),
        ({"neuron": "lif", "drive_transform": "softplus"}, "neuron: 'lif' has no drive_transform"),
        ({"learning_rate": "fast"}, "learning_rate: got 'fast', expected a number"),
        ({"epochs": -1}, "epochs: got -1, expected 0 or more"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"threads": 0}, "threads: got 0"),
        ({"data_dir": None}, "data_dir: got none"),
        ({"window": 0.0}, r"window: got 0\.0, expected 0\.001 or more"),
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
        if isinstance(value, bool):
            assert (option if value else f"--no-{option[2:]}") in words
            continue
        assert (option in words) == (value is not None)
        if value is not None:
            assert words[words.index(option) + 1] == str(value)


def test_a_protocol_brings_its_settings_and_what_is_said_goes_over_them():
    found = from_mapping(TrainConfig, {"protocol": "uea", "batch_size": 4}, "f")
    assert (found.batch_size, found.steps_per_epoch, found.patience) == (4, 1000, 10)
    assert found.stdp
    assert from_mapping(TrainConfig, {}, "f") == TrainConfig()


def test_a_run_has_the_settings_that_it_was_given_and_no_others(tmp_path):
    """Also those that the protocol would have brought, had nothing been said."""
    config = TrainConfig(protocol="uea", patience=None)
    write_settings(config, tmp_path / "settings.toml")
    assert read_settings(TrainConfig, tmp_path / "settings.toml") == config


def test_the_published_protocol_ends_at_the_best_epoch(tmp_path):
    pytest.importorskip("aeon")
    values = {"data": "BasicMotions", "protocol": "uea", "seed": 2345, "neurons": 8, "epochs": 3}
    config = from_mapping(TrainConfig, {**values, "steps_per_epoch": 2}, "f")
    result = train(replace(config, out=tmp_path / "out"))
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["data"]["protocol"]["samples"] == {"train": 56, "validation": 12, "test": 12}
    assert report["recordings"] == 12
    found = result.training
    assert len(found.validation) == found.epochs == 3
    assert found.validation[found.best_epoch - 1] == max(found.validation)
    recordings = read_recordings("BasicMotions", None, protocol="uea", seed=2345)
    again = evaluate(result.model, recordings.validation, config.make_solver())
    assert again.accuracy == pytest.approx(max(found.validation))


def test_a_run_goes_on_where_it_was_cut_off(config, tmp_path, monkeypatch):
    whole = train(replace(config, epochs=4, dropout=0.3, checkpoint_seconds=0.0))
    cut = replace(config, epochs=4, dropout=0.3, checkpoint_seconds=0.0, out=tmp_path / "cut")

    def died(self, trainer, module):
        if trainer.current_epoch == 2:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr("phc_snn.training.lightning.EpochBar.on_train_epoch_end", died)
        with pytest.raises(RuntimeError, match="power cut"):
            train(cut)
    assert json.loads((cut.out / "progress/checkpoint.json").read_text())["tensors"] == (
        "epoch-2.safetensors"
    )
    result = resume(cut.out)
    assert result.training.losses == whole.training.losses
    for a, b in zip(whole.model.parameters(), result.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert {path.name for path in cut.out.iterdir()} == FILES


def test_double_precision_is_that_of_the_test_too(config):
    result = train(replace(config, precision="64-true", epochs=1))
    assert {t.dtype for t in result.model.parameters()} == {torch.float64}
    test = read_recordings("nmnist", config.data_dir).test
    x, _ = test[0]
    exact = result.model(x[:, None].double(), solver=phc.Sequential()).logits.argmax()
    assert result.modes["sequential"].decisions[0] == int(exact)
    again = resume(config.out)
    for a, b in zip(result.model.parameters(), again.model.parameters(), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


def test_a_complete_run_is_not_trained_again(config):
    first = train(config)
    again = resume(config.out)
    assert again.training.losses == first.training.losses
    for a, b in zip(first.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_folder_with_a_run_is_left_alone(config):
    train(config)
    before = (config.out / "report.json").read_bytes()
    with pytest.raises(ValueError, match=r"out: .* holds a run already; go on with it by --resume"):
        train(config)
    assert (config.out / "report.json").read_bytes() == before


def test_nothing_to_go_on_with(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"resume: no run lies in .*settings\.toml is miss"):
        resume(tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="no N-MNIST recordings beside the repository")
def test_the_default_settings_learn_nmnist():
    """1,000 recordings to learn from, 100 to be tested on, 30 of 80 epochs: median of 3 seeds."""
    found = []
    for seed in range(3):
        recordings = read_recordings("nmnist", SHARED)
        config = TrainConfig(data_dir=SHARED, seed=seed, epochs=30)
        model, _ = fit_recordings(config, recordings)
        assert model.count_parameters().trainable <= 60_000
        solvers = (config.make_solver(), phc.Sequential())
        found.append([evaluate(model, recordings.test, solver).accuracy for solver in solvers])
    for mode in zip(*found, strict=True):
        assert median(mode) >= 0.85


def test_delays_are_drawn_by_the_seed_and_change_no_weight():
    config = TrainConfig(neurons=12, delay=2, delay_spread=5, seed=3, members=2)
    found = [config.make_delays(member) for member in range(2)]
    assert found[0] != found[1]
    assert all(2 <= steps <= 7 for delays in found for steps in delays)
    assert found == [config.make_delays(member) for member in range(2)]
    assert replace(config, seed=4).make_delays(0) != found[0]
    assert replace(config, delay_spread=0).make_delays(0) == 2
    recordings = Recordings(("a", "b"), 3, None, None, {})
    plain, spread = (
        make_model(replace(config, delay_spread=steps), recordings) for steps in (0, 5)
    )
    for a, b in zip(plain.parameters(), spread.parameters(), strict=True):
        assert torch.equal(a, b)
    assert spread.members[0].network.delay >= 2
