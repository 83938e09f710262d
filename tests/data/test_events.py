"""Event sets in their real layouts on disk, read by tonic's own classes."""

import os
import pickle
import socket

import numpy as np
import pytest
import torch

from phc_snn.data import EVENT_SETS, event_loader, load_events
from tests import recordings

pytest.importorskip("tonic")


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    connect = socket.socket.connect

    def refuse(own, address):
        assert own.family == socket.AF_UNIX, "the network was touched"  # a worker's own pipe
        return connect(own, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def nmnist(tmp_path):
    """Three recordings; written in another order than that of their names."""
    for number, label, t in ((7, 1, 3_000), (2, 1, 12_000), (9, 0, 25_000)):
        events = [(1_000, 3, 4, 1), (1_500, 3, 4, 1), (t, 33, 0, 0)]
        recordings.write_nmnist(tmp_path, "train", number, label, events)
    return tmp_path


class TestNMNIST:
    def test_frames_and_labels_in_the_order_of_the_names(self, nmnist):
        dataset = load_events("nmnist", nmnist)
        assert dataset.labels.tolist() == [0, 1, 1]
        assert [label for _, label in dataset] == [0, 1, 1]
        assert [len(frames) for frames, _ in dataset] == [3, 2, 1]
        frames, _ = dataset[1]
        assert frames.dtype == torch.float32
        assert frames.nonzero().tolist() == [[0, 1, 4, 3], [1, 0, 0, 33]]
        assert frames[0, 1, 4, 3] == 2
        assert dataset.shape == (2, 34, 34)
        assert dataset.features == 2 * 34 * 34
        assert dataset.classes[9] == "9 - nine"

    def test_window_and_downsampling(self, nmnist):
        dataset = load_events("nmnist", nmnist, window=1, downsample=2)
        assert dataset.shape == (2, 17, 17)
        frames, _ = dataset[2]
        assert frames.nonzero().tolist() == [[0, 1, 2, 1], [2, 0, 0, 16]]

    def test_order_does_not_depend_on_the_file_system(self, nmnist, monkeypatch):
        first = load_events("nmnist", nmnist)
        listed = os.walk
        monkeypatch.setattr(
            os, "walk", lambda *a, **k: [(p, d, f) for p, d, f in reversed(list(listed(*a, **k)))]
        )
        second = load_events("nmnist", nmnist)
        assert second.labels.tolist() == first.labels.tolist()
        for (a, _), (b, _) in zip(first, second, strict=True):
            assert torch.equal(a, b)

    def test_indices_are_those_of_a_sequence(self, nmnist):
        dataset = load_events("nmnist", nmnist)
        assert len(dataset) == 3
        assert torch.equal(dataset[-1][0], dataset[2][0])
        with pytest.raises(IndexError):
            dataset[3]

    def test_a_recording_without_events_has_no_frames(self, nmnist):
        recordings.write_nmnist(nmnist, "train", 0, 0, [])
        frames, label = load_events("nmnist", nmnist)[0]
        assert frames.shape == (0, 2, 34, 34)
        assert label == 0

    def test_workers_of_a_loader_read_it(self, nmnist):
        dataset = pickle.loads(pickle.dumps(load_events("nmnist", nmnist)))
        (batch,) = event_loader(dataset, batch_size=3, workers=1)
        assert batch.lengths.tolist() == [3, 2, 1]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (
                b"\x01\x02\x03\x04\x05\x06",
                "nmnist: recording 0 of .*00000.bin cannot be read.*cut short",
            ),
            (bytes([99, 3, 0, 0, 1]), r"00000\.bin cannot be read: x: an event at 99"),
        ],
    )
    def test_a_damaged_recording_is_named(self, nmnist, content, message):
        (nmnist / "NMNIST" / "Train" / "0" / "00000.bin").write_bytes(content)
        dataset = load_events("nmnist", nmnist)
        with pytest.raises(ValueError, match=message):
            dataset[0]

    def test_a_short_window(self, nmnist):
        dataset = load_events("nmnist", nmnist, window=0.001)
        assert len(dataset[0][0]) == 24_001


@pytest.mark.skipif(
    not recordings.SHARED.is_dir(), reason="no N-MNIST recordings beside the repository"
)
def test_real_recordings():
    """1,000 and 100 of the 60,000 and 10,000; nothing of them is lost."""
    from tonic.io import read_mnist_file

    test = load_events("nmnist", recordings.SHARED, split="test", downsample=2)
    assert len(test) == 100
    assert len(load_events("nmnist", recordings.SHARED)) == 1000
    kind = np.dtype([("x", int), ("y", int), ("t", int), ("p", int)])
    files = sorted((recordings.SHARED / "NMNIST" / "Test").rglob("*.bin"))
    for i in (0, 57, 99):
        events = read_mnist_file(str(files[i]), dtype=kind)
        frames, label = test[i]
        assert float(frames.sum()) == len(events)
        assert len(frames) == np.ptp(events["t"]) // 10_000 + 1
        assert label == int(files[i].parent.name)


class TestDVSGesture:
    @pytest.fixture
    def folder(self, tmp_path):
        recordings.write_dvsgesture(tmp_path, "test", 25, 3, [(0, 0, 1, 5), (127, 64, 0, 6_005)])
        recordings.write_dvsgesture(tmp_path, "test", 24, 10, [(8, 9, 1, 0), (8, 9, 1, 19)])
        recordings.write_dvsgesture(tmp_path, "test", 24, 0, [(8, 9, 0, 0)])
        return tmp_path

    def test_frames_and_labels(self, folder):
        dataset = load_events("dvsgesture", folder, split="test", downsample=4)
        assert dataset.labels.tolist() == [0, 10, 3]
        assert dataset.shape == (2, 32, 32)
        assert len(dataset.classes) == recordings.DVS_CLASSES
        assert dataset[1][0].nonzero().tolist() == [[0, 1, 2, 2], [1, 1, 2, 2]]

    def test_times_do_not_overflow(self, folder):
        """Six seconds; in 16 bits they come out as 0.04 s."""
        frames, _ = load_events("dvsgesture", folder, split="test")[2]
        assert len(frames) == 601
        assert frames[600, 0, 64, 127] == 1
        assert float(frames.sum()) == 2

    def test_what_is_not_such_an_array_is_named(self, folder):
        path = folder / "DVSGesture" / "ibmGestureTest" / "user24_lab" / "0.npy"
        np.save(path, np.zeros((3, 2), np.uint16))
        dataset = load_events("dvsgesture", folder, split="test")
        with pytest.raises(ValueError, match=r"dvsgesture: recording 0 of .*0\.npy cannot be read"):
            dataset[0]


class TestAudio:
    PARTS = (("shd", "train"), ("shd", "test"), ("ssc", "valid"))
    SPIKES = ((1, [(0.0, 0), (0.25, 699), (0.5, 699)]), (0, [(0.125, 7)]), (1, []))

    @pytest.mark.parametrize(("kind", "split"), PARTS)
    def test_frames_and_labels(self, tmp_path, kind, split):
        recordings.write_audio(tmp_path, kind, split, self.SPIKES)
        dataset = load_events(kind, tmp_path, split=split, window=250, downsample=7)
        assert dataset.shape == (100,)
        assert dataset.classes == ("zero", "one")
        assert dataset.labels.tolist() == [1, 0, 1]
        frames, label = dataset[0]
        assert frames.nonzero().tolist() == [[0, 0], [1, 99], [2, 99]]
        assert label == 1
        assert [len(frames) for frames, _ in dataset] == [3, 1, 0]

    @pytest.mark.parametrize(("kind", "split"), PARTS)
    def test_five_neighbours_are_one_of_140_channels(self, tmp_path, kind, split):
        """The published preparation of SHD and SSC."""
        spikes = [(0.0, 0), (0.001, 4), (0.0025, 5), (0.0045, 699), (0.0105, 694)]
        recordings.write_audio(tmp_path, kind, split, [(0, spikes)])
        dataset = load_events(kind, tmp_path, split=split, window=4, downsample=5)
        assert dataset.features == 140
        frames, _ = dataset[0]
        assert frames.shape == (3, 140)
        assert frames.nonzero().tolist() == [[0, 0], [0, 1], [1, 139], [2, 138]]
        assert frames[0, 0] == 2.0

    def test_a_damaged_file_is_named(self, tmp_path):
        path = recordings.write_audio(tmp_path, "shd", "train", self.SPIKES)
        path.write_bytes(path.read_bytes()[:100])
        with pytest.raises(ValueError, match=r"folder: .*shd_train\.h5 is not shd as tonic reads"):
            load_events("shd", tmp_path)

    def test_labels_beyond_the_classes_are_refused(self, tmp_path):
        recordings.write_audio(tmp_path, "shd", "train", [(2, [(0.0, 0)])])
        with pytest.raises(ValueError, match="labels from 2 to 2 of 2 classes"):
            load_events("shd", tmp_path)

    def test_a_file_without_recordings_is_refused(self, tmp_path):
        recordings.write_audio(tmp_path, "shd", "train", [])
        with pytest.raises(ValueError, match="there are no recordings in it"):
            load_events("shd", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (("mnist",), ValueError, r"name: got 'mnist', expected one of \['dvsgesture', 'nmnist'"),
        (("nmnist", "valid"), ValueError, r"split: got 'valid', nmnist has \['train', 'test'\]"),
        (("nmnist", "test"), FileNotFoundError, "NMNIST/Test does not exist.*download=True"),
        (("shd",), FileNotFoundError, r"SHD/shd_train\.h5 does not exist"),
    ],
)
def test_what_is_not_there_is_named(nmnist, arguments, kind, message):
    name, *split = arguments
    with pytest.raises(kind, match=message):
        load_events(name, nmnist, **dict(zip(["split"], split, strict=False)))


def test_the_set_instead_of_its_parent_is_told(nmnist):
    with pytest.raises(FileNotFoundError, match=f"does not exist.*give its parent {nmnist}"):
        load_events("nmnist", nmnist / "NMNIST")


def test_an_empty_folder_is_told(tmp_path):
    (tmp_path / "NMNIST" / "Train").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"NMNIST/Train holds no recordings \*/\*\.bin"):
        load_events("nmnist", tmp_path)


def test_a_folder_that_is_no_class_is_told(nmnist):
    (nmnist / "NMNIST" / "Train" / "extra").mkdir()
    (nmnist / "NMNIST" / "Train" / "extra" / "1.bin").touch()
    with pytest.raises(ValueError, match="NMNIST/Train is not nmnist as tonic reads it"):
        load_events("nmnist", nmnist)


@pytest.mark.parametrize("window", [0, -1.0, 0.0001, float("nan"), float("inf")])
def test_windows_that_are_none(nmnist, window):
    with pytest.raises(ValueError, match=r"window: got .* ms, expected a time of at least"):
        load_events("nmnist", nmnist, window=window)


@pytest.mark.parametrize("downsample", [0, -2, 1.5, True])
def test_downsampling_that_is_none(nmnist, downsample):
    with pytest.raises(ValueError, match=r"downsample: got .*, expected a positive integer"):
        load_events("nmnist", nmnist, downsample=downsample)


def test_a_download_is_tonics_and_only_on_request(tmp_path, monkeypatch):
    import tonic.datasets

    asked = []

    def download(self):
        asked.append(self.url)
        recordings.write_nmnist(tmp_path, "test", 0, 4, [(0, 1, 1, 1)])

    monkeypatch.setattr(tonic.datasets.NMNIST, "download", download)
    with pytest.raises(FileNotFoundError):
        load_events("nmnist", tmp_path, split="test")
    assert not asked
    dataset = load_events("nmnist", tmp_path, split="test", download=True)
    assert len(asked) == 1
    assert dataset.labels.tolist() == [4]


def test_every_set_names_a_class_of_tonic():
    import tonic.datasets

    for known in EVENT_SETS.values():
        assert hasattr(tonic.datasets, known.kind)


def test_memory_holds_what_was_read(nmnist):
    dataset = load_events("nmnist", nmnist, in_memory=True)
    first = dataset[0][0].clone()
    dataset[0][0].fill_(99.0)
    (nmnist / "NMNIST" / "Train" / "0" / "00009.bin").unlink()
    assert torch.equal(dataset[0][0], first)
