"""State-space models whose states take from all inputs, by one matrix, and give to all outputs."""

from typing import NamedTuple

import torch
from torch import Tensor

from phc_snn import numerics
from phc_snn.axes import TimeAxis
from phc_snn.emit import Emit
from phc_snn.neurons.statespace import Complex, StateSpace, recur_complex, wide


class ComplexState(NamedTuple):
    """State of `LRU` and `S5`: complex numbers, each part (B, states)."""

    imaginary: Tensor
    real: Tensor


class Matrices(NamedTuple):
    """Complex matrices as real ones: real rows or columns first, then imaginary.

    Attributes:
        input: (2 states, N).
        output: (N, 2 states); the imaginary columns are negative, so that Re(C h) is one product.
        feedthrough: D, (N,).
    """

    input: Tensor
    output: Tensor
    feedthrough: Tensor


class DiagonalParameters(NamedTuple):
    """What `MixingDiagonal.dynamics` reads; decays are (states,)."""

    decay_real: Tensor
    decay_imaginary: Tensor
    matrices: Matrices
    threshold: Tensor
    emit: Emit


class Mixing(StateSpace):
    """Base of models with complex matrices B (states, N) and C (N, states).

    Attributes:
        states: How many.
    """

    mixes = True
    states: int
    input_real: Tensor
    input_imaginary: Tensor
    output_real: Tensor
    output_imaginary: Tensor
    feedthrough: Tensor

    def matrices(self, dtype: torch.dtype, gain: Complex, factor: float = 1.0) -> Matrices:
        """B with its rows multiplied by a ``gain`` (states,), C by a ``factor``, and D.

        Computed in float64 and rounded once.
        """
        real, imaginary = self.input_real.double(), self.input_imaginary.double()
        size, turn = gain[0].double()[:, None], gain[1].double()[:, None]
        rows = (size * real - turn * imaginary, size * imaginary + turn * real)
        columns = (factor * self.output_real.double(), -factor * self.output_imaginary.double())
        return Matrices(
            torch.cat(rows).to(wide(dtype)),
            torch.cat(columns, 1).to(wide(dtype)),
            self.feedthrough.to(wide(dtype)),
        )


def taken(x: Tensor, matrices: Matrices) -> Tensor:
    """B x, (..., 2 states), in the dtype that states are computed in."""
    return numerics.linear(x.to(matrices.feedthrough.dtype), matrices.input)


def given(h: Tensor, x: Tensor, matrices: Matrices) -> Tensor:
    """Re(C h) + D x, of states (..., 2 states) and input; in the dtype of the input."""
    y = numerics.linear(h, matrices.output) + matrices.feedthrough * x
    return y.to(x.dtype)


class MixingDiagonal(Mixing):
    """Base of `LRU` and `S5`: ``h[t] = decay h[t-1] + B x[t]``, a complex number for each state."""

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> ComplexState:
        """All states zero."""
        shape = (batch_size, self.states)
        return ComplexState(*(torch.zeros(shape, device=device, dtype=dtype) for _ in range(2)))

    @staticmethod
    def dynamics(
        x: Tensor, state: ComplexState, c: DiagonalParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], ComplexState]:
        real, imaginary = taken(x, c.matrices).chunk(2, -1)
        h, last = recur_complex(
            (c.decay_real, c.decay_imaginary),
            (real, imaginary),
            (state.real, state.imaginary),
            time,
        )
        y = given(torch.cat(h, -1), x, c.matrices)
        return (c.emit(y - c.threshold), y), ComplexState(last[1], last[0])
