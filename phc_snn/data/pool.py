"""All samples of a set, each once, in the order of their values; and a file to keep them in."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from phc_snn.data.uea import Cases
from phc_snn.files import write_atomically


class Pool(NamedTuple):
    """Samples of a set, training and test part in one.

    Attributes:
        cases: (n, T, channels), or (T, channels) of each, float32.
        labels: Class name of each.
        positions: (n,) place of each among all samples of the set in the order of their values.
        total: Samples of the set; more than n where only a part of them is at hand.
    """

    cases: Cases
    labels: tuple[str, ...]
    positions: np.ndarray
    total: int


def make_pool(cases: Cases, labels: Sequence[Any] | np.ndarray) -> Pool:
    """Each sample once, in the order of the values; of equal samples the first counts.

    Example:
        >>> pool = make_pool([np.float32([[2]]), np.float32([[1]]), np.float32([[2]])], "abc")
        >>> pool.labels, pool.total
        (('b', 'a'), 2)
    """
    order = unique_order(cases)
    kept = cases[order] if isinstance(cases, np.ndarray) else [cases[i] for i in order]
    return Pool(kept, tuple(str(labels[i]) for i in order), np.arange(len(order)), len(order))


def unique_order(cases: Cases) -> np.ndarray:
    """Rows of ``cases``, each different one once, in the order of their values.

    As ``numpy.unique(cases, axis=0, return_index=True)[1]`` for finite float32. Cases may differ in
    length; of two of which one begins with the other, the shorter comes first.

    Args:
        cases: (n, T, channels), or (T, channels) of each, float32.

    Example:
        >>> unique_order(np.float32([[[2]], [[-1]], [[2]], [[0]]])).tolist()
        [1, 3, 0]
    """
    keys = [_sortable(case) for case in cases]
    order = sorted(range(len(keys)), key=keys.__getitem__)
    kept = [row for i, row in enumerate(order) if i == 0 or keys[row] != keys[order[i - 1]]]
    return np.array(kept, dtype=np.int64)


def _sortable(case: np.ndarray) -> bytes:
    """Bytes that compare as the values do, and in much less time."""
    bits = (case + np.float32(0)).view(np.uint32)  # -0 + 0 is 0, and equals it
    sign = np.uint32(1 << 31)
    # The bits of numbers grow with their magnitude, so those of negative ones are turned around.
    return np.where(bits & sign, ~bits, bits | sign).astype(">u4").tobytes()


def write_pool(
    path: Path | str,
    x: np.ndarray,
    y: Sequence[Any] | np.ndarray,
    *,
    index: np.ndarray | None = None,
    n_total: int | None = None,
) -> None:
    """Write samples into a file that `read_pool` reads, and `load_published` too.

    Args:
        path: Of the file, ``<folder>/<name>/<name>.npz`` for ``load_published(name, folder)``.
        x, y, index, n_total: The file's arrays, as `read_pool` describes them.

    Raises:
        ValueError: Arrays that do not fit together.
    """
    content: dict[str, Any] = {"x": np.asarray(x, dtype=np.float32), "y": np.asarray(y)}
    if index is not None:
        content["index"] = np.asarray(index)
    if n_total is not None:
        content["n_total"] = np.asarray(n_total)
    _check(path, content)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **content)

    write_atomically(Path(path), write)


def read_pool(path: Path | str) -> Pool:
    """Read the samples of a set from a file of numpy, ``.npz``, with the arrays

    - ``x``: (n, T, channels), float32, finite;
    - ``y``: (n,), class names or whole numbers;

    of all samples of the set, in any order and with or without duplicates. A file that holds only a
    part of the set has two more:

    - ``index``: (n,) place of each sample among all samples of the set, each of which counts once,
      in the order of their values (`unique_order`), from 0;
    - ``n_total``: () their number.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file that cannot be read, or whose arrays are not those.
    """
    try:
        # Never with pickle: a file from anywhere must not run code.
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise
    except Exception as error:  # what an archive raises depends on where it is damaged
        raise ValueError(
            f"{path}: cannot be read as a file of numpy ({error}); write or fetch it again"
        ) from error
    _check(path, content)
    if "index" not in content:
        return make_pool(content["x"], content["y"])
    labels = tuple(str(label) for label in content["y"])
    return Pool(content["x"], labels, content["index"], int(content["n_total"]))


def _check(path: Path | str, content: dict[str, Any]) -> None:
    """Refuse arrays that are not those of `read_pool`."""
    for name in ("x", "y"):
        if name not in content:
            raise ValueError(f"{path}: found {sorted(content)}, expected an array {name}; add it")
    x, y = content["x"], content["y"]
    if x.ndim != 3 or x.dtype != np.float32 or not x.size:
        raise ValueError(
            f"{path}: x is {x.dtype} {x.shape}, expected float32 (samples, T, channels), none of "
            "them 0; convert it"
        )
    if not np.isfinite(x).all():
        raise ValueError(
            f"{path}: x has {int((~np.isfinite(x)).sum())} values that are NaN or Inf, expected "
            "finite ones; fill them in, or leave their samples out"
        )
    if y.shape != x.shape[:1] or y.dtype.kind not in "iuU":
        raise ValueError(
            f"{path}: y is {y.dtype} {y.shape}, expected ({len(x)},) class names or whole numbers, "
            "one for each sample of x"
        )
    if ("index" in content) != ("n_total" in content):
        raise ValueError(
            f"{path}: found {sorted(content)}, expected index and n_total, or neither; add the "
            "other, as both are needed to place the samples of a part of a set"
        )
    if "index" in content:
        _check_index(path, content["index"], content["n_total"], len(x))


def _check_index(path: Path | str, index: np.ndarray, total: np.ndarray, count: int) -> None:
    if total.shape != () or total.dtype.kind not in "iu":
        raise ValueError(f"{path}: n_total is {total.dtype} {total.shape}, expected one integer")
    if index.shape != (count,) or index.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: index is {index.dtype} {index.shape}, expected ({count},) integers, the "
            "place of each sample in the whole set"
        )
    different = len(np.unique(index))
    if index.min() < 0 or index.max() >= total or different != count:
        raise ValueError(
            f"{path}: index has {different} different places, {index.min()} to {index.max()}, "
            f"expected {count} from 0 to {int(total) - 1}, those of the samples in the whole set"
        )
