"""Recurrences on a single step, for whatever stands for a value: a tensor, or a symbol of one."""

from collections.abc import Callable
from typing import Any

from phc_snn.scan.pair import pair_step
from phc_snn.scan.reference import affine_step
from phc_snn.scan.reset import Fire, Reset, reset_step


class SingleStep:
    """What is the same for every `phc_snn.axes.TimeAxis` of one step."""

    def recur(self, a: Any, b: Any, initial: Any) -> tuple[Any, Any]:
        h = affine_step(a, initial, b)
        return h, h

    def recur_pair(self, matrix: Any, drive: Any, initial: Any) -> tuple[Any, Any]:
        h = pair_step(matrix, drive, initial)
        return h, h

    def recur_and_reset(
        self, a: Any, b: Any, threshold: Any, initial: Any, fire: Fire, reset: Reset
    ) -> tuple[Any, Any]:
        return reset_step(a, b, threshold, initial, fire, reset)

    def walk(self, step: Callable[[Any, Any], Any], x: Any, state: Any) -> Any:
        return step(x, state)

    def previous(self, h: Any, initial: Any) -> Any:
        return initial

    def count(self, like: Any, initial: Any, by: int) -> tuple[Any, Any]:
        return initial, initial + by
