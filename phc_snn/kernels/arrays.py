"""What goes in and out of a kernel, on any machine."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor

from phc_snn.kernels.program import Program


class Inputs(NamedTuple):
    """What a program runs on; T steps, B samples, N neurons.

    Attributes:
        x: (T, B, N).
        states: Each broadcasts to (B, N).
        queues: Of each delay, (B, D, N).
        leads: How many steps each lane's delay is shorter than D, (N,); None if none is.
        coefficients: Each broadcasts to (B, N); or (K, 1, N), of K networks that have B / K samples
            each, one network's behind the other's.
        weight: Of the connectome, (N, N), or (K, N, N) of such networks; None without one.
        driven: Of a sweep, what is added to the synaptic current, (T, B, N).
    """

    x: Tensor
    states: Sequence[Tensor]
    queues: Sequence[Tensor]
    leads: Sequence[Tensor | None]
    coefficients: Sequence[Tensor]
    weight: Tensor | None
    driven: Tensor | None = None


class Outputs(NamedTuple):
    """What it gives.

    Attributes:
        results: Each (T, B, N).
        states: Each (B, N), or with a trajectory (T, B, N).
        sent: Of each delay, what was sent, (D + T, B, N), the queue first.
        kept: States every few steps, for the way back.
        progress: Of a sweep, what it changed, each (B,): see `phc_snn.kernels.rows.compare`.
    """

    results: list[Tensor]
    states: list[Tensor]
    sent: list[Tensor]
    kept: Tensor
    progress: tuple[Tensor, ...] = ()


class Gradients(NamedTuple):
    """Cotangents of `Inputs`, in its order; those of coefficients and weight summed in float64."""

    x: Tensor
    states: list[Tensor]
    queues: list[Tensor]
    coefficients: list[Tensor]
    weight: Tensor | None


def lines_of(
    queues: Sequence[Tensor], steps: int, new: Callable[[tuple[int, ...]], Tensor]
) -> list[Tensor]:
    """Room for what each delay is sent, (D + T, B, N), the queue in its place; ``new`` makes it."""
    lines = []
    for queue in queues:
        batch, depth, neurons = queue.shape
        line = new((depth + steps, batch, neurons))
        line[:depth] = queue.detach().transpose(0, 1)
        lines.append(line)
    return lines


def outputs_of(
    program: Program,
    inputs: Inputs,
    results: Sequence[Tensor],
    states: list[Tensor],
    path: Tensor | None,
    sent: list[Tensor],
    kept: Tensor,
) -> Outputs:
    """The outputs, out of what a kernel has written.

    Args:
        program: Says which results are what a delay was sent.
        inputs: As given.
        results: The others, (T, B, N).
        states: The last ones, (B, N).
        path: The states after every step, (T, states, lanes), where they were asked for.
        sent, kept: As in `Outputs`.
    """
    own = iter(results)
    found = [
        sent[k][inputs.queues[k].shape[1] :] if kind == "sent" else next(own)
        for kind, k in program.outputs
    ]
    if path is not None:
        states = [path[:, i].reshape(inputs.x.shape) for i in range(path.shape[1])]
    return Outputs(found, states, sent, kept)
