"""Blocks of work on torch's threads, each block as if it were alone.

Compiled loops release Python's lock, so any threads serve; but torch's own wait for their next work
by spinning, for milliseconds, and on as many cores as there are they would spin against others. So
they are asked to work here too: torch's OpenMP runtime is called as a compiler would call it.
Where it cannot be found, plain threads do the work.
"""

import ctypes
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch

_GRAIN = 1 << 16
"""Values worth a thread of their own."""

_state = {"forked": False}


Prepare = Callable[[int, int], Callable[[], object]]
"""``prepare(start, stop)``: what computes the blocks of a range, and releases Python's lock."""


def share(blocks: int, values: int, prepare: Prepare) -> None:
    """Compute ``blocks`` blocks, in ranges, at the same time.

    Args:
        blocks: How many; what a block computes must not depend on the range it is in.
        values: In all blocks together: few of them stay on the calling thread.
        prepare: Called for each range on the calling thread, before any is computed: threads would
            take turns at it, and wait for one another.
    """
    threads = max(1, min(torch.get_num_threads(), blocks, values // _GRAIN))
    # A forked child has none of its parent's threads, and OpenMP's runtime would wait for them.
    if threads == 1 or _state["forked"]:
        prepare(0, blocks)()
        return
    bounds = [blocks * i // threads for i in range(threads + 1)]
    parts = [prepare(*bounds[i : i + 2]) for i in range(threads)]
    flushes = _flushes_denormals()
    errors: list[BaseException] = []
    finished = [False] * threads

    def part(i: int) -> None:
        try:
            torch.set_flush_denormal(flushes)  # each thread has a setting of its own
            parts[i]()
            finished[i] = True
        except BaseException as error:
            errors.append(error)

    runtime = _openmp()
    if runtime is None:
        _on_plain_threads(threads, part)
    else:
        runtime(threads, part)
    for i in range(threads):  # a team may be smaller than asked for
        if not finished[i] and not errors:
            part(i)
    if errors:
        raise errors[0]


def share_lanes(lanes: int, values: int, width: int, prepare: Prepare) -> None:
    """As `share`, for ranges of lanes whose bounds are multiples of ``width`` where there are many.

    With few lanes each thread gets fewer, down to what fills a vector register.
    """
    width = min(width, max(-(-lanes // torch.get_num_threads()), 16))

    def blocks(start: int, stop: int) -> Callable[[], object]:
        return prepare(start * width, min(stop * width, lanes))

    share(-(-lanes // width), values, blocks)


def _flushes_denormals() -> bool:
    """Whether this thread takes numbers too small to be normal for zero."""
    return float(np.float32(1e-40) * np.float32(1.0)) == 0.0


@cache
def _openmp() -> Callable[[int, Callable[[int], None]], None] | None:
    """``run(threads, part)``: call ``part(i)`` on each thread of torch's team."""
    try:
        # Symbols of what a library depends on are found through its handle.
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"))
        parallel, number = library.GOMP_parallel, library.omp_get_thread_num
    except (OSError, AttributeError):
        return None
    region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    parallel.argtypes = [region, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None

    def run(threads: int, part: Callable[[int], None]) -> None:
        parallel(region(lambda _: part(number())), None, threads, 0)

    return run


_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def _on_plain_threads(threads: int, part: Callable[[int], None]) -> None:
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads - 1, thread_name_prefix="phc_snn")
        pool = _pools[threads]
    others = [pool.submit(part, i) for i in range(1, threads)]
    part(0)
    for other in others:
        other.result()


def _after_fork() -> None:
    _state["forked"] = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
