"""The Free Spoken Digit Dataset, from small recordings in its own layout."""

import io
import math
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from phc_snn.data import collate_events, load_fsdd
from phc_snn.data.fsdd import log_bands
from phc_snn.data.sound import read_wav
from phc_snn.training.recordings import read_recordings
from phc_snn.training.settings import read_settings
from phc_snn.training.train import TrainConfig, evaluate, fit_recordings

CONFIGS = Path(__file__).parents[2] / "benchmarks" / "configs"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "fsdd.zip"
real = pytest.mark.skipif(not SHARED.is_file(), reason=f"no recordings at {SHARED.name}")
NAMES = [
    f"{digit}_{who}_{i}.wav" for digit in range(10) for who in ("ann", "bo") for i in range(11)
]


def wav(samples, rate=8000, width=2, channels=1):
    stream = io.BytesIO()
    with wave.open(stream, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(np.asarray(samples, f"<i{width}").tobytes())
    return stream.getvalue()


def samples(name):
    random = np.random.default_rng(NAMES.index(name))
    return random.integers(-9999, 9999, 100 + NAMES.index(name))


@pytest.fixture(scope="module")
def content():
    return {name: wav(samples(name)) for name in NAMES}


def in_folder(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


def zipped(path, content, inside=""):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(inside + name, data)
    return path


def tone(frequency, steps=100):
    return torch.sin(2 * math.pi * frequency / 8000 * torch.arange(80 * steps))


class TestLoad:
    def test_parts_are_those_of_the_indices(self, tmp_path, content):
        found = load_fsdd(in_folder(tmp_path, content))
        assert list(found) == ["train", "validation", "test"]
        for split, indices in (("test", range(5)), ("validation", range(5, 10)), ("train", [10])):
            part = found[split]
            assert {int(name[:-4].split("_")[2]) for name in part.names} == set(indices)
            assert len(part) == len(part.names) == 20 * len(indices)
            assert part.labels.tolist() == [int(name[0]) for name in part.names]
            assert part[0][1] == part.labels[0]
            assert part.split == split

    def test_raw_frames_hold_each_sample_once(self, tmp_path, content):
        part = load_fsdd(in_folder(tmp_path, content), window=5.0, bands=None)["validation"]
        frames, _ = part[3]
        assert part.features == 40
        wanted = torch.from_numpy(samples(part.names[3]).astype(np.float32)) / 2**15
        raw = (frames * part.scale + part.mean).flatten()
        torch.testing.assert_close(raw[: len(wanted)], wanted)
        assert len(raw) == 40 * math.ceil(len(wanted) / 40)
        assert float(raw[len(wanted) :].abs().max()) < 1e-6, "filled up with silence"

    @pytest.mark.parametrize("bands", [None, 12])
    def test_scaled_by_the_training_part_alone(self, tmp_path, content, bands):
        found = load_fsdd(in_folder(tmp_path, content), bands=bands)
        frames = torch.cat([x for x, _ in found["train"]])
        torch.testing.assert_close(frames.mean(0), torch.zeros(frames.shape[1]), atol=1e-4, rtol=0)
        torch.testing.assert_close(frames.std(0, correction=0), torch.ones(frames.shape[1]))
        loud = {n: wav([9] * 500) if "_3.wav" in n else data for n, data in content.items()}
        again = load_fsdd(in_folder(tmp_path, loud), bands=bands)
        assert torch.equal(again["train"].mean, found["train"].mean)
        assert torch.equal(again["test"].scale, found["train"].scale)

    def test_a_feature_that_never_changes_stays_finite(self, tmp_path, content):
        silent = {name: wav([0] * 90) for name in content}
        assert torch.equal(load_fsdd(in_folder(tmp_path, silent))["test"][0][0], torch.zeros(2, 40))

    def test_folders_and_archives_give_the_same(self, tmp_path, content):
        places = [
            in_folder(tmp_path / "a", content),
            in_folder(tmp_path / "b" / "recordings", content).parent,
            zipped(tmp_path / "any.zip", content, "some-folder/recordings/"),
            zipped(tmp_path / "fsdd.zip", content).parent,
            zipped(tmp_path / "mac.zip", {**content, "__MACOSX/._0_ann_0.wav": b"", "x.txt": b""}),
        ]
        first, *others = (load_fsdd(str(place))["test"] for place in places)
        for other in others:
            assert other.names == first.names
            assert torch.equal(other[7][0], first[7][0])

    def test_batches_are_padded_with_a_mask(self, tmp_path, content):
        part = load_fsdd(in_folder(tmp_path, content))["test"]
        batch = collate_events([part[0], part[99]])
        assert batch.mask.sum(0).tolist() == [len(part[0][0]), len(part[99][0])]
        assert batch.lengths[0] != batch.lengths[1]

    @pytest.mark.parametrize("window", [0.0, 0.01, -10.0, 1001.0])
    def test_refuses_other_windows(self, tmp_path, window):
        with pytest.raises(ValueError, match=rf"window: got {window}, expected 0\.125 to 1000 ms"):
            load_fsdd(tmp_path, window=window)

    @pytest.mark.parametrize("bands", [0, -1, 2.5])
    def test_refuses_other_bands(self, tmp_path, bands):
        with pytest.raises(ValueError, match=f"bands: got {bands}, expected a positive integer"):
            load_fsdd(tmp_path, bands=bands)


class TestWhatIsNotThere:
    def test_nothing(self, tmp_path):
        with pytest.raises(
            FileNotFoundError, match=r"has no \*\.wav, no recordings/\*\.wav and no"
        ):
            load_fsdd(tmp_path)
        with pytest.raises(FileNotFoundError, match=r"holds no \*\.wav"):
            load_fsdd(zipped(tmp_path / "x.zip", {"readme": b""}))

    def test_lost_recordings(self, tmp_path, content):
        place = in_folder(tmp_path, {n: d for n, d in content.items() if n != "4_bo_10.wav"})
        with pytest.raises(ValueError, match=r"lacks 1 recordings, 4_bo_10\.wav first; expected"):
            load_fsdd(place)

    @pytest.mark.parametrize("name", ["10_ann_0.wav", "1_ann_00.wav", "ann.wav", "1_a_b_0.wav"])
    def test_other_names(self, tmp_path, content, name):
        place = in_folder(tmp_path, {**content, name: b""})
        with pytest.raises(ValueError, match=rf"{name}: expected names like 7_jackson_32"):
            load_fsdd(place)

    def test_the_same_name_twice(self, tmp_path, content):
        path = zipped(tmp_path / "x.zip", {**content, "again/4_bo_7.wav": b""})
        with pytest.raises(ValueError, match=r"holds 4_bo_7\.wav twice"):
            load_fsdd(path)

    def test_damaged_archives(self, tmp_path, content):
        path = zipped(tmp_path / "x.zip", content)
        whole = path.read_bytes()
        path.write_bytes(whole[:-30])
        with pytest.raises(ValueError, match=r"is no zip file .*; get it again"):
            load_fsdd(path)
        at = whole.index(content["0_ann_3.wav"]) + 60
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ValueError, match=r"x\.zip/0_ann_3\.wav: cannot be read .*CRC"):
            load_fsdd(path)


class TestWav:
    def test_samples(self):
        wanted = torch.tensor([-1.0, 0.0, 0.5])
        assert torch.equal(read_wav(wav([-(2**15), 0, 2**14]), "a.wav", 8000), wanted)

    @pytest.mark.parametrize(
        ("data", "message"),
        [
            (b"", "is no wav file that can be read"),
            (b"RIFF, or so, but nothing of it", "is no wav file that can be read"),
            (wav([1] * 9, rate=16000), "has 16000 Hz, 16 bit, 1 channel.*, expected 8000 Hz"),
            (wav([1] * 9, width=4), "has 8000 Hz, 32 bit, 1 channel"),
            (wav([1] * 8, channels=2), "has 8000 Hz, 16 bit, 2 channel"),
            (wav([]), "has 0 samples and announces 0"),
            (wav([1] * 9)[:-4], "has 7 samples and announces 9"),
        ],
        ids=["empty", "other", "rate", "width", "channels", "silent", "short"],
    )
    def test_others_are_named(self, data, message):
        with pytest.raises(ValueError, match=rf"a\.wav: {message}"):
            read_wav(data, "a.wav", 8000)


class TestBands:
    def test_the_future_does_not_change_the_past(self):
        x = torch.randn(1000)
        changed = x.clone()
        changed[560:] = 9.0
        first, second = (log_bands(s, hop=80, bands=20) for s in (x, changed))
        assert torch.equal(first[:7], second[:7])
        assert not torch.equal(first[7], second[7])

    @pytest.mark.parametrize("n", [1, 79, 80, 81, 800])
    def test_a_step_for_each_begun_hop(self, n):
        assert log_bands(torch.ones(n), hop=80, bands=20).shape == (math.ceil(n / 80), 20)

    def test_a_tone_is_loudest_in_its_band(self):
        loudest = [
            int(log_bands(tone(f), hop=80, bands=40)[10:].mean(0).argmax())
            for f in (150, 400, 1000, 2000, 3500)
        ]
        assert loudest == sorted(set(loudest))
        assert loudest[0] < 5
        assert loudest[-1] > 35

    def test_ten_times_the_amplitude_is_a_hundred_times_the_energy(self):
        quiet, loud = (log_bands(a * tone(1000), hop=80, bands=40)[10].max() for a in (0.1, 1.0))
        assert float(loud - quiet) == pytest.approx(2 * math.log(10), abs=0.01)

    def test_silence_is_finite(self):
        assert torch.isfinite(log_bands(torch.zeros(300), hop=80, bands=40)).all()

    @pytest.mark.parametrize("hop", [1, 8, 40, 80, 400])
    def test_no_band_is_deaf(self, hop):
        bands = log_bands(torch.randn(4000), hop=hop, bands=10)
        if hop >= 40:
            assert float(bands[-1].min()) > math.log(2e-6)
        assert torch.isfinite(bands).all()


class TestRecordings:
    def test_as_recordings_to_train_on(self, tmp_path, content):
        found = read_recordings("fsdd", in_folder(tmp_path, content), window=20.0)
        wanted = load_fsdd(tmp_path, window=20.0)
        assert found.features == 40
        assert found.about["speech"] == {"window": 20.0, "bands": 40}
        assert len(found.about["scaling"]["mean"]) == 40
        for part in ("train", "validation", "test"):
            assert torch.equal(getattr(found, part)[0][0], wanted[part][0][0])

    def test_settings_that_do_not_fit(self, tmp_path):
        with pytest.raises(ValueError, match="shift: got 1, but fsdd takes no such setting"):
            read_recordings("fsdd", tmp_path, shift=1)
        with pytest.raises(ValueError, match="data_dir: got none, expected the folder"):
            read_recordings("fsdd", None)


def test_the_settings_are_those_of_train():
    config = read_settings(TrainConfig, CONFIGS / "fsdd.toml")
    assert config.data == "fsdd"
    config.check()


@real
def test_the_real_recordings():
    found = load_fsdd(SHARED)
    assert {split: len(part) for split, part in found.items()} == {
        "train": 2400,
        "validation": 300,
        "test": 300,
    }
    for part in found.values():
        assert len(set(part.labels.bincount().tolist())) == 1
    lengths = [len(frames) for frames, _ in found["train"]]
    assert (min(lengths), max(lengths)) == (17, 229)


@real
@pytest.mark.slow
def test_a_short_training_beats_chance_by_far():
    pytest.importorskip("lightning")
    recordings = read_recordings("fsdd", SHARED)
    config = TrainConfig(data="fsdd", neurons=32, solver="auto", epochs=2, batch_size=32, dropout=0)
    model, _ = fit_recordings(config, recordings)
    assert evaluate(model, recordings.test, config.make_solver()).accuracy > 0.5
