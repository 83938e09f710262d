"""The splits on which the archive's sets are reported: both parts pooled, and split 70/15/15.

The pool holds each sample once, all of them in the order of their values. The seed then draws a
permutation. So the part of a sample follows from the data and the seed alone, on any machine.

The protocol is that of Log-NCDE (B. Walker et al., ICML 2024), and of LinOSS (T. K. Rusch and
D. Rus, ICLR 2025) and others after it, who report mean and standard deviation of the accuracy over
`PUBLISHED_SEEDS`.
"""

from pathlib import Path

import numpy as np
import torch

from phc_snn.data.pool import Pool, make_pool, read_pool
from phc_snn.data.series import TimeSeriesDataset
from phc_snn.data.threefry import seed_key, shuffled, split_key
from phc_snn.data.uea import as_sequences, class_numbers, read_parts

PUBLISHED_SEEDS = (2345, 3456, 4567, 5678, 6789)
"""The seeds over which published accuracies are averaged."""

SPLIT = ("train", "validation", "test")
"""Parts, in the order in which their samples are drawn."""

_FEWEST = 4
"""Samples at least, so that none of the parts is empty."""


def load_published(
    name: str, folder: Path | str | None = None, *, seed: int = PUBLISHED_SEEDS[0]
) -> TimeSeriesDataset:
    """Load a set of the UEA archive, split as the published benchmark splits it.

    The archive's training and test samples are pooled, each is kept once, and the seed draws which
    70 % train, which 15 % validate and which 15 % test. These are the published splits where all
    sequences have one length; other sets, which are not in the benchmark, are split alike.

    The published protocol does not scale the data. ``load_published(...).standardized()`` does, by
    the training samples alone.

    Args:
        name: As `load_uea`.
        folder: As `load_uea`. Where ``<folder>/<name>`` has no ``<name>_TRAIN.ts``, its
            ``<name>.npz`` is read, which may hold a part of the set: see `read_pool`.
        seed: Of the split, 0 to 2**32 - 1. Default 2345, the first of `PUBLISHED_SEEDS`.

    Returns:
        The set with a validation part, samples in the order in which they were drawn. ``missing``
        counts what a file that holds a part of the set lacks.

    Raises:
        MissingExtraError: aeon is not installed, and no ``.npz`` is there.
        FileNotFoundError: The set is not there.
        ValueError: A damaged file, a seed outside its range, a set of fewer than 4 samples, or a
            part of which no sample is at hand.

    Example:
        >>> dataset = load_published("BasicMotions", seed=2345)
        >>> [len(y) for y in (dataset.train_y, dataset.validation_y, dataset.test_y)]
        [56, 12, 12]
    """
    seed_key(seed)  # refuses what is no seed before the data are read
    pool = _pool(name, folder)
    rows = np.full(pool.total, -1)  # of each position; -1 where its sample is not at hand
    rows[pool.positions] = np.arange(len(pool.positions))
    at_hand: dict[str, np.ndarray] = {}
    missing: dict[str, int] = {}
    for part, positions in split_positions(pool.total, seed).items():
        found = rows[positions]
        at_hand[part] = found[found >= 0]
        lacking = len(found) - len(at_hand[part])
        if lacking == len(found):
            raise ValueError(
                f"{name}: got none of the {len(found)} {part} samples of seed {seed}, expected "
                "some of every part; get the whole set"
            )
        if lacking:
            missing[part] = lacking
    return _dataset(name, pool, at_hand, missing)


def split_positions(count: int, seed: int) -> dict[str, np.ndarray]:
    """Which samples belong to which part, by their places in the order of their values.

    The parts end at ``int(0.7 * count)``, ``int(0.85 * count)`` and ``count`` of a permutation.

    Args:
        count: Samples of the set, each counted once; at least 4.
        seed: 0 to 2**32 - 1.

    Returns:
        ``"train"``, ``"validation"`` and ``"test"`` -> places, int64, in the order drawn.

    Raises:
        ValueError: Too few samples for three parts, or a seed outside its range.

    Example:
        >>> {part: places.tolist() for part, places in split_positions(7, seed=2345).items()}
        {'train': [5, 0, 4, 1], 'validation': [6], 'test': [2, 3]}
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < _FEWEST:
        raise ValueError(
            f"count: got {count!r}, expected at least {_FEWEST} samples, so that none of the parts "
            "is empty"
        )
    # The published code makes four keys of the seed's, the first of which is for the data, and two
    # of that one, the first of which is for the permutation.
    of_the_data = split_key(seed_key(seed), 4)[0]
    order = shuffled(split_key(of_the_data)[0], count)
    bounds = [int(0.7 * count), int(0.85 * count)]
    return dict(zip(SPLIT, np.split(order, bounds), strict=True))


def _pool(name: str, folder: Path | str | None) -> Pool:
    if folder is not None:
        place = Path(folder).expanduser() / name
        pool, archive = place / f"{name}.npz", place / f"{name}_TRAIN.ts"
        if not archive.exists():
            if not pool.is_file():
                raise FileNotFoundError(
                    f"folder: {archive} does not exist, expected the archive's file, or {pool}"
                )
            return read_pool(pool)
    parts = read_parts(name, folder)
    cases = [case for x, _ in parts.values() for case in x]
    return make_pool(cases, np.concatenate([labels for _, labels in parts.values()]))


def _dataset(
    name: str, pool: Pool, rows: dict[str, np.ndarray], missing: dict[str, int]
) -> TimeSeriesDataset:
    """``rows`` of the pool that belong to each part, as a data set."""
    classes = tuple(str(label) for label in np.unique(pool.labels))
    train, validation, test = (rows[part] for part in SPLIT)
    train_x, validation_x, test_x = as_sequences(
        *([pool.cases[row] for row in rows[part]] for part in SPLIT)
    )
    numbers = class_numbers(pool.labels, classes)
    channels = train_x[0].shape[-1]
    return TimeSeriesDataset(
        name,
        classes,
        train_x,
        numbers[train],
        test_x,
        numbers[test],
        mean=torch.zeros(channels),
        scale=torch.ones(channels),
        validation_x=validation_x,
        validation_y=numbers[validation],
        missing=missing,
    )
