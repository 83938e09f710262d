"""What usual features tell about MotorImagery: ``python -m benchmarks.uea_baselines FOLDER``.

FOLDER is the one that `benchmarks.uea_data` wrote. Each of some sets of features of the recording's
electrodes goes through each of some classifiers, by repeated cross-validation over all samples: a
larger test than the benchmark's, and not on its splits. Chance is 50 %.
"""

import argparse
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks.uea_data import STEPS, rows
from phc_snn.data.pool import read_pool
from phc_snn.extras import require

BANDS = ((2, 7), (8, 12), (12, 20), (20, 32), (32, 48), (52, 98), (102, 148), (152, 198))
"""Hz; between the harmonics of 50 Hz where they are narrow."""

RATE = 1000.0
"""Samples a second."""


def band_powers(signal: np.ndarray, parts: int) -> np.ndarray:
    """Log power of each band in each of so many parts of (n, T)."""
    length = signal.shape[1] // parts
    found = []
    for start in range(0, parts * length, length):
        part = signal[:, start : start + length]
        part = (part - part.mean(1, keepdims=True)) * np.hanning(length)
        power = np.abs(np.fft.rfft(part, axis=1)) ** 2
        frequencies = np.fft.rfftfreq(length, 1 / RATE)
        for low, high in BANDS:
            band = (frequencies >= low) & (frequencies < high)
            found.append(np.log(power[:, band].sum(1) + 1e-9))
    return np.stack(found, 1)


def slow_wave(signal: np.ndarray, steps: int) -> np.ndarray:
    """Means of so many steps each, less the first of them."""
    count = signal.shape[1] // steps
    means = signal[:, : count * steps].reshape(len(signal), count, steps).mean(2)
    return means[:, 1:] - means[:, :1]


def features(electrodes: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Name -> (n, features)."""
    level = np.stack([signal.mean(1) for signal in electrodes], 1)
    deviation = np.log(np.stack([signal.std(1) for signal in electrodes], 1))
    return {
        "band powers": np.hstack([band_powers(s, 1) for s in electrodes]),
        "band powers of thirds": np.hstack([band_powers(s, 3) for s in electrodes]),
        "slow wave, 200 ms": np.hstack([slow_wave(s, 200) for s in electrodes]),
        "slow wave, 100 ms": np.hstack([slow_wave(s, 100) for s in electrodes]),
        "level": level,
        "log deviation": deviation,
        "level, log deviation": np.hstack([level, deviation]),
    }


def classifiers() -> dict[str, Any]:
    """Name -> classifier of scikit-learn, which comes with aeon."""
    ensemble: Any = require("sklearn.ensemble", extra="uea")
    linear: Any = require("sklearn.linear_model", extra="uea")
    neighbours: Any = require("sklearn.neighbors", extra="uea")
    pipeline: Any = require("sklearn.pipeline", extra="uea")
    preprocessing: Any = require("sklearn.preprocessing", extra="uea")
    svm: Any = require("sklearn.svm", extra="uea")
    found = {
        "logistic": linear.LogisticRegression(C=0.03, max_iter=1000),
        "kernel": svm.SVC(),
        "neighbours": neighbours.KNeighborsClassifier(15),
        "trees": ensemble.ExtraTreesClassifier(300, min_samples_leaf=3, random_state=0),
    }
    scaled = {}
    for name, classifier in found.items():
        ranks = preprocessing.QuantileTransformer(n_quantiles=50, output_distribution="normal")
        scaled[name] = pipeline.make_pipeline(ranks, classifier)
    return scaled


def main() -> None:
    parser = argparse.ArgumentParser(description="Usual features of MotorImagery.")
    parser.add_argument("folder", type=Path)
    pool = read_pool(parser.parse_args().folder / "MotorImagery" / "MotorImagery.npz")
    values = rows(np.asarray(pool.cases)).astype(np.float64)
    labels = np.array(pool.labels)
    selection: Any = require("sklearn.model_selection", extra="uea")
    folds = selection.RepeatedStratifiedKFold(n_splits=7, n_repeats=5, random_state=0)
    whole = [values[:, :STEPS], values[:, STEPS : 2 * STEPS]]
    found = []
    for name, x in features([*whole, values[:, 2 * STEPS :]]).items():
        for kind, classifier in classifiers().items():
            score = 100 * selection.cross_val_score(classifier, x, labels, cv=folds).mean()
            print(f"{name:22s} {kind:12s} {score:.1f}", flush=True)
            found.append(float(score))
    error = 50 / len(labels) ** 0.5
    print(f"{len(found)}: {min(found):.1f} to {max(found):.1f}, mean {mean(found):.1f}")
    print(f"chance 50 +- {error:.1f}")


if __name__ == "__main__":
    main()
