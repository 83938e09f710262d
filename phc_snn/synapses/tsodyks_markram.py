"""Short-term plasticity (Tsodyks and Markram 1997; Chiang 2026, Eqs. 8 and 10)."""

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from phc_snn.axes import TimeAxis
from phc_snn.numerics import special
from phc_snn.parameters import Constrained, Value
from phc_snn.process import Process
from phc_snn.scan.reference import Number

Release = Literal["post", "pre"]


class TsodyksMarkramState(NamedTuple):
    """State of `TsodyksMarkram`; each (B, N), zero at rest."""

    utilisation: Tensor
    depletion: Tensor


class TsodyksMarkramParameters(NamedTuple):
    """What `TsodyksMarkram.dynamics` reads; numbers, or tensors that broadcast to (B, N)."""

    increment: Number = 0.5
    facilitation_decay: Number = math.exp(-1.0 / 10.0)
    recovery_decay: Number = math.exp(-1.0 / 20.0)
    release: Release = "post"


class TsodyksMarkram(Process):
    """Facilitating and depressing synapse: a spike S releases the fraction u of the resources R.

    With ``a_f = exp(-1 / tau_f)`` and ``a_d = exp(-1 / tau_d)``, per presynaptic neuron::

        u[t] = (a_f - U S[t]) u[t-1] + U S[t]                          facilitation   (Eq. 8)
        R[t] = (a_d - u[t] S[t]) R[t-1] + 1 - a_d                      depression     (Eq. 8)
        out[t] = S[t] u[t] R[t]                                        efficacy       (Eq. 10)

    The state holds ``depletion = 1 - R``, for which the second line reads as the first,
    ``depletion[t] = (a_d - u S) depletion[t-1] + u S``, and rest is zero.

    Args:
        features: N, the number of presynaptic neurons. Their signal S lies between 0 and 1, as
            spikes do: beyond, the recurrences need not decay.
        increment: ``U``, utilisation at a first spike, in [0, 1). Default 0.5.
        facilitation_time: ``tau_f`` in steps, above 0.05. Default 10.
        depression_time: ``tau_d`` in steps, above 0.05. Default 20.
        release: ``"post"`` (published): R after this spike's own depression. ``"pre"``: R before
            it, as Tsodyks and Markram have it.

    All three vectors are one value or one for each neuron, and learnable.

    Example:
        >>> import torch, phc_snn as phc
        >>> efficacy, state = phc.TsodyksMarkram(1, increment=0.4).scan(torch.ones(3, 1, 1))
        >>> efficacy.shape
        torch.Size([3, 1, 1])
    """

    echoes = False
    increment = Constrained(0.0, 1.0)
    facilitation_time = Constrained(0.05, exponential=True)
    depression_time = Constrained(0.05, exponential=True)

    def __init__(
        self,
        features: int,
        *,
        increment: Value = 0.5,
        facilitation_time: Value = 10.0,
        depression_time: Value = 20.0,
        release: Release = "post",
    ) -> None:
        super().__init__(features)
        if release not in get_args(Release):
            raise ValueError(f"release: got {release!r}, expected one of {get_args(Release)}")
        self.release = release
        kind = type(self)
        kind.increment.create(self, features, increment)
        kind.facilitation_time.create(self, features, facilitation_time)
        kind.depression_time.create(self, features, depression_time)

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> TsodyksMarkramState:
        """No facilitation, full resources."""
        shape = (batch_size, self.features)
        zeros = (torch.zeros(shape, device=device, dtype=dtype) for _ in range(2))
        return TsodyksMarkramState(*zeros)

    def coefficients(self, dtype: torch.dtype) -> TsodyksMarkramParameters:
        return TsodyksMarkramParameters(
            increment=self.increment.to(dtype),
            facilitation_decay=special(-1.0 / self.facilitation_time, "exp").to(dtype),
            recovery_decay=special(-1.0 / self.depression_time, "exp").to(dtype),
            release=self.release,
        )

    @staticmethod
    def dynamics(
        x: Tensor, state: TsodyksMarkramState, c: TsodyksMarkramParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor], TsodyksMarkramState]:
        facilitation = c.increment * x
        utilisation, last_utilisation = time.recur(
            c.facilitation_decay - facilitation, facilitation, state.utilisation
        )
        released = utilisation * x
        depletion, last_depletion = time.recur(
            c.recovery_decay - released, released, state.depletion
        )
        if c.release == "pre":
            depletion = time.previous(depletion, state.depletion)
        efficacy = released * (1.0 - depletion)
        return (efficacy,), TsodyksMarkramState(last_utilisation, last_depletion)
