"""Files from outside: looked through before anything in them is read.

A NIR file is HDF5, and HDF5 can do more than hold arrays: link to other files, lay arrays together
from them, declare terabytes in a few bytes, unpack a little into a lot, and lead in circles. What
is looked at here is only the structure; nothing is followed and no array is read before all of it
has passed.
"""

import io
import os
import stat
from pathlib import Path
from typing import Any

from phc_snn.checks import check_positive
from phc_snn.convert.nir.inspection import Limits, inspect
from phc_snn.extras import require


def read_nir(
    path: str | os.PathLike[str],
    *,
    max_bytes: int = 256 * 2**20,
    max_depth: int = 8,
    max_nodes: int = 10_000,
    max_edges: int = 100_000,
) -> Any:
    """Read a NIR file that may come from anyone.

    The file is read once into memory, checked there, and parsed from the same bytes: it cannot be
    changed in between. Refused are soft and external links, objects with two names (and so
    circles), virtual datasets and data stored outside of the file, references and other types than
    numbers and text, filters other than gzip's, sizes above the limits (of the file, of all arrays
    together as they declare themselves, and of each compressed block as it unpacks), nesting too
    deep, too many nodes or edges, and whatever is no NIR.

    Args:
        path: Of the file.
        max_bytes: Of the file, and of everything in it unpacked. Default 256 MiB.
        max_depth: Of graphs within graphs. Default 8.
        max_nodes: Default 10,000.
        max_edges: Default 100,000.

    Returns:
        A ``nir.NIRGraph``. Its values are what the file says: what `from_nir` needs of them it
        checks itself.

    Raises:
        MissingExtraError: nir is not installed (extra ``export``).
        FileNotFoundError: No such file.
        ValueError: A file that is refused, with its path and what is wrong with it.

    Example:
        >>> import pathlib, tempfile, phc_snn as phc
        >>> from phc_snn import read_nir, write_nir
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "network.nir"
        ...     write_nir(path, phc.LIF(8, reset_mechanism="zero"), dt=1e-4)
        ...     graph = read_nir(path, max_bytes=2**20)
        >>> graph.nodes["layer_0"].v_threshold.shape
        (8,)
    """
    nir = require("nir", extra="export")
    h5py = require("h5py", extra="export")
    limits = Limits(max_bytes, max_depth, max_nodes, max_edges)
    for name, value in vars(limits).items():
        check_positive(name, value)
    image = _image(Path(path), max_bytes)
    try:
        with h5py.File(io.BytesIO(image), "r") as file:
            inspect(file, len(image), limits)
        # Norse writes the batch into the shape of the input, which nir's check of types refuses;
        # what the shapes have to be is for from_nir to say.
        graph = nir.read(io.BytesIO(image), type_check=False)
        graph.validate_structure()
        return graph
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path}: not a NIR file to read: {reason}") from error


# All that h5py and nir raise on content that they cannot make sense of.
_DAMAGE = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    AssertionError,
    IndexError,
    OSError,
    RuntimeError,
    NotImplementedError,
)


def _image(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file, read once."""
    with open(path, "rb", opener=_at_once) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{path}: is not a regular file")
        if found.st_size > max_bytes:
            raise ValueError(
                f"{path}: has {found.st_size} bytes, expected at most max_bytes={max_bytes}"
            )
        image = file.read(max_bytes + 1)  # it may have grown since
    if len(image) > max_bytes:
        raise ValueError(f"{path}: grew beyond max_bytes={max_bytes} while it was read")
    return image


def _at_once(path: str, flags: int) -> int:
    """Open without waiting, as a named pipe would have us wait for somebody to write."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
