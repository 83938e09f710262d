"""Sets of the archive in the layout of `load_published`: ``python -m benchmarks.uea_data FROM TO``.

Takes the files ``<name>_linoss_order.npz`` and ``<name>_partial_linoss_order.npz`` in FROM, whose
samples are in the order in which the published splits count them, and writes
``TO/<name>/<name>.npz`` of each. Those of the first kind keep one long row of each sample, not
C channels, of sets in which channel c + 1 is channel c, C samples later. Of the others, which keep
all channels, it is measured whether that is so. Of both it is measured where such a row jumps, so
which electrodes it consists of; ``--picture FILE`` draws that.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from phc_snn.data import PUBLISHED_SEEDS, load_published
from phc_snn.data.pool import unique_order, write_pool
from phc_snn.data.series import row_of_windows

STEPS, CHANNELS = 3000, 64
"""Of MotorImagery, whose rows have 3000 + 63 * 64 samples."""


class Found(NamedTuple):
    """Samples of a set, as `write_pool` takes them."""

    x: np.ndarray
    y: np.ndarray
    index: np.ndarray | None
    n_total: int | None
    as_rows: bool
    """Whether the channels are windows of one row, so that their shift is no finding."""


def windows(row: np.ndarray, steps: int, channels: int) -> np.ndarray:
    """(n, steps, channels) of (n, steps + (channels - 1) * channels): every channel is a window.

    Channel c begins with sample ``c * channels``.
    """
    expected = steps + (channels - 1) * channels
    if row.shape[1] != expected:
        raise ValueError(f"row: got {row.shape[1]} samples, expected {expected}")
    found = np.lib.stride_tricks.sliding_window_view(row, steps, axis=1)[:, ::channels]
    return found.transpose(0, 2, 1)


def shifted_share(x: np.ndarray) -> float:
    """Share of the values that the channel before has too, C samples later; x is (n, T, C)."""
    channels = x.shape[2]
    return float((x[:, :-channels, 1:] == x[:, channels:, :-1]).mean())


def rows(x: np.ndarray) -> np.ndarray:
    """`row_of_windows` of (n, T, C): the different values of each sample."""
    return row_of_windows(torch.from_numpy(np.ascontiguousarray(x))).numpy()


def jumps(row: np.ndarray) -> np.ndarray:
    """Mean absolute difference of neighbours in (n, length), over its median along the row."""
    differences = np.abs(np.diff(row, axis=1)).mean(0)
    return differences / np.median(differences)


def draw(found: dict[str, np.ndarray], path: Path) -> None:
    """``jumps`` of each set, which are highest where an electrode ends."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for axes, (name, values) in zip(panels, found.items(), strict=True):
        axes.plot(values, color="#2e86ab", lw=0.8)
        axes.set_yscale("log")
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("place in a sample's different values")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("difference of neighbours / median")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def read(path: Path) -> Found:
    """One of the files to convert."""
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
        if "X0" in file.files:
            return Found(windows(file["X0"], STEPS, CHANNELS), file["y"], None, None, True)
        return Found(file["X"], file["y"], file["index"], int(file["n_total"]), False)


def report(name: str, found: Found, steps: np.ndarray, folder: Path) -> None:
    """Print what the set is, where its ``jumps`` are, and what each seed's split has of it."""
    print(f"{name}: {found.x.shape}")
    if not found.as_rows:
        print(f"  values that the channel before has C samples later: {shifted_share(found.x):.4%}")
    largest = [f"{steps[i]:.1f} after {i + 1}" for i in np.argsort(-steps)[:3]]
    print(f"  largest steps between neighbours, over the median: {', '.join(largest)}")
    in_order = np.array_equal(unique_order(found.x), np.arange(len(found.x)))
    print(f"  samples in the order of their values, none twice: {in_order}")
    for seed in PUBLISHED_SEEDS:
        dataset = load_published(name, folder, seed=seed)
        labels = {
            "train": dataset.train_y,
            "validation": dataset.validation_y,
            "test": dataset.test_y,
        }
        parts = [
            f"{part} {len(y)}" + (f" of {len(y) + lacking}" if lacking else "")
            for part, y in labels.items()
            if y is not None
            for lacking in [dataset.missing.get(part, 0)]
        ]
        print(f"  seed {seed}: " + ", ".join(parts))


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert UEA sets for load_published.")
    parser.add_argument("source", type=Path, help="folder of the *_linoss_order.npz files")
    parser.add_argument("target", type=Path, help="folder for <name>/<name>.npz")
    parser.add_argument("--picture", type=Path, help="file for a drawing of the jumps")
    arguments = parser.parse_args()
    drawn = {}
    paths = sorted(arguments.source.glob("*_linoss_order.npz"))
    if not paths:
        parser.error(f"source: no *_linoss_order.npz in {arguments.source}")
    for path in paths:
        name = path.name.removesuffix("_linoss_order.npz").removesuffix("_partial")
        found = read(path)
        target = arguments.target / name / f"{name}.npz"
        write_pool(target, found.x, found.y, index=found.index, n_total=found.n_total)
        drawn[name] = jumps(rows(found.x))
        report(name, found, drawn[name], arguments.target)
    if arguments.picture is not None:
        draw(drawn, arguments.picture)


if __name__ == "__main__":
    main()
