"""From voltages to what leaves a layer, and what is known of any spike function."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from phc_snn import numerics
from phc_snn.surrogate import FastSigmoid, RectifiedTanh, Slope, Surrogate, X, heaviside


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


@dataclass(frozen=True)
class _NoSlope:
    """Of the bare step."""

    flat: ClassVar[bool] = True

    def derivative(self, x: X) -> X:
        return x * 0.0


@dataclass(frozen=True)
class _Arctangent:
    """Of ``snntorch.surrogate.atan(alpha)``."""

    alpha: float
    flat: ClassVar[bool] = False

    def derivative(self, x: X) -> X:
        stretched = (math.pi / 2 * self.alpha) * x
        return (self.alpha / 2) / (1.0 + stretched * stretched)


@dataclass(frozen=True)
class _Logistic:
    """Of ``snntorch.surrogate.sigmoid(slope)``."""

    slope: float
    flat: ClassVar[bool] = False

    def derivative(self, x: X) -> X:
        y = numerics.sigmoid(self.slope * x)
        return self.slope * (y * (1.0 - y))


_KNOWN: dict[str, Callable[..., Slope]] = {
    "atan.": _Arctangent,
    "fast_sigmoid.": FastSigmoid,
    "sigmoid.": _Logistic,
}
"""Makers of spike functions in ``snntorch.surrogate``, and the derivatives of what they make."""


def known_slope(spike_grad: Callable[[Tensor], Tensor]) -> Slope | None:
    """The surrogate derivative of a spike function that is a plain step, if it is known."""
    if isinstance(spike_grad, Surrogate):
        return spike_grad
    if spike_grad is heaviside:
        return _NoSlope()
    if getattr(spike_grad, "__module__", None) != "snntorch.surrogate":
        return None
    return _snntorch_slope(spike_grad)


@lru_cache(maxsize=256)
def _snntorch_slope(spike_grad: Callable[[Tensor], Tensor]) -> Slope | None:
    """What a function of snnTorch is known to do, where it agrees with what it does."""
    name = getattr(spike_grad, "__qualname__", "")
    maker = next((m for start, m in _KNOWN.items() if name.startswith(start)), None)
    if maker is None:
        return None
    slope = maker(**inspect.getclosurevars(spike_grad).nonlocals)
    with torch.enable_grad():
        x = torch.linspace(-2.0, 2.0, 401, requires_grad=True)
        (found,) = torch.autograd.grad(spike_grad(x).sum(), x)
    agrees = torch.allclose(found, slope.derivative(x.detach()), rtol=1e-4, atol=1e-6)
    return slope if agrees else None


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
        if has_torch_function_unary(excess):
            symbol: Tensor = handle_torch_function(Emit.__call__, (excess,), self, excess)
            return symbol
        spikes = self.spike_grad(excess).to(excess.dtype)
        if not self.inhibition:
            return spikes
        winner = excess.argmax(-1, keepdim=True)
        return spikes * torch.zeros_like(spikes).scatter(-1, winner, 1.0)

    @property
    def own(self) -> "Emit":
        """The spikes that act on their own neuron: inhibition is of those that leave the layer."""
        return Emit(self.spike_grad) if self.inhibition else self

    @property
    def slope(self) -> Slope | None:
        """The surrogate derivative in elementary operations, where it is known."""
        return known_slope(self.spike_grad)

    @property
    def graded(self) -> Callable[[X], X] | None:
        """The function itself, where it is no step but elementary operations."""
        return self.spike_grad if isinstance(self.spike_grad, RectifiedTanh) else None

    @property
    def elementwise(self) -> bool:
        """Whether this is known to be a step, value by value, without parameters of its own."""
        function = self.spike_grad
        # snnTorch's surrogates are closures; those left out are stochastic, leaky, or the user's.
        known = getattr(function, "__module__", None) == "snntorch.surrogate" and getattr(
            function, "__qualname__", ""
        ).startswith(_STEPS)
        return not self.inhibition and (
            isinstance(function, Surrogate) or function is heaviside or known
        )


_STEPS = (
    "atan.",
    "fast_sigmoid.",
    "sigmoid.",
    "spike_rate_escape.",
    "straight_through_estimator.",
    "triangular.",
)
