"""MNIST as sequences of pixels, from small files in its own layout."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from phc_snn.data import load_sequential_mnist
from phc_snn.data.mnist import read_idx
from phc_snn.training.measure import MeasureConfig, measure
from phc_snn.training.recordings import read_recordings
from phc_snn.training.settings import read_settings
from phc_snn.training.train import TrainConfig, train

CONFIGS = Path(__file__).parents[2] / "benchmarks" / "configs"
SHARED = Path(__file__).parents[3] / "shared" / "data" / "mnist"


def idx(array, magic=None):
    array = np.asarray(array, dtype=np.uint8)
    magic = 0x800 + array.ndim if magic is None else magic
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


def digits(count, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, 28, 28)), np.arange(count) % 10


def write(folder, part, count, seed=0, packed=True):
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = digits(count, seed)
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        content = idx(array)
        path = folder / f"{part}-{kind}-ubyte"
        if packed:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(content))
        else:
            path.write_bytes(content)
    return torch.from_numpy(images.reshape(count, 784, 1) / 255).float(), labels


@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
def test_the_test_images_alone_are_shared_out_in_their_order(tmp_path, packed):
    images, labels = write(tmp_path, "t10k", 23, packed=packed)
    found = load_sequential_mnist(tmp_path, seed=None)
    parts = torch.cat([found.train_x, found.validation_x, found.test_x])
    assert torch.equal(parts, images)
    assert [len(found.train_y), len(found.validation_y), len(found.test_y)] == [19, 2, 2]
    together = torch.cat([found.train_y, found.validation_y, found.test_y])
    assert together.tolist() == labels.tolist()
    assert found.train_x.dtype == torch.float32
    assert found.train_y.dtype == torch.int64
    assert found.split == (
        "first 19 of the test images alone, in their order: training; next 2: validation; last 2 "
        "of the test images: test"
    )


def test_with_the_training_images_the_test_images_only_test(tmp_path):
    test, _ = write(tmp_path, "t10k", 4, seed=1)
    train, _ = write(tmp_path, "train", 24, packed=False)
    found = load_sequential_mnist(tmp_path, seed=None)
    assert torch.equal(found.train_x, train[:22])
    assert torch.equal(found.validation_x, train[22:])
    assert torch.equal(found.test_x, test)
    assert "all 4 of the test images: test" in found.split


def test_one_permutation_for_all_images(tmp_path):
    images, _ = write(tmp_path, "t10k", 20)
    found = load_sequential_mnist(tmp_path)
    assert sorted(found.permutation.tolist()) == list(range(784))
    assert torch.equal(found.train_x, images[:16][:, found.permutation])
    assert torch.equal(found.test_x, images[18:][:, found.permutation])
    again, other = load_sequential_mnist(tmp_path, seed=0), load_sequential_mnist(tmp_path, seed=1)
    assert torch.equal(again.permutation, found.permutation)
    assert not torch.equal(other.permutation, found.permutation)


def test_the_permutation_stays_what_it_is(tmp_path):
    # Trained networks depend on it: a change would make them wrong without a word.
    write(tmp_path, "t10k", 10)
    assert load_sequential_mnist(tmp_path).permutation[:4].tolist() == [318, 2, 606, 446]


@pytest.mark.parametrize("inside", ["mnist", "MNIST/raw"])
def test_finds_the_files_in_the_usual_folders(tmp_path, inside):
    write(tmp_path / inside, "t10k", 10)
    assert len(load_sequential_mnist(str(tmp_path)).train_y) == 8


@pytest.mark.parametrize("seed", [-1, 1.5, True])
def test_refuses_other_seeds(tmp_path, seed):
    with pytest.raises(ValueError, match=f"seed: got {seed}, expected an integer of 0 or more"):
        load_sequential_mnist(tmp_path, seed=seed)


def test_names_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no t10k-images-idx3-ubyte or"):
        load_sequential_mnist(tmp_path)
    write(tmp_path, "t10k", 10)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(idx(digits(3)[0]))
    with pytest.raises(FileNotFoundError, match="has neither train-labels-idx1-ubyte nor"):
        load_sequential_mnist(tmp_path)


def test_too_few_images(tmp_path):
    write(tmp_path, "t10k", 9)
    with pytest.raises(ValueError, match="too few images to leave any for validation"):
        load_sequential_mnist(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x08", "has 3 bytes, expected a header of 16; cut off"),
        (idx(digits(2)[0], magic=2049), "begins with the magic number 2049, expected 2051"),
        (idx(np.zeros((2, 28, 27))), r"has items of shape \(28, 27\), expected \(28, 28\)"),
        (idx(digits(2)[0])[:-1], "has 1,567 bytes of data, expected 1,568 for the 2 items"),
        (idx(digits(2)[0]) + b"\0", "has 1,569 bytes of data, expected 1,568 for the 2 items"),
    ],
    ids=["header", "magic", "shape", "short", "long"],
)
@pytest.mark.parametrize("packed", [True, False], ids=["gzip", "plain"])
def test_damaged_files_are_named(tmp_path, content, message, packed):
    path = tmp_path / ("images.gz" if packed else "images")
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match=rf"{path.name}: {message}"):
        read_idx(path, (28, 28))


@pytest.mark.parametrize("damage", [lambda b: b[:-9], lambda b: b[:20], lambda b: b"no" + b])
def test_damaged_archives_are_named(tmp_path, damage):
    path = tmp_path / "images.gz"
    path.write_bytes(damage(gzip.compress(idx(digits(2)[0]))))
    with pytest.raises(ValueError, match=r"images\.gz: is no complete gzip file .*; get it again"):
        read_idx(path, (28, 28))


def test_images_and_labels_that_do_not_fit(tmp_path):
    write(tmp_path, "t10k", 20, packed=False)
    labels = tmp_path / "t10k-labels-idx1-ubyte"
    labels.write_bytes(idx(np.zeros(19)))
    with pytest.raises(ValueError, match="has 19 labels for the 20 images of t10k-images"):
        load_sequential_mnist(tmp_path)
    labels.write_bytes(idx(np.full(20, 10)))
    with pytest.raises(ValueError, match="has the label 10, expected digits from 0 to 9"):
        load_sequential_mnist(tmp_path)


@pytest.mark.parametrize(("name", "seed"), [("psmnist", 0), ("smnist", None)])
def test_as_recordings_to_train_on(tmp_path, name, seed):
    write(tmp_path, "t10k", 20)
    found = read_recordings(name, tmp_path)
    wanted = load_sequential_mnist(tmp_path, seed=seed)
    assert found.features == 1
    assert len(found.classes) == 10
    for part, x in (("train", wanted.train_x), ("validation", wanted.validation_x)):
        assert torch.equal(getattr(found, part).tensors[0], x)
    assert torch.equal(found.test[0][0], wanted.test_x[0])
    assert found.about["pixels"] == {"seed": seed}
    assert found.about["split"] == wanted.split


def test_settings_that_do_not_fit(tmp_path):
    with pytest.raises(ValueError, match=r"window: got 5\.0, but psmnist takes no such setting"):
        read_recordings("psmnist", tmp_path, window=5.0)
    with pytest.raises(ValueError, match="data_dir: got none, expected the folder in which the"):
        read_recordings("smnist", None)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no MNIST at {SHARED.name}")
def test_the_real_files():
    found = load_sequential_mnist(SHARED, seed=None)
    assert found.train_y[:5].tolist() == [7, 2, 1, 0, 4]
    assert (len(found.train_y), len(found.validation_y), len(found.test_y)) in {
        (8000, 1000, 1000),
        (55000, 5000, 10000),
    }
    assert float(found.test_x.min()) == 0.0
    assert float(found.test_x.max()) == 1.0


def test_trains_from_settings_and_says_which_split(tmp_path):
    pytest.importorskip("lightning")
    write(tmp_path, "t10k", 20)
    config = TrainConfig(
        data="psmnist", data_dir=tmp_path, neurons=4, epochs=1, solver="auto", out=tmp_path / "out"
    )
    result = train(config)
    data = json.loads((result.folder / "report.json").read_text())["data"]
    assert data["split"].startswith("first 16 of the test images alone")
    with pytest.raises(ValueError, match="data: psmnist is no set of the UEA archive"):
        measure(MeasureConfig(result.folder))


def test_the_settings_are_those_of_train():
    config = read_settings(TrainConfig, CONFIGS / "psmnist.toml")
    assert config.data == "psmnist"
    config.check()
