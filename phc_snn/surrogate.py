"""Spike functions: a Heaviside step forward, a surrogate derivative backward.

Any callable from ``snntorch.surrogate`` works wherever a ``spike_grad`` is asked for. The one here
is the default because it pickles, and keeps the dtype of its input.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def heaviside(x: Tensor) -> Tensor:
    """1 where ``x > 0``, else 0; no gradient."""
    return (x > 0).to(x.dtype)


@torch.no_grad()
def is_step(spike_grad: Callable[[Tensor], Tensor], like: Tensor) -> bool:
    """Whether a spike function is 1 above zero and 0 elsewhere, every time, as far as tried.

    Stochastic and leaky spikes are not, and neither is what cannot be called on a tensor.

    Args:
        spike_grad: The function.
        like: A tensor of the dtype and device to try.
    """
    near = torch.tensor([0.0, 1e-6, -1e-6])
    probe = torch.cat([torch.linspace(-3.0, 3.0, 601), near]).to(like)
    wanted = (probe > 0).to(probe.dtype)
    try:
        return all(torch.equal(spike_grad(probe).to(probe.dtype), wanted) for _ in range(2))
    except Exception:
        return False


class _FastSigmoidSpike(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, slope: float) -> Tensor:
        return heaviside(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        x, ctx.slope = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad_outputs[0] / (ctx.slope * x.abs() + 1.0) ** 2, None


@dataclass(frozen=True)
class FastSigmoid:
    """``H(x)``, which is 1 for x > 0 and 0 otherwise, with derivative ``(slope |x| + 1)**-2``.

    The derivative is that of the fast sigmoid (Zenke and Ganguli 2018); slope 4 as in Chiang 2026.

    Args:
        slope: Steepness; the half-width of the derivative is about ``0.41 / slope``. Default 4.

    Example:
        >>> import torch, phc_snn as phc
        >>> phc.FastSigmoid()(torch.tensor([-1.0, 0.0, 0.5]))
        tensor([0., 0., 1.])
    """

    slope: float = 4.0

    def __post_init__(self) -> None:
        if not self.slope > 0:
            raise ValueError(f"slope: got {self.slope}, expected a positive number")

    def __call__(self, x: Tensor) -> Tensor:
        spikes: Tensor = _FastSigmoidSpike.apply(x, self.slope)
        return spikes


class Emit:
    """Voltages minus thresholds (..., N) -> the spikes that leave a layer, in the same dtype.

    Args:
        spike_grad: Spike function with a surrogate derivative.
        inhibition: Only the neuron with the highest value may fire.
    """

    # No dataclass: torch 2.11 compiles none that is made inside the graph.
    def __init__(self, spike_grad: Callable[[Tensor], Tensor], inhibition: bool = False) -> None:
        self.spike_grad = spike_grad
        self.inhibition = inhibition

    def __repr__(self) -> str:
        return f"Emit({self.spike_grad!r}, inhibition={self.inhibition})"

    def __call__(self, excess: Tensor) -> Tensor:
        spikes = self.spike_grad(excess).to(excess.dtype)
        if not self.inhibition:
            return spikes
        winner = excess.argmax(-1, keepdim=True)
        return spikes * torch.zeros_like(spikes).scatter(-1, winner, 1.0)

    @property
    def elementwise(self) -> bool:
        """Whether this is known to be a step, value by value, without parameters of its own."""
        function = self.spike_grad
        # snnTorch's surrogates are closures; those left out are stochastic, leaky, or the user's.
        known = getattr(function, "__module__", None) == "snntorch.surrogate" and getattr(
            function, "__qualname__", ""
        ).startswith(_STEPS)
        return not self.inhibition and (
            isinstance(function, FastSigmoid) or function is heaviside or known
        )


_STEPS = (
    "atan.",
    "fast_sigmoid.",
    "sigmoid.",
    "spike_rate_escape.",
    "straight_through_estimator.",
    "triangular.",
)
