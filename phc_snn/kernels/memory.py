"""Memory for results that is used again once nobody holds them.

A large array that is asked of the operating system costs several times what filling it costs: every
page is zeroed and mapped at its first touch. Training asks for the same sizes in every step, so
what was let go is kept for the next one, up to `KEPT` bytes.
"""

import math
import os
import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

KEPT = 1 << 30
"""Bytes kept at most while nobody uses them."""

_LINE = 64
"""Bytes of a line of a cache."""

_SMALL = 1 << 17
"""Bytes below which torch's own allocator serves."""


class _Pool:
    """Free blocks by their size.

    Attributes:
        enabled: False leaves everything to torch, for example to count what is alive.
        kept: Bytes of all free blocks.
    """

    def __init__(self) -> None:
        self.enabled = True
        self._lock = threading.Lock()
        self._free: dict[int, list[Any]] = {}
        self.kept = 0

    def take(self, size: int) -> Any:
        with self._lock:
            blocks = self._free.get(size)
            if blocks:
                self.kept -= size
                return blocks.pop()
        # numpy asks for huge pages, torch does not; and vectors want to start at a line of a cache.
        block = np.empty(size + _LINE, np.uint8)
        first = -block.ctypes.data % _LINE
        return block[first : first + size]

    def give_back(self, block: Any) -> None:
        with self._lock:
            if self.kept + block.nbytes <= KEPT:
                self._free.setdefault(block.nbytes, []).append(block)
                self.kept += block.nbytes

    def clear(self) -> None:
        with self._lock:
            self._free.clear()
            self.kept = 0


pool = _Pool()


class _Lease:
    """A block on loan; every array and tensor made of it holds this."""

    def __init__(self, size: int) -> None:
        self._block = pool.take(size)
        self.__array_interface__ = self._block.__array_interface__

    def __del__(self) -> None:
        pool.give_back(self._block)


def empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An uninitialised CPU tensor."""
    size = math.prod(shape) * dtype.itemsize
    if size < _SMALL or not pool.enabled:
        return torch.empty(shape, dtype=dtype)
    # Sizes in eighths of a power of two, so that lengths which vary a little share blocks.
    grain = 1 << max(size.bit_length() - 4, 12)
    array = np.asarray(_Lease(-(-size // grain) * grain))
    return torch.from_numpy(array[:size]).view(dtype).view(shape)


def new_like(x: Tensor) -> Tensor:
    """An uninitialised contiguous tensor of the shape, dtype and device of ``x``."""
    if x.device.type != "cpu":
        return torch.empty_like(x, memory_format=torch.contiguous_format)
    return empty(tuple(x.shape), x.dtype)


def _renew() -> None:
    pool._lock = threading.Lock()


# Another thread may have held the lock when this process was forked.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
