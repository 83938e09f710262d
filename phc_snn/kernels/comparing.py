"""What a sweep changed, for loops and for generated kernels."""

from typing import Any

from numpy import uint64 as count

from phc_snn.kernels.hints import ask_for, wide_vectors
from phc_snn.kernels.jit import compiled


@compiled
def compare(
    after: Any,
    before: Any,
    origin: Any,
    start: Any,
    stop: Any,
    width: Any,
    ahead: Any,
    same: Any,
    leading: Any,
    change: Any,
    added: Any,
) -> None:
    """For each lane: leading steps without a difference, and two sums of squares.

    Args:
        after, before: Are compared, (T, lanes).
        origin: What was added to it is ``after - origin``.
        start, stop, width: The lanes, and how many at a time.
        ahead: Steps; see `ask_for`.
        same: Room for ``width`` lanes.
        leading: Gets the steps, (lanes,).
        change, added: Get the sums, of ``after - before`` and of what was added, (lanes,).
    """
    wide_vectors()
    for low in range(start, stop, width):
        lanes = min(low + width, stop) - low
        start_comparison(low, lanes, same, leading, change, added)
        for t in range(count(len(after))):
            ask_for(after, t + ahead, low, lanes)
            ask_for(before, t + ahead, low, lanes)
            ask_for(origin, t + ahead, low, lanes)
            compare_row(after, before, origin, t, low, lanes, same, leading, change, added)


@compiled
def start_comparison(
    low: Any, lanes: Any, same: Any, leading: Any, change: Any, added: Any
) -> None:
    """Before the first step of some lanes; see `compare`."""
    for lane in range(lanes):
        same[lane] = 1
        leading[low + lane] = 0
        change[low + lane] = 0
        added[low + lane] = 0


@compiled
def compare_row(
    after: Any,
    before: Any,
    origin: Any,
    t: Any,
    low: Any,
    lanes: Any,
    same: Any,
    leading: Any,
    change: Any,
    added: Any,
) -> None:
    """One step of `compare`."""
    wide_vectors()
    for lane in range(lanes):
        at = low + lane
        value = after[t, at]
        same[lane] = same[lane] if value == before[t, at] else 0
        leading[at] += same[lane]
        step = float(value) - float(before[t, at])
        share = float(value) - float(origin[t, at])
        change[at] += step * step
        added[at] += share * share
