"""The backward half of `Exact`: the gradient of the sequential network from one recorded sweep.

The current of the sequential network solves ``I = F(I)``, with F one sweep: fire and transmit. Its
cotangent m, the gradient of a loss with respect to the current of every step, solves the transposed
equation ``m = g + F'(I)^T m``, in which g collects what the outputs contribute directly. A change
of the current acts on later steps only, so the system is triangular in time and sweeps solve it:
each adds the paths through one more transmission, and the solution is what backpropagation through
time computes. One recorded sweep serves all of them, and then carries m into the parameters; memory
does not grow with the sweeps.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phc_snn.axes import WholeSequence
from phc_snn.circuit import Circuit
from phc_snn.cotangents import cotangents_of
from phc_snn.solution import Adjoint, PHCState
from phc_snn.state import map_state, tensors

PATIENCE = 16
"""Sweeps after which what has not settled is propagated back step by step."""


@dataclass
class Rule:
    """When backward sweeps end: after ``sweeps``, or when none changes an element by ``tolerance``.

    ``tolerance`` None takes exactly ``sweeps``; otherwise samples that have not settled after them
    are stepped through.
    """

    sweeps: int
    tolerance: float | None


def record(
    circuit: Circuit,
    current: Tensor,
    driven: Tensor,
    state: PHCState,
    rule: Rule,
    report: Adjoint,
) -> tuple[Tensor, Tensor, Tensor, PHCState]:
    """Spikes, voltage, current and final state, differentiable in all that they hang on.

    Args:
        circuit: The network.
        current: (T, B, N), a solution.
        driven: (T, B, N), drive times input.
        state: Before the first step.
        rule: When the backward sweeps end.
        report: Filled in by the backward pass.
    """
    time = WholeSequence("sequential")
    given = current.detach().requires_grad_()
    given.register_post_accumulate_grad_hook(_forget_gradient)  # type: ignore[no-untyped-call]
    spikes, voltage, image, end, _ = circuit.sweep(given, driven, state, time)
    context = _Context(circuit, state, rule, report)
    spikes, voltage, current, *leaves = _Gate.apply(
        context, given, driven.detach(), image, spikes, voltage, *tensors(end)
    )
    remaining = iter(leaves)
    return spikes, voltage, current, map_state(lambda _: next(remaining), end)


def _forget_gradient(given: Tensor) -> None:
    # The gate has it already, and what a leaf is given it keeps as long as the graph lives.
    given.grad = None


@dataclass
class _Context:
    circuit: Circuit
    state: PHCState
    rule: Rule
    report: Adjoint


class _Gate(torch.autograd.Function):
    """Identity on the outputs of a recorded sweep, the solver of the adjoint on their cotangents.

    All cotangents pass here before any enters the recorded graph. So that of ``image``, which is
    the current that the sweep leads to, can be replaced by the solution m; the graph then carries
    it on to the parameters in its one traversal.
    """

    @staticmethod
    def forward(
        ctx: Any, context: _Context, given: Tensor, driven: Tensor, image: Tensor, *outputs: Tensor
    ) -> Any:
        ctx.context = context
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(given, driven, image, *outputs)
        # Detached: autograd takes an output that is one of the inputs for a view of it.
        spikes, voltage, *leaves = (output.detach() for output in outputs)
        # Where nothing is proved the image is not the current that drove the spikes.
        results = (spikes, voltage, given.detach().clone(), *leaves)
        sources = (outputs[0], outputs[1], image, *outputs[2:])
        ctx.mark_non_differentiable(
            *(r for r, s in zip(results, sources, strict=True) if not s.requires_grad)
        )
        return results

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        if torch.is_grad_enabled():
            raise NotImplementedError(
                "Exact gives first derivatives; for second ones (create_graph=True) use "
                "Sequential or Jacobi"
            )
        given, driven, image, *outputs = ctx.saved_tensors
        spikes, voltage, direct, *leaves = grads
        cotangents = [spikes, voltage, *leaves]
        solution = _solve(ctx.context, given, driven, image, outputs, direct, cotangents)
        return None, None, None, solution, *cotangents


def _solve(
    context: _Context,
    given: Tensor,
    driven: Tensor,
    image: Tensor,
    outputs: list[Tensor],
    direct: Tensor | None,
    cotangents: list[Tensor | None],
) -> Tensor:
    """m = g + F'(I)^T m."""
    batch, rule, report = given.shape[1], context.rule, context.report
    constant = _pull(outputs, given, cotangents)
    if direct is not None:
        constant = constant + direct
    solution = constant
    unsettled = torch.ones(batch, dtype=torch.bool, device=given.device)
    sweeps = torch.zeros(batch, dtype=torch.long, device=given.device)
    residual = torch.zeros(batch, dtype=given.dtype, device=given.device)
    for _ in range(rule.sweeps):
        refined = constant + _pull([image], given, [solution])
        change = _largest_change(refined, solution)
        sweeps += unsettled
        residual = torch.where(unsettled, change, residual)
        solution = torch.where(unsettled[:, None], refined, solution)
        if rule.tolerance is not None:
            unsettled = unsettled & ~(change <= rule.tolerance)  # NaN has not settled
        if not bool(unsettled.any()):
            break
    stepped = unsettled & (rule.tolerance is not None)
    if bool(stepped.any()):
        index = stepped.nonzero()[:, 0]
        exact = _step_back(context, given, driven, index, direct, cotangents)
        solution = solution.index_copy(1, index, exact)
        residual = residual.masked_fill(stepped, 0.0)
    report.sweeps, report.residual, report.stepped = sweeps, residual, stepped
    return solution


def _pull(outputs: list[Tensor], source: Tensor, cotangents: list[Tensor | None]) -> Tensor:
    """The cotangent of ``source``; the graph stays."""
    (found,) = cotangents_of(outputs, [source], cotangents, retain_graph=True)
    return torch.zeros_like(source) if found is None else found


def _largest_change(after: Tensor, before: Tensor) -> Tensor:
    """(B,) largest change of an element relative to itself.

    Each element by itself: one that is small beside others can be amplified further back in time.
    """
    change = (after - before).abs_()
    relative = torch.where(change == 0, 0.0, change / after.abs())
    return relative.amax(dim=(0, 2)) if relative.numel() else relative.new_zeros(after.shape[1])


def _step_back(
    context: _Context,
    given: Tensor,
    driven: Tensor,
    index: Tensor,
    direct: Tensor | None,
    cotangents: list[Tensor | None],
) -> Tensor:
    """m of the samples ``index``, by backpropagation through time in stretches.

    Each stretch is stepped through again with its graph, from a state noted on the way forward, so
    memory stays that of one stretch.
    """
    circuit = context.circuit.detach()
    length = len(given)
    size = max(circuit.block, math.isqrt(length))

    def of(x: Tensor | None, steps: slice) -> Tensor | None:
        return None if x is None else x[steps, index]

    state = map_state(lambda s: s.detach()[index], context.state)
    stretches = [slice(t, min(t + size, length)) for t in range(0, length, size)]
    states = [state]
    for steps in stretches[:-1]:
        *_, state = circuit.run(driven[steps, index], state, given.detach()[steps, index])
        states.append(state)
    spikes, voltage, *leaves = cotangents
    carried: list[Tensor | None] = [None if g is None else g[index] for g in leaves]
    solution = torch.empty_like(given[:, index])
    for steps, before in zip(reversed(stretches), reversed(states), strict=True):
        with torch.enable_grad():
            inputs = driven[steps, index].requires_grad_()
            before = map_state(lambda s: s.clone().requires_grad_(s.is_floating_point()), before)
            *values, after = circuit.run(inputs, before, given.detach()[steps, index])
        ends = [of(g, steps) for g in (spikes, voltage, direct)]
        found = cotangents_of(
            [*values, *tensors(after)], [inputs, *tensors(before)], [*ends, *carried]
        )
        solution[steps] = 0.0 if found[0] is None else found[0]
        carried = found[1:]
    return solution
