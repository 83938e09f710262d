"""Kernels for tensors: whether there is one, and its autograd."""

import inspect
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from phc_snn.kernels.arrays import Inputs
from phc_snn.kernels.graph import UntraceableError
from phc_snn.kernels.parts import Parts, Template
from phc_snn.kernels.program import Program, chain, network
from phc_snn.kernels.trace import Stage, is_delay, shape, signature
from phc_snn.scan.affine import uncompiled

_DTYPES = (torch.float32, torch.float64)


def elementwise(name: str, x: Tensor) -> Tensor:
    """A function of `phc_snn.numerics` on a CPU tensor of float32 or float64."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    _elementwise(name, x.dtype)(x.detach().reshape(-1).numpy(), out.view(-1).numpy())
    return out


@cache
def _elementwise(name: str, dtype: torch.dtype) -> Callable[[Any, Any], None]:
    from phc_snn.kernels import build
    from phc_snn.kernels.cpu_source import elementwise_source

    module = build.load(elementwise_source(name, dtype), name)
    return cast(Callable[[Any, Any], None], module.apply)


@uncompiled
def run_chain(
    stages: Sequence[Stage], x: Tensor, axis: Any, *, trajectory: bool = False
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], list[Any]]:
    """Stages one behind the other over a sequence (T, B, N).

    Args:
        stages: The models.
        x: Input of the first.
        axis: A `phc_snn.process.TimeAxis` of the same bits, for second derivatives.
        trajectory: Return the states after every step; no gradient.

    Returns:
        Outputs of the first stage, outputs of the last, and the new state of each.

    Raises:
        UntraceableError: No kernel computes this.
    """
    call, parts = _chain_call(stages, x, axis)
    results, states = _apply(call, x, parts, trajectory)
    traced = call.kernel.program.stages
    first = tuple(results[: len(traced[0].outputs)])
    return first, tuple(results[-len(traced[-1].outputs) :]), states


def chain_refusal(stages: Sequence[Stage], x: Tensor) -> str | None:
    """Why no kernel computes what `run_chain` would; None if one does."""
    try:
        _chain_call(stages, x, None)
    except UntraceableError as reason:
        return str(reason)
    return None


def _chain_call(stages: Sequence[Stage], x: Tensor, axis: Any) -> tuple["_Call", Parts]:
    if all(map(is_delay, stages)):
        raise UntraceableError("nothing to compute")
    key = tuple(signature(stage) for stage in stages)
    template = Template(stages)
    parts = template.take_parts()
    _check(x, parts)
    kernel = _kernel(key, x, lambda: chain(stages))
    ends = {0, len(stages) - 1}

    def composed(x: Tensor, stages: list[Stage], weights: Any) -> tuple[list[Tensor], list[Any]]:
        signal, results, states = x, list[Tensor](), []
        for i, stage in enumerate(stages):
            outputs, state = stage.dynamics(signal, stage.state, stage.coefficients, axis)
            signal = outputs[0]
            results += outputs if i in ends else ()
            states.append(state)
        return results, states

    return _Call(kernel, template, composed), parts


Composed = Callable[[Tensor, list[Stage], Any], tuple[list[Tensor], list[Any]]]
"""Input, stages and weights -> results and the stages' new states, in tensor operations."""


@uncompiled
def run_network(
    neuron: Stage,
    synapses: Sequence[Stage],
    cut: int,
    connectome: Any,
    weights: Any,
    x: Tensor,
    composed: Composed,
) -> tuple[list[Tensor], Any, tuple[Any, ...]]:
    """A recurrent network step by step over a sequence (T, B, N), as `phc_snn.circuit.Circuit.run`.

    Args:
        neuron: The neurons.
        synapses: The processes along the axons, in order.
        cut: Which of them is the delay that lets a step be known ahead.
        connectome: Has ``transmit``, which reads the ``weights``.
        weights: Its coefficients.
        x: Drive times input.
        composed: The same in tensor operations, for second derivatives. Its stages are the neuron
            and the synapses; its results spikes, voltage and current.

    Returns:
        Spikes, voltage and current; the new state of the neuron, and of each synaptic process.

    Raises:
        UntraceableError: No kernel computes this.
    """
    call, parts = _network_call(neuron, synapses, cut, connectome, weights, x, composed)
    results, states = _apply(call, x, parts, False)
    after_delay, *rest = states
    place = len(synapses) - cut - 1  # of the neuron, behind the processes behind the delay
    return results, rest[place], (*rest[place + 1 :], after_delay, *rest[:place])


def network_refusal(
    neuron: Stage, synapses: Sequence[Stage], cut: int, connectome: Any, weights: Any, x: Tensor
) -> str | None:
    """Why no kernel computes what `run_network` would; None if one does."""
    try:
        _network_call(neuron, synapses, cut, connectome, weights, x, _nothing)
    except UntraceableError as reason:
        return str(reason)
    return None


def _nothing(x: Tensor, stages: list[Stage], weights: Any) -> tuple[list[Tensor], list[Any]]:
    raise NotImplementedError


def _network_call(
    neuron: Stage,
    synapses: Sequence[Stage],
    cut: int,
    connectome: Any,
    weights: Any,
    x: Tensor,
    composed: Composed,
) -> tuple["_Call", Parts]:
    if not synapses or not is_delay(synapses[cut]):
        raise UntraceableError("no delay")
    if not isinstance(inspect.getattr_static(type(connectome), "transmit"), staticmethod):
        raise UntraceableError("a connectome whose `transmit` is no static method")
    kind: Any = type(connectome)
    key = (cut, kind, shape(weights), *map(signature, (neuron, *synapses)))
    ahead, delay, behind = synapses[:cut], synapses[cut], synapses[cut + 1 :]
    # In the order of the program; its first port is the delay.
    template = Template([delay, *behind, neuron, *ahead], weights)
    parts = template.take_parts()
    if len(parts.matrices) > 1:
        raise UntraceableError("a connectome of several matrices")
    _check(x, parts)
    kernel = _kernel(
        (*key, *template.counts),
        x,
        lambda: network(neuron, ahead, delay, behind, connectome.transmit, weights),
    )
    place = len(behind) + 1  # of the neuron

    def reordered(x: Tensor, stages: list[Stage], weights: Any) -> tuple[list[Tensor], list[Any]]:
        first, *rest = stages
        natural = [rest[place - 1], *rest[place:], first, *rest[: place - 1]]
        results, states = composed(x, natural, weights)
        return results, [states[cut + 1], *states[cut + 2 :], states[0], *states[1 : cut + 1]]

    return _Call(kernel, template, reordered), parts


# --- whether there is a kernel ------------------------------------------------------------------

_found: dict[Hashable, Any] = {}
"""Kernels that were made, and for what has none the reason."""


def _kernel(key: Hashable, x: Tensor, trace: Callable[[], Program]) -> Any:
    """The kernel of a program, made at its first use; raises `UntraceableError`."""
    key = (key, x.dtype, x.device.type)
    known = _found.get(key)
    if known is None:
        try:
            known = _kernels(x.device.type)(trace(), x.dtype)
        except UntraceableError as reason:
            known = str(reason)
        _found[key] = known
    if isinstance(known, str):
        raise UntraceableError(known)
    return known


def _kernels(device: str) -> Callable[[Program, torch.dtype], Any]:
    """What makes kernels for a device; their libraries are loaded at the first use."""
    if device == "cpu":
        from phc_snn.kernels import cpu

        return cpu.Kernel
    try:
        from phc_snn.kernels import gpu
    except ImportError as error:
        raise UntraceableError(f"no Triton ({error})") from error
    return gpu.Kernel


def _check(x: Tensor, parts: Parts) -> None:
    """Raise `UntraceableError` for tensors that no kernel takes."""
    if x.device.type not in ("cpu", "cuda"):
        raise UntraceableError(f"tensors on {x.device}")
    if x.dtype not in _DTYPES:
        raise UntraceableError(f"{x.dtype}")
    for tensor in (x, *parts.flat):
        if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            raise UntraceableError("a transform of torch.func")
        if tensor.is_floating_point() and (tensor.dtype != x.dtype or tensor.device != x.device):
            raise UntraceableError("tensors of several dtypes or devices")


# --- autograd -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Call:
    """What is computed, without any tensor."""

    kernel: Any
    template: Template
    composed: Composed

    def forward(
        self, x: Tensor, parts: Parts, *, keep: bool, trajectory: bool
    ) -> tuple[Any, list[Tensor]]:
        """What the kernel gives, and the new queues."""
        out = self.kernel.forward(self.inputs(x, parts), keep=keep, trajectory=trajectory)
        queues = []
        for line, queue in zip(out.sent, parts.queues, strict=True):
            depth = queue.shape[1]
            if trajectory:  # the queue after step t is the stretch of the line that ends there
                queues.append(line.unfold(0, depth, 1)[1:].movedim(-1, 2))
            else:
                queues.append(line[len(x) :].transpose(0, 1).clone())
        return out, queues

    def inputs(self, x: Tensor, parts: Parts) -> Any:
        weight = parts.matrices[0] if parts.matrices else None
        leads = self.template.lead(parts)
        return Inputs(x, parts.states, parts.queues, leads, parts.coefficients, weight)


def _apply(
    call: _Call, x: Tensor, parts: Parts, trajectory: bool
) -> tuple[list[Tensor], list[Any]]:
    """Results, and the new states of the stages."""
    flat = parts.flat
    records = torch.is_grad_enabled() and any(t.requires_grad for t in (x, *flat))
    if records and trajectory:
        raise UntraceableError("the gradient of the states after every step")
    if records:
        found = list(_Run.apply(call, x, *flat))
    else:
        out, queues = call.forward(x, parts, keep=False, trajectory=trajectory)
        found = [*out.results, *out.states, *queues]
    states = len(found) - len(parts.queues)
    results = states - len(parts.states)
    return found[:results], call.template.states(found[results:states], found[states:])


class _Run(torch.autograd.Function):
    """A kernel, with the gradient of the steps that it took."""

    @staticmethod
    def forward(ctx: Any, call: _Call, x: Tensor, *flat: Tensor) -> Any:
        parts = call.template.sort(flat)
        out, queues = call.forward(x, parts, keep=True, trajectory=False)
        ctx.call = call
        found = (*out.results, *out.states, *queues)
        needs = call.template.sort(ctx.needs_input_grad[2:])
        each = (tuple(kind) for kind in (needs.states, needs.queues, needs.coefficients))
        wanted = (ctx.needs_input_grad[1], *each, any(needs.matrices))
        constant = call.kernel.program.constant_results(wanted)
        ctx.mark_non_differentiable(*(found[i] for i in constant))
        current = [out.results[-1]] if call.kernel.program.current is not None else []
        ctx.save_for_backward(x, *flat, out.kept, *current, *out.sent)
        ctx.set_materialize_grads(False)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> Any:
        call: _Call = ctx.call
        x, *rest = ctx.saved_tensors
        count = sum(call.template.counts)
        flat, (kept, *saved) = rest[:count], rest[count:]
        if torch.is_grad_enabled():
            return None, *_by_operations(call, x, flat, grads, ctx.needs_input_grad[1:])
        parts = call.template.sort(flat)
        current = saved.pop(0) if call.kernel.program.current is not None else None
        results = len(grads) - len(parts.states) - len(parts.queues)
        states = results + len(parts.states)
        found = call.kernel.backward(
            call.inputs(x, parts),
            saved,
            kept,
            current,
            grads[:results],
            grads[results:states],
            grads[states:],
        )
        weight = [] if found.weight is None else [found.weight]
        none = [None] * len(parts.leads)
        gradients = [*found.states, *found.queues, *found.coefficients, *weight, *none]
        return (
            None,
            found.x,
            *(
                g.sum_to_size(t.shape).to(t.dtype) if needed else None
                for g, t, needed in zip(gradients, flat, ctx.needs_input_grad[2:], strict=True)
            ),
        )


def _by_operations(
    call: _Call,
    x: Tensor,
    flat: list[Tensor],
    grads: Sequence[Tensor | None],
    needed: Sequence[bool],
) -> list[Tensor | None]:
    """Cotangents that can be differentiated again: through tensor operations."""
    stages, weights = call.template.fill(call.template.sort(flat))
    results, states = call.composed(x, stages, weights)
    after = Template(
        [stage._replace(state=new) for stage, new in zip(stages, states, strict=True)]
    ).take_parts()
    outputs = [*results, *after.states, *after.queues]
    pairs = [
        (output, g)
        for output, g in zip(outputs, grads, strict=True)
        if g is not None and output.requires_grad
    ]
    wanted = [t for t, n in zip((x, *flat), needed, strict=True) if n]
    if not pairs:
        return [None] * len(needed)
    found = iter(
        torch.autograd.grad(
            [output for output, _ in pairs],
            wanted,
            [g for _, g in pairs],
            create_graph=True,
            allow_unused=True,
        )
    )
    return [next(found) if n else None for n in needed]
