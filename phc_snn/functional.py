"""One step of each model as a pure function: ``(x, state, parameters, dt) -> (out, state)``.

As in ``norse.torch.functional``: nothing is kept and nothing that is passed is changed. ``x`` and
the tensors of a state are (B, N); a state of None is at rest. Parameters are NamedTuples of numbers
or of tensors that broadcast to (B, N). Decays are per unit of time, and a step lasts ``dt`` units:
it decays by ``decay ** dt``. What a spike or a step of input adds to a membrane or a synapse does
not depend on ``dt``; the adaptation of `alif_step` is an average over time, so its share does.

With ``dt = 1`` and the ``coefficients`` of a module these are the module's own steps, bit for bit.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from phc_snn.axes import OneStep
from phc_snn.checks import check_input, check_state
from phc_snn.neurons.alif import ALIF, ALIFParameters, ALIFState
from phc_snn.neurons.cuba_lif import CubaLIF, CubaLIFParameters, CubaLIFState
from phc_snn.neurons.lif import LIF, LIFParameters, LIFState
from phc_snn.synapses.delay import Delay, DelayState
from phc_snn.synapses.tsodyks_markram import (
    TsodyksMarkram,
    TsodyksMarkramParameters,
    TsodyksMarkramState,
)

__all__ = [
    "ALIFParameters",
    "CubaLIFParameters",
    "DelayParameters",
    "LIFParameters",
    "TsodyksMarkramParameters",
    "alif_step",
    "cuba_lif_step",
    "delay_step",
    "lif_step",
    "tsodyks_markram_step",
]

P = TypeVar("P", bound=tuple[Any, ...])
S = TypeVar("S")


class DelayParameters(NamedTuple):
    """Time from a spike to its arrival: one number, or N, in the unit of ``dt``."""

    delay: Tensor | float = 1.0


def lif_step(
    x: Tensor,
    state: LIFState | None = None,
    parameters: LIFParameters = LIFParameters(),  # noqa: B008  # immutable
    dt: float = 1.0,
) -> tuple[Tensor, LIFState]:
    """One step of `phc_snn.LIF`: spikes and the new state.

    Args:
        x: Input current (B, N).
        state: Before the step; None for a resting membrane.
        parameters: ``membrane_decay`` per unit of time, ``threshold``, the spike function
            ``emit`` and the ``reset``.
        dt: Duration of the step.

    Raises:
        TypeError: Input that is not a floating-point tensor; a state of another kind or dtype.
        ValueError: A wrong shape; a ``dt`` that is not a positive number.

    Example:
        >>> import torch
        >>> from phc_snn.functional import LIFParameters, lif_step
        >>> spikes, state = lif_step(torch.ones(2, 3))
        >>> spikes, state = lif_step(torch.ones(2, 3), state, LIFParameters(0.8), dt=0.5)
        >>> spikes.sum()
        tensor(6.)
    """
    state = _start(LIFState, 1, x, state)
    (spikes, _), after = LIF.dynamics(x, state, _over(parameters, dt), OneStep())
    return spikes, after


def cuba_lif_step(
    x: Tensor,
    state: CubaLIFState | None = None,
    parameters: CubaLIFParameters = CubaLIFParameters(),  # noqa: B008
    dt: float = 1.0,
) -> tuple[Tensor, CubaLIFState]:
    """One step of `phc_snn.CubaLIF`: spikes and the new state; arguments as `lif_step`."""
    state = _start(CubaLIFState, 2, x, state)
    (spikes, _), after = CubaLIF.dynamics(x, state, _over(parameters, dt), OneStep())
    return spikes, after


def alif_step(
    x: Tensor,
    state: ALIFState | None = None,
    parameters: ALIFParameters = ALIFParameters(),  # noqa: B008
    dt: float = 1.0,
) -> tuple[Tensor, ALIFState]:
    """One step of `phc_snn.ALIF` (Chiang 2026, Eqs. 2-6): spikes and the new state.

    Arguments as `lif_step`.
    """
    state = _start(ALIFState, 3, x, state)
    (spikes, _), after = ALIF.dynamics(x, state, _over(parameters, dt), OneStep())
    return spikes, after


def tsodyks_markram_step(
    x: Tensor,
    state: TsodyksMarkramState | None = None,
    parameters: TsodyksMarkramParameters = TsodyksMarkramParameters(),  # noqa: B008
    dt: float = 1.0,
) -> tuple[Tensor, TsodyksMarkramState]:
    """One step of `phc_snn.TsodyksMarkram` (Eqs. 8 and 10): efficacy and the new state.

    Arguments as `lif_step`; ``x`` are presynaptic spikes.
    """
    state = _start(TsodyksMarkramState, 2, x, state)
    (efficacy,), after = TsodyksMarkram.dynamics(x, state, _over(parameters, dt), OneStep())
    return efficacy, after


def delay_step(
    x: Tensor,
    state: DelayState | None = None,
    parameters: DelayParameters = DelayParameters(),  # noqa: B008
    dt: float = 1.0,
) -> tuple[Tensor, DelayState]:
    """One step of `phc_snn.Delay` (Eq. 7): what arrives, and what is under way.

    Arguments as `lif_step`.

    Raises:
        ValueError: A delay that is no whole number of steps of ``dt``, or negative; a state of
            another delay.
    """
    _check_dt(dt)
    delay = torch.as_tensor(parameters.delay, dtype=torch.float64, device=x.device) / dt
    steps = delay.round().long()
    if bool(((delay - steps).abs() > 1e-6).any()) or bool((steps < 0).any()):
        raise ValueError(
            f"parameters: got a delay of {parameters.delay} with dt={dt}, expected a whole number "
            "of steps of at least 0"
        )
    longest = int(steps.max())
    if state is None:
        state = DelayState(x.new_zeros(len(x), longest, x.shape[-1]))
    check_state(state, DelayState(x.new_empty(len(x), longest, x.shape[-1])))
    lead = None if bool((steps == longest).all()) else longest - steps
    (signal,), after = Delay.dynamics(x, state, lead, OneStep())
    return signal, after


def _start(kind: Callable[..., S], parts: int, x: Tensor, state: S | None) -> S:
    """The state before the step, which is checked; at rest for None."""
    check_input("x", x, ("B", "N"), x.shape[-1] if isinstance(x, Tensor) and x.dim() else 0)
    resting = kind(*(torch.zeros_like(x) for _ in range(parts)))
    if state is None:
        return resting
    check_state(state, resting)
    return state


def _check_dt(dt: float) -> None:
    if not isinstance(dt, int | float):
        raise TypeError(f"dt: got {type(dt).__name__}, expected a number")
    if not 0.0 < dt < math.inf:
        raise ValueError(f"dt: got {dt}, expected a positive duration")


def _over(parameters: P, dt: float) -> P:
    """The parameters of a step of ``dt``: decays per unit of time become decays per step."""
    _check_dt(dt)
    if dt == 1.0:
        return parameters
    fields: tuple[str, ...] = parameters._fields  # type: ignore[attr-defined]
    decays = {name: getattr(parameters, name) ** dt for name in fields if name.endswith("_decay")}
    changed: P = parameters._replace(**decays)  # type: ignore[attr-defined]
    return changed
