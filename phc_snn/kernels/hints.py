"""What loops tell memory and the compiler; no result hangs on it.

A block of lanes reads a piece of each row and then jumps to the next one, a page away. No processor
foresees that, so every step would wait for memory: rows are asked for ahead. And where there are
vectors of 512 bits, LLVM prefers half of one; these loops take an eighth less time with whole ones.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy import uint64 as count

from phc_snn.kernels.jit import compiled

_LINE = count(64)
"""Bytes that memory hands over at once."""

_LANES_AHEAD = 8192
"""How far ahead a row is asked for: this many lanes, whatever the steps (measured)."""


def steps_ahead(width: int) -> int:
    """How many steps before its use a row of blocks of ``width`` lanes is asked for."""
    return -(-_LANES_AHEAD // max(width, 1))


def lanes_of(start: int, stop: int, width: int) -> dict[str, Any]:
    """What a loop over lanes is given: its range, how many at a time, and the steps ahead."""
    ahead = steps_ahead(min(width, stop - start))
    values = {"start": start, "stop": stop, "width": width, "ahead": ahead}
    return {name: count(value) for name, value in values.items()}


@intrinsic  # type: ignore[untyped-decorator]
def _ask(typing_context: Any, array: Any, row: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        found = context.make_array(signature.args[0])(context, builder, arguments[0])
        columns = builder.extract_value(found.shape, 1)
        index = builder.add(builder.mul(arguments[1], columns), arguments[2])
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = builder.bitcast(builder.gep(found.data, [index]), byte)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        reading, near, data = (ir.Constant(number, value) for value in (0, 3, 1))
        builder.call(prefetch, [place, reading, near, data])

    return types.void(array, row, at), generate


@compiled
def ask_for(array: Any, row: Any, low: Any, lanes: Any) -> None:
    """The lanes from ``low`` on of a row of an array (T, lanes); past its end nothing happens."""
    step = _LINE // count(array.itemsize)
    for lane in range(count(0), lanes, step):
        _ask(array, row, low + lane)


@intrinsic  # type: ignore[untyped-decorator]
def wide_vectors(typing_context: Any) -> Any:
    """The function that this is called in may use the widest vectors that there are."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite knows no attributes with a value, but prints what is in the set.
        if isinstance(builder.function.attributes, set):
            set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate
