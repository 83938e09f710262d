"""Blocks of work on as many threads as torch has, each block as if it were alone.

Compiled loops release Python's lock, so plain threads do. They are not those of OpenMP, which wait
by spinning, nor of numba's layers, of which one dies in a forked process and another under
concurrent calls.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

_GRAIN = 1 << 16
"""Values worth a thread of their own."""

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def share(blocks: int, values: int, work: Callable[[int, int], None]) -> None:
    """Call ``work(start, stop)`` for ranges that cover ``blocks``, at the same time.

    Args:
        blocks: How many; what a block computes must not depend on the range it is in.
        values: In all blocks together: few of them stay on the calling thread.
        work: Releases Python's lock.
    """
    threads = max(1, min(torch.get_num_threads(), blocks, values // _GRAIN))
    if threads == 1:
        work(0, blocks)
        return
    bounds = [blocks * i // threads for i in range(threads + 1)]
    pool, flushes = _pool(threads - 1), _flushes_denormals()

    def alike(start: int, stop: int) -> None:
        torch.set_flush_denormal(flushes)  # each thread has a setting of its own
        work(start, stop)

    others = [pool.submit(alike, *bounds[i : i + 2]) for i in range(1, threads)]
    try:
        work(*bounds[:2])
    finally:
        for other in others:
            other.result()


def _flushes_denormals() -> bool:
    """Whether this thread takes numbers too small to be normal for zero."""
    return float(np.float32(1e-40) * np.float32(1.0)) == 0.0


def share_lanes(lanes: int, values: int, width: int, work: Callable[[int, int], None]) -> None:
    """As `share`, for ranges of lanes whose bounds are multiples of ``width`` where there are many.

    With few lanes each thread gets fewer, down to what fills a vector register.
    """
    width = min(width, max(-(-lanes // torch.get_num_threads()), 16))

    def blocks(start: int, stop: int) -> None:
        work(start * width, min(stop * width, lanes))

    share(-(-lanes // width), values, blocks)


def _pool(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads, thread_name_prefix="phc_snn")
        return _pools[threads]


def _start_anew() -> None:
    global _lock
    _lock = threading.Lock()
    _pools.clear()


# A forked child has none of its parent's threads, and one of them may have held the lock.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
