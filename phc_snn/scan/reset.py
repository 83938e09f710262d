"""The leaky recurrence with a reset: a spike feeds back into the membrane of its own neuron.

Given the resets the recurrence is affine, but each of them follows from the potential before it,
so no scan finds them at once. One lane is one loop over time; lanes (batch times neurons) are
parallel. `reset_step` is the definition; the compiled loop has the same bits, and the gradient is
that of `reset_step` taken over and over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from phc_snn.checks import is_transformed
from phc_snn.scan.affine import BACKENDS, check_backend, delayed, uncompiled
from phc_snn.scan.reference import Number, affine_step
from phc_snn.surrogate import heaviside

ResetMechanism = Literal["none", "subtract", "zero"]
Fire = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Reset:
    """What a spike does to the membrane of its neuron, as snnTorch has it.

    Args:
        mechanism: ``"subtract"`` takes the threshold away, ``"zero"`` sets to zero, ``"none"``
            does nothing.
        delayed: Act in the step after the spike, and let no gradient through (snnTorch's
            ``reset_delay=True``); else in the step of the spike, with the surrogate's gradient.
        with_input: ``"zero"`` takes the input of the step after the spike too, as in snnTorch's
            ``RLeaky``, ``Synaptic`` and ``RSynaptic``; else only what was there before it.

    Raises:
        ValueError: An unknown mechanism; ``with_input`` with another mechanism than ``"zero"``.
    """

    mechanism: ResetMechanism = "none"
    delayed: bool = True
    with_input: bool = False

    def __post_init__(self) -> None:
        if self.mechanism not in get_args(ResetMechanism):
            raise ValueError(
                f"reset_mechanism: got {self.mechanism!r}, expected one of "
                f"{get_args(ResetMechanism)}"
            )
        if self.with_input and self.mechanism != "zero":
            raise ValueError(
                f"reset_input: got True with reset_mechanism={self.mechanism!r}, expected 'zero'"
            )


def reset_step(
    decay: Number, b: Tensor, threshold: Number, membrane: Tensor, fire: Fire, reset: Reset
) -> tuple[Tensor, Tensor]:
    """One step: the voltage that is compared with the threshold, and the membrane it leaves.

    Operations and their order are those of snnTorch. ``fire`` turns voltage minus threshold into
    spikes; it is asked only where a spike acts in its own step.
    """
    before = heaviside(membrane - threshold).detach()
    if reset.mechanism == "subtract":
        voltage = affine_step(decay, membrane, b) - before * threshold
    elif reset.with_input:
        voltage = affine_step(decay, membrane, b)
        voltage = voltage - before * voltage
    else:
        voltage = affine_step(decay, (1.0 - before) * membrane, b)
    if reset.delayed:
        return voltage, voltage
    # A membrane that was left above the threshold has been reset above; not twice.
    acting = fire(voltage - threshold) - before
    taken = threshold if reset.mechanism == "subtract" else voltage
    return voltage, voltage - acting * taken


@uncompiled
def reset_scan(
    decay: Tensor,
    b: Tensor,
    threshold: Tensor,
    initial: Tensor,
    fire: Fire,
    reset: Reset,
    *,
    backend: str = "auto",
) -> tuple[Tensor, Tensor]:
    """`reset_step` over a whole sequence, the same bits.

    Args:
        decay: (N,).
        b: Input (T, B, N).
        threshold: (N,).
        initial: Membrane before the first step (B, N).
        fire: Voltage minus threshold -> spikes; a Heaviside step with a surrogate gradient. One
            that is not known to be `Emit.elementwise`, and whose spikes act in their own step, is
            called in each step of the readable loop. So are all under ``torch.func``'s transforms.
        reset: What a spike does.
        backend: As `affine_scan`: ``"auto"`` and ``"sequential"`` take the compiled loop where it
            runs, else the readable one.

    Returns:
        Voltage and membrane after each step, each (T, B, N). Once differentiable in ``decay``,
        ``b``, ``threshold`` and ``initial``.

    Raises:
        ValueError: A backend that is parallel over time, or one that does not take this input.
    """
    inputs = (decay, b, threshold, initial)
    # In its own step a spike acts as ``fire`` has it, which the compiled loop has to know.
    known = reset.delayed or getattr(fire, "elementwise", False)
    if backend == "numba" and not known:
        raise ValueError(
            f"backend 'numba' does not take the spike function {fire}, which is not known to be a "
            "step value by value; use backend='auto'"
        )
    transformed = any(map(is_transformed, inputs))
    if not _runs_compiled(backend, b) or not known or transformed or not len(b):
        return _loop(*inputs, fire, reset)
    if torch.is_grad_enabled() and any(t.requires_grad for t in inputs):
        traced: tuple[Tensor, Tensor] = _Traced.apply(*inputs, fire, reset)
        return traced
    return _compiled(*inputs, reset)


def _runs_compiled(backend: str, b: Tensor) -> bool:
    check_backend(backend)
    from phc_snn.scan import compiled

    reason = compiled.refusal(b, b, b[0]) if len(b) else None
    if backend == "numba" and reason is not None:
        raise ValueError(f"backend 'numba' does not take {reason}; use backend='auto'")
    if backend in set(BACKENDS) - {"numba", "reference"}:
        raise ValueError(
            f"backend {backend!r} is parallel over time, which a reset does not allow; use "
            "backend='auto'"
        )
    return backend != "reference" and reason is None and not b.is_complex()


def _loop(
    decay: Tensor, b: Tensor, threshold: Tensor, initial: Tensor, fire: Fire, reset: Reset
) -> tuple[Tensor, Tensor]:
    """The oracle."""
    voltages, membranes = [], []
    membrane = initial
    for b_t in b.unbind(0):
        voltage, membrane = reset_step(decay, b_t, threshold, membrane, fire, reset)
        voltages.append(voltage)
        membranes.append(membrane)
    if not voltages:
        return b, b
    return torch.stack(voltages), torch.stack(membranes)


def _compiled(
    decay: Tensor, b: Tensor, threshold: Tensor, initial: Tensor, reset: Reset
) -> tuple[Tensor, Tensor]:
    from phc_snn.scan.compiled import as_lanes, reset_lanes

    voltage = torch.empty(b.shape, dtype=b.dtype)
    membrane = voltage if reset.delayed else torch.empty_like(voltage)
    if b.numel():
        lanes = b.shape[1:]
        reset_lanes(
            as_lanes(decay[None], 1, lanes)[0],
            as_lanes(b, len(b), lanes),
            as_lanes(threshold[None], 1, lanes)[0],
            as_lanes(initial[None], 1, lanes)[0],
            voltage.reshape(len(b), -1).numpy(),
            membrane.reshape(len(b), -1).numpy(),
            reset.mechanism == "subtract",
            reset.with_input,
            reset.delayed,
        )
    return voltage, membrane


class _Traced(torch.autograd.Function):
    """The compiled loop, with the gradient of the steps that it took.

    Backward all steps are evaluated at once, each from the membrane that it started from. Their
    derivative by that membrane carries the cotangents back through time: one scan.
    """

    @staticmethod
    def forward(
        decay: Tensor,
        b: Tensor,
        threshold: Tensor,
        initial: Tensor,
        fire: Fire,
        reset: Reset,
    ) -> tuple[Tensor, Tensor]:
        voltage, membrane = _compiled(decay, b, threshold, initial, reset)
        return voltage, membrane.clone() if membrane is voltage else membrane

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.fire, ctx.reset = inputs
        ctx.save_for_backward(*tensors, output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from phc_snn.scan import compiled

        grad_voltage, grad_membrane = grads
        *inputs, membrane = ctx.saved_tensors
        with torch.enable_grad():
            decay, b, threshold, initial = (t.detach().requires_grad_() for t in inputs)
            before = delayed(membrane, initial.expand(membrane.shape[1:])[None], reverse=False)
            start = before.detach().requires_grad_()
            voltage, after = reset_step(decay, b, threshold, start, ctx.fire, ctx.reset)
        # Lanes do not mix and each step is by itself here, so one product holds every derivative.
        (along,) = torch.autograd.grad(after, start, torch.ones_like(after), retain_graph=True)
        (aside,) = torch.autograd.grad(voltage, start, grad_voltage, retain_graph=True)
        nothing = torch.zeros_like(membrane[:1])
        later, beside = (delayed(x, nothing, reverse=True) for x in (along, aside))
        adjoint = compiled.scan(later, beside + grad_membrane, nothing[0], True)
        found = torch.autograd.grad(
            (voltage, after), (decay, b, threshold), (grad_voltage, adjoint), allow_unused=True
        )
        grad_initial = (along[0] * adjoint[0] + aside[0]).sum_to_size(initial.shape)
        return (*found, grad_initial, None, None)
