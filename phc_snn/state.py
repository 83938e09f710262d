"""States are nested tuples of tensors, batch first. These functions act on every tensor in one.

Coefficients are such trees too; what is neither tensor nor tuple in one stays as it is.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

S = TypeVar("S")


def map_state(function: Callable[..., Tensor], state: S, *others: S) -> S:
    """A state of the same kind, ``function`` applied to its tensors (and those of ``others``)."""
    if isinstance(state, Tensor):
        return function(state, *others)  # type: ignore[return-value]
    if not isinstance(state, tuple):
        return state
    parts = (map_state(function, *group) for group in zip(state, *others, strict=True))
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)  # type: ignore[return-value]


def tensors(state: Any) -> list[Tensor]:
    """The tensors of a state, depth first."""
    if isinstance(state, Tensor):
        return [state]
    if not isinstance(state, tuple):
        return []  # no state at all; the checks at the door say so
    return [tensor for part in state for tensor in tensors(part)]


def unmapped(x: Tensor, mapped: int | None, place: int, size: int) -> Tensor:
    """What ``torch.vmap`` maps over as dimension ``place`` of ``x``.

    Args:
        x: With that dimension.
        mapped: Where it is now; None where ``x`` is the same for all.
        place: Where it goes.
        size: Its size.
    """
    if mapped is None:
        return x.unsqueeze(place).expand(*x.shape[:place], size, *x.shape[place:])
    return x.movedim(mapped, place)


def batch_size(state: Any) -> int | None:
    """The batch size of a state, or None if it is none."""
    found = tensors(state)
    return found[0].shape[0] if found and found[0].dim() else None
