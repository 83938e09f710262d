"""Adaptive leaky integrate-and-fire with reset: the recurrence that SiLIF parametrises anew."""

import math
from typing import Any, ClassVar, NamedTuple, Unpack

import torch
from torch import Tensor

from phc_snn.axes import TimeAxis
from phc_snn.emit import Emit
from phc_snn.neurons.base import NeuronOptions
from phc_snn.neurons.resetting import Resetting, mixed
from phc_snn.parameters import Clipped, Value, uniform
from phc_snn.scan.pair import pair_scan
from phc_snn.scan.reference import Number
from phc_snn.surrogate import Boxcar


class AdLIFState(NamedTuple):
    """State of `AdLIF`, `CAdLIF` and `SiLIF`; each (B, N)."""

    adaptation: Tensor
    spikes: Tensor
    membrane: Tensor


class AdLIFParameters(NamedTuple):
    """What `AdLIF.dynamics` reads; numbers, or tensors that broadcast to (B, N)."""

    membrane_decay: Number = 0.9
    adaptation_decay: Number = 0.98
    a: Number = 0.0
    b: Number = 1.0
    threshold: Number = 1.0
    emit: Emit = Emit(Boxcar())


class Adaptive(Resetting):
    """The recurrence of `AdLIF`; a subclass says where its coefficients come from."""

    EXCITABLE = False  # held down, the adaptation turns against the input

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> AdLIFState:
        """No membrane potential, no adaptation, no spike before."""
        shape = (batch_size, self.features)
        return AdLIFState(*(torch.zeros(shape, device=device, dtype=dtype) for _ in range(3)))

    @staticmethod
    def dynamics(
        x: Tensor, state: AdLIFState, c: AdLIFParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], AdLIFState]:
        fire = c.emit.own

        def step(current: Tensor, before: AdLIFState) -> tuple[tuple[Tensor], AdLIFState]:
            adaptation = c.adaptation_decay * before.adaptation + c.a * before.membrane
            adaptation = adaptation + c.b * before.spikes
            left = before.membrane - c.threshold * before.spikes
            membrane = mixed(c.membrane_decay, left, current - adaptation)
            return (membrane,), AdLIFState(adaptation, fire(membrane - c.threshold), membrane)

        (voltage,), state = time.walk(step, x, state)
        return (c.emit(voltage - c.threshold), voltage), state

    @staticmethod
    def frozen(
        x: Tensor, before: Tensor, state: AdLIFState, c: AdLIFParameters
    ) -> tuple[Tensor, dict[str, Any]]:
        # With w[t] put in, u[t] hangs on what was one step before alone.
        gain = 1.0 - c.membrane_decay
        matrix = (
            (c.adaptation_decay, c.a),
            (-gain * c.adaptation_decay, c.membrane_decay - gain * c.a),
        )
        adapted = c.b * before
        charged = gain * (x - adapted) - c.membrane_decay * c.threshold * before
        adaptation, membrane = pair_scan(
            matrix, (adapted, charged), (state.adaptation, state.membrane)
        )
        end = {"adaptation": adaptation[-1].clone(), "membrane": membrane[-1].clone()}
        return membrane, end


class AdLIF(Adaptive):
    """Adaptive LIF neuron with reset (Bittar and Garner 2022; the recurrence of SiLIF).

    ::

        w[t] = adaptation_decay w[t-1] + a u[t-1] + b s[t-1]
        u[t] = membrane_decay (u[t-1] - threshold s[t-1]) + (1 - membrane_decay) (I[t] - w[t])
        s[t] = H(u[t] - threshold)

    The spike feeds back, with the gradient of its surrogate, so a sequence is one compiled loop
    over time, lanes in parallel, and no scan; `by_sweeps` is the form that scans.

    Args:
        features: N, the number of neurons.
        membrane_decay: Factor per step, in [exp(-1/5), exp(-1/25)]; one value or N. None (default)
            draws it from this range, and so the next three from theirs.
        adaptation_decay: In [exp(-1/30), exp(-1/120)].
        a: Of the membrane on its adaptation, in [-1, 1]. None draws it from [0, 1].
        b: Of a spike on the adaptation, in [0, 2].
        generator: Source of what is drawn; torch's default one if None.
        options: As `Neuron`.

    What is learned is clipped to its range, and has no gradient outside, as published. Where ``a``
    is below ``adaptation_decay - 1`` the membrane drives itself and grows without end, in float32
    to infinity within some hundreds of steps. The published program draws ``a`` from all of its
    range; here it starts from 0 up.

    Example:
        >>> import torch, phc_snn as phc
        >>> spikes, voltage, state = phc.AdLIF(3).scan(2.0 * torch.ones(5, 2, 3))
        >>> state._fields
        ('adaptation', 'spikes', 'membrane')
    """

    membrane_decay = Clipped(math.exp(-1 / 5), math.exp(-1 / 25))
    adaptation_decay = Clipped(math.exp(-1 / 30), math.exp(-1 / 120))
    a = Clipped(-1.0, 1.0)
    b = Clipped(0.0, 2.0)
    # Its input is multiplied by 1 - membrane_decay, so the threshold has to be as low.
    NETWORK: ClassVar[dict[str, Any]] = {"threshold": 0.05, "a": 0.0, "b": 0.1}

    def __init__(
        self,
        features: int,
        *,
        membrane_decay: Value | None = None,
        adaptation_decay: Value | None = None,
        a: Value | None = None,
        b: Value | None = None,
        generator: torch.Generator | None = None,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, **options)
        given = {"membrane_decay": membrane_decay, "adaptation_decay": adaptation_decay}
        for name, value in {**given, "a": a, "b": b}.items():
            kind = getattr(type(self), name)
            low = max(kind.lower, 0.0)  # below it the membrane would drive itself
            drawn = uniform(features, low, kind.upper, generator) if value is None else value
            kind.create(self, features, drawn)

    def coefficients(self, dtype: torch.dtype) -> AdLIFParameters:
        return AdLIFParameters(
            self.membrane_decay.to(dtype),
            self.adaptation_decay.to(dtype),
            self.a.to(dtype),
            self.b.to(dtype),
            self.threshold.to(dtype),
            self.emit,
        )
