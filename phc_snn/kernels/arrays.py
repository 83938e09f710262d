"""What goes in and out of a kernel, on any machine."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Inputs(NamedTuple):
    """What a program runs on; T steps, B samples, N neurons.

    Attributes:
        x: (T, B, N).
        states: Each broadcasts to (B, N).
        queues: Of each delay, (B, D, N).
        leads: How many steps each lane's delay is shorter than D, (N,); None if none is.
        coefficients: Each broadcasts to (B, N).
        weight: Of the connectome, (N, N); None without one.
    """

    x: Tensor
    states: Sequence[Tensor]
    queues: Sequence[Tensor]
    leads: Sequence[Tensor | None]
    coefficients: Sequence[Tensor]
    weight: Tensor | None


class Outputs(NamedTuple):
    """What it gives.

    Attributes:
        results: Each (T, B, N).
        states: Each (B, N), or with a trajectory (T, B, N).
        sent: Of each delay, what was sent, (D + T, B, N), the queue first.
        kept: States every few steps, for the way back.
    """

    results: list[Tensor]
    states: list[Tensor]
    sent: list[Tensor]
    kept: Tensor


class Gradients(NamedTuple):
    """Cotangents of `Inputs`, in its order; those of coefficients and weight summed in float64."""

    x: Tensor
    states: list[Tensor]
    queues: list[Tensor]
    coefficients: list[Tensor]
    weight: Tensor | None
