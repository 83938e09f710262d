"""LinOSS: forced oscillators between two matrices."""

import math
from typing import Any, ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor

from phc_snn.axes import TimeAxis
from phc_snn.checks import check_positive
from phc_snn.emit import Emit
from phc_snn.kernels import Stage
from phc_snn.neurons.base import NeuronOptions
from phc_snn.neurons.mixing import Matrices, Mixing, given, taken
from phc_snn.neurons.statespace import wide
from phc_snn.numerics import clipped
from phc_snn.parameters import Constrained, Value, per_neuron, uniform
from phc_snn.process import run_stages


class LinOSSState(NamedTuple):
    """State of `LinOSS`: complex numbers, each part (B, 2 states), real parts first."""

    velocity: Tensor
    position: Tensor


class Motion(NamedTuple):
    """One step of an oscillator, affine in velocity, position and force; each (2 states,)."""

    velocity_to_velocity: Tensor
    position_to_velocity: Tensor
    velocity_to_position: Tensor
    position_to_position: Tensor
    force_to_velocity: Tensor
    force_to_position: Tensor


class LinOSSParameters(NamedTuple):
    """What `LinOSS.dynamics` reads."""

    motion: Motion
    matrices: Matrices
    threshold: Tensor
    emit: Emit


def _oscillate(
    force: Tensor, state: LinOSSState, c: Motion, time: TimeAxis
) -> tuple[tuple[Tensor], LinOSSState]:
    """Oscillators under a force (..., 2 states): positions. A kernel of its own over a sequence."""
    matrix = (
        (c.velocity_to_velocity, c.position_to_velocity),
        (c.velocity_to_position, c.position_to_position),
    )
    drive = (c.force_to_velocity * force, c.force_to_position * force)
    (_, position), last = time.recur_pair(matrix, drive, (state.velocity, state.position))
    return (position,), LinOSSState(*last)


class LinOSS(Mixing):
    """Linear oscillatory state-space model, implicit (LinOSS-IM, Rusch and Rus 2025).

    ::

        A = max(stiffness, 0)                                   of each oscillator
        z[t] = (z[t-1] + time_step (B x[t] - A y[t-1])) / damping
        y[t] = y[t-1] + time_step z[t]
        o[t] = Re(C y[t]) + D x[t]
        out[t] = max(tanh(o[t] - threshold), 0)

    with ``damping = 1 + time_step^2 A``, so oscillations die away; those of `LinOSSIMEX` do not. B
    and C are complex matrices, so each oscillator takes from
    all inputs; real and imaginary parts of B x drive it apart. With these published equations each
    step is a 2 x 2 matrix and a force, and computed so: a sequence is one compiled loop over time,
    and with ``backend="associative"`` a scan of 2 x 2 blocks, parallel over time, equal to
    rounding.

    Args:
        features: N, the size of input and output.
        states: Oscillators P. Default N.
        stiffness: One value or P. None (default) draws it from [0, 1]. No gradient below 0.
        time_step: In [0, 1); one value or P. None (default): sigmoid of what is drawn from [0, 1].
        generator: Source of what is drawn; torch's default one if None. Parts of B come from
            [-1, 1] / sqrt(N), those of C from [-1, 1] / sqrt(P), D is normal.
        options: As `Neuron`. The published model passes o on, `step` and `scan` return it as the
            second output; ``spike_grad`` is for what the units of a network send one another.

    Example:
        >>> import torch, phc_snn as phc
        >>> signal, output, state = phc.LinOSS(3, states=8).scan(torch.randn(100, 2, 3))
        >>> output.shape, state.position.shape
        (torch.Size([100, 2, 3]), torch.Size([2, 16]))
    """

    DAMPED: ClassVar[bool] = True
    """Whether each step takes energy away."""
    NETWORK: ClassVar[dict[str, Any]] = {"threshold": 0.5}
    time_step = Constrained(0.0, 1.0)
    stiffness: Tensor

    def __init__(
        self,
        features: int,
        *,
        states: int | None = None,
        stiffness: Value | None = None,
        time_step: Value | None = None,
        generator: torch.Generator | None = None,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, **options)
        self.states = features if states is None else states
        check_positive("states", self.states)
        if stiffness is None:
            stiffness = uniform(self.states, 0.0, 1.0, generator)
        if time_step is None:
            time_step = torch.sigmoid(uniform(self.states, 0.0, 1.0, generator))
        type(self).time_step.create(self, self.states, time_step)

        def matrix(rows: int, columns: int) -> Tensor:
            drawn = torch.rand(2, rows, columns, generator=generator)
            return (2.0 * drawn - 1.0) / math.sqrt(columns)

        into, out = matrix(self.states, features), matrix(features, self.states)
        self.learn(
            stiffness=per_neuron("stiffness", stiffness, self.states),
            input_real=into[0],
            input_imaginary=into[1],
            output_real=out[0],
            output_imaginary=out[1],
            feedthrough=torch.randn(features, generator=generator),
        )

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> LinOSSState:
        """At rest in the middle."""
        shape = (batch_size, 2 * self.states)
        return LinOSSState(*(torch.zeros(shape, device=device, dtype=dtype) for _ in range(2)))

    def coefficients(self, dtype: torch.dtype) -> LinOSSParameters:
        one = torch.ones(self.states, dtype=torch.float64, device=self.stiffness.device)
        motion = (torch.cat([c, c]).to(wide(dtype)) for c in self._motion(one))
        return LinOSSParameters(
            Motion(*motion),
            self.matrices(dtype, (one, torch.zeros_like(one))),
            self.threshold.to(dtype),
            self.emit,
        )

    def _motion(self, one: Tensor) -> tuple[Tensor, ...]:
        """`Motion` of each oscillator, (states,), in float64."""
        step, stiffness = self.time_step.double(), clipped(self.stiffness.double(), lower=0.0)
        damping = one + step * step * stiffness if self.DAMPED else one
        kept, pulled, pushed = one / damping, -step * stiffness / damping, step / damping
        # The position moves with the new velocity.
        return kept, pulled, step * kept, one + step * pulled, pushed, step * pushed

    @staticmethod
    def dynamics(
        x: Tensor, state: LinOSSState, c: LinOSSParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], LinOSSState]:
        force = taken(x, c.matrices)
        before = LinOSSState(state.velocity.to(force.dtype), state.position.to(force.dtype))
        _, (position,), (after,) = run_stages([Stage(_oscillate, c.motion, before)], force, time)
        output = given(position, x, c.matrices)
        end = LinOSSState(after.velocity.to(x.dtype), after.position.to(x.dtype))
        return (c.emit(output - c.threshold), output), end
