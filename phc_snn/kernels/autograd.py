"""A kernel as one operation of autograd."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phc_snn.checks import is_transformed
from phc_snn.cotangents import cotangents_of
from phc_snn.kernels.arrays import Inputs
from phc_snn.kernels.graph import UntraceableError
from phc_snn.kernels.parts import Parts, Template
from phc_snn.kernels.trace import Stage

Composed = Callable[[Tensor, Any, list[Stage], Any], tuple[list[Tensor], list[Any]]]
"""Input, what drives the next sweep, stages and weights -> results and the stages' new states, in
tensor operations."""


@dataclass(frozen=True)
class Call:
    """What is computed, without any tensor."""

    kernel: Any
    template: Template
    composed: Composed

    def forward(
        self, x: Tensor, driven: Tensor | None, parts: Parts, *, keep: bool, trajectory: bool
    ) -> tuple[Any, list[Tensor]]:
        """What the kernel gives, and the new queues."""
        inputs = self.inputs(x, driven, parts)
        out = self.kernel.forward(inputs, keep=keep, trajectory=trajectory)
        queues = []
        for line, queue in zip(out.sent, parts.queues, strict=True):
            depth = queue.shape[1]
            if trajectory:  # the queue after step t is the stretch of the line that ends there
                queues.append(line.unfold(0, depth, 1)[1:].movedim(-1, 2))
            else:
                queues.append(line[len(x) :].transpose(0, 1).clone())
        return out, queues

    def inputs(self, x: Tensor, driven: Tensor | None, parts: Parts) -> Inputs:
        weight = parts.matrices[0] if parts.matrices else None
        leads = self.template.lead(parts)
        return Inputs(x, parts.states, parts.queues, leads, parts.coefficients, weight, driven)


def apply(
    call: Call,
    x: Tensor,
    parts: Parts,
    *,
    driven: Tensor | None = None,
    trajectory: bool = False,
) -> tuple[list[Tensor], list[Any], tuple[Tensor, ...]]:
    """Results, the new states of the stages, and what a sweep changed."""
    found = run(call, x, parts, driven, trajectory=trajectory)
    results = len(call.kernel.program.outputs)
    states = results + len(parts.states)
    queues_end = states + len(parts.queues)
    after = call.template.states(found[results:states], found[states:queues_end])
    return found[:results], after, tuple(found[queues_end:])


def run(
    call: Call, x: Tensor, parts: Parts, driven: Tensor | None, *, trajectory: bool = False
) -> list[Tensor]:
    """Results, new states, new queues, and what a sweep changed, one behind the other."""
    flat = parts.flat
    given = (x, *flat) if driven is None else (x, driven, *flat)
    if any(map(is_transformed, given)):
        if trajectory:
            raise UntraceableError("the states after every step under a transform of torch.func")
        return list(_Mapped.apply(call, x, driven, *flat))
    records = torch.is_grad_enabled() and any(t.requires_grad for t in given)
    if records and trajectory:
        raise UntraceableError("the gradient of the states after every step")
    if records:
        return list(_Run.apply(call, x, driven, *flat))
    out, queues = call.forward(x, driven, parts, keep=False, trajectory=trajectory)
    return [*out.results, *out.states, *queues, *out.progress]


class _Mapped(torch.autograd.Function):
    """A kernel under ``torch.vmap``: see `phc_snn.kernels.mapped`."""

    @staticmethod
    def forward(call: Call, x: Tensor, driven: Tensor | None, *flat: Tensor) -> Any:
        raise UntraceableError("a transform of torch.func other than vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        raise AssertionError("there is no output")

    @staticmethod
    def vmap(
        info: Any,
        in_dims: Sequence[int | None],
        call: Call,
        x: Tensor,
        driven: Tensor | None,
        *flat: Tensor,
    ) -> Any:
        from phc_snn.kernels.mapped import run_mapped

        return run_mapped(call, (x, driven, *flat), in_dims[1:], info.batch_size)


class _Run(torch.autograd.Function):
    """A kernel, with the gradient of the steps that it took."""

    @staticmethod
    def forward(ctx: Any, call: Call, x: Tensor, driven: Tensor | None, *flat: Tensor) -> Any:
        parts = call.template.sort(flat)
        out, queues = call.forward(x, driven, parts, keep=True, trajectory=False)
        ctx.call = call
        found = (*out.results, *out.states, *queues)
        needs = call.template.sort(ctx.needs_input_grad[3:])
        each = (tuple(kind) for kind in (needs.states, needs.queues, needs.coefficients))
        wanted = (*ctx.needs_input_grad[1:3], *each, any(needs.matrices))
        constant = call.kernel.program.constant_results(wanted)
        ctx.mark_non_differentiable(*(found[i] for i in constant), *out.progress)
        current = [out.results[-1]] if call.kernel.program.current is not None else []
        ctx.save_for_backward(x, *flat, out.kept, *current, *out.sent)
        ctx.set_materialize_grads(False)
        return (*found, *out.progress)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        call: Call = ctx.call
        program = call.kernel.program
        x, *rest = ctx.saved_tensors
        count = sum(call.template.counts)
        flat, (kept, *saved) = rest[:count], rest[count:]
        if torch.is_grad_enabled():
            # It is one term of a sum: its values are no matter.
            drives = program.driven is not None
            driven = x.detach().new_zeros(()).expand(x.shape) if drives else None
            needed = ctx.needs_input_grad[1:]
            return None, *_by_operations(call, x, driven, flat, grads, needed)
        parts = call.template.sort(flat)
        current = saved.pop(0) if program.current is not None else None
        results = len(program.outputs)
        states = results + len(parts.states)
        queues = states + len(parts.queues)
        found = call.kernel.backward(
            call.inputs(x, None, parts),
            saved,
            kept,
            current,
            grads[:results],
            grads[results:states],
            grads[states:queues],
        )
        weight = [] if found.weight is None else [found.weight]
        none = [None] * len(parts.leads)
        gradients = [*found.states, *found.queues, *found.coefficients, *weight, *none]
        return (
            None,
            found.x,
            # What follows is a sum, so the cotangent of its one term is its own.
            grads[results - 1] if ctx.needs_input_grad[2] else None,
            *(
                g.sum_to_size(t.shape).to(t.dtype) if needed else None
                for g, t, needed in zip(gradients, flat, ctx.needs_input_grad[3:], strict=True)
            ),
        )


def _by_operations(
    call: Call,
    x: Tensor,
    driven: Tensor | None,
    flat: list[Tensor],
    grads: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Cotangents that can be differentiated again: through tensor operations."""
    # Each a node of its own: they may hang on one another, and what leads from one to another is
    # the outer graph's to follow.
    x, *flat = (t.view_as(t) for t in (x, *flat))
    driven = driven if driven is None else driven.requires_grad_()
    stages, weights = call.template.fill(call.template.sort(flat))
    results, states = call.composed(x, driven, stages, weights)
    after = Template(
        [stage._replace(state=new) for stage, new in zip(stages, states, strict=True)]
    ).take_parts()
    outputs = [*results, *after.states, *after.queues]
    grads = grads[: len(outputs)]
    wanted = [t for t, n in zip((x, driven, *flat), needed, strict=True) if n and t is not None]
    found = iter(cotangents_of(outputs, wanted, grads, create_graph=True))
    return [next(found) if n else None for n in needed]
