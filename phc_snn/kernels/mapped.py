"""A kernel under ``torch.vmap``: networks that differ in their weights, in one run.

A kernel runs through samples that know nothing of one another. What is mapped over is more of them:
the batches of K networks stand one behind the other, (T, K B, N), each with the coefficients and
the weights of its own. Where a kernel takes one network only, they run one after the other.
"""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from phc_snn.checks import is_transformed
from phc_snn.kernels.autograd import Call, run
from phc_snn.kernels.graph import UntraceableError
from phc_snn.kernels.parts import Parts
from phc_snn.state import unmapped


def run_mapped(
    call: Call, given: Sequence[Any], mapped: Sequence[int | None], size: int
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """`phc_snn.kernels.autograd.run` for ``size`` networks.

    Args:
        call: What is computed.
        given: Input, what drives the next sweep or None, and `Parts.flat`.
        mapped: Dimension of each that is mapped over; None where it is the same for all.
        size: How many networks.

    Returns:
        The results, and in each the dimension of the networks.

    Raises:
        UntraceableError: A transform in a transform.
    """
    if any(is_transformed(t) for t in given if t is not None):
        raise UntraceableError("a transform of torch.func in another")
    own_weights = any(dim is not None for dim in call.template.sort(mapped[2:]).matrices)
    if own_weights and not call.kernel.stacks:
        return _in_turn(call, given, mapped, size)
    return _at_once(call, given, mapped, size)


def _in_turn(
    call: Call, given: Sequence[Any], mapped: Sequence[int | None], size: int
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    found = []
    for k in range(size):
        own = [t if dim is None else t.select(dim, k) for t, dim in zip(given, mapped, strict=True)]
        found.append(run(call, own[0], call.template.sort(own[2:]), own[1]))
    results = tuple(map(torch.stack, zip(*found, strict=True)))
    return results, (0,) * len(results)


def _at_once(
    call: Call, given: Sequence[Any], mapped: Sequence[int | None], size: int
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    x, driven, *flat = given
    of_x, of_driven, *dims = mapped
    sequence = unmapped(x, of_x, 1, size)
    batch = sequence.shape[2]
    parts, places = call.template.sort(flat), call.template.sort(dims)

    def samples(t: Tensor, dim: int | None) -> Tensor:
        """(B, ...), or what broadcasts to (B, N), as (K B, ...)."""
        t = unmapped(t, dim, 0, size)
        while t.dim() < 3:
            t = t.unsqueeze(1)
        return t.expand(size, batch, *t.shape[2:]).flatten(0, 1)

    def coefficient(t: Tensor, dim: int | None) -> Tensor:
        if dim is None and t.dim() < 2:
            return t
        if t.dim() - (dim is not None) == 2 or not call.kernel.stacks:
            return samples(t, dim)
        t = unmapped(t, dim, 0, size)
        return t.reshape(size, 1, -1).expand(size, 1, sequence.shape[-1])

    def weight(t: Tensor, dim: int | None) -> Tensor:
        return t if dim is None else t.movedim(dim, 0)

    def same(t: Tensor, dim: int | None) -> Tensor:
        return t

    kinds: tuple[Callable[[Tensor, int | None], Tensor], ...] = (
        samples, samples, coefficient, weight, same,
    )  # fmt: skip
    found = Parts(
        *(
            [fold(t, dim) for t, dim in zip(part, place, strict=True)]
            for fold, part, place in zip(kinds, parts, places, strict=True)
        )
    )
    results = run(
        Call(call.kernel, call.template, _only_once),
        sequence.flatten(1, 2),
        found,
        None if driven is None else unmapped(driven, of_driven, 1, size).flatten(1, 2),
    )
    sequences = len(call.kernel.program.outputs)
    axes = tuple(1 if i < sequences else 0 for i in range(len(results)))
    apart = tuple(
        t.reshape(*t.shape[:axis], size, batch, *t.shape[axis + 1 :])
        for t, axis in zip(results, axes, strict=True)
    )
    return apart, axes


def _only_once(*_: Any) -> NoReturn:
    raise RuntimeError(
        "the second derivative of networks under torch.vmap is not computed; take it of one at a "
        "time"
    )
