"""Sweeps over the whole sequence: Jacobi waveform relaxation (Chiang 2026, Algorithm 1)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from phc_snn.axes import WholeSequence
from phc_snn.checks import check_positive
from phc_snn.circuit import Circuit
from phc_snn.kernels import new_like
from phc_snn.scan import check_backend
from phc_snn.solution import PHCState, Solution
from phc_snn.solvers.base import Solver, progress, relative_change
from phc_snn.state import map_state, unmapped

Start = Literal["driven", "sensory"]


@dataclass(frozen=True)
class Jacobi(Solver):
    """Transmissions over the whole sequence at once, each sweep driven by the spikes of the last.

    Every sweep restarts from the same initial state. With k sweeps the first ``k * d`` steps are
    those of `Sequential`, always; the rest is an approximation whose change from sweep to sweep is
    in ``Solution.residuals``. The gradient is that of the sweeps, one after the other: memory
    grows with their number, and it is the gradient of `Sequential` only where they have settled.

    Args:
        sweeps: k, the number of sweeps (at most, with a tolerance). Default 4.
        tolerance: Stop a sample when its current changes by at most this, relative to the norm of
            its synaptic current (the Cauchy criterion, for each sample by itself). It certifies
            nothing: spikes can still be wrong. None (default): always all the sweeps.
        window: Solve in windows of this many steps, each from the final state of the one before;
            None (default) takes the whole sequence as one. With ``window <= sweeps * d`` the result
            is exact (from a ``"driven"`` start).
        start: The current of the first sweep. ``"driven"`` (default): drive times the input, as in
            the later sweeps. ``"sensory"``: the input alone, as published; with a drive other than
            1 the first sweep then solves another network, and exactness starts one sweep later.
        carry_state: Start each sweep from the state in which the one before it ended, as Eqs. 11
            and 12 of the paper read when taken to the letter (its Algorithm 1 does not). The end of
            the sequence then acts on its beginning, and no number of sweeps leads to `Sequential`;
            it is here to be measured. Default False.
        backend: Of the scans, as in `phc_snn.affine_scan`. ``"auto"`` (default) is the fastest;
            ``"sequential"`` has the bits of a step-by-step loop on any device.
    """

    sweeps: int = 4
    tolerance: float | None = None
    window: int | None = None
    start: Start = "driven"
    carry_state: bool = False
    backend: str = "auto"

    def __post_init__(self) -> None:
        check_positive("sweeps", self.sweeps)
        if self.window is not None:
            check_positive("window", self.window)
        if self.tolerance is not None and not self.tolerance >= 0:
            raise ValueError(f"tolerance: got {self.tolerance}, expected a number of at least 0")
        if self.start not in get_args(Start):
            raise ValueError(f"start: got {self.start!r}, expected one of {get_args(Start)}")
        check_backend(self.backend)

    def solve(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> Solution:
        if self.tolerance is not None and circuit.is_mapped(x_seq, state):
            raise ValueError(
                "solver: Jacobi with a tolerance decides by values, which are several under "
                "torch.vmap; use Jacobi without one, or Sequential"
            )
        if self.window is None or x_seq.shape[0] <= self.window:
            return self._solve_window(circuit, x_seq, state)
        windows: list[Solution] = []
        for chunk in torch.split(x_seq, self.window):
            windows.append(self._solve_window(circuit, chunk, state))
            state = windows[-1].state
        return _join(windows)

    def recordable(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> bool:
        return self.tolerance is None

    def relax(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> "Relaxation":
        """The sweeps over ``x_seq`` (T, B, N) from ``state``, to be taken one at a time."""
        return Relaxation(self, circuit, x_seq, state)

    def _solve_window(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> Solution:
        relaxation = self.relax(circuit, x_seq, state)
        batch = x_seq.shape[1]
        running = torch.arange(batch, device=x_seq.device)
        residuals = x_seq.new_full((self.sweeps, batch), torch.nan)
        finished: list[tuple[Tensor, Solution]] = []
        for k in range(1, self.sweeps + 1):
            result = relaxation.sweep()
            change = result.residuals[0]
            residuals[k - 1, running] = change
            last, stop = k == self.sweeps, None
            if self.tolerance is not None:  # a device is asked for a value only then
                stop = change <= self.tolerance
                result = replace(result, converged=stop)
                last = last or bool(stop.all())
            if last:
                finished.append((running, result))
                break
            if stop is not None and bool(stop.any()):
                finished.append((running[stop], _samples(result, stop)))
                running = running[~stop]
                relaxation.keep(~stop)
        return _reorder(finished, residuals[: int(k)])


class Relaxation:
    """Jacobi sweeps over one window, taken one at a time."""

    def __init__(self, solver: Jacobi, circuit: Circuit, x_seq: Tensor, state: PHCState) -> None:
        self._solver, self._circuit, self._state = solver, circuit, state
        self._time = WholeSequence(solver.backend)
        self._driven = circuit.driven(x_seq)
        # What is already under way in the synapses arrives whatever the neurons do now.
        synaptic = circuit.silent(x_seq, state, self._time)
        self._before: Tensor = _Continued.apply(self._driven, synaptic)
        same = solver.start == "driven" or circuit.drive == 1.0
        self._current: Tensor = self._before if same else _Continued.apply(x_seq, synaptic)
        self._sweeps = 0

    def sweep(self) -> Solution:
        """One more sweep; the solution that it gives, with this sweep's residual alone."""
        self._sweeps += 1
        circuit, state, time, current = self._circuit, self._state, self._time, self._current
        spikes, voltage, following, end, found = circuit.sweep(current, self._driven, state, time)
        length = len(current)
        if found is None:
            found = progress(following, current, self._driven)
        certified = found.equal
        if self._before is not current:
            found = progress(following, self._before, self._driven)
        change = relative_change(found, first=self._sweeps == 1)
        # Without a delay the equations can have several solutions: a fixed point proves nothing.
        if circuit.delay < 1 or (self._sweeps > 1 and self._solver.carry_state):
            certified = torch.zeros_like(certified)
        else:
            certified = certified.clamp(min=min(self._causal_steps(), length))
        self._before = self._current = following
        if self._solver.carry_state:
            self._state = end
        return Solution(
            spikes,
            voltage,
            current,
            end,
            sweeps=torch.full_like(certified, self._sweeps),
            certified_steps=certified,
            converged=certified == length,
            residuals=change[None],
            work=torch.full_like(certified, self._sweeps, dtype=torch.float64),
        )

    def keep(self, chosen: Tensor) -> None:
        """Go on with these samples (a mask) only."""
        self._state = map_state(lambda s: s[chosen], self._state)
        self._driven = self._driven[:, chosen]
        self._before = self._current = self._current[:, chosen]

    def _causal_steps(self) -> int:
        """The steps that are right after these sweeps by causality alone."""
        circuit = self._circuit
        detour = self._solver.start == "sensory" and circuit.drive != 1.0
        return circuit.delay * (self._sweeps - detour)


class _Continued(torch.autograd.Function):
    """``x`` (T, B, N) plus a current (steps, B, N) whose last row stays to the end."""

    @staticmethod
    def forward(x: Tensor, current: Tensor) -> Tensor:
        steps = len(current)
        out = new_like(x)
        torch.add(x[:steps], current, out=out[:steps])
        if steps < len(x):
            torch.add(x[steps:], current[-1], out=out[steps:])
        return out

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.steps = len(inputs[1])

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        (grad,) = grad_outputs
        if ctx.steps == len(grad):
            return grad, grad
        before, last = grad[: ctx.steps - 1], grad[ctx.steps - 1 :].sum(0, keepdim=True)
        return grad, torch.cat([before, last])

    @staticmethod
    def vmap(
        info: Any, in_dims: Sequence[int | None], x: Tensor, current: Tensor
    ) -> tuple[Tensor, int]:
        given = (
            unmapped(t, dim, 1, info.batch_size)
            for t, dim in zip((x, current), in_dims, strict=True)
        )
        return _Continued.apply(*given), 1


_TIME_FIRST = ("spikes", "voltage", "current")
_PER_SAMPLE = ("sweeps", "certified_steps", "converged", "work")


def _samples(solution: Solution, chosen: Tensor) -> Solution:
    """The part of ``solution`` for the chosen samples (a mask or indices); residuals stay whole."""
    values: dict[str, Any] = {
        **{name: getattr(solution, name)[:, chosen] for name in _TIME_FIRST},
        **{name: getattr(solution, name)[chosen] for name in _PER_SAMPLE},
        "state": map_state(lambda s: s[chosen], solution.state),
    }
    return replace(solution, **values)


def _reorder(finished: list[tuple[Tensor, Solution]], residuals: Tensor) -> Solution:
    """One solution of groups of samples that stopped at different sweeps, in the batch's order."""
    groups = [replace(solution, residuals=residuals) for _, solution in finished]
    if len(groups) == 1:
        return groups[0]
    values: dict[str, Any] = {
        **{n: torch.cat([getattr(g, n) for g in groups], dim=1) for n in _TIME_FIRST},
        **{n: torch.cat([getattr(g, n) for g in groups]) for n in _PER_SAMPLE},
        "state": map_state(lambda *parts: torch.cat(parts), *(g.state for g in groups)),
    }
    joined = replace(groups[0], **values)
    return _samples(joined, torch.cat([index for index, _ in finished]).argsort())


def _join(windows: list[Solution]) -> Solution:
    """One solution of windows that follow one another."""
    certified = torch.zeros_like(windows[0].certified_steps)
    unbroken = torch.ones_like(windows[0].converged)
    for window in windows:
        certified = certified + window.certified_steps * unbroken
        unbroken = unbroken & (window.certified_steps == window.spikes.shape[0])
    return Solution(
        spikes=torch.cat([w.spikes for w in windows]),
        voltage=torch.cat([w.voltage for w in windows]),
        current=torch.cat([w.current for w in windows]),
        state=windows[-1].state,
        sweeps=torch.stack([w.sweeps for w in windows]).amax(0),
        certified_steps=certified,
        converged=torch.stack([w.converged for w in windows]).all(0),
        residuals=torch.cat([w.residuals for w in windows]),
        work=torch.stack([w.work * len(w.spikes) for w in windows]).sum(0)
        / sum(len(w.spikes) for w in windows),
    )
