"""The conversion of UEA sets into files that `load_published` reads."""

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import uea_data
from phc_snn.data import PUBLISHED_SEEDS, load_published

SHARED = Path(__file__).parents[2] / "shared" / "data" / "uea"


def test_channels_are_windows_of_a_row():
    x = uea_data.windows(np.arange(20).reshape(2, 10), steps=4, channels=3)
    assert x.shape == (2, 4, 3)
    assert x[0, :, 1].tolist() == [3, 4, 5, 6]
    assert x[1, 0].tolist() == [10, 13, 16]
    with pytest.raises(ValueError, match="row: got 10 samples, expected 11"):
        uea_data.windows(np.zeros((2, 10)), steps=5, channels=3)


def test_shifted_channels_are_seen():
    rng = np.random.default_rng(0)
    shifted = uea_data.windows(rng.standard_normal((2, 26)), steps=20, channels=3)
    assert uea_data.shifted_share(shifted) == 1
    assert uea_data.shifted_share(rng.standard_normal((2, 20, 3))) == 0


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no files to convert at {SHARED.name}")
def test_the_files_at_hand(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["uea_data", str(SHARED), str(tmp_path)])
    uea_data.main()
    told = capsys.readouterr().out
    assert told.count("in the order of their values, none twice: True") == 2
    assert "values that the channel before has C samples later: 100.0000%" in told
    for seed in PUBLISHED_SEEDS:
        part = load_published("SelfRegulationSCP1", tmp_path, seed=seed)
        assert part.missing == {"train": 94}
        assert part.train_x.shape == (298, 896, 6)
    whole = load_published("MotorImagery", tmp_path)
    assert whole.missing == {}
    assert whole.validation_x.shape == (57, 3000, 64)


def test_an_array_jumps_from_electrode_to_electrode():
    rng = np.random.default_rng(0)
    electrodes = rng.standard_normal((5, 3, 1)) * 100 + rng.standard_normal((5, 3, 20)).cumsum(2)
    row = electrodes.reshape(5, 60)[:, : 20 + 3 * 4]  # read with C = 4 in the place of T = 20
    x = uea_data.windows(row, steps=20, channels=4)
    assert np.array_equal(uea_data.rows(x), row)
    assert uea_data.jumps(row).argmax() == 19
    assert uea_data.jumps(row).shape == (31,)
