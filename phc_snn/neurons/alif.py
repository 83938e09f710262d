"""Adaptive leaky integrate-and-fire: the Neuron Layer of PHC (Chiang 2026, Eqs. 2-6)."""

import math
from typing import Any, ClassVar, Literal, NamedTuple, Self, Unpack, get_args

import torch
from torch import Tensor

from phc_snn.axes import TimeAxis
from phc_snn.emit import Emit
from phc_snn.neurons.base import Neuron, NeuronOptions
from phc_snn.numerics import sigmoid, softplus, special
from phc_snn.parameters import Constrained, Value
from phc_snn.scan.reference import Number
from phc_snn.scan.reset import Fire
from phc_snn.surrogate import FastSigmoid

DriveTransform = Literal["identity", "softplus"]


class ALIFState(NamedTuple):
    """State of `ALIF`; each (B, N). The membrane potential stands last, as in snnTorch."""

    adaptation: Tensor
    suppression: Tensor
    membrane: Tensor


class ALIFParameters(NamedTuple):
    """What `ALIF.dynamics` reads; numbers, or tensors that broadcast to (B, N)."""

    membrane_decay: Number = 0.7
    adaptation_decay: Number = math.exp(-1.0 / 20.0)
    adaptation_strength: Number = 1.0
    suppression_decay: Number = 0.5
    suppression_strength: Number = 0.2
    threshold: Number = 1.0
    spike: Fire = Emit(FastSigmoid())
    emit: Fire = Emit(FastSigmoid())
    refractory_lag: Literal[0, 1] = 0
    drive_transform: DriveTransform = "identity"


class ALIF(Neuron):
    """Adaptive leaky integrate-and-fire neuron without reset feedback.

    Three affine recurrences, driven one by the next; given the current they are exact in parallel::

        V[t]   = a_exc V[t-1] + f(I[t])                        membrane            (Eq. 3)
        th[t]  = a_ad th[t-1] + f(sigmoid(V[t] - v_th))        adaptation          (Eq. 4)
        pre[t] = H(V[t] - beta th[t] - v_th)                   threshold crossing  (Eq. 5)
        Vr[t]  = a_inh Vr[t-1] + w_reset pre[t]                suppression         (Eq. 6)
        voltage[t] = V[t] - beta th[t] - Vr[t],  s[t] = H(voltage[t] - v_th)

    Nothing that depends on the spike ``s`` flows back into the neuron; a crossing that the
    suppression undoes is silent.

    Args:
        features: N, the number of neurons.
        membrane_decay: ``a_exc`` per step, in [0, 0.99). Default 0.7.
        adaptation_time: ``tau_adapt`` in steps, above 0.05; ``a_ad = exp(-1 / tau_adapt)``. Default
            20.
        adaptation_strength: ``beta``, at least 0. Default 1.
        suppression_decay: ``a_inh`` per step, in [0, 0.99). Default 0.5.
        suppression_strength: ``w_reset``, at least 0. Default 0.2.
        refractory_lag: 0, as published: a crossing suppresses in its own step, so one by less than
            ``w_reset`` never fires. 1: the suppression acts from the next step.
        drive_transform: ``f``. ``"identity"`` (default) lets currents be signed, as inhibition
            needs; the adaptation's drive is then scaled by ``1 - a_ad``, so that th is an average
            of the sigmoid and stays below 1 for any time constant. ``"softplus"`` is the published
            form, made for a scan in the log domain, and it turns inhibition into weak excitation.
        options: As `Neuron`: ``threshold`` (``v_th``, default 1), ``spike_grad``, ...

    All vectors are one value or one for each neuron, are learnable, and stay in range by their
    parametrisation (`phc_snn.parameters`).

    Example:
        >>> import torch, phc_snn as phc
        >>> neuron = phc.ALIF(3, adaptation_time=50.0)
        >>> spikes, voltage, state = neuron.scan(torch.ones(5, 2, 3))
        >>> spikes, voltage, state = neuron.step(torch.ones(2, 3), state)
    """

    membrane_decay = Constrained(0.0, 0.99)
    # Below 0.05 steps a trace is gone within its step; the bound keeps exp(-1/tau) differentiable.
    adaptation_time = Constrained(0.05, exponential=True)
    adaptation_strength = Constrained(0.0)
    suppression_decay = Constrained(0.0, 0.99)
    suppression_strength = Constrained(0.0)
    NETWORK: ClassVar[dict[str, Any]] = {"threshold": 0.5}

    def __init__(
        self,
        features: int,
        *,
        membrane_decay: Value = 0.7,
        adaptation_time: Value = 20.0,
        adaptation_strength: Value = 1.0,
        suppression_decay: Value = 0.5,
        suppression_strength: Value = 0.2,
        refractory_lag: Literal[0, 1] = 0,
        drive_transform: DriveTransform = "identity",
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, **options)
        if refractory_lag not in (0, 1):
            raise ValueError(f"refractory_lag: got {refractory_lag!r}, expected 0 or 1")
        if drive_transform not in get_args(DriveTransform):
            raise ValueError(
                f"drive_transform: got {drive_transform!r}, expected one of "
                f"{get_args(DriveTransform)}"
            )
        self.refractory_lag = refractory_lag
        self.drive_transform = drive_transform
        kind = type(self)
        kind.membrane_decay.create(self, features, membrane_decay)
        kind.adaptation_time.create(self, features, adaptation_time)
        kind.adaptation_strength.create(self, features, adaptation_strength)
        kind.suppression_decay.create(self, features, suppression_decay)
        kind.suppression_strength.create(self, features, suppression_strength)

    @classmethod
    def for_network(
        cls, features: int, *, generator: torch.Generator | None = None, **options: Any
    ) -> Self:
        # A softplus drive is never negative and its adaptation is not scaled: another start.
        if options.get("drive_transform") == "softplus":
            options = {"adaptation_strength": 0.05, "threshold": 1.7, **options}
        return super().for_network(features, generator=generator, **options)

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> ALIFState:
        """All zero: no potential, no adaptation, no suppression."""
        shape = (batch_size, self.features)
        return ALIFState(*(torch.zeros(shape, device=device, dtype=dtype) for _ in range(3)))

    def coefficients(self, dtype: torch.dtype) -> ALIFParameters:
        return ALIFParameters(
            membrane_decay=self.membrane_decay.to(dtype),
            adaptation_decay=special(-1.0 / self.adaptation_time, "exp").to(dtype),
            adaptation_strength=self.adaptation_strength.to(dtype),
            suppression_decay=self.suppression_decay.to(dtype),
            suppression_strength=self.suppression_strength.to(dtype),
            threshold=self.threshold.to(dtype),
            spike=Emit(self.spike_grad),
            emit=self.emit,
            refractory_lag=self.refractory_lag,
            drive_transform=self.drive_transform,
        )

    @staticmethod
    def dynamics(
        x: Tensor, state: ALIFState, c: ALIFParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], ALIFState]:
        published = c.drive_transform == "softplus"
        membrane, last_membrane = time.recur(
            c.membrane_decay, softplus(x) if published else x, state.membrane
        )
        excitation = sigmoid(membrane - c.threshold)
        adaptation, last_adaptation = time.recur(
            c.adaptation_decay,
            softplus(excitation) if published else (1.0 - c.adaptation_decay) * excitation,
            state.adaptation,
        )
        adapted = membrane - c.adaptation_strength * adaptation
        crossing = c.spike(adapted - c.threshold)
        suppression, last_suppression = time.recur(
            c.suppression_decay, c.suppression_strength * crossing, state.suppression
        )
        if c.refractory_lag == 1:
            suppression = time.previous(suppression, state.suppression)
        voltage = adapted - suppression
        spikes = c.emit(voltage - c.threshold)
        return (spikes, voltage), ALIFState(last_adaptation, last_suppression, last_membrane)
