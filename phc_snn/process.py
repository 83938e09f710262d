"""What a `Process` is: a model that runs along time and never from one neuron to another.

A process states its equations once, in `Process.dynamics`, over an abstract time axis. On `OneStep`
the recurrence ``h = a h + b`` is one multiply-add; on `WholeSequence` it is one scan.
`Process.step` and `Process.scan` are these two readings of the same lines, so they cannot drift
apart.

Legend for the whole package: T time steps, B batch, N neurons; time first, (T, B, N).
"""

import abc
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, TypeVar

import torch
from torch import Tensor, nn

from phc_snn.checks import check_features, check_finite, check_input, check_state
from phc_snn.kernels import Stage, UntraceableError, run_chain
from phc_snn.scan import affine_scan
from phc_snn.scan.pair import Matrix, Pair, pair_loop, pair_scan
from phc_snn.scan.reference import Number
from phc_snn.scan.reset import Fire, Reset, reset_scan
from phc_snn.scan.single import SingleStep
from phc_snn.state import batch_size, map_state

S = TypeVar("S")
WalkStep = Callable[[Tensor, S], tuple[tuple[Tensor, ...], S]]
"""One time step: ``(x_t, state) -> (outputs, state)``."""


class TimeAxis(Protocol):
    """The operations that tell one time step from a sequence of them."""

    def recur(self, a: Number, b: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        """``h = a h + b`` from ``initial``: all values of ``h`` on this axis, and the last one."""
        ...

    def recur_pair(self, matrix: Matrix, drive: Pair, initial: Pair) -> tuple[Pair, Pair]:
        """`recur` for two states, joined by a 2 x 2 ``matrix`` that is the same in each step."""
        ...

    def recur_and_reset(
        self, a: Number, b: Tensor, threshold: Number, initial: Tensor, fire: Fire, reset: Reset
    ) -> tuple[Tensor, Tensor]:
        """`recur` with a spike that acts on ``h``: the voltages, and the last ``h``."""
        ...

    def walk(self, step: WalkStep[S], x: Tensor, state: S) -> tuple[tuple[Tensor, ...], S]:
        """``outputs, state = step(x_t, state)`` over and over, for what feeds back into itself.

        The step is a pure function of one step (B, N). Its outputs on this axis, and the last
        state, a NamedTuple of tensors.
        """
        ...

    def previous(self, h: Tensor, initial: Tensor) -> Tensor:
        """For each value of ``h`` the one before it; ``initial`` before the first."""
        ...

    def count(self, like: Tensor, initial: Tensor, by: int) -> tuple[Tensor, Tensor]:
        """A counter (B, N) of whole numbers that grows ``by`` so much in each step of ``like``.

        Its value before each step on this axis, and the last one. It wraps around at 64 bits.
        """
        ...

    def shift(self, x: Tensor, queue: Tensor, lead: Tensor | None) -> tuple[Tensor, Tensor]:
        """``x`` delayed by ``D - lead`` (N,) steps, fed from ``queue`` (B, D, N); the new queue.

        Without a ``lead`` all lanes have the delay D.
        """
        ...


class OneStep(SingleStep):
    """Time axis of a single step: values are (B, N)."""

    def shift(self, x: Tensor, queue: Tensor, lead: Tensor | None) -> tuple[Tensor, Tensor]:
        delayed, queue = WholeSequence("reference").shift(x[None], queue, lead)
        return delayed[0], queue


class WholeSequence:
    """Time axis of a sequence: values are (T, B, N), and a recurrence is one scan.

    Where a kernel computes whole models on this backend, `run_stages` takes that: the same bits.
    """

    trajectory: ClassVar[bool] = False

    def __init__(self, backend: str = "auto") -> None:
        self.backend = backend

    @property
    def fuses(self) -> bool:
        return self.backend in ("auto", "sequential", "numba")

    def recur(self, a: Number, b: Tensor, initial: Tensor) -> tuple[Tensor, Tensor]:
        h = affine_scan(_like(a, b), b, initial, backend=self.backend)
        return h, self._handed_on(h, initial)

    def recur_pair(self, matrix: Matrix, drive: Pair, initial: Pair) -> tuple[Pair, Pair]:
        # In steps where no kernel computes the whole model: see `run_stages`.
        if self.backend != "associative":
            self._take_steps("two states that drive one another", drive[0])
        run = pair_scan if self.backend == "associative" else pair_loop
        first, second = run(matrix, drive, initial)
        last = self._handed_on(first, initial[0]), self._handed_on(second, initial[1])
        return (first, second), last

    def recur_and_reset(
        self, a: Number, b: Tensor, threshold: Number, initial: Tensor, fire: Fire, reset: Reset
    ) -> tuple[Tensor, Tensor]:
        voltage, h = reset_scan(
            _like(a, b), b, _like(threshold, b), initial, fire, reset, backend=self.backend
        )
        return voltage, self._handed_on(h, initial)

    def walk(self, step: WalkStep[S], x: Tensor, state: S) -> tuple[tuple[Tensor, ...], S]:
        # Reached where no kernel computes the whole model: see `run_stages`.
        self._take_steps("what feeds back from step to step", x)
        if not len(x):
            outputs, _ = step(x.new_empty(x.shape[1:]), state)
            return tuple(y.new_empty((0, *y.shape)) for y in outputs), state
        initial = state
        rows, states = [], []
        for x_t in x.unbind(0):
            outputs, state = step(x_t, state)
            rows.append(outputs)
            states.append(state)
        outputs = tuple(map(torch.stack, zip(*rows, strict=True)))
        if not self.trajectory:
            return outputs, state
        return outputs, map_state(lambda _, *path: torch.stack(path), initial, *states)

    def _take_steps(self, what: str, x: Tensor) -> None:
        """Refuse a backend by name that does not do steps one after the other."""
        if x.numel() and self.backend not in ("auto", "sequential", "reference"):
            known = {"numba": " (no kernel)", "associative": " (parallel over time)"}
            raise ValueError(
                f"backend {self.backend!r} does not take {what}{known.get(self.backend, '')}; "
                "use backend='auto'"
            )

    def _handed_on(self, h: Tensor, initial: Tensor) -> Tensor:
        """What becomes of ``h`` (T, B, N) in the state: its last value.

        A copy: a view would keep the whole sequence in memory for as long as the state lives.
        """
        return h[-1].clone() if h.shape[0] else initial

    def previous(self, h: Tensor, initial: Tensor) -> Tensor:
        return torch.cat([initial[None], h])[:-1]

    def count(self, like: Tensor, initial: Tensor, by: int) -> tuple[Tensor, Tensor]:
        steps = torch.arange(len(like) + 1, device=initial.device).reshape(-1, 1, 1)
        values = initial + by * steps
        return values[:-1], self._handed_on(values[1:], initial)

    def shift(self, x: Tensor, queue: Tensor, lead: Tensor | None) -> tuple[Tensor, Tensor]:
        if queue.shape[1] == 0:
            return x, queue
        timeline = torch.cat([queue.transpose(0, 1), x])
        return arrivals(timeline, lead, len(x)), timeline[len(x) :].transpose(0, 1).clone()


def _like(value: Number, x: Tensor) -> Tensor:
    return value if isinstance(value, Tensor) else x.new_tensor(value)


class Trajectory(WholeSequence):
    """As `WholeSequence`, but the states that it hands on are those after every step.

    Their tensors have time in front, (T, B, ...), so that a run can be taken up again from any of
    its steps.
    """

    trajectory = True

    def _handed_on(self, h: Tensor, initial: Tensor) -> Tensor:
        return h

    def shift(self, x: Tensor, queue: Tensor, lead: Tensor | None) -> tuple[Tensor, Tensor]:
        longest = queue.shape[1]
        if longest == 0:
            return x, queue.expand(len(x), *queue.shape)
        timeline = torch.cat([queue.transpose(0, 1), x])
        # A view: the queue after step t is the stretch of the timeline that ends there.
        queues = timeline.unfold(0, longest, 1)[1:].movedim(-1, 2)
        return arrivals(timeline, lead, len(x)), queues


def arrivals(timeline: Tensor, lead: Tensor | None, steps: int) -> Tensor:
    """What arrives in ``steps`` steps, of a timeline that starts D steps before them.

    Without new signals, (D, B, N), as many steps are known as the shortest delay has.
    """
    if lead is None:
        return timeline[:steps]
    index = torch.arange(steps, device=timeline.device)[:, None, None] + lead
    return timeline.gather(0, index.expand(steps, *timeline.shape[1:]))


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
