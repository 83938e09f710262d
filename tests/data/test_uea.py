"""The UEA archive through aeon: BasicMotions ships with it, others are read from a folder."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from phc_snn.data import event_loader, load_uea
from phc_snn.extras import MissingExtraError, require

pytest.importorskip("aeon")
ARCHIVE = Path(__file__).parents[3] / "shared" / "data" / "uea_ts"


@pytest.fixture(scope="module")
def basic_motions():
    return load_uea()


def test_basic_motions_as_the_archive_has_it(basic_motions):
    assert basic_motions.train_x.shape == basic_motions.test_x.shape == (40, 100, 6)
    assert basic_motions.train_x.dtype == torch.float32
    assert basic_motions.classes == ("badminton", "running", "standing", "walking")
    assert basic_motions.train_y.bincount().tolist() == [10, 10, 10, 10]
    assert basic_motions.channels == 6


def test_standardisation_never_looks_at_test_data(basic_motions):
    scaled = basic_motions.standardized()
    torch.testing.assert_close(scaled.train_x.mean(dim=(0, 1)), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(scaled.train_x.std(dim=(0, 1)), torch.ones(6))
    shifted = replace(basic_motions, test_x=basic_motions.test_x + 100.0)
    assert torch.equal(shifted.standardized().train_x, scaled.train_x)


def test_scaling_is_kept_to_be_repeated_on_new_data(basic_motions):
    scaled = basic_motions.standardized().standardized()
    again = (basic_motions.test_x - scaled.mean) / scaled.scale
    torch.testing.assert_close(again, scaled.test_x)


@pytest.mark.skipif(not ARCHIVE.is_dir(), reason=f"no archive files at {ARCHIVE.name}")
@pytest.mark.parametrize(
    ("name", "shape", "classes"), [("Epilepsy", (206, 3), 4), ("NATOPS", (51, 24), 6)]
)
def test_sets_of_a_folder(name, shape, classes):
    dataset = load_uea(name, ARCHIVE)
    assert dataset.train_x.shape[1:] == shape
    assert len(dataset.classes) == classes


def test_a_missing_set_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Nothing_TRAIN\.ts does not exist"):
        load_uea("Nothing", tmp_path)


def _write(folder, part, rows, labels="a b", equal="true"):
    path = folder / "Tiny" / f"Tiny_{part}.ts"
    path.parent.mkdir(exist_ok=True)
    head = (
        "@problemName Tiny\n@timeStamps false\n@missing false\n@univariate false\n"
        f"@dimensions 2\n@equalLength {equal}\n@classLabel true {labels}\n@data\n"
    )
    path.write_text(head + "\n".join(rows) + "\n")


def test_a_folder_of_ones_own(tmp_path):
    _write(tmp_path, "TRAIN", ["1,2,3:4,5,6:a", "0,0,0:1,1,1:b"])
    _write(tmp_path, "TEST", ["7,8,9:1,2,3:b"])
    dataset = load_uea("Tiny", tmp_path)
    assert dataset.train_x[0].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert dataset.test_y.tolist() == [1]


@pytest.mark.parametrize("part", ["TRAIN", "TEST"])
def test_files_are_looked_through_first(tmp_path, part):
    good, bad = ["1,2,3:4,5,6:a"], ["1,2,3:4,5,6:a", "1,2,3:4,5,nan:a"]
    _write(tmp_path, "TRAIN", bad if part == "TRAIN" else good)
    _write(tmp_path, "TEST", bad if part == "TEST" else good)
    with pytest.raises(ValueError, match=rf"Tiny_{part}\.ts, line 10: .*found 'nan', a missing"):
        load_uea("Tiny", tmp_path)


def test_labels_that_training_does_not_have(tmp_path):
    _write(tmp_path, "TRAIN", ["1,2,3:4,5,6:a"])
    _write(tmp_path, "TEST", ["7,8,9:1,2,3:b"])
    with pytest.raises(ValueError, match=r"\(test\): labels \['b'\] do not occur"):
        load_uea("Tiny", tmp_path)


class TestUnequalLengths:
    def test_japanese_vowels_have_their_own_lengths(self):
        dataset = load_uea("JapaneseVowels")
        assert (len(dataset.train_x), len(dataset.test_x)) == (270, 370)
        assert {x.shape[1] for x in dataset.train_x} == {12}
        assert {x.dtype for x in dataset.train_x} == {torch.float32}
        lengths = [len(x) for x in dataset.train_x + dataset.test_x]
        assert (min(lengths), max(lengths)) == (7, 29)
        assert dataset.train_y.bincount().tolist() == [30] * 9

    def test_batches_know_what_is_padding(self):
        dataset = load_uea("JapaneseVowels").standardized()
        items = list(zip(dataset.train_x, dataset.train_y.tolist(), strict=True))
        batch = next(iter(event_loader(items, batch_size=20)))
        assert batch.lengths.tolist() == [len(x) for x in dataset.train_x[:20]]
        assert torch.equal(batch.frames[: batch.lengths[3], 3], dataset.train_x[3])
        assert not batch.frames[~batch.mask].any()

    def test_one_other_length_in_any_part_makes_sequences_of_all(self, tmp_path):
        _write(tmp_path, "TRAIN", ["1,2,3:4,5,6:a"])
        _write(tmp_path, "TEST", ["7,8:1,2:a"])
        dataset = load_uea("Tiny", tmp_path)
        assert dataset.train_x[0].tolist() == [[1, 4], [2, 5], [3, 6]]
        assert dataset.test_x[0].tolist() == [[7, 1], [8, 2]]
        assert isinstance(dataset.train_x, tuple)

    def test_sets_that_could_differ_but_do_not_are_tensors(self, tmp_path):
        for part in ("TRAIN", "TEST"):
            _write(tmp_path, part, ["1,2,3:4,5,6:a", "0,0,0:1,1,1:a"], equal="false")
        assert load_uea("Tiny", tmp_path).train_x.shape == (2, 3, 2)


class TestDownload:
    """aeon fetches what it does not bring; here it is only asked."""

    @pytest.fixture
    def asked(self, monkeypatch):
        asked = []

        def load(name, *, split, **options):
            asked.append((name, split, options))
            return np.full((2, 3, 5), np.nan if name == "Damaged" else 1.0), np.array(["a", "b"])

        monkeypatch.setattr("aeon.datasets.load_classification", load)
        return asked

    def test_sets_are_asked_for_in_their_own_lengths(self, asked):
        assert load_uea("Elsewhere").test_x.shape == (2, 5, 3)
        own = {"load_equal_length": False}
        assert asked == [("Elsewhere", "train", own), ("Elsewhere", "test", own)]

    def test_values_that_are_missing_are_refused(self, asked):
        with pytest.raises(ValueError, match=r"Damaged \(train\): 30 values are NaN or Inf"):
            load_uea("Damaged")


def test_missing_extra_says_what_to_install(monkeypatch):
    with pytest.raises(MissingExtraError, match=r"pip install 'phc-snn\[events\]'"):
        require("a_package_that_does_not_exist.datasets", extra="events")
