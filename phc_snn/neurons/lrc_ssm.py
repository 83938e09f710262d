"""LrcSSM: a liquid neuron, whose time constant and capacitance follow its input and its state."""

from typing import Any, ClassVar, Literal, NamedTuple, Unpack

import torch
from torch import Tensor

from phc_snn.axes import TimeAxis
from phc_snn.checks import check_positive
from phc_snn.emit import Emit
from phc_snn.neurons.base import NeuronOptions
from phc_snn.neurons.statespace import StateSpace
from phc_snn.numerics import sigmoid, tanh
from phc_snn.parameters import uniform
from phc_snn.scan import affine_scan

Elastance = Literal["single", "symmetric"]


class LrcSSMState(NamedTuple):
    """State of `LrcSSM`; (B, N)."""

    membrane: Tensor


class LrcSSMParameters(NamedTuple):
    """What `LrcSSM.dynamics` reads; each (N,), the names as in `LrcSSM`."""

    sensory_sigma: Tensor
    sensory_mu: Tensor
    sensory_w: Tensor
    sensory_h: Tensor
    sigma: Tensor
    mu: Tensor
    w: Tensor
    h: Tensor
    gleak: Tensor
    vleak: Tensor
    elastance_kernel: Tensor
    elastance_bias: Tensor
    elastance_shift: Tensor | None
    threshold: Tensor
    emit: Emit


class Newton(NamedTuple):
    """What `LrcSSM.by_newton` returns.

    Attributes:
        signal: (T, B, N).
        membrane: (T, B, N).
        state: After the last step.
        sweeps: (B,), how many each sample took, one scan each.
        residual: (B,), the largest ``|m[t] - f(m[t-1], x[t])|`` of a sample, relative to its
            largest membrane potential (to 1, if that is smaller).
        converged: (B,), whether that is within the tolerance.
    """

    signal: Tensor
    membrane: Tensor
    state: LrcSSMState
    sweeps: Tensor
    residual: Tensor
    converged: Tensor


class LrcSSM(StateSpace):
    """Liquid-resistance liquid-capacitance neuron (LrcSSM, Farsang et al. 2025).

    ::

        S = sigmoid(sensory_sigma (x[t] - sensory_mu)),    Y = sigmoid(sigma (m[t-1] - mu))
        a = -sigmoid(gleak + sensory_w S + w Y)
        b = vleak tanh(gleak + sensory_h S + h Y)
        elastance = sigmoid(k m[t-1] + c)                                   "single"
                  = sigmoid(k m[t-1] + c + d) - sigmoid(k m[t-1] + c - d)   "symmetric"
        m[t] = m[t-1] + elastance (a m[t-1] + b)
        out[t] = max(tanh(m[t] - threshold), 0)

    with the parameters ``elastance_kernel`` k, ``elastance_bias`` c and ``elastance_shift`` d. The
    time step is 1. Each neuron has its own input x; in the published program ``sensory_w`` and
    ``sensory_h`` are matrices, here they are diagonal, and a connectome joins neurons.

    What is new depends on what was in no affine way, so a sequence is one compiled loop over time,
    lanes in parallel, and ``backend="associative"`` is refused; `by_newton` is parallel over time.
    Without input the leak drives it.

    Args:
        features: N, the number of neurons.
        elastance: One over the capacitance: ``"single"`` (default) or ``"symmetric"``.
        generator: Source of what is drawn; torch's default one if None. The ranges are ours, after
            those of liquid time-constant networks: both sigma in [3, 8], both mu in [0.3, 0.8],
            both w and ``gleak`` in [0, 1], ``sensory_h``, ``vleak``, k and c in [-1, 1], d in
            [0.5, 2], and h in [-1/4, 1/4], where no neuron holds itself up. (Published: all within
            one over the root of N.)
        options: As `Neuron`. The published model passes m on, `step` and `scan` return it as the
            second output.

    Example:
        >>> import torch, phc_snn as phc
        >>> signal, membrane, state = phc.LrcSSM(3).scan(torch.randn(100, 2, 3))
        >>> membrane.shape
        torch.Size([100, 2, 3])
    """

    affine = False
    SPONTANEOUS = True
    NETWORK: ClassVar[dict[str, Any]] = {"threshold": -0.3}

    def __init__(
        self,
        features: int,
        *,
        elastance: Elastance = "single",
        generator: torch.Generator | None = None,
        **options: Unpack[NeuronOptions],
    ) -> None:
        super().__init__(features, **options)
        if elastance not in ("single", "symmetric"):
            raise ValueError(f"elastance: got {elastance!r}, expected 'single' or 'symmetric'")
        self.elastance = elastance
        for name, (low, high) in _RANGES.items():
            if name != "elastance_shift" or elastance == "symmetric":
                self.learn(**{name: uniform(features, low, high, generator)})

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> LrcSSMState:
        """Zero membrane potential."""
        return LrcSSMState(torch.zeros(batch_size, self.features, device=device, dtype=dtype))

    def coefficients(self, dtype: torch.dtype) -> LrcSSMParameters:
        own: dict[str, Any] = dict.fromkeys(_RANGES)
        own |= {name: p.to(dtype) for name, p in self.named_parameters() if name in _RANGES}
        return LrcSSMParameters(**own, threshold=self.threshold.to(dtype), emit=self.emit)

    @staticmethod
    def dynamics(
        x: Tensor, state: LrcSSMState, c: LrcSSMParameters, time: TimeAxis
    ) -> tuple[tuple[Tensor, Tensor], LrcSSMState]:
        def step(current: Tensor, before: LrcSSMState) -> tuple[tuple[Tensor], LrcSSMState]:
            membrane = _advance(current, before.membrane, c)
            return (membrane,), LrcSSMState(membrane)

        (membrane,), state = time.walk(step, x, state)
        return (c.emit(membrane - c.threshold), membrane), state

    @torch.no_grad()
    def by_newton(
        self,
        x_seq: Tensor,
        state: LrcSSMState | None = None,
        *,
        max_sweeps: int | None = None,
        tolerance: float | None = None,
    ) -> Newton:
        """`scan` as the solution of an equation for all steps at once, by Newton's method.

        Each sweep linearises every step at the last guess, and solves that with one scan which is
        parallel over time: the Jacobian is diagonal. A sweep makes at least one more step right, so
        T + 1 are enough. From rest, where neurons forget as they do at first, 4 to 6 are, for 50
        steps as for 1000; where learned parameters make one bistable, dozens. (Slopes are cut off
        at 1.)

        Equal to `scan` to a few times the tolerance where ``converged``, as long as neurons forget:
        one whose parameters let differences grow can have converged and be another path. A sample
        that has converged is left as it is, so nothing depends on its batch mates. No gradient.

        Args:
            x_seq: (T, B, N), float32 or float64.
            state: As `scan`.
            max_sweeps: None (default) for T + 1.
            tolerance: Of the residual, see `Newton`. None (default) for 1e-13 in float64 and 2e-6
                in float32.

        Raises:
            TypeError: As `scan`; half precision.
            ValueError: As `scan`; a number of sweeps below 1, a tolerance below 0.

        Example:
            >>> import torch, phc_snn as phc
            >>> neuron, x = phc.LrcSSM(3), torch.randn(50, 2, 3)
            >>> found = neuron.by_newton(x)
            >>> bool(found.converged.all()), int(found.sweeps.max()) < 20
            (True, True)
        """
        self.scan(x_seq[:0], state)  # the checks at the door
        tolerance = _tolerance(x_seq.dtype, tolerance)
        most = max_sweeps if max_sweeps is not None else len(x_seq) + 1
        check_positive("max_sweeps", most)
        if state is None:
            state = self.initial_state(x_seq.shape[1], device=x_seq.device, dtype=x_seq.dtype)
        c = self.coefficients(x_seq.dtype)
        membrane = torch.zeros_like(x_seq)
        sweeps = torch.zeros(x_seq.shape[1], dtype=torch.long, device=x_seq.device)
        while True:
            before = torch.cat([state.membrane[None], membrane[:-1]])[: len(x_seq)]
            value, slope = _linearised(x_seq, before, c)
            # Where a guess is far off steps can expand, and many of them in a row would overflow.
            slope = slope.clamp(-1.0, 1.0)
            residual = _residual(membrane, value)
            converged = residual <= tolerance
            if bool((converged | (sweeps >= most)).all()):
                break
            solved = affine_scan(
                slope, value - slope * before, state.membrane, backend="associative"
            )
            membrane = torch.where(converged[:, None], membrane, solved)
            sweeps = sweeps + (~converged).long()
        last = membrane[-1].clone() if len(membrane) else state.membrane
        signal = c.emit(membrane - c.threshold)
        return Newton(signal, membrane, LrcSSMState(last), sweeps, residual, converged)


_RANGES = {
    "sensory_sigma": (3.0, 8.0),
    "sensory_mu": (0.3, 0.8),
    "sensory_w": (0.0, 1.0),
    "sensory_h": (-1.0, 1.0),
    "sigma": (3.0, 8.0),
    "mu": (0.3, 0.8),
    "w": (0.0, 1.0),
    "h": (-0.25, 0.25),
    "gleak": (0.0, 1.0),
    "vleak": (-1.0, 1.0),
    "elastance_kernel": (-1.0, 1.0),
    "elastance_bias": (-1.0, 1.0),
    "elastance_shift": (0.5, 2.0),
}
"""Of first values, in the order in which they are drawn."""


def _advance(x: Tensor, m: Tensor, c: LrcSSMParameters) -> Tensor:
    """The membrane potential one step later."""
    sensed = sigmoid(c.sensory_sigma * (x - c.sensory_mu))
    felt = sigmoid(c.sigma * (m - c.mu))
    a = -sigmoid(c.gleak + c.sensory_w * sensed + c.w * felt)
    b = c.vleak * tanh(c.gleak + c.sensory_h * sensed + c.h * felt)
    charge = c.elastance_kernel * m + c.elastance_bias
    if c.elastance_shift is None:
        elastance = sigmoid(charge)
    else:
        elastance = sigmoid(charge + c.elastance_shift) - sigmoid(charge - c.elastance_shift)
    after: Tensor = m + elastance * (a * m + b)
    return after


@torch.enable_grad()
def _linearised(x: Tensor, before: Tensor, c: LrcSSMParameters) -> tuple[Tensor, Tensor]:
    """Every step at once, and its derivative in the membrane potential before it."""
    before = before.detach().requires_grad_()
    value = _advance(x.detach(), before, c)
    (slope,) = torch.autograd.grad(value.sum(), before)
    return value.detach(), slope


def _residual(membrane: Tensor, value: Tensor) -> Tensor:
    """Of each sample, see `Newton`."""
    if not membrane.numel():
        return membrane.new_zeros(membrane.shape[1])
    scale = membrane.abs().amax((0, 2)).clamp(min=1.0)
    residual: Tensor = (membrane - value).abs().amax((0, 2)) / scale
    return residual


def _tolerance(dtype: torch.dtype, tolerance: float | None) -> float:
    known = {torch.float64: 1e-13, torch.float32: 2e-6}
    if dtype not in known:
        raise TypeError(f"x_seq: got {dtype}, expected float32 or float64; convert it")
    if tolerance is None:
        return known[dtype]
    if not tolerance >= 0.0:
        raise ValueError(f"tolerance: got {tolerance}, expected 0 or more")
    return tolerance
