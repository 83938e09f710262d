"""What a solver is, and what the iterative ones measure after each sweep."""

import abc

import torch
from torch import Tensor

from phc_snn import numerics
from phc_snn.circuit import Circuit
from phc_snn.kernels import rows
from phc_snn.scan import affine_scan
from phc_snn.solution import PHCState, Progress, Solution


class Solver(abc.ABC):
    """Turns a `Circuit` and its input into a `Solution`."""

    @abc.abstractmethod
    def solve(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> Solution:
        """Solve for ``x_seq`` (T, B, N) from ``state``."""

    def recordable(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> bool:
        """Whether a CUDA graph can record `solve`: what it does hangs on no value."""
        return True


@torch.no_grad()
def progress(after: Tensor, before: Tensor, driven: Tensor) -> Progress:
    """What a sweep changed; currents (T, B, N), of which ``driven`` is not synaptic."""
    if rows.takes(after, before, driven) and after.numel() > 0:
        return Progress(*rows.compare(after, before, driven))
    return Progress(leading_steps(after == before), _norm(after - before), _norm(after - driven))


def relative_change(found: Progress, *, first: bool) -> Tensor:
    """(B,) change of the current relative to the synaptic current.

    Nothing that stays nothing has converged, except in the first sweep, before which no neuron
    fired.
    """
    silent = torch.full_like(found.size, torch.inf if first else 0.0)
    nothing = (found.change == 0) & (found.size == 0)
    return torch.where(nothing, silent, found.change / found.size)


def _norm(x: Tensor) -> Tensor:
    """(B,) Euclidean norm over time and neurons, summed in an order that no batch can change."""
    squares = numerics.linear(x.square(), x.new_ones(1, x.shape[-1]))[..., 0]
    if squares.shape[0] == 0:
        return squares.new_zeros(squares.shape[1])
    return affine_scan(squares.new_ones(()), squares, backend="sequential")[-1].sqrt()


def leading_steps(equal: Tensor) -> Tensor:
    """(B,) number of leading steps on which all neurons are equal; ``equal`` is (T, B, N)."""
    return equal.all(-1).long().cumprod(0).sum(0)
