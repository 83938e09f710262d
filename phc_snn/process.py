"""What a `Process` is: a model that runs along time and never from one neuron to another.

A process states its equations once, in `Process.dynamics`, over an abstract time axis. On `OneStep`
the recurrence ``h = a h + b`` is one multiply-add; on `WholeSequence` it is one scan.
`Process.step` and `Process.scan` are these two readings of the same lines, so they cannot drift
apart.

Legend for the whole package: T time steps, B batch, N neurons; time first, (T, B, N).
"""

import abc
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from phc_snn.axes import OneStep, TimeAxis, WholeSequence
from phc_snn.checks import check_features, check_finite, check_input, check_state
from phc_snn.kernels import Stage, UntraceableError, run_chain
from phc_snn.state import batch_size


def run_stages(
    stages: Sequence[Stage], x: Tensor, time: TimeAxis
) -> tuple[tuple[Any, ...], tuple[Any, ...], list[Any]]:
    """Models one behind the other, each driven by the first output of the one before.

    Returns:
        Outputs of the first, outputs of the last, and the new state of each.
    """
    if isinstance(time, WholeSequence) and time.fuses and x.numel():
        try:
            return run_chain(stages, x, time, trajectory=time.trajectory)
        except UntraceableError:
            pass  # one model and one recurrence after the other, then
    states = []
    first: tuple[Any, ...] | None = None
    outputs: tuple[Any, ...] = (x,)
    for stage in stages:
        outputs, state = stage.dynamics(outputs[0], stage.state, stage.coefficients, time)
        first = outputs if first is None else first
        states.append(state)
    return (x,) if first is None else first, outputs, states


class Process(nn.Module, abc.ABC):
    """A model along time: N lanes, each a chain of recurrences.

    The lanes are independent, unless the equations join them (`mixes`).

    A subclass gives `initial_state`, `coefficients` and `dynamics`; nothing else is needed for it
    to run step by step, over sequences, and inside `phc_snn.PHC` with every solver.

    Attributes:
        features: N, the number of lanes.
        check_finite: Refuse NaN and Inf in the input of `step` and `scan`. One reduction over the
            input; set it to False where the input is known to be finite.
        echoes: Whether the output can be other than zero in a step whose input is zero, whatever
            the state; what is under way in a `Delay` does not count. True unless the class that
            gives `dynamics`, or one below it, says otherwise.
        mixes: Whether matrices at its input and output join the N features.
        forgets: Whether what was long ago leaves no trace. Not so where energy is conserved.
        affine: Whether each state is affine in the one before, resets apart, so that a scan which
            is parallel over time can take it.
    """

    echoes: ClassVar[bool] = True
    mixes: ClassVar[bool] = False
    forgets: bool = True
    affine: ClassVar[bool] = True
    features: int
    check_finite: bool

    def __init__(self, features: int, **kwargs: Any) -> None:
        check_features(features)
        super().__init__(**kwargs)
        self.features = features
        self.check_finite = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "dynamics" in cls.__dict__ and "echoes" not in cls.__dict__:
            cls.echoes = True  # what was said of other equations does not hold

    @abc.abstractmethod
    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Any:
        """State at rest: a NamedTuple of tensors, batch first."""

    @abc.abstractmethod
    def coefficients(self, dtype: torch.dtype) -> Any:
        """All that `dynamics` reads of the parameters, computed once for a sequence."""

    @abc.abstractmethod
    def dynamics(
        self, x: Tensor, state: Any, c: Any, time: TimeAxis
    ) -> tuple[tuple[Any, ...], Any]:
        """The model's equations, once: ``(outputs, state)`` on any time axis. Pure.

        A static method is also traced, into a kernel that does a whole sequence at once, where all
        that it uses are arithmetic and the functions of `phc_snn.numerics`.

        The tensors of the new state are those that the operations of ``time`` return, or the given
        ones unchanged: some time axes return a whole trajectory there.
        """

    def step(self, x_t: Tensor, state: Any = None) -> Any:
        """One time step: ``x_t`` (B, N) -> the outputs, each (B, N), and the new state.

        Without a state the sequence starts at rest. The given state is not changed.

        Raises:
            TypeError: Input that is not a floating-point tensor; a state of another kind or dtype.
            ValueError: A wrong shape, a state of another batch size or device, NaN or Inf.
        """
        return self._run(x_t, state, OneStep())

    def scan(self, x_seq: Tensor, state: Any = None, *, backend: str = "auto") -> Any:
        """A whole sequence: ``x_seq`` (T, B, N) -> outputs, each (T, B, N), and the final state.

        Equal to `step` in a loop: in float32 and float64 in every bit with the ``"numba"`` and
        ``"reference"`` backends of `phc_snn.affine_scan` (on a CPU the default), to rounding with
        ``"associative"`` and in half precision, which a scan computes in float32.

        Raises:
            TypeError, ValueError: As `step`.
        """
        return self._run(x_seq, state, WholeSequence(backend))

    def _run(self, x: Tensor, state: Any, time: TimeAxis) -> Any:
        one_step = isinstance(time, OneStep)
        name, dims = ("x_t", ("B", "N")) if one_step else ("x_seq", ("T", "B", "N"))
        check_input(name, x, dims, self.features, batch_size(state))
        resting = self.initial_state(x.shape[-2], device=x.device, dtype=x.dtype)
        if state is not None:
            check_state(state, resting)
        if self.check_finite:
            check_finite(name, x)
        stage = self.stage(self.coefficients(x.dtype), state or resting)
        outputs, _, (state,) = run_stages([stage], x, time)
        return (*outputs, state)

    def stage(self, coefficients: Any, state: Any) -> Stage:
        """This model as a link of a chain."""
        return Stage(self.dynamics, coefficients, state)
