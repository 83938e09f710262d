"""Features of recordings whose answer is known."""

import numpy as np

from benchmarks.uea_baselines import BANDS, band_powers, features, slow_wave


def test_a_tone_is_strongest_in_its_band():
    steps = np.arange(3000) / 1000
    for number, (low, high) in enumerate(BANDS):
        tone = np.sin(np.pi * (low + high) * steps)[None]
        assert band_powers(tone, 1)[0].argmax() == number
        assert (band_powers(tone, 3).reshape(3, -1).argmax(1) == number).all()


def test_a_slow_wave_is_what_changes_from_its_beginning():
    signal = np.repeat([[5.0, 7.0, 4.0]], 100, axis=1)
    assert slow_wave(signal, 100).tolist() == [[2.0, -1.0]]
    assert slow_wave(signal[:, :250], 100).tolist() == [[2.0]], "what is left over is dropped"


def test_features_are_those_of_all_electrodes():
    rng = np.random.default_rng(0)
    electrodes = [3 + 2 * rng.standard_normal((4, steps)) for steps in (3000, 3000, 1032)]
    found = features(electrodes)
    np.testing.assert_allclose(found["level"][:, 2], electrodes[2].mean(1))
    np.testing.assert_allclose(np.exp(found["log deviation"][:, 0]), electrodes[0].std(1))
    assert found["level, log deviation"].shape == (4, 6)
    assert found["band powers of thirds"].shape == (4, 3 * 3 * len(BANDS))
