"""Interleaved timing: on a shared machine only ratios of medians of one run mean anything."""

import time
from collections.abc import Callable, Mapping
from statistics import median


def interleaved(
    candidates: Mapping[str, Callable[[], object]], *, repeats: int = 7
) -> dict[str, float]:
    """Median seconds of each candidate; every round times each of them once.

    A first round, which compiles and allocates, is not counted.
    """
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for counted in [False] + [True] * repeats:
        for name, run in candidates.items():
            began = time.perf_counter()
            run()
            if counted:
                times[name].append(time.perf_counter() - began)
    return {name: median(values) for name, values in times.items()}
