"""Kernels for tensors: which one, and whether there is one."""

import inspect
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from phc_snn.checks import is_batched, is_transformed
from phc_snn.kernels.autograd import Call, apply
from phc_snn.kernels.graph import UntraceableError
from phc_snn.kernels.parts import Parts, Template
from phc_snn.kernels.program import Program, chain, network, sweep
from phc_snn.kernels.trace import Stage, is_delay, shape, signature
from phc_snn.scan.affine import uncompiled

_DTYPES = (torch.float32, torch.float64)


@uncompiled
def run_chain(
    stages: Sequence[Stage], x: Tensor, axis: Any, *, trajectory: bool = False
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], list[Any]]:
    """Stages one behind the other over a sequence (T, B, N).

    Args:
        stages: The models.
        x: Input of the first.
        axis: A `phc_snn.axes.TimeAxis` of the same bits, for second derivatives.
        trajectory: Return the states after every step; no gradient.

    Returns:
        Outputs of the first stage, outputs of the last, and the new state of each.

    Raises:
        UntraceableError: No kernel computes this.
    """
    kernel, template, parts = _of_chain(stages, x)

    def composed(
        x: Tensor, _driven: None, stages: list[Stage], _weights: Any
    ) -> tuple[list[Tensor], list[Any]]:
        first, last, states = _in_turn(stages, x, axis)
        return [*first, *(last if len(stages) > 1 else ())], states

    call = Call(kernel, template, composed)
    results, states, _ = apply(call, x, parts, trajectory=trajectory)
    traced = kernel.program.stages
    first = tuple(results[: len(traced[0].outputs)])
    return first, tuple(results[-len(traced[-1].outputs) :]), states


def _in_turn(
    stages: Sequence[Stage], x: Tensor, axis: Any
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...], list[Any]]:
    """As `run_chain`, in tensor operations."""
    first: tuple[Tensor, ...] | None = None
    last: tuple[Tensor, ...] = (x,)
    states = []
    for stage in stages:
        last, state = stage.dynamics(last[0], stage.state, stage.coefficients, axis)
        first = last if first is None else first
        states.append(state)
    return first or last, last, states


class Recurrent(NamedTuple):
    """A recurrent network.

    Attributes:
        neuron: The neurons.
        synapses: The processes along the axons, in order.
        cut: Which of them is the delay that lets a step be known ahead.
        connectome: Has ``transmit``, which reads the ``weights``.
        weights: Its coefficients.
    """

    neuron: Stage
    synapses: Sequence[Stage]
    cut: int
    connectome: Any
    weights: Any


@uncompiled
def run_network(
    network: Recurrent,
    x: Tensor,
    composed: Callable[[Tensor, list[Stage], Any], tuple[list[Tensor], list[Any]]],
) -> tuple[list[Tensor], Any, tuple[Any, ...]]:
    """A recurrent network step by step over a sequence (T, B, N), as `phc_snn.circuit.Circuit.run`.

    Args:
        network: The network.
        x: Drive times input.
        composed: The same in tensor operations, for second derivatives: of the input, the stages
            and the weights. Its stages are the neuron and the synapses; its results spikes, voltage
            and current.

    Returns:
        Spikes, voltage and current; the new state of the neuron, and of each synaptic process.

    Raises:
        UntraceableError: No kernel computes this.
    """
    kernel, template, parts = _of_network(network, x)
    cut = network.cut
    place = len(network.synapses) - cut  # of the neuron, among the stages of the program

    def reordered(
        x: Tensor, _driven: None, stages: list[Stage], weights: Any
    ) -> tuple[list[Tensor], list[Any]]:
        delay, *behind = stages[:place]
        natural = [stages[place], *stages[place + 1 :], delay, *behind]
        results, (neuron, *states) = composed(x, natural, weights)
        return results, [*states[cut:], neuron, *states[:cut]]

    results, states, _ = apply(Call(kernel, template, reordered), x, parts)
    return results, states[place], (*states[place + 1 :], *states[:place])


@uncompiled
def run_sweep(
    network: Recurrent, current: Tensor, driven: Tensor, axis: Any
) -> tuple[list[Tensor], list[Any], tuple[Tensor, ...]]:
    """One sweep over a recurrent network (T, B, N), as `phc_snn.circuit.Circuit.sweep`.

    Args:
        network: The network.
        current: Of the neurons.
        driven: Drive times input.
        axis: A `phc_snn.axes.TimeAxis` of the same bits, for second derivatives.

    Returns:
        Spikes, voltage, and the current that follows; the new states of the neuron and of each
        synaptic process; what `phc_snn.kernels.rows.compare` says of the two currents.

    Raises:
        UntraceableError: No kernel computes this.
    """
    kernel, template, parts = _of_sweep(network, current)
    transmit = network.connectome.transmit

    def composed(
        x: Tensor, driven: Tensor, stages: list[Stage], weights: Any
    ) -> tuple[list[Tensor], list[Any]]:
        fired, (signal, *_), states = _in_turn(stages, x, axis)
        return [*fired, transmit(signal, weights) + driven], states

    return apply(Call(kernel, template, composed), current, parts, driven=driven)


def chain_refusal(stages: Sequence[Stage], x: Tensor) -> str | None:
    """Why no kernel computes what `run_chain` would; None if one does."""
    return _refusal(lambda: _of_chain(stages, x))


def network_refusal(network: Recurrent, x: Tensor) -> str | None:
    """Why no kernel computes what `run_network` would; None if one does."""
    return _refusal(lambda: _of_network(network, x))


# --- whether there is a kernel ------------------------------------------------------------------


def _refusal(find: Callable[[], object]) -> str | None:
    try:
        find()
    except UntraceableError as reason:
        return str(reason)
    return None


def _of_chain(stages: Sequence[Stage], x: Tensor) -> tuple[Any, Template, Parts]:
    """The kernel for stages one behind the other, and the stages taken apart."""
    if all(map(is_delay, stages)):
        raise UntraceableError("nothing to compute")
    key = tuple(signature(stage) for stage in stages)
    template = Template(stages)
    parts = template.take_parts()
    _check(x, parts)
    return _kernel(key, x, lambda: chain(stages)), template, parts


def _of_network(given: Recurrent, x: Tensor) -> tuple[Any, Template, Parts]:
    """The kernel for a network, and its stages taken apart in the order of the program.

    First the delay, whose port is the first; then the processes behind it, the neuron, and the
    processes ahead of the delay.
    """
    neuron, synapses, cut, connectome, weights = given
    if not synapses or not is_delay(synapses[cut]):
        raise UntraceableError("no delay")
    key = (cut, *_network_key(given))
    ahead, delay, behind = synapses[:cut], synapses[cut], synapses[cut + 1 :]
    template, parts = _network_parts([delay, *behind, neuron, *ahead], weights, x)
    kernel = _kernel(
        (*key, *template.counts),
        x,
        lambda: network(neuron, ahead, delay, behind, connectome.transmit, weights),
    )
    if x.shape[-1] > kernel.largest:
        raise UntraceableError(f"a connectome of {x.shape[-1]} neurons in a kernel for a GPU")
    return kernel, template, parts


def _of_sweep(given: Recurrent, x: Tensor) -> tuple[Any, Template, Parts]:
    """The kernel for a sweep, and its stages taken apart."""
    neuron, synapses, _, connectome, weights = given
    stages = [neuron, *synapses]
    key = ("sweep", *_network_key(given))
    template, parts = _network_parts(stages, weights, x)
    kernel = _kernel(
        (*key, *template.counts), x, lambda: sweep(stages, connectome.transmit, weights)
    )
    return kernel, template, parts


def _network_key(given: Recurrent) -> tuple[Hashable, ...]:
    """What the program of a network hangs on."""
    transmit = given.connectome.transmit
    if inspect.ismethod(transmit):
        raise UntraceableError("a connectome whose `transmit` is no static method")
    kind: Any = type(given.connectome)
    return kind, shape(given.weights), *map(signature, (given.neuron, *given.synapses))


def _network_parts(stages: Sequence[Stage], weights: Any, x: Tensor) -> tuple[Template, Parts]:
    template = Template(stages, weights)
    parts = template.take_parts()
    if len(parts.matrices) > 1:
        raise UntraceableError("a connectome of several matrices")
    _check(x, parts)
    return template, parts


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
        if is_transformed(tensor) and not is_batched(tensor):
            raise UntraceableError("a transform of torch.func other than vmap")
        if tensor.is_floating_point() and (tensor.dtype != x.dtype or tensor.device != x.device):
            raise UntraceableError("tensors of several dtypes or devices")
