"""MNIST as sequences of single pixels, in the order of the image or in a fixed random one."""

import gzip
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

SIDE = 28
"""Height and width of an image; a sequence has its square, 784 steps."""
_DIGITS = 10
_UNSIGNED_BYTE = 8
"""Code of the data type in an idx file's magic number."""


@dataclass(frozen=True)
class SequentialMNIST:
    """Images as sequences of pixels, with the digit that each shows.

    Attributes:
        train_x, validation_x, test_x: (samples, 784, 1) pixels from 0 to 1, float32.
        train_y, validation_y, test_y: (samples,) digits, int64.
        permutation: (784,) pixel of the image, row by row, that each step shows.
        split: How the parts were made, in words; results of different splits do not compare.
    """

    train_x: Tensor
    train_y: Tensor
    validation_x: Tensor
    validation_y: Tensor
    test_x: Tensor
    test_y: Tensor
    permutation: Tensor
    split: str

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(str(digit) for digit in range(_DIGITS))


def load_sequential_mnist(folder: Path | str, *, seed: int | None = 0) -> SequentialMNIST:
    """Read MNIST's idx files, plain or gzip, as sequences of 784 pixels.

    With all four files the last twelfth of the training images (5,000 of 60,000) is the validation
    part, and the test images are the test part. With the two test files only (``t10k-*``), their
    images are shared out in their order: the first eight tenths train (8,000), the next tenth
    validates, the last one tests. The two are different benchmarks, and ``split`` says which it is.

    Args:
        folder: Holds ``t10k-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte`` and, for all of it,
            ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, each also as ``.gz``; or has
            them in ``mnist`` or ``MNIST/raw``.
        seed: Of the permutation of the pixels, which is the same for all images (numpy's PCG64).
            Default 0; None for the pixels row by row (sequential MNIST).

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file that is damaged, cut short or of another kind, images and labels of
            different number, or a negative seed.

    Example:
        >>> from pathlib import Path
        >>> from phc_snn.data import load_sequential_mnist
        >>> if (Path("data") / "mnist").is_dir():
        ...     digits = load_sequential_mnist("data", seed=0)
        ...     digits.train_x.shape  # (8000, 784, 1) or (55000, 784, 1)
    """
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
        raise ValueError(f"seed: got {seed!r}, expected an integer of 0 or more, or None")
    folder = _folder_of_files(Path(folder).expanduser())
    steps = SIDE * SIDE
    order = np.arange(steps)
    if seed is not None:
        order = np.random.Generator(np.random.PCG64(seed)).permutation(steps)
    permutation = torch.from_numpy(order)
    test = _read_part(folder, "t10k", permutation)
    whole = any(_find(folder, f"train-{kind}") for kind in _KINDS)
    learn = _read_part(folder, "train", permutation) if whole else test
    count = len(learn[1])
    if whole:
        bounds = [0, count - count // 12, count]
    else:
        bounds = [0, count - 2 * (count // 10), count - count // 10, count]
    parts = [_cut(learn, *ends) for ends in pairwise(bounds)] + [test] * whole
    sizes = [len(y) for _, y in parts]
    for name, size in zip(("training", "validation", "test"), sizes, strict=True):
        if not size:
            raise ValueError(f"folder: {folder} has too few images to leave any for {name}")
    source = "the training images" if whole else "the test images alone, in their order"
    text = f"first {sizes[0]:,} of {source}: training; next {sizes[1]:,}: validation; "
    text += f"{'all' if whole else 'last'} {sizes[2]:,} of the test images: test"
    (train_x, train_y), (validation_x, validation_y), (test_x, test_y) = parts
    return SequentialMNIST(
        train_x, train_y, validation_x, validation_y, test_x, test_y, permutation, text
    )


_KINDS = {"images-idx3-ubyte": (SIDE, SIDE), "labels-idx1-ubyte": ()}
"""End of a file's name -> shape of one item."""


def _find(folder: Path, name: str) -> Path | None:
    return next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)


def _folder_of_files(folder: Path) -> Path:
    for place in (folder, folder / "mnist", folder / "MNIST" / "raw"):
        if any(_find(place, f"{part}-{kind}") for part in ("t10k", "train") for kind in _KINDS):
            return place
    raise FileNotFoundError(
        f"folder: {folder} has no t10k-images-idx3-ubyte or t10k-images-idx3-ubyte.gz, nor have "
        "mnist or MNIST/raw in it; expected MNIST's idx files there"
    )


def _read_part(folder: Path, part: str, permutation: Tensor) -> tuple[Tensor, Tensor]:
    """(samples, 784, 1) pixels and (samples,) digits of the files that begin with ``part``."""
    paths = []
    for kind in _KINDS:
        path = _find(folder, f"{part}-{kind}")
        if path is None:
            raise FileNotFoundError(
                f"folder: {folder} has neither {part}-{kind} nor {part}-{kind}.gz"
            )
        paths.append(path)
    images, labels = (read_idx(p, item) for p, item in zip(paths, _KINDS.values(), strict=True))
    if len(images) != len(labels):
        raise ValueError(
            f"{paths[1]}: has {len(labels):,} labels for the {len(images):,} images of "
            f"{paths[0].name}, expected one for each"
        )
    if len(labels) and labels.max() >= _DIGITS:
        raise ValueError(f"{paths[1]}: has the label {labels.max()}, expected digits from 0 to 9")
    # Taken in their order as bytes, a quarter of what the numbers take.
    pixels = torch.from_numpy(images.reshape(len(images), -1))[:, permutation]
    return pixels[..., None].float() / 255, torch.from_numpy(labels.astype(np.int64))


def _cut(part: tuple[Tensor, Tensor], start: int, end: int) -> tuple[Tensor, Tensor]:
    return part[0][start:end], part[1][start:end]


def read_idx(path: Path, item: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The array of an idx file of unsigned bytes, plain, or gzip if its name ends in ``.gz``.

    Args:
        path: The file.
        item: Shape of one item: (28, 28) for images, () for labels.

    Returns:
        (items, *item), uint8, writable.

    Raises:
        ValueError: Another magic number or shape, or not as many bytes as the header says.
    """
    content = _bytes_of(path)
    dims = 1 + len(item)
    head = 4 + 4 * dims
    if len(content) < head:
        raise ValueError(f"{path}: has {len(content)} bytes, expected a header of {head}; cut off?")
    magic, *shape = (int(number) for number in np.frombuffer(content, ">u4", 1 + dims))
    wanted = _UNSIGNED_BYTE << 8 | dims
    if magic != wanted:
        raise ValueError(
            f"{path}: begins with the magic number {magic}, expected {wanted} (an idx file of "
            f"unsigned bytes in {dims} dimensions)"
        )
    if tuple(shape[1:]) != item:
        raise ValueError(f"{path}: has items of shape {tuple(shape[1:])}, expected {item}")
    size = int(np.prod(shape, dtype=object))  # of Python's integers, which cannot overflow
    if len(content) - head != size:
        raise ValueError(
            f"{path}: has {len(content) - head:,} bytes of data, expected {size:,} for the "
            f"{shape[0]:,} items that it announces; get it again"
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape).copy()


def _bytes_of(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: is no complete gzip file ({error}); get it again") from error
