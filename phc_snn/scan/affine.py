"""`affine_scan`: validation, dispatch to a backend, and the autograd of the scan.

The backward of a scan is a scan in the other direction, so one mechanism serves both, and a second
derivative needs nothing new.
"""

import sys
from collections.abc import Callable, Sequence
from functools import cache, wraps
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar, cast

import torch
from torch import Tensor

from phc_snn.checks import needs_a_node
from phc_snn.state import unmapped


class Backend(Protocol):
    """What a backend module provides. A new backend is one file and one line in `BACKENDS`.

    ``scan(a, b, h0, reverse)`` gets tensors of one dtype: ``b`` (T, ...), ``a`` (T or 1, ...) that
    broadcasts to it and ``h0`` (...) of exactly ``b.shape[1:]``; with ``reverse`` time runs from
    the last step to the first. ``ADJOINT`` names the backend that solves its backward pass.
    """

    ADJOINT: str

    def refusal(self, a: Tensor, b: Tensor, h0: Tensor) -> str | None: ...
    def scan(self, a: Tensor, b: Tensor, h0: Tensor, reverse: bool) -> Tensor: ...


BACKENDS: dict[str, str] = {
    "reference": "phc_snn.scan.reference",
    "associative": "phc_snn.scan.associative",
    "log": "phc_snn.scan.log",
    "numba": "phc_snn.scan.compiled",
    "triton": "phc_snn.scan.triton",
    "triton_sequential": "phc_snn.scan.triton_sequential",
}
"""Backend name -> module, imported on first use."""

F = TypeVar("F", bound=Callable[..., Any])


def uncompiled(function: F) -> F:
    """Keep ``torch.compile`` out: the backends bring loops of their own, compiled by others.

    Loading the compiler takes seconds, so it is asked only where it is loaded already.
    """

    @cache
    def disabled() -> F:
        return cast(F, torch.compiler.disable(function))  # type: ignore[no-untyped-call]

    @wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        loaded = "torch._dynamo" in sys.modules
        return (disabled() if loaded else function)(*args, **kwargs)

    return cast(F, guarded)


_ORDERED = ("reference", "numba", "triton_sequential")
"""Backends that do the operations of a step in the order of the steps."""

_HALF = (torch.bfloat16, torch.float16)


def refusal_beside(device: str, place: str, b: Tensor) -> str | None:
    """What a backend that runs on one kind of device, ``place``, lacks for ``b``; or None."""
    if b.device.type != device:
        return f"tensors on {b.device} (it runs on {place})"
    return None if b.dtype in _NUMBERS else f"{b.dtype}"


_NUMBERS = (torch.float32, torch.float64, torch.complex64, torch.complex128)


def _load(name: str) -> Backend:
    return cast(Backend, import_module(BACKENDS[name]))


def check_backend(request: str) -> None:
    """Refuse what is not the name of a backend."""
    names = ("auto", "sequential", *BACKENDS)
    if request not in names:
        known = ", ".join(map(repr, names))
        raise ValueError(f"backend: got {request!r}, expected one of {known}")


def _choose(request: str, b: Tensor) -> str:
    """Resolve ``"auto"`` (the fastest) and ``"sequential"`` (the fastest with the step's bits)."""
    check_backend(request)
    if request in BACKENDS:
        return request
    if b.device.type == "cpu":
        return "numba"
    if b.device.type == "cuda" and _has_triton():
        return "triton_sequential" if request == "sequential" else "triton"
    return "reference" if request == "sequential" else "associative"


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def keeps_order(request: str, b: Tensor) -> bool:
    """Whether this backend has the bits of a step-by-step loop on tensors like ``b``."""
    return _choose(request, b) in _ORDERED and b.dtype not in _HALF


class _AffineScan(torch.autograd.Function):
    """``h[t] = a[t] h[t-1] + b[t]``; transposed, ``l[t] = conj(a[t+1]) l[t+1] + g[t]``."""

    @staticmethod
    def forward(a: Tensor, b: Tensor, h0: Tensor, backend: str, reverse: bool) -> Tensor:
        return _load(backend).scan(a, b, h0, reverse)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        a, _, h0, ctx.backend, ctx.reverse = inputs
        # The states are needed for the gradient of the coefficients alone.
        ctx.save_for_backward(a, h0, output if ctx.needs_input_grad[0] else None)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (grad,) = grad_outputs
        a, h0, h = ctx.saved_tensors
        if grad.shape[0] == 0:
            return torch.zeros_like(a), grad, torch.zeros_like(h0), None, None
        if ctx.backend == "numba" and not torch.is_grad_enabled():
            from phc_snn.scan import compiled

            with_a = ctx.needs_input_grad[0]
            found = compiled.adjoint(a, h, h0, grad, ctx.reverse, with_a)
            grad_a = found[0].sum_to_size(a.shape) if found[0] is not None else None
            return grad_a, found[1], found[2], None, None
        a = a.conj().resolve_conj()
        coefficient = a if a.shape[0] == 1 else delayed(a, a[:1], reverse=not ctx.reverse)
        adjoint = _AffineScan.apply(
            coefficient, grad, torch.zeros_like(h0), _load(ctx.backend).ADJOINT, not ctx.reverse
        )
        grad_a = grad_h0 = None
        if ctx.needs_input_grad[0]:
            before = delayed(h, h0[None], ctx.reverse)
            grad_a = (adjoint * before.conj()).sum_to_size(a.shape)
        if ctx.needs_input_grad[2]:
            first = -1 if ctx.reverse else 0
            grad_h0 = a[first] * adjoint[first]
        return grad_a, adjoint, grad_h0, None, None

    @staticmethod
    def vmap(
        info: Any,
        in_dims: Sequence[int | None],
        a: Tensor,
        b: Tensor,
        h0: Tensor,
        backend: str,
        reverse: bool,
    ) -> tuple[Tensor, int]:
        # Lanes know nothing of one another: what is mapped over is more of them.
        a = a.unsqueeze(1) if in_dims[0] is None else a.movedim(in_dims[0], 1)
        b = unmapped(b, in_dims[1], 1, info.batch_size)
        h0 = unmapped(h0, in_dims[2], 0, info.batch_size)
        return _AffineScan.apply(a, b, h0, backend, reverse), 1


def delayed(x: Tensor, initial: Tensor, reverse: bool) -> Tensor:
    """``x`` moved by one step in the direction of time, ``initial`` (1, ...) moving in."""
    return torch.cat([x[1:], initial]) if reverse else torch.cat([initial, x[:-1]])


@uncompiled
def affine_scan(a: Tensor, b: Tensor, h0: Tensor | None = None, *, backend: str = "auto") -> Tensor:
    """All states of the recurrence ``h[t] = a[t] * h[t-1] + b[t]``, elementwise, at once.

    Args:
        a: Coefficients; broadcasts to ``b`` by the usual rules. A tensor with fewer dimensions than
            ``b``, or with a leading 1, is constant over time and is never expanded over it.
        b: Input, time first: ``(T, ...)``, any trailing shape. Real or complex; float32 and float64
            are computed as they are, bfloat16 and float16 in float32 and rounded once at the end.
        h0: State before the first step, broadcasts to ``b.shape[1:]``; zeros by default.
        backend: ``"auto"`` takes the fastest for the device. ``"sequential"`` takes the fastest
            whose bits are those of a step-by-step loop. Or by name: ``"reference"`` (a readable
            loop), ``"numba"`` (that loop compiled for the CPU, same bits), ``"triton_sequential"``
            (the same for a GPU), ``"triton"`` (that, or tiles of time where there are few lanes,
            equal to rounding), ``"associative"`` (parallel over time, any device, equal to
            rounding), ``"log"`` (the log-domain scan of Chiang 2026, Eq. 2: positive real input
            only).

    Returns:
        ``h`` of shape ``(T, ...)``, of the dtype that ``a``, ``b`` and ``h0`` promote to. T = 0
        gives an empty result. Differentiable in ``a``, ``b`` and ``h0``, any number of times.

    Raises:
        TypeError: Integer input.
        ValueError: Shapes that do not broadcast, devices that differ, an unknown backend, or input
            that the named backend does not take.

    Example:
        >>> import torch, phc_snn as phc
        >>> phc.affine_scan(torch.tensor(0.5), torch.tensor([1.0, 0.0, 0.0]))
        tensor([1.0000, 0.5000, 0.2500])
    """
    inputs = {"a": a, "b": b} if h0 is None else {"a": a, "b": b, "h0": h0}
    _check(inputs)
    dtype = b.dtype
    for value in inputs.values():
        dtype = torch.promote_types(dtype, value.dtype)
    work = torch.float32 if dtype in _HALF else dtype
    a = a.reshape((1,) * (b.dim() - a.dim()) + a.shape).to(work)
    b = b.to(work)
    initial = b.new_zeros(b.shape[1:]) if h0 is None else h0.to(work).expand(b.shape[1:])
    name = _choose(backend, b)
    reason = _load(name).refusal(a, b, initial)
    if reason is not None:
        raise ValueError(f"backend {name!r} does not take {reason}; use backend='auto'")
    given = (a, b, initial)
    if needs_a_node(*given):
        return cast(Tensor, _AffineScan.apply(a, b, initial, name, False)).to(dtype)
    # Nothing to record: the scan itself, without the cost of a node of the graph.
    return _load(name).scan(a, b, initial, False).to(dtype)


def _check(inputs: dict[str, Tensor]) -> None:
    for name, value in inputs.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name}: got {type(value).__name__}, expected a torch.Tensor")
    b = inputs["b"]
    for name, value in inputs.items():
        if not (value.is_floating_point() or value.is_complex()):
            raise TypeError(
                f"{name}: got {value.dtype}, expected a floating-point or complex tensor; "
                f"convert it with {name}.float()"
            )
        if value.device != b.device:
            raise ValueError(f"{name}: is on {value.device}, b on {b.device}; move one of them")
    if b.dim() == 0:
        raise ValueError("b: got a scalar, expected time first, (T, ...)")
    for name, target in (("a", b.shape), ("h0", b.shape[1:])):
        if name in inputs and not _broadcasts(inputs[name].shape, target):
            raise ValueError(
                f"{name}: shape {tuple(inputs[name].shape)} does not broadcast to {tuple(target)}"
                + (", the shape of b" if name == "a" else ", the shape of b without time")
            )


def _broadcasts(shape: torch.Size, target: torch.Size) -> bool:
    if len(shape) > len(target):
        return False
    return all(n in (1, m) for n, m in zip(reversed(shape), reversed(target), strict=False))
