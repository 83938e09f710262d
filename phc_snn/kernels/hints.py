"""What loops tell memory and the compiler; no result hangs on it.

A block of lanes reads a piece of each row and then jumps to the next one, a page away. No processor
foresees that, so every step would wait for memory: rows are asked for ahead. An ordinary store
reads a line before it changes a part of it; what is larger than the caches is written past them, in
whole lines (a scan of 8 MiB takes two thirds of the time). And where there are vectors of 512 bits,
LLVM prefers half of one; these loops take an eighth less time with whole ones.
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


_STREAMED = 4 * 2**20
"""Bytes from which on a result is written past the caches; less, its reader may find there."""


def is_streamed(array: Any) -> Any:
    """What `write` is told: whether the array (T, lanes) is written past the caches, 1 or 0."""
    return count(array.nbytes >= _STREAMED)


def steps_ahead(width: int) -> int:
    """How many steps before its use a row of blocks of ``width`` lanes is asked for."""
    return -(-_LANES_AHEAD // max(width, 1))


def lanes_of(start: int, stop: int, width: int) -> dict[str, Any]:
    """What a loop over lanes is given: its range, how many at a time, and the steps ahead."""
    ahead = steps_ahead(min(width, stop - start))
    values = {"start": start, "stop": stop, "width": width, "ahead": ahead}
    return {name: count(value) for name, value in values.items()}


def _element(context: Any, builder: Any, array: Any, value: Any, row: Any, at: Any) -> Any:
    """Pointer to ``array[row, at]``, or ``array[at]`` if ``row`` is None."""
    found = context.make_array(array)(context, builder, value)
    if row is not None:
        at = builder.add(builder.mul(row, builder.extract_value(found.shape, 1)), at)
    return builder.gep(found.data, [at])


@intrinsic  # type: ignore[untyped-decorator]
def _ask(typing_context: Any, array: Any, row: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        place = _element(context, builder, signature.args[0], *arguments)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        reading, near, data = (ir.Constant(number, value) for value in (0, 3, 1))
        builder.call(prefetch, [builder.bitcast(place, byte), reading, near, data])

    return types.void(array, row, at), generate


@compiled
def ask_for(array: Any, row: Any, low: Any, lanes: Any) -> None:
    """The lanes from ``low`` on of a row of an array (T, lanes); past its end nothing happens."""
    step = _LINE // count(array.itemsize)
    for lane in range(count(0), lanes, step):
        _ask(array, row, low + lane)


@intrinsic  # type: ignore[untyped-decorator]
def _address(typing_context: Any, array: Any, row: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _element(context, builder, signature.args[0], *arguments)
        return builder.ptrtoint(place, ir.IntType(64))

    return types.uint64(array, row, at), generate


@intrinsic  # type: ignore[untyped-decorator]
def _stream_line(
    typing_context: Any, array: Any, row: Any, at: Any, values: Any, first: Any
) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> None:
        target, _, _, source, _ = signature.args
        line = ir.VectorType(ir.IntType(64), 8).as_pointer()
        found = _element(context, builder, source, arguments[3], None, arguments[4])
        place = _element(context, builder, target, *arguments[:3])
        whole = builder.load(builder.bitcast(found, line), align=4)
        store = builder.store(whole, builder.bitcast(place, line), align=int(_LINE))
        once = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        store.set_metadata("nontemporal", once)

    return types.void(array, row, at, values, first), generate


@intrinsic  # type: ignore[untyped-decorator]
def finish_writing(typing_context: Any) -> Any:
    """What has been written past the caches is seen by all threads; to be called by the writer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@compiled
def write(array: Any, row: Any, low: Any, values: Any, lanes: Any, streamed: Any) -> None:
    """``array[row, low : low + lanes] = values[:lanes]``; `is_streamed` says which way."""
    size = count(array.itemsize)
    head = whole = count(0)
    if streamed > 0:
        # A part of a line that another thread writes the rest of is stored as usual.
        head = min((_LINE - _address(array, row, low) % _LINE) % _LINE // size, lanes)
        step = _LINE // size
        whole = (lanes - head) // step * step
        for lane in range(head, head + whole, step):
            _stream_line(array, row, low + lane, values, lane)
    for lane in range(head):
        array[row, low + lane] = values[lane]
    for lane in range(head + whole, lanes):
        array[row, low + lane] = values[lane]


@intrinsic  # type: ignore[untyped-decorator]
def wide_vectors(typing_context: Any) -> Any:
    """The function that this is called in may use the widest vectors that there are."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite knows no attributes with a value, but prints what is in the set.
        if isinstance(builder.function.attributes, set):
            set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate
