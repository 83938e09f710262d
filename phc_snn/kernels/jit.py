"""How all loops are compiled."""

from collections.abc import Callable
from typing import Any

import numba
from numba.core.compiler import Compiler


class _Disjoint(Compiler):  # type: ignore[misc]
    """numba's compiler, told that no two arrays among the arguments overlap.

    Without this a loop over a dozen arrays is not turned into vector instructions.
    """

    def __init__(self, *args: Any) -> None:
        *_, flags, _ = args
        flags.noalias = True
        super().__init__(*args)


# No contraction of a * b + c, no reassociation: the bits are those of the operations as written.
_OPTIONS = {"nogil": True, "error_model": "numpy", "pipeline_class": _Disjoint}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile, and keep the result on disk."""
    return _compiled(function, _OPTIONS)


def contracted(function: Callable[..., Any]) -> Callable[..., Any]:
    """As `compiled`, with fused multiply-adds: where sums are exact, or bits are not promised."""
    return _compiled(function, {"fastmath": {"contract"}, **_OPTIONS})


def _compiled(function: Callable[..., Any], options: dict[str, Any]) -> Callable[..., Any]:
    try:
        return numba.njit(cache=True, **options)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # neither beside the file nor in a home can anything be kept
        return numba.njit(**options)(function)  # type: ignore[no-any-return]
