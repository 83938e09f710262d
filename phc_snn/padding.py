"""Batches that are not a whole by themselves: padded, or shared by several processes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from phc_snn.checks import values_are_known

Across = Callable[[Tensor], Tensor]
"""The mean of a value over all processes that share a batch, differentiable in this one's part."""


def check_lengths(lengths: Any, steps: int, x: Tensor) -> None:
    """Refuse what are not the numbers of steps of the samples in ``x`` (``steps``, B, ...).

    Raises:
        TypeError: Not a tensor of integers.
        ValueError: A shape other than (B,), another device, or numbers outside 0 to ``steps``.
    """
    batch = x.shape[-2]
    if not isinstance(lengths, Tensor) or lengths.dtype not in _INTEGERS:
        kind = lengths.dtype if isinstance(lengths, Tensor) else type(lengths).__name__
        raise TypeError(f"lengths: got {kind}, expected a tensor of numbers of steps (integers)")
    if lengths.shape != (batch,):
        raise ValueError(
            f"lengths: got shape {tuple(lengths.shape)}, expected ({batch},), one for each sample; "
            "if x is (batch, time, channels), pass x.transpose(0, 1)"
        )
    if lengths.device != x.device:
        raise ValueError(f"lengths: is on {lengths.device}, the input on {x.device}")
    if not values_are_known(lengths):
        return
    if batch and not 0 <= int(lengths.min()) <= int(lengths.max()) <= steps:
        raise ValueError(
            f"lengths: got {int(lengths.min())} to {int(lengths.max())}, expected 0 to {steps}, "
            "the steps of the input"
        )


_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def own_steps(lengths: Tensor, steps: int) -> Tensor:
    """(``steps``, B), True on the steps that are the sample's own and not padding."""
    return torch.arange(steps, device=lengths.device)[:, None] < lengths
