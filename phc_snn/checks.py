"""The checks at the door: what came, what was expected, and the mend."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def check_features(features: Any) -> None:
    """Refuse a number of neurons that is not a positive integer."""
    if isinstance(features, bool) or not isinstance(features, int) or features < 1:
        raise ValueError(f"features: got {features!r}, expected a positive number of neurons")


def check_positive(name: str, value: Any) -> None:
    """Refuse what is not a positive integer."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: got {value!r}, expected a positive integer")


def check_sample(sample: int | None, batch: int) -> None:
    """Refuse the number of a sample that is not in the batch; None means no choice."""
    if sample is not None and not 0 <= sample < batch:
        raise ValueError(f"sample: got {sample}, expected 0 to {batch - 1}")


def check_input(
    name: str, x: Any, dims: Sequence[str], features: int, state_batch: int | None = None
) -> None:
    """Refuse input that is not a floating-point tensor of dimensions ``dims``, ``features`` last.

    ``state_batch`` is the batch size of a carried state: it tells batch-first input from
    time-first.
    """
    expected = f"({', '.join(dims)}) with {dims[-1]} = {features}"
    if not isinstance(x, Tensor):
        raise TypeError(f"{name}: got {type(x).__name__}, expected a torch.Tensor {expected}")
    if not x.is_floating_point():
        raise TypeError(
            f"{name}: got {x.dtype}, expected a floating-point tensor; "
            f"convert it with {name}.float()"
        )
    shape = tuple(x.shape)
    if x.dim() != len(dims):
        hint = ""
        if len(dims) == 3 and x.dim() == 2:
            hint = "; for one sample add the batch dimension with unsqueeze(1)"
        elif len(dims) == 2 and x.dim() == 3:
            hint = "; for a whole sequence call scan (a neuron or synapse) or forward (a network)"
        raise ValueError(f"{name}: got shape {shape}, expected {expected}{hint}")
    if shape[-1] != features:
        hint = ""
        if len(dims) == 3 and shape[1] == features:
            hint = (
                "; if it is (batch, channels, time), bring time to the front: "
                f"{name}.permute(2, 0, 1)"
            )
        elif len(dims) == 3 and shape[0] == features:
            hint = f"; if it is (channels, batch, time), use {name}.permute(2, 1, 0)"
        raise ValueError(f"{name}: got shape {shape}, expected {expected}{hint}")
    if state_batch is not None and shape[-2] != state_batch:
        hint = ""
        if len(dims) == 3 and shape[0] == state_batch:
            hint = f"; it looks batch-first, use {name}.transpose(0, 1)"
        raise ValueError(
            f"{name}: batch size {shape[-2]} does not match the carried state's {state_batch}{hint}"
        )


def is_transformed(x: Tensor) -> bool:
    """Whether a transform of ``torch.func`` has wrapped ``x``, which has no memory of its own.

    In a graph that is being compiled nothing has memory, and the question does not arise.
    """
    return not torch.compiler.is_compiling() and bool(
        torch._C._functorch.is_functorch_wrapped_tensor(x)
    )


def is_batched(x: Tensor) -> bool:
    """Whether it is ``torch.vmap`` that has wrapped ``x``, last of all transforms."""
    return bool(torch._C._functorch.is_batchedtensor(x))


def is_mapped(x: Tensor) -> bool:
    """Whether ``torch.vmap`` is among the transforms that have wrapped ``x``: it is several."""
    while is_transformed(x):
        if is_batched(x):
            return True
        x = torch._C._functorch.get_unwrapped(x)
    return False


def needs_a_node(*tensors: Tensor) -> bool:
    """Whether an operation on these has to be a node of autograd's graph.

    Where a gradient is recorded; and under a transform of ``torch.func``, which does not say what
    it has wrapped: a node unwraps it.
    """
    records = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    return records or any(map(is_transformed, tensors))


def values_are_known(x: Tensor) -> bool:
    """Whether a decision can be taken on the values of ``x``.

    Not in a graph that is being compiled, exported or captured: it will run on other values. Nor
    under ``torch.vmap``, where ``x`` stands for several tensors.
    """
    if torch.compiler.is_compiling() or is_mapped(x):
        return False
    return not (x.is_cuda and torch.cuda.is_current_stream_capturing())


def check_finite(name: str, x: Tensor) -> None:
    """Refuse NaN and Inf, where `values_are_known`."""
    if x.numel() == 0 or not values_are_known(x):
        return
    # Whatever is not finite makes the sum so too, which costs a sixth of looking at each value. A
    # sum of finite values can overflow: only then they are looked at.
    if bool(torch.isfinite(x.detach().sum())) or bool(torch.isfinite(x.detach()).all()):
        return
    bad = ~torch.isfinite(x.detach())
    first = tuple(int(i) for i in bad.nonzero()[0])
    raise ValueError(
        f"{name}: {int(bad.sum())} of {x.numel()} values are NaN or Inf, first at index {first}; "
        "clean the input, or set check_finite = False on the module to let them through"
    )


def check_state(state: Any, resting: Any, name: str = "state") -> None:
    """Refuse a carried state that is not shaped, typed and placed like ``resting``."""
    if isinstance(resting, Tensor):
        if not isinstance(state, Tensor):
            raise TypeError(f"{name}: got {type(state).__name__}, expected a torch.Tensor")
        if state.shape != resting.shape:
            raise ValueError(
                f"{name}: got shape {tuple(state.shape)}, expected {tuple(resting.shape)}"
            )
        if state.dtype != resting.dtype:
            raise TypeError(
                f"{name}: got {state.dtype}, the input is {resting.dtype}; convert one of them"
            )
        if state.device != resting.device:
            raise ValueError(f"{name}: is on {state.device}, the input on {resting.device}")
        return
    if type(state) is not type(resting) or len(state) != len(resting):
        raise TypeError(
            f"{name}: got {type(state).__name__}, expected the {type(resting).__name__} that an "
            "earlier call returned, or None to start at rest"
        )
    fields = getattr(resting, "_fields", range(len(resting)))
    for field, part, rest in zip(fields, state, resting, strict=True):
        check_state(part, rest, f"{name}.{field}" if isinstance(field, str) else f"{name}[{field}]")
