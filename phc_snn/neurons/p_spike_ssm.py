"""P-SpikeSSM: a state space between two draws of spikes, without feedback."""

import math
from typing import Any, NamedTuple, Self, Unpack, get_args

import torch
from torch import Tensor, nn

from phc_snn.axes import OneStep, TimeAxis
from phc_snn.checks import (
    check_finite,
    check_input,
    check_positive,
    check_state,
    values_are_known,
)
from phc_snn.emit import Emit
from phc_snn.kernels import Stage
from phc_snn.neurons.base import Neuron, NeuronOptions
from phc_snn.neurons.p_spike_modes import (
    Discretization,
    ModeCoefficients,
    Modes,
    bilinear,
    driven,
    legs,
    linear_frequencies,
    low_rank,
    zero_order_hold,
)
from phc_snn.neurons.statespace import Complex
from phc_snn.numerics import clipped, gelu, special
from phc_snn.numerics.random import after, drawn_counters, first_counters, stride, uniform
from phc_snn.parameters import Value, log_uniform, per_neuron
from phc_snn.scan.reference import Number
from phc_snn.state import map_state
from phc_snn.surrogate import StraightThrough


class PSpikeSSMState(NamedTuple):
    """State of `PSpikeSSM`: a counter (B, N) of whole numbers, and the modes, each (B, n, N)."""

    draws: Tensor
    imaginary: Tensor
    real: Tensor


class PSpikeSSMParameters(NamedTuple):
    """What `PSpikeSSM.dynamics` reads; float32 or float64."""

    modes: ModeCoefficients
    c: Complex
    c_after: Complex | None
    d: Tensor
    out_a: Tensor
    out_b: Tensor
    gelu: bool
    threshold: Number
    emit: Emit


class PSpikeSSM(Neuron):
    """Probabilistic spiking state-space neuron (P-SpikeSSM; Bal and Sengupta 2024).

    ::

        s_in[t] = 1[x[t] > U1[t]]                    U1, U2 evenly from [0, 1)
        h[t]    = A_bar h[t-1] + B_bar s_in[t]       n complex modes and their conjugates
        y[t]    = Re(C h[t]) + D s_in[t]
        q[t]    = out_a gelu(y[t]) + out_b
        s[t]    = 1[q[t] - threshold > U2[t]]

    The input ``x`` is the probability of a presynaptic spike, what the norm of a `PSpikeBlock`
    hands over; below 0 there is none, above 1 there always is one. ``step`` and ``scan`` return
    ``(s, q, state)``. Nothing feeds back through a spike, so a diagonal ``A_bar`` is one scan.

    The gradient of a spike is that of ``clamp(p, 0, 1)`` by its probability p: 1 from 0 to 1, both
    included, else 0. With a ``spike_grad`` given, the spike is ``spike_grad(p - U)`` instead.

    The draws follow from a counter of each lane in the state (`phc_snn.numerics.random`), so they
    are the same in every mode and under every solver. A state at rest has the counters of ``seed``,
    the same for each sample: results do not depend on the batch. For training and for averages over
    draws start from ``initial_state(batch_size, generator=g)``.

    Discretisations:

    - ``"zoh"``: ``A_bar = exp(dt A)``, ``B_bar = B (A_bar - 1) / A``; A, B of each feature.
    - ``"bilinear"``: ``(1 + dt A / 2) / (1 - dt A / 2)`` and ``dt B / (1 - dt A / 2)`` instead.
    - ``"dplr"``: bilinear of the matrix ``diag(A) - P P^H`` over all modes and conjugates; A, P, B
      shared by all features, as published, and ``dt = softplus`` of its parameter. A sequence is
      walked step by step, in O(n) a step: the eigenvectors of HiPPO-LegS, where this starts, are no
      basis to compute in (with 16 pairs their condition number is 1e15). ``backend="associative"``
      walks the response to one spike only, for all samples, and is a convolution with it, equal to
      rounding: take it to train.

    Args:
        features: N.
        modes: n, pairs of complex modes for each feature: half of the published ``d_state``.
            Default 32.
        discretization: Default ``"zoh"``.
        gelu: False leaves it out, an affine map of y: as the poster has it. Default True, as the
            published program.
        bidirectional: Add what comes later, ``sum_j K[j-1] s_in[t+j]`` over j >= 1, K the response
            of the same modes read with another C. Whole sequences only. Default False.
        time_step: dt, above 0; one value or N. None (default) draws its logarithm evenly from 0.001
            to 0.1.
        out_a, out_b: One value or N. Default 1 and 0.
        seed: Of the draws of a state at rest, from 0 to 2**63 - 1. Default 0.
        generator: Source of the parameters that are drawn (dt, C, D); torch's default if None.
        options: As `Neuron`. The threshold is 0 by default.

    A starts as that of S4D-Lin (B = 1), or with ``"dplr"`` as HiPPO-LegS.

    Raises:
        ValueError: Arguments outside of their range; ``step``, a network or a state that is not at
            rest with ``bidirectional=True``.

    Example:
        >>> import torch, phc_snn as phc
        >>> neuron = phc.PSpikeSSM(3, modes=4)
        >>> start = neuron.initial_state(2, generator=torch.Generator().manual_seed(1))
        >>> spikes, q, state = neuron.scan(torch.rand(100, 2, 3), start)
        >>> spikes.shape, state.real.shape
        (torch.Size([100, 2, 3]), torch.Size([2, 4, 3]))
    """

    DRAWS = True
    EXCITABLE = False  # C and D are drawn
    SURROGATE = StraightThrough()
    THRESHOLD = 0.0
    first_draws: Tensor
    raw_time_step: Tensor
    d: Tensor
    out_a: Tensor
    out_b: Tensor

    def __init__(
        self,
        features: int,
        *,
        modes: int = 32,
        discretization: Discretization = "zoh",
        gelu: bool = True,
        bidirectional: bool = False,
        time_step: Value | None = None,
        out_a: Value = 1.0,
        out_b: Value = 0.0,
        seed: int = 0,
        generator: torch.Generator | None = None,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, **options)
        check_positive("modes", modes)
        if discretization not in get_args(Discretization):
            raise ValueError(
                f"discretization: got {discretization!r}, expected one of "
                f"{get_args(Discretization)}"
            )
        self.modes, self.discretization = modes, discretization
        self.keep_option("discretization_option", get_args(Discretization).index(discretization))
        self.gelu, self.bidirectional = gelu, bidirectional
        self.register_buffer("first_draws", first_counters(features, seed))

        def normal(*shape: int) -> Tensor:
            return torch.empty(shape).normal_(generator=generator)

        if discretization == "dplr":
            a, p, b = legs(modes)
            values = {"p_real": p[0], "p_imaginary": p[1]}
        else:
            shape = (modes, features)
            decay, frequency = linear_frequencies(modes)
            a = decay[:, None].expand(shape), frequency[:, None].expand(shape)
            b, values = (torch.ones(shape), torch.zeros(shape)), {}
        values |= {"log_decay_rate": (-a[0]).log(), "frequency": a[1]}
        values |= {"b_real": b[0], "b_imaginary": b[1]}
        for name in ("c", "c_after") if bidirectional else ("c",):
            for part in ("real", "imaginary"):
                values[f"{name}_{part}"] = math.sqrt(0.5) * normal(modes, features)
        values["d"] = normal(features)
        values["raw_time_step"] = self._raw_time_step(time_step, generator)
        values["out_a"] = per_neuron("out_a", out_a, features)
        values["out_b"] = per_neuron("out_b", out_b, features)
        for name, value in values.items():
            found = value.to(torch.get_default_dtype()).clone()
            self.register_parameter(name, nn.Parameter(found))

    @classmethod
    def for_network(
        cls, features: int, *, generator: torch.Generator | None = None, **options: Any
    ) -> Self:
        # Where a spike made a neuron quieter, nothing in a network would start it.
        neuron = super().for_network(features, generator=generator, **options)
        nn.init.ones_(neuron.d)
        return neuron

    def _raw_time_step(self, given: Value | None, generator: torch.Generator | None) -> Tensor:
        if given is None:
            step = log_uniform(self.features, 0.001, 0.1, generator)
        else:
            step = per_neuron("time_step", given, self.features)
        if not bool((step > 0).all()):
            raise ValueError(f"time_step: got values from {step.min():g}, expected all above 0")
        step = step.double()
        return torch.log(torch.expm1(step) if self.discretization == "dplr" else step)

    def extra_repr(self) -> str:
        sides = ", bidirectional" if self.bidirectional else ""
        return f"{super().extra_repr()}, modes={self.modes}, {self.discretization!r}{sides}"

    @property
    def _shared(self) -> tuple[str, ...]:
        """Parameters (n,) of all features; what else has modes is (n, N)."""
        every = ("log_decay_rate", "frequency", "b_", "p_")
        return every if self.discretization == "dplr" else ()

    @property
    def time_step(self) -> Tensor:
        """dt (N,)."""
        name = "softplus" if self.discretization == "dplr" else "exp"
        return special(self.raw_time_step, name)

    def initial_state(
        self,
        batch_size: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PSpikeSSMState:
        """No spike before; the draws are those of ``seed``, or begin anywhere by ``generator``.

        Args:
            generator: None (default): every sample has the same draws, each lane its own.
        """
        shape = (batch_size, self.modes, self.features)
        imaginary, real = (torch.zeros(shape, device=device, dtype=dtype) for _ in range(2))
        if generator is None:
            draws = self.first_draws.to(real.device).expand(batch_size, -1).clone()
        else:
            draws = drawn_counters((batch_size, self.features), generator, real.device)
        return PSpikeSSMState(draws, imaginary, real)

    def coefficients(self, dtype: torch.dtype) -> PSpikeSSMParameters:
        def wide(name: str) -> Tensor:
            # A short step cancels digits; they are few numbers, and float64 has enough.
            value: Tensor = getattr(self, name).double()
            return value[:, None] if name.startswith(self._shared) else value

        def pair(name: str) -> Complex:
            return wide(f"{name}_real"), wide(f"{name}_imaginary")

        work = dtype if dtype in (torch.float32, torch.float64) else torch.float32
        a = -special(wide("log_decay_rate"), "exp"), wide("frequency")
        if self.discretization == "dplr":
            step = special(wide("raw_time_step"), "softplus")
            modes = low_rank(a, pair("b"), pair("p"), step)
        else:
            step = special(wide("raw_time_step"), "exp")
            discretized = zero_order_hold if self.discretization == "zoh" else bilinear
            modes = discretized(a, pair("b"), step)
        found = PSpikeSSMParameters(
            modes,
            pair("c"),
            pair("c_after") if self.bidirectional else None,
            self.d,
            self.out_a,
            self.out_b,
            self.gelu,
            self.threshold,
            self.emit,
        )
        return map_state(lambda value: value.to(work), found)

    @staticmethod
    def dynamics(
        x: Tensor, state: PSpikeSSMState, c: PSpikeSSMParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], PSpikeSSMState]:
        work = c.d.dtype
        before, draws = time.count(x, state.draws, stride(2))
        s_in = _drawn(x.to(work), uniform(after(before, 1), work), c.emit.own)
        held = Modes(state.imaginary.to(work), state.real.to(work))
        response, end = driven(s_in, c.c, held, c.modes, time)
        y = response + c.d * s_in
        if c.c_after is not None:
            resting = map_state(torch.zeros_like, held)
            later = time.previous(s_in.flip(0), s_in.new_zeros(s_in.shape[1:]))
            from_later, _ = driven(later, c.c_after, resting, c.modes, time)
            y = y + from_later.flip(0)
        q = c.out_a * (gelu(y) if c.gelu else y) + c.out_b
        spikes = _drawn(q - c.threshold, uniform(after(before, 2), work), c.emit)
        imaginary, real = (part.to(state.real.dtype) for part in end)
        return (spikes.to(x.dtype), q.to(x.dtype)), PSpikeSSMState(draws, imaginary, real)

    def _run(self, x: Tensor, state: Any, time: TimeAxis) -> Any:
        if not self.bidirectional:
            return super()._run(x, state, time)
        if isinstance(time, OneStep):
            raise ValueError(_later("a single step"))
        check_input("x_seq", x, ("T", "B", "N"), self.features)
        if self.check_finite:
            check_finite("x_seq", x)
        resting = self.initial_state(x.shape[1], device=x.device, dtype=x.dtype)
        if state is not None:
            check_state(state, resting)
            moved = (state.real != 0) | (state.imaginary != 0)
            if values_are_known(moved) and bool(moved.any()):
                raise ValueError(_later("a state that is not at rest"))
        c = self.coefficients(x.dtype)
        outputs, state = self.dynamics(x, state or resting, c, time)
        return (*outputs, state)

    def stage(self, coefficients: Any, state: Any) -> Stage:
        if self.bidirectional:
            raise ValueError(_later("a network, whose solver goes from step to step"))
        return super().stage(coefficients, state)


def _later(what: str) -> str:
    return (
        f"bidirectional: got {what}, expected a whole sequence from rest, in which what comes "
        "later acts on what was before; build the neuron with bidirectional=False"
    )


def _drawn(p: Tensor, u: Tensor, emit: Emit) -> Tensor:
    """Spikes of probability ``p`` out of uniform draws ``u``."""
    # Clipped or not, it is above the same draws; but the gradient is that of what is clipped. With
    # an ``out_b`` of 0 a bound is met, as GELU far below 0 is 0.
    return emit((clipped(p, 0.0, 1.0) if isinstance(emit.spike_grad, StraightThrough) else p) - u)
