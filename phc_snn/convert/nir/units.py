"""Between factors per step and NIR's time constants, by forward Euler.

NIR states neurons in continuous time, ``tau dv/dt = -v + r I``; a simulator picks the step. Norse
and snnTorch both take Euler's, ``v += dt/tau (r I - v)``, and so do we: a factor per step is
``decay = 1 - dt/tau``, and what a unit of input adds in its step is ``(1 - decay) r``.
"""

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float64]

_ROUNDING = 1e-6
"""What float32 may have done to a quotient of two times; files hold float32 as often as float64."""


def check_dt(dt: Any) -> None:
    """Refuse a time step that is not a positive, finite number of seconds."""
    if isinstance(dt, bool) or not isinstance(dt, int | float):
        raise TypeError(f"dt: got {type(dt).__name__}, expected seconds for a time step, as 1e-3")
    if not 0 < dt < math.inf:
        raise ValueError(f"dt: got {dt}, expected a positive number of seconds for a time step")


def array(x: Tensor) -> NDArray[Any]:
    """The values of a tensor in its own precision; numpy has none below float16, float32 has."""
    values = x.detach().cpu()
    if values.dtype in (torch.bfloat16, torch.float16):
        values = values.float()
    copied: NDArray[Any] = values.numpy().copy()
    return copied


def tau_of(decay: Array, dt: float) -> Array:
    """Time constants (s) of factors per step in [0, 1); ``dt`` where nothing is left of a step."""
    return dt / (1.0 - decay)


def decay_of(tau: Array, dt: float) -> Array:
    """Factors per step of time constants (s).

    Raises:
        ValueError: A time constant that is not positive, or shorter than the step: Euler's step
            would turn the membrane's sign.
    """
    if not bool((tau > 0).all()):
        raise ValueError(f"tau: got {tau.min():g} s, expected time constants above 0")
    decay = 1.0 - dt / tau
    if decay.min() < -_ROUNDING:
        raise ValueError(
            f"tau: got {tau.min():g} s with dt={dt:g}, expected at least dt: a forward Euler step "
            "longer than the time constant overshoots; pass the dt that the graph was written for"
        )
    return np.maximum(decay, 0.0)


def steps_of(delay: Array, dt: float) -> list[int]:
    """Delays (s) in steps.

    Raises:
        ValueError: A delay below 0, one that is no whole number of steps, or more than 2**20.
    """
    exact = delay / dt
    steps = np.rint(exact)
    if bool((np.abs(exact - steps) > _ROUNDING * np.maximum(steps, 1.0)).any()) or steps.min() < 0:
        worst = delay[np.abs(exact - steps).argmax()] if steps.min() >= 0 else delay.min()
        raise ValueError(
            f"delay: got {worst:g} s with dt={dt:g}, expected a whole number of steps, 0 or more; "
            "pass the dt that the graph was written for"
        )
    if steps.max() > _LONGEST:
        raise ValueError(f"delay: got {steps.max():g} steps, expected at most {_LONGEST}")
    return [int(step) for step in steps]


_LONGEST = 2**20
"""Steps; a run holds as many spikes of every neuron, and a file can ask for any number."""
