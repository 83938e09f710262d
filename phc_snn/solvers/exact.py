"""Sweeps until the result is proved to be the sequential one; and its true gradient."""

import math
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from phc_snn.checks import check_positive
from phc_snn.circuit import Circuit, PHCState, Solution
from phc_snn.process import WholeSequence
from phc_snn.solvers.base import Solver, leading_steps, relative_change
from phc_snn.state import map_state


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
        adjoint_tolerance: The adjoint sweeps of a sample stop when no element changes by more than
            this relative to itself. Default 1e-6; 0 sweeps until nothing changes any more.

    Raises:
        ValueError: On solving, for a network without a delay (d = 0): a spike would act in the step
            that it is fired in, and as spikes are discontinuous that step may have no solution, or
            several. Input of another dtype than float32 and float64.
    """

    max_sweeps: int | None = None
    adjoint_tolerance: float = 1e-6

    def __post_init__(self) -> None:
        if self.max_sweeps is not None:
            check_positive("max_sweeps", self.max_sweeps)
        if not self.adjoint_tolerance >= 0:
            raise ValueError(
                f"adjoint_tolerance: got {self.adjoint_tolerance}, expected a number of at least 0"
            )

    def solve(self, circuit: Circuit, x_seq: Tensor, state: PHCState) -> Solution:
        if circuit.delay < 1:
            raise ValueError(
                "Exact needs a synaptic delay of at least 1 step, the network has d = 0: a spike "
                "would act within its own step, which may then have no solution or several; put a "
                "Delay(N, steps=1) among the synapses, or use Sequential or Jacobi"
            )
        if x_seq.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"Exact proves bits, and {x_seq.dtype} rounds a state differently in a step and "
                "in a scan; pass x.float(), or use Jacobi"
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
            reproduced = start + leading_steps(following == given)
            current[start:, running] = following
            certified[running] = (reproduced + circuit.delay).clamp(max=length)
            sweeps[running] = k
            residual = driven.new_full((batch,), torch.nan)
            residual[running] = relative_change(synaptic, before, first=k == 1)
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
                found: tuple[Tensor | None, ...] = torch.autograd.grad(
                    image, given, solution, retain_graph=True, allow_unused=True
                )
                pulled = found[0]
                if pulled is None:  # spikes without a surrogate: nothing flows back in time
                    break
                refined = grad + pulled
                # Each element by itself: one that is small can be amplified further back in time.
                allowed = self.adjoint_tolerance * refined.abs()
                moving = ((refined - solution).abs() > allowed).any(-1).any(0)
                solution = torch.where(unsettled[:, None], refined, solution)
                unsettled = unsettled & moving
                if not bool(unsettled.any()):
                    break
            return solution

        # Equal to `current` in value also where max_sweeps ended the sweeps early.
        attached = current + (image - image.detach())
        attached.register_hook(solve_adjoint)  # type: ignore[no-untyped-call]
        return attached
