"""Spike functions: a Heaviside step forward, a surrogate derivative backward.

Any callable from ``snntorch.surrogate`` works wherever a ``spike_grad`` is asked for. The one here
is the default because it pickles, and keeps the dtype of its input.
"""

import abc
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

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
