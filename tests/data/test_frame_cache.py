"""Frames on disk: read once, keyed by all that changes them, and never trusted blindly."""

import os
import warnings
import zipfile

import numpy as np
import pytest
import torch

from phc_snn.data import load_events
from tests.recordings import write_nmnist

pytest.importorskip("tonic")
EVENTS = [(1_000, 3, 4, 1), (1_500, 3, 4, 1), (15_000, 33, 0, 0)]


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        write_nmnist(tmp_path / "data", "train", number, number, EVENTS[: number + 1])
    return tmp_path / "data"


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def files(cache):
    return sorted(cache.rglob("*.npz"))


def frames(folder, **options):
    return [f for f, _ in load_events("nmnist", folder, **options)]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def break_reader(monkeypatch):
    def refuse(*_):
        raise AssertionError("a recording was read again")

    monkeypatch.setattr("phc_snn.data.events.count_events", refuse)


def test_frames_of_the_cache_are_those_of_the_recordings(folder, cache, monkeypatch):
    plain = frames(folder)
    assert same(frames(folder, cache=cache), plain)
    assert len(files(cache)) == 3
    break_reader(monkeypatch)
    assert same(frames(folder, cache=cache), plain)
    assert not [path for path in cache.rglob("*") if path.name.startswith(".")]


def test_a_recording_without_events_is_kept_too(folder, cache, monkeypatch):
    write_nmnist(folder, "train", 9, 9, [])
    first = frames(folder, cache=cache)
    break_reader(monkeypatch)
    assert same(frames(folder, cache=cache), first)


@pytest.mark.parametrize("options", [{"window": 5}, {"downsample": 2}, {"split": "test"}], ids=str)
def test_other_settings_have_files_of_their_own(folder, cache, options):
    write_nmnist(folder, "test", 0, 0, EVENTS[1:])
    first = frames(folder, cache=cache)
    count = len(files(cache))
    assert same(frames(folder, cache=cache, **options), frames(folder, **options))
    assert len(files(cache)) > count
    assert same(frames(folder, cache=cache), first)


def test_a_recording_that_changed_is_read_again(folder, cache):
    frames(folder, cache=cache)
    write_nmnist(folder, "train", 1, 1, [(0, 1, 1, 0), (1, 2, 2, 0)])  # of the same size
    assert same(frames(folder, cache=cache), frames(folder))


def test_a_recording_that_is_replaced_by_an_older_one_is_read_again(folder, cache):
    frames(folder, cache=cache)
    write_nmnist(folder, "train", 1, 1, [(0, 1, 1, 0), (1, 2, 2, 0)])
    os.utime(folder / "NMNIST" / "Train" / "1" / "00001.bin", (0, 0))
    assert same(frames(folder, cache=cache), frames(folder))


def test_another_folder_with_the_same_names_is_not_mixed_up(folder, cache, tmp_path):
    frames(folder, cache=cache)
    for number in range(3):
        write_nmnist(tmp_path / "other", "train", number, number, [(7, 7, 7, 1)] * (number + 2))
    assert same(frames(tmp_path / "other", cache=cache), frames(tmp_path / "other"))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    """Change a byte of the counts; the archive's checksum must notice."""
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo("counts.npy").header_offset
    content[at + 60] ^= 0xFF
    path.write_bytes(bytes(content))


def pickled(path):
    np.savez(path, made_of=np.array([{"an": "object"}], dtype=object))


def foreign(path):
    np.savez(path, something=np.zeros(3))


def altered(**changes):
    def write(path):
        with np.load(path) as file:
            content = {name: file[name] for name in file.files}
        np.savez(path, **{**content, **changes})

    return write


@pytest.mark.parametrize(
    "damage",
    [
        truncate,
        empty,
        flip,
        pickled,
        foreign,
        altered(cells=np.array([1, 2], np.uint32)),
        altered(cells=np.array([10**9], np.uint32)),
        altered(cells=np.array([0.5]), counts=np.array([1.5])),
        altered(steps=-1),
        altered(steps=np.zeros(3)),
    ],
)
def test_damaged_files_are_made_anew_with_a_warning(folder, cache, damage):
    plain = frames(folder, cache=cache)
    damage(files(cache)[0])
    with pytest.warns(UserWarning, match=r"000000\.npz is damaged or not of this cache"):
        assert same(frames(folder, cache=cache), plain)
    assert same(frames(folder, cache=cache), plain), "and without one the next time"


def test_wherever_a_file_is_damaged_the_frames_are_right(folder, cache):
    """Cut at any place, or any byte turned over: never other frames."""
    plain = frames(folder, cache=cache)
    first = files(cache)[0]
    content = first.read_bytes()
    for place in range(0, len(content), 7):
        turned = bytearray(content)
        turned[place] ^= 0xFF
        for damaged in (content[:place], bytes(turned)):
            first.write_bytes(damaged)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # bytes of the archive that nothing depends on
                assert same(frames(folder, cache=cache)[:1], plain[:1])


def test_a_file_of_another_recording_is_not_used(folder, cache):
    plain = frames(folder, cache=cache)
    first, second, _ = files(cache)
    first.write_bytes(second.read_bytes())
    assert same(frames(folder, cache=cache), plain)


def test_files_of_another_format_are_not_used(folder, cache, monkeypatch):
    frames(folder, cache=cache)
    monkeypatch.setattr("phc_snn.data.frame_cache.FORMAT", 2)
    frames(folder, cache=cache)
    assert len(files(cache)) == 6


def test_a_write_that_fails_leaves_nothing(folder, cache, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez_compressed", fail)
    dataset = load_events("nmnist", folder, cache=cache)
    with pytest.raises(OSError, match="no space left"):
        dataset[0]
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_cache_takes_less_than_the_recordings(tmp_path, cache):
    random = np.random.default_rng(0)
    times = np.sort(random.integers(0, 300_000, 4_000))
    x, y = (random.normal(17, 5, 4_000).clip(0, 33).astype(int) for _ in "xy")
    polarity = random.integers(0, 2, 4_000)
    events = list(zip(*(v.tolist() for v in (times, x, y, polarity)), strict=True))
    write_nmnist(tmp_path, "train", 0, 0, events)
    (made,) = frames(tmp_path, cache=cache, downsample=2)
    (file,) = files(cache)
    recording = tmp_path / "NMNIST" / "Train" / "0" / "00000.bin"
    assert file.stat().st_size < recording.stat().st_size
    assert file.stat().st_size < made.numel()


def test_nothing_is_written_without_a_cache(folder):
    before = sorted(folder.rglob("*"))
    frames(folder)
    assert sorted(folder.rglob("*")) == before
