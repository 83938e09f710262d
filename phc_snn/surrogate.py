"""Spike functions: a Heaviside step forward, a surrogate derivative backward.

Any callable from ``snntorch.surrogate`` works wherever a ``spike_grad`` is asked for. The one here
is the default because it pickles, and keeps the dtype of its input.
"""

import abc
import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from phc_snn import numerics

X = Any
"""A tensor, or the symbol of one (`phc_snn.kernels.graph.Symbol`)."""


class Slope(Protocol):
    """The surrogate derivative of a spike function in elementary operations, for kernels."""

    @property
    def flat(self) -> bool:
        """It is zero everywhere."""
        ...

    def derivative(self, x: X) -> X: ...


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


class _Spike(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, slope: Slope) -> Tensor:
        return heaviside(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Slope], output: Tensor) -> None:
        x, ctx.slope = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad_outputs[0] * ctx.slope.derivative(x), None


class Surrogate(abc.ABC):
    """Base of this package's spike functions: ``H(x)``, 1 for x > 0 and 0 otherwise.

    A subclass is a frozen dataclass and gives the `derivative`.
    """

    flat: ClassVar[bool] = False

    def __call__(self, x: Tensor) -> Tensor:
        spikes: Tensor = _Spike.apply(x, self)
        return spikes

    @abc.abstractmethod
    def derivative(self, x: X) -> X:
        """What stands for the derivative of the step, in elementary operations."""


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
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

    def derivative(self, x: X) -> X:
        """``(slope |x| + 1)**-2``."""
        return 1.0 / (self.slope * x.abs() + 1.0) ** 2


@dataclass(frozen=True)
class Boxcar(Surrogate):
    """``H(x)`` with derivative 1 for ``-width / 2 < x <= width / 2``, else 0.

    That of the SiLIF family of neurons (Kaiser et al. 2020; Bittar and Garner 2022).

    Args:
        width: Default 1.

    Example:
        >>> import torch, phc_snn as phc
        >>> x = torch.tensor([-0.5, 0.5, 0.6], requires_grad=True)
        >>> phc.Boxcar()(x).sum().backward()
        >>> x.grad
        tensor([0., 1., 0.])
    """

    width: float = 1.0

    def __post_init__(self) -> None:
        if not self.width > 0:
            raise ValueError(f"width: got {self.width}, expected a positive number")

    def derivative(self, x: X) -> X:
        """1 inside, 0 outside."""
        half = 0.5 * self.width
        return (x > -half).to(x.dtype) - (x > half).to(x.dtype)


@dataclass(frozen=True)
class Triangle(Surrogate):
    """``H(x)`` with derivative ``max(0, 1 - |x|)`` (Bellec et al. 2018), as SpikingSSM has it.

    Example:
        >>> import torch, phc_snn as phc
        >>> x = torch.tensor([-0.25, 0.0, 2.0], requires_grad=True)
        >>> phc.Triangle()(x).sum().backward()
        >>> x.grad
        tensor([0.7500, 1.0000, 0.0000])
    """

    def derivative(self, x: X) -> X:
        """``max(0, 1 - |x|)``."""
        height = 1.0 - x.abs()
        return torch.where(height > 0.0, height, 0.0)


@dataclass(frozen=True)
class StraightThrough(Surrogate):
    """``H(x)`` with derivative 1 everywhere (Hinton 2012; Bengio, Leonard and Courville 2013).

    Of a probability minus a uniform draw it is a Bernoulli draw with the gradient of its mean.

    Example:
        >>> import torch, phc_snn as phc
        >>> x = torch.tensor([-2.0, 0.5], requires_grad=True)
        >>> phc.StraightThrough()(x).sum().backward()
        >>> x.grad
        tensor([1., 1.])
    """

    def derivative(self, x: X) -> X:
        """1."""
        return x * 0.0 + 1.0


@dataclass(frozen=True)
class RectifiedTanh:
    """``max(tanh(x), 0)``: a firing rate in the place of spikes, with its own derivative.

    For ``spike_grad`` of neurons whose equations have no spike. From 0 to 1, as spikes are: a
    negative signal would turn Dale's law around, and a synapse's resources would grow by it without
    end. By `phc_snn.numerics.tanh`, so that it has the same bits in every mode.

    Example:
        >>> import torch, phc_snn as phc
        >>> phc.RectifiedTanh()(torch.tensor([-20.0, 0.0, 20.0]))
        tensor([0., 0., 1.])
    """

    def __call__(self, x: X) -> X:
        tanh = numerics.tanh(x)
        return torch.where(tanh > 0.0, tanh, 0.0)


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
