"""The time axes on which equations are read: one step, a whole sequence, a trajectory.

Legend as in `phc_snn.process`: T time steps, B batch, N neurons; time first, (T, B, N).
"""

from collections.abc import Callable
from typing import ClassVar, Protocol, TypeVar

import torch
from torch import Tensor

from phc_snn.scan import affine_scan
from phc_snn.scan.pair import Matrix, Pair, pair_loop, pair_scan
from phc_snn.scan.reference import Number
from phc_snn.scan.reset import Fire, Reset, reset_scan
from phc_snn.scan.single import SingleStep
from phc_snn.state import map_state

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
