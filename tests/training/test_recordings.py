"""UEA sets as `train` takes them: protocols, lengths, scaling."""

import json

import numpy as np
import pytest
import torch

from phc_snn.data import event_loader, load_published, load_uea, split_positions, write_pool
from phc_snn.training.recordings import read_recordings

pytest.importorskip("aeon")


def test_the_archives_parts_are_the_default():
    found = read_recordings("BasicMotions", None)
    dataset = load_uea("BasicMotions").standardized()
    assert found.validation is None
    assert torch.equal(found.train.tensors[0], dataset.train_x)
    assert torch.equal(found.test.tensors[0], dataset.test_x)
    assert set(found.about) == {"scaling"}


def test_the_published_protocol():
    found = read_recordings("BasicMotions", None, protocol="uea", seed=4567)
    dataset = load_published("BasicMotions", seed=4567)
    for part in ("train", "validation", "test"):
        x, y = getattr(found, part).tensors
        assert torch.equal(x, getattr(dataset, f"{part}_x")), "as it is, not scaled"
        assert torch.equal(y, getattr(dataset, f"{part}_y"))
    about = json.loads(json.dumps(found.about))
    assert about["scaling"] == {"mean": [0.0] * 6, "scale": [1.0] * 6}
    assert about["protocol"] == {
        "name": "uea",
        "seed": 4567,
        "samples": {"train": 56, "validation": 12, "test": 12},
        "missing": {},
    }


@pytest.mark.parametrize("protocol", ["archive", "uea"])
@pytest.mark.parametrize("standardize", [True, False])
def test_scaling_is_a_choice(protocol, standardize):
    found = read_recordings("BasicMotions", None, protocol=protocol, standardize=standardize)
    spread = found.train.tensors[0].std(dim=(0, 1))
    assert torch.allclose(spread, torch.ones(6)) == standardize
    assert (found.about["scaling"]["scale"] == [1.0] * 6) != standardize


@pytest.mark.parametrize("protocol", ["archive", "uea"])
def test_sequences_of_different_lengths_are_batched_with_them(protocol):
    found = read_recordings("JapaneseVowels", None, protocol=protocol, standardize=True)
    steps = torch.cat([x for x, _ in found.train])
    torch.testing.assert_close(steps.std(0), torch.ones(12))
    batch = next(iter(event_loader(found.train, batch_size=9)))
    assert batch.lengths.tolist() == [len(found.train[i][0]) for i in range(9)]
    assert len(set(batch.lengths.tolist())) > 1
    assert batch.labels.tolist() == [found.train[i][1] for i in range(9)]


def test_what_is_missing_is_reported(tmp_path):
    kept = np.setdiff1d(np.arange(20), split_positions(20, seed=3)["train"][:5])
    x = kept.astype(np.float32)[:, None, None]
    file = tmp_path / "Tiny" / "Tiny.npz"
    write_pool(file, x, kept % 2, index=kept, n_total=20)
    about = read_recordings("Tiny", tmp_path, protocol="uea", seed=3).about["protocol"]
    assert about["samples"] == {"train": 9, "validation": 3, "test": 3}
    assert about["missing"] == {"train": 5}


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        ("BasicMotions", {"protocol": "x"}, r"protocol: got 'x', expected one of \('archive', 'ue"),
        ("nmnist", {"protocol": "uea"}, r"protocol: got 'uea', but nmnist is an event set; leave"),
        ("nmnist", {"standardize": False}, r"standardize: got False, but nmnist is an event set"),
        ("BasicMotions", {"protocol": "uea", "seed": -1}, r"seed: got -1, expected an integer"),
    ],
)
def test_settings_that_do_not_fit(data, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        read_recordings(data, tmp_path if data == "nmnist" else None, **options)


def test_steps_of_a_series_are_averaged_and_how_is_kept():
    found = read_recordings("BasicMotions", None, average=10)
    assert found.train.tensors[0].shape == (40, 10, 6)
    expected = load_uea("BasicMotions").averaged(10).standardized()
    assert torch.equal(found.test.tensors[0], expected.test_x)
    assert found.about["series"] == {"average": 10, "unshift": None}
    with pytest.raises(ValueError, match="unshifted: BasicMotions is not a set whose channels"):
        read_recordings("BasicMotions", None, unshift=True)
    with pytest.raises(ValueError, match="average: got 10, but nmnist is an event set"):
        read_recordings("nmnist", None, average=10)
