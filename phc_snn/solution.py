"""What a run of a recurrent network gives: its state, and the account of a solver."""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from torch import Tensor


class PHCState(NamedTuple):
    """State of a `PHC` between two steps: the neurons' and each synaptic process's own."""

    neuron: Any
    synapses: tuple[Any, ...]


AdjointKind = Literal["exact", "truncated", "unrolled"]


@dataclass
class Adjoint:
    """Account of a backward pass, filled in when it has run.

    Attributes:
        kind: ``"exact"``, ``"truncated"`` or ``"unrolled"``.
        sweeps: (B,) backward sweeps of each sample; None before the backward pass, and
            where there are none (``"unrolled"``).
        residual: (B,) largest relative change of an element in a sample's last sweep. 0 where the
            cotangents were propagated step by step.
        stepped: (B,) whether they were, because sweeping did not settle them.
    """

    kind: AdjointKind
    sweeps: Tensor | None = None
    residual: Tensor | None = None
    stepped: Tensor | None = None


@dataclass(repr=False)
class Solution:
    """What a solver returns, with the account of how it got there.

    Attributes:
        spikes: (T, B, N), 0 or 1.
        voltage: (T, B, N), what is compared with the threshold.
        current: (T, B, N), the input current that drove these spikes.
        state: `PHCState` after the last step, to carry into the next chunk.
        sweeps: (B,) passes used for each sample: sweeps, and in `Exact` also blocks of steps.
        certified_steps: (B,) leading steps on which the result is proved equal to `Sequential`'s: a
            sweep reproduced them bit for bit, or causality alone makes them right. Equal in every
            bit where the scan backend keeps the step's order, to rounding where it does not.
        converged: (B,) whether the solver's own criterion was met: for `Exact` the certificate, for
            `Jacobi` its tolerance (the certificate if it has none), always for `Sequential`.
        residuals: (K, B) relative change in each sweep, NaN after a sample has stopped: of the
            current for `Jacobi`, relative to the synaptic current; of the spikes in the window
            swept for `Exact`.
        work: (B,) neuron updates that the solver made for each sample, relative to one sweep over
            its sequence; `Sequential` takes 1. Not counted are the pass of `Exact` that records a
            gradient, and what fills up narrow windows that share a pass with wider ones.
        adjoint: Account of the backward pass of `Exact`; None for other solvers, and without
            gradients.
    """

    spikes: Tensor
    voltage: Tensor
    current: Tensor
    state: PHCState
    sweeps: Tensor
    certified_steps: Tensor
    converged: Tensor
    residuals: Tensor
    work: Tensor
    adjoint: Adjoint | None = None

    def __repr__(self) -> str:
        steps, batch, neurons = self.spikes.shape
        most = int(self.sweeps.max()) if batch else 0
        proved = int(self.certified_steps.min()) if batch else 0
        return (
            f"Solution(T={steps}, B={batch}, N={neurons}, sweeps<={most}, "
            f"certified_steps>={proved}, converged={int(self.converged.sum())} of {batch})"
        )


class Progress(NamedTuple):
    """What a sweep changed, of each sample (B,).

    Attributes:
        equal: Leading steps whose current stayed the same in every bit.
        change: Norm of the change of the current, over time and neurons.
        size: Norm of the synaptic current.
    """

    equal: Tensor
    change: Tensor
    size: Tensor


class Sweep(NamedTuple):
    """One sweep over a sequence.

    Attributes:
        spikes, voltage: Of the neurons under the given current, (T, B, N).
        following: The current that they lead to: synaptic current plus driven input.
        state: After the sequence.
        progress: From the given current to ``following``, where a kernel has measured it.
    """

    spikes: Tensor
    voltage: Tensor
    following: Tensor
    state: PHCState
    progress: Progress | None
