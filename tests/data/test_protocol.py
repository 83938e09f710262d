"""The published splits: who trains, who validates, who tests."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from phc_snn.data import PUBLISHED_SEEDS, load_published, load_uea, split_positions, write_pool

SPLITS = Path(__file__).parents[3] / "shared" / "data" / "uea" / "linoss_splits.json"


def test_parts_are_those_of_the_permutation():
    parts = split_positions(12, seed=2345)
    assert list(parts) == ["train", "validation", "test"]
    assert [len(places) for places in parts.values()] == [8, 2, 2]  # int(8.4), int(10.2)
    assert sorted(np.concatenate(list(parts.values()))) == list(range(12))
    assert parts["train"].tolist() != sorted(parts["train"])


def test_seeds_draw_different_parts():
    drawn = {tuple(split_positions(40, seed)["test"].tolist()) for seed in PUBLISHED_SEEDS}
    assert len(drawn) == 5


@pytest.mark.skipif(not SPLITS.is_file(), reason=f"no published splits at {SPLITS.name}")
def test_published_splits():
    found = json.loads(SPLITS.read_text())
    assert tuple(found["seeds"]) == PUBLISHED_SEEDS
    for known in found["datasets"].values():
        first, second = known["bounds"]
        for seed, order in known["perm"].items():
            parts = split_positions(known["n"], int(seed))
            assert parts["train"].tolist() == order[:first]
            assert parts["validation"].tolist() == order[first:second]
            assert parts["test"].tolist() == order[second:]


@pytest.mark.parametrize("count", range(4, 12))
def test_no_part_is_empty(count):
    assert all(len(places) for places in split_positions(count, seed=1).values())


@pytest.mark.parametrize("count", [3, 0, True, 5.0])
def test_too_few_to_split(count):
    with pytest.raises(ValueError, match=r"count: got .*, expected at least 4 samples"):
        split_positions(count, seed=1)


class TestArchive:
    def test_each_sample_is_in_one_part(self):
        pytest.importorskip("aeon")
        archive = load_uea("BasicMotions")
        expected = torch.cat([archive.train_x, archive.test_x]).numpy()
        expected, rows = np.unique(expected, axis=0, return_index=True)
        labels = torch.cat([archive.train_y, archive.test_y])[rows]
        dataset = load_published("BasicMotions", seed=3456)
        assert dataset.classes == archive.classes
        assert dataset.missing == {}
        for part, places in split_positions(80, seed=3456).items():
            assert np.array_equal(getattr(dataset, f"{part}_x"), expected[places])
            assert torch.equal(getattr(dataset, f"{part}_y"), labels[torch.from_numpy(places)])

    def test_nothing_is_scaled_unless_asked_for(self):
        pytest.importorskip("aeon")
        dataset = load_published("BasicMotions")
        assert not dataset.mean.any()
        assert (dataset.scale == 1).all()
        scaled = dataset.standardized()
        torch.testing.assert_close(scaled.train_x.std(dim=(0, 1)), torch.ones(6))
        assert torch.equal(scaled.validation_x, (dataset.validation_x - scaled.mean) / scaled.scale)

    def test_sequences_of_different_lengths(self):
        pytest.importorskip("aeon")
        dataset = load_published("JapaneseVowels", seed=1)
        counts = [len(x) for x in (dataset.train_x, dataset.validation_x, dataset.test_x)]
        assert counts == [448, 96, 96]
        assert {len(x) for x in dataset.train_x} >= {7, 29}

    def test_duplicates_across_the_parts_count_once(self, tmp_path):
        pytest.importorskip("aeon")
        place = tmp_path / "Tiny"
        place.mkdir()
        head = "@univariate true\n@classLabel true a b\n@data\n"
        (place / "Tiny_TRAIN.ts").write_text(head + "1,1:a\n2,2:a\n3,3:a\n")
        (place / "Tiny_TEST.ts").write_text(head + "2,2:b\n4,4:b\n5,5:a\n")
        dataset = load_published("Tiny", tmp_path, seed=1)
        x = torch.cat([dataset.train_x, dataset.validation_x, dataset.test_x])[:, 0, 0]
        y = torch.cat([dataset.train_y, dataset.validation_y, dataset.test_y])
        labels = dict(zip(x.tolist(), y.tolist(), strict=True))
        assert labels == {1: 0, 2: 0, 3: 0, 4: 1, 5: 0}, "the training part comes first"

    def test_the_archives_files_go_before_a_pool(self, tmp_path):
        pytest.importorskip("aeon")
        write_pool(tmp_path / "Tiny" / "Tiny.npz", np.zeros((1, 2, 2), np.float32), [1])
        (tmp_path / "Tiny" / "Tiny_TRAIN.ts").touch()
        with pytest.raises(FileNotFoundError, match=r"Tiny_TEST\.ts does not exist"):
            load_published("Tiny", tmp_path)

    def test_a_missing_set_is_named(self, tmp_path):
        pytest.importorskip("aeon")
        with pytest.raises(FileNotFoundError, match=r"Tiny_TRAIN\.ts does not exist.*Tiny\.npz"):
            load_published("Tiny", tmp_path)

    def test_the_seed_is_checked_before_the_data(self):
        with pytest.raises(ValueError, match="seed: got -1, expected an integer from 0"):
            load_published("no such set", seed=-1)


class TestPool:
    """Sample i of 20 has the value i, and the class of its last bit."""

    x = np.arange(20, dtype=np.float32)[:, None, None].repeat(3, axis=1)
    y = np.arange(20) % 2

    def test_a_whole_set(self, tmp_path):
        write_pool(tmp_path / "Tiny" / "Tiny.npz", self.x[::-1], self.y[::-1])
        dataset = load_published("Tiny", tmp_path, seed=9)
        assert dataset.classes == ("0", "1")
        for part, places in split_positions(20, seed=9).items():
            assert getattr(dataset, f"{part}_x")[:, 0, 0].tolist() == places.tolist()
            assert getattr(dataset, f"{part}_y").tolist() == (places % 2).tolist()

    def test_a_part_of_a_set_is_split_as_the_whole(self, tmp_path):
        parts = split_positions(20, seed=9)
        lost = [*parts["train"][:4], parts["test"][1]]
        kept = np.setdiff1d(np.arange(20), lost)[::-1]
        file = tmp_path / "Tiny" / "Tiny.npz"
        write_pool(file, self.x[kept], self.y[kept], index=kept, n_total=20)
        dataset = load_published("Tiny", tmp_path, seed=9)
        assert dataset.missing == {"train": 4, "test": 1}
        assert dataset.train_x[:, 0, 0].tolist() == parts["train"][4:].tolist()
        assert dataset.validation_x[:, 0, 0].tolist() == parts["validation"].tolist()
        assert dataset.test_x[:, 0, 0].tolist() == np.delete(parts["test"], 1).tolist()

    def test_a_part_that_is_missing_altogether(self, tmp_path):
        kept = np.setdiff1d(np.arange(20), split_positions(20, seed=9)["validation"])
        file = tmp_path / "Tiny" / "Tiny.npz"
        write_pool(file, self.x[kept], self.y[kept], index=kept, n_total=20)
        with pytest.raises(ValueError, match=r"Tiny: got none of the 3 validation samples of seed"):
            load_published("Tiny", tmp_path, seed=9)
