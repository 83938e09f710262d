"""How the loop of a `PHC` is closed over time.

`Sequential` goes through time step by step and is the network that is deployed (Gauss-Seidel in
time). `Jacobi` transmits over the whole sequence at once, several times (waveform relaxation; the
Multi-Transmission Loop of Chiang 2026). `Exact` does that until its result is proved to be
Sequential's, spike for spike.

Why that can be proved. With a delay d >= 1 the current of a step depends only on spikes at least d
steps earlier, so a sweep that starts from a current which is right on its first p steps gives one
which is right on its first p + d. And where a sweep reproduces the current it was given, bit for
bit, that current satisfies the network's equations there; by causality they have one solution.
"""

import abc
import math
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from phc_snn import numerics
from phc_snn.phc import Circuit, PHCState, Solution
from phc_snn.process import OneStep, WholeSequence
from phc_snn.scan import affine_scan
from phc_snn.state import map_state

Start = Literal["driven", "sensory"]


class Solver(abc.ABC):
    """Turns a `Circuit` and its input into a `Solution`."""

    @abc.abstractmethod
    def solve(self, circuit: Circuit, x_seq: Tensor, state: PHCState, at_rest: bool) -> Solution:
        """Solve for ``x_seq`` (T, B, N) from ``state``; ``at_rest``: it is the resting one."""


@dataclass(frozen=True)
class Sequential(Solver):
    """One time step after the other: the recurrent network as it is deployed.

    Without a synaptic delay (d = 0) a spike acts in its own step. The step is then iterated, at
    most ``transmissions`` times (Chiang 2026, Algorithm 1); as the spike is discontinuous, it may
    have no fixed point, which ``Solution.converged`` tells.

    Args:
        transmissions: Iterations inside one step, for d = 0 only. Default 4.
    """

    transmissions: int = 4

    def __post_init__(self) -> None:
        _positive("transmissions", self.transmissions)

    def solve(self, circuit: Circuit, x_seq: Tensor, state: PHCState, at_rest: bool) -> Solution:
        length, batch = x_seq.shape[:2]
        settled = torch.ones(batch, dtype=torch.bool, device=x_seq.device)
        outputs: tuple[list[Tensor], ...] = ([], [], [])
        # unbind, not x_seq[t]: the backward of an index is a tensor as long as the sequence.
        for x_t in x_seq.unbind(0):
            *values, fixed, state = self._advance(circuit, x_t, state)
            for kept, value in zip(outputs, values, strict=True):
                kept.append(value)
            settled = settled if fixed is None else settled & fixed
        spikes, voltage, current = (
            torch.stack(kept) if kept else torch.zeros_like(x_seq) for kept in outputs
        )
        whole = torch.full((batch,), length, device=x_seq.device)
        return Solution(
            spikes,
            voltage,
            current,
            state,
            sweeps=torch.ones_like(whole),
            certified_steps=whole,
            converged=settled,
            residuals=x_seq.new_zeros(0, batch),
        )

    def advance(
        self, circuit: Circuit, x_t: Tensor, state: PHCState
    ) -> tuple[Tensor, Tensor, Tensor, PHCState]:
        """One step: spikes, voltage and current (B, N), and the new state."""
        spikes, voltage, current, _, state = self._advance(circuit, x_t, state)
        return spikes, voltage, current, state

    def _advance(
        self, circuit: Circuit, x_t: Tensor, state: PHCState
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None, PHCState]:
        driven = circuit.drive * x_t
        time = OneStep()
        if circuit.delay > 0:
            synaptic, behind = circuit.receive(state)
            current = synaptic + driven
            spikes, voltage, neuron = circuit.fire(current, state, time)
            synapses = circuit.send(spikes, state, behind)
            return spikes, voltage, current, None, PHCState(neuron, synapses)
        following = driven
        for _ in range(self.transmissions):
            current = following
            spikes, voltage, neuron = circuit.fire(current, state, time)
            synaptic, synapses = circuit.transmit(spikes, state, time)
            following = synaptic + driven
        fixed = (following == current).all(-1)
        return spikes, voltage, current, fixed, PHCState(neuron, synapses)


@dataclass(frozen=True)
class Jacobi(Solver):
    """Transmissions over the whole sequence at once, each sweep driven by the spikes of the last.

    Every sweep restarts from the same initial state. With k sweeps the first ``k * d`` steps are
    those of `Sequential`, always; the rest is an approximation whose change from sweep to sweep is
    in ``Solution.residuals``.

    Args:
        sweeps: k, the number of sweeps (at most, with a tolerance). Default 4.
        tolerance: Stop a sample when its synaptic current changes by less than this, relative to
            its norm (the Cauchy criterion, for each sample by itself). It certifies nothing: spikes
            can still be wrong. None (default): always all the sweeps.
        window: Solve in windows of this many steps, each from the final state of the one before;
            None (default) takes the whole sequence as one. With ``window <= sweeps * d`` the result
            is exact.
        start: The current of the first sweep. ``"driven"`` (default): drive times the input, as in
            the later sweeps. ``"sensory"``: the input alone, as published; with a drive other than
            1 the first sweep then solves another network, and exactness starts one sweep later.
    """

    sweeps: int = 4
    tolerance: float | None = None
    window: int | None = None
    start: Start = "driven"

    def __post_init__(self) -> None:
        _positive("sweeps", self.sweeps)
        if self.window is not None:
            _positive("window", self.window)
        if self.tolerance is not None and not self.tolerance >= 0:
            raise ValueError(f"tolerance: got {self.tolerance}, expected a number of at least 0")
        if self.start not in get_args(Start):
            raise ValueError(f"start: got {self.start!r}, expected one of {get_args(Start)}")

    def solve(self, circuit: Circuit, x_seq: Tensor, state: PHCState, at_rest: bool) -> Solution:
        if self.window is None or x_seq.shape[0] <= self.window:
            return self._solve_window(circuit, x_seq, state, at_rest)
        windows: list[Solution] = []
        for chunk in torch.split(x_seq, self.window):
            windows.append(self._solve_window(circuit, chunk, state, at_rest and not windows))
            state = windows[-1].state
        return _join(windows)

    def _solve_window(
        self, circuit: Circuit, x_seq: Tensor, state: PHCState, at_rest: bool
    ) -> Solution:
        time = WholeSequence()
        batch = x_seq.shape[1]
        driven = circuit.drive * x_seq
        # What is already under way in the synapses arrives whatever the neurons do now.
        pending = None if at_rest else circuit.transmit(torch.zeros_like(x_seq), state, time)[0]
        current = driven if self.start == "driven" else x_seq
        if pending is None:
            synaptic = torch.zeros_like(x_seq)
        else:
            synaptic, current = pending, pending + current
        running = torch.arange(batch, device=x_seq.device)
        residuals = x_seq.new_full((self.sweeps, batch), torch.nan)
        finished: list[tuple[Tensor, Solution]] = []
        for k in range(1, self.sweeps + 1):
            before = synaptic
            spikes, voltage, neuron = circuit.fire(current, state, time)
            synaptic, synapses = circuit.transmit(spikes, state, time)
            following = synaptic + driven
            change = _relative_change(synaptic, before, first=k == 1)
            residuals[k - 1, running] = change
            certified = _leading_steps(following == current)
            result = Solution(
                spikes,
                voltage,
                current,
                PHCState(neuron, synapses),
                sweeps=torch.full_like(certified, k),
                certified_steps=certified,
                converged=(
                    certified == x_seq.shape[0]
                    if self.tolerance is None
                    else change < self.tolerance
                ),
                residuals=residuals,
            )
            current = following
            stop = result.converged & (self.tolerance is not None)
            if k == self.sweeps or bool(stop.all()):
                finished.append((running, result))
                break
            if bool(stop.any()):
                finished.append((running[stop], _samples(result, stop)))
                go = ~stop
                running, state = running[go], map_state(lambda s, go=go: s[go], state)
                current, driven, synaptic = current[:, go], driven[:, go], synaptic[:, go]
        return _reorder(finished, residuals[: int(k)])


@dataclass(frozen=True)
class Exact(Solver):
    """Sweeps until the result is proved equal to `Sequential`, spike for spike.

    A sample is finished when its certificate covers the sequence: the sweep reproduced its current
    bit for bit up to the last d steps, which that sweep made right. At most ``ceil(T / d) + 1``
    sweeps are needed; contractive networks take a handful. What is proved is not swept again.

    The gradient is that of `Sequential` (backpropagation through time with the surrogate
    derivatives): the adjoint of the loop is a linear system, triangular in time in the same way,
    and the same sweeps run backwards solve it. Memory does not grow with the number of sweeps,
    forward or backward.

    The result keeps the step's order of operations, so spikes, voltages and states equal those of
    `Sequential` in every bit on the same device.

    Args:
        max_sweeps: Give up after so many; ``Solution.converged`` is then False for samples that are
            not proved. None (default): go on until they are.
        adjoint_tolerance: The adjoint sweeps of a sample stop when the change at every time step is
            at most this, relative to the largest cotangent of that step. Default 1e-6.

    Raises:
        ValueError: On solving, for a network without a delay (d = 0): a spike would act in the step
            that it is fired in, and as spikes are discontinuous that step may have no solution, or
            several.
    """

    max_sweeps: int | None = None
    adjoint_tolerance: float = 1e-6

    def __post_init__(self) -> None:
        if self.max_sweeps is not None:
            _positive("max_sweeps", self.max_sweeps)
        if not self.adjoint_tolerance >= 0:
            raise ValueError(
                f"adjoint_tolerance: got {self.adjoint_tolerance}, expected a number of at least 0"
            )

    def solve(self, circuit: Circuit, x_seq: Tensor, state: PHCState, at_rest: bool) -> Solution:
        if circuit.delay < 1:
            raise ValueError(
                "Exact needs a synaptic delay of at least 1 step, the network has d = 0: a spike "
                "would act within its own step, which may then have no solution or several; put a "
                "Delay(N, steps=1) among the synapses, or use Sequential or Jacobi"
            )
        time = WholeSequence("sequential")
        driven = circuit.drive * x_seq
        with torch.no_grad():
            current, sweeps, certified, residuals = self._sweep(circuit, driven, state, time)
        if torch.is_grad_enabled() and circuit.requires_grad(driven, state):
            current = self._with_gradient(circuit, current, driven, state, time)
        spikes, voltage, neuron = circuit.fire(current, state, time)
        _, synapses = circuit.transmit(spikes, state, time)
        return Solution(
            spikes,
            voltage,
            current,
            PHCState(neuron, synapses),
            sweeps=sweeps,
            certified_steps=certified,
            converged=certified == x_seq.shape[0],
            residuals=residuals,
        )

    def _sweep(
        self, circuit: Circuit, driven: Tensor, state: PHCState, time: WholeSequence
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The current of the sequential network, sweeps and certified steps (B,), residuals."""
        length, batch = driven.shape[:2]
        synaptic, _ = circuit.transmit(torch.zeros_like(driven), state, time)
        current = synaptic + driven
        certified = torch.full((batch,), min(circuit.delay, length), device=driven.device)
        sweeps = torch.zeros_like(certified)
        residuals: list[Tensor] = []
        running = torch.arange(batch, device=driven.device)
        start = 0  # what lies before is proved for every running sample, and `state` is its end
        for k in count(1):
            running_on = certified[running] < length
            state = map_state(lambda s, on=running_on: s[on], state)
            synaptic = synaptic[:, running_on]
            running = running[running_on]
            if len(running) == 0 or (self.max_sweeps is not None and k > self.max_sweeps):
                break
            proved = int(certified[running].min())
            state = self._end_of(circuit, current[start:proved, running], state, time)
            synaptic, start = synaptic[proved - start :], proved
            given = current[start:, running]
            before = synaptic
            spikes, _, _ = circuit.fire(given, state, time)
            synaptic, _ = circuit.transmit(spikes, state, time)
            following = synaptic + driven[start:, running]
            reproduced = start + _leading_steps(following == given)
            current[start:, running] = following
            certified[running] = (reproduced + circuit.delay).clamp(max=length)
            sweeps[running] = k
            residual = driven.new_full((batch,), torch.nan)
            residual[running] = _relative_change(synaptic, before, first=k == 1)
            residuals.append(residual)
        return (
            current,
            sweeps,
            certified,
            torch.stack(residuals) if residuals else driven.new_zeros(0, batch),
        )

    @staticmethod
    def _end_of(
        circuit: Circuit, current: Tensor, state: PHCState, time: WholeSequence
    ) -> PHCState:
        """The state after ``current``."""
        spikes, _, neuron = circuit.fire(current, state, time)
        return PHCState(neuron, circuit.transmit(spikes, state, time)[1])

    def _with_gradient(
        self,
        circuit: Circuit,
        current: Tensor,
        driven: Tensor,
        state: PHCState,
        time: WholeSequence,
    ) -> Tensor:
        """``current`` as a differentiable function of input, initial state and parameters.

        ``current`` solves I = F(I, theta). One application of F carries the partial derivatives in
        theta; the cotangent that reaches it is first replaced by the solution of
        ``l = g + (dF/dI)^T l``, which adds the paths through all other time steps.
        """
        given = current.detach().requires_grad_()
        spikes, _, _ = circuit.fire(given, state, time)
        image = circuit.transmit(spikes, state, time)[0] + driven
        limit = math.ceil(current.shape[0] / circuit.delay) + 1

        def solve_adjoint(grad: Tensor) -> Tensor:
            if torch.is_grad_enabled():
                raise NotImplementedError(
                    "Exact gives first derivatives; for second ones (create_graph=True) use "
                    "Sequential or Jacobi"
                )
            solution = grad
            unsettled = torch.ones(grad.shape[1], dtype=torch.bool, device=grad.device)
            for _ in range(limit):
                (pulled,) = torch.autograd.grad(image, given, solution, retain_graph=True)
                refined = grad + pulled
                # At every time step by itself: what is small at one can be amplified before it.
                change = (refined - solution).abs().amax(-1)
                size = refined.abs().amax(-1)
                solution = torch.where(unsettled[:, None], refined, solution)
                unsettled = unsettled & (change > self.adjoint_tolerance * size).any(0)
                if not bool(unsettled.any()):
                    break
            return solution

        # Equal to `current` in value also where max_sweeps ended the sweeps early.
        attached = current + (image - image.detach())
        attached.register_hook(solve_adjoint)  # type: ignore[no-untyped-call]
        return attached


def solver_to_dict(solver: Solver) -> dict[str, Any]:
    """A solver as JSON values: its class name and its settings."""
    return {"name": type(solver).__name__, **asdict(solver)}  # type: ignore[call-overload]


def solver_from_dict(content: dict[str, Any]) -> Solver:
    """The solver that `solver_to_dict` described."""
    kinds = {kind.__name__: kind for kind in (Sequential, Jacobi, Exact)}
    settings = dict(content)
    name = settings.pop("name", None)
    if name not in kinds:
        raise ValueError(f"solver: got {name!r}, expected one of {sorted(kinds)}")
    try:
        return kinds[name](**settings)
    except TypeError as error:
        raise ValueError(f"solver: {name} does not take these settings: {error}") from error


def _positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: got {value!r}, expected a positive integer")


@torch.no_grad()
def _relative_change(after: Tensor, before: Tensor, *, first: bool) -> Tensor:
    """(B,) norm of the change relative to the norm of ``after``, over time and neurons.

    Nothing that stays nothing has converged, except in the first sweep, before which no neuron
    fired.
    """
    change, size = _norm(after - before), _norm(after)
    silent = torch.full_like(size, torch.inf if first else 0.0)
    return torch.where((change == 0) & (size == 0), silent, change / size)


def _norm(x: Tensor) -> Tensor:
    """(B,) Euclidean norm over time and neurons, summed in an order that no batch can change."""
    rows = numerics.linear(x.square(), x.new_ones(1, x.shape[-1]))[..., 0]
    if rows.shape[0] == 0:
        return rows.new_zeros(rows.shape[1])
    return affine_scan(rows.new_ones(()), rows, backend="sequential")[-1].sqrt()


def _leading_steps(equal: Tensor) -> Tensor:
    """(B,) number of leading steps on which all neurons are equal; ``equal`` is (T, B, N)."""
    return equal.all(-1).long().cumprod(0).sum(0)


_TIME_FIRST = ("spikes", "voltage", "current")
_PER_SAMPLE = ("sweeps", "certified_steps", "converged")


def _samples(solution: Solution, chosen: Tensor) -> Solution:
    """The part of ``solution`` for the chosen samples (a mask or indices); residuals stay whole."""
    return replace(
        solution,
        **{name: getattr(solution, name)[:, chosen] for name in _TIME_FIRST},
        **{name: getattr(solution, name)[chosen] for name in _PER_SAMPLE},
        state=map_state(lambda s: s[chosen], solution.state),
    )


def _reorder(finished: list[tuple[Tensor, Solution]], residuals: Tensor) -> Solution:
    """One solution of groups of samples that stopped at different sweeps, in the batch's order."""
    groups = [replace(solution, residuals=residuals) for _, solution in finished]
    if len(groups) == 1:
        return groups[0]
    joined = replace(
        groups[0],
        **{n: torch.cat([getattr(g, n) for g in groups], dim=1) for n in _TIME_FIRST},
        **{n: torch.cat([getattr(g, n) for g in groups]) for n in _PER_SAMPLE},
        state=map_state(lambda *parts: torch.cat(parts), *(g.state for g in groups)),
    )
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
    )
