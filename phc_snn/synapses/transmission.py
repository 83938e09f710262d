"""What a connectome is, and the two without constraints: dense, and one to one."""

import abc
from typing import Any

import torch
from torch import Tensor, nn

from phc_snn import numerics


class Connectome(nn.Module, abc.ABC):
    """Transmission between N neurons: it crosses from neuron to neuron and never touches time.

    A subclass gives `coefficients`, `transmit` and `scale`. The bits of a result may not depend on
    batch, sequence length or threads: a parallel solver and the step-by-step network agree in every
    bit only then (`phc_snn.numerics.linear`).

    Attributes:
        features: N, the number of neurons.
    """

    features: int

    @abc.abstractmethod
    def coefficients(self, dtype: torch.dtype) -> Any:
        """All that `transmit` reads of the parameters, computed once for a sequence."""

    @abc.abstractmethod
    def transmit(self, signal: Tensor, coefficients: Any) -> Tensor:
        """Synaptic current (..., N) of the presynaptic signal (..., N). Pure.

        A static method also becomes part of the kernel that runs a network step by step.
        """

    @abc.abstractmethod
    def scale(self, gain: float) -> None:
        """Multiply all weights in place."""

    def forward(self, signal: Tensor) -> Tensor:
        """As `transmit`, with the parameters as they are.

        Raises:
            ValueError: A signal that is not a floating-point tensor (..., N).
        """
        if not signal.is_floating_point() or signal.shape[-1:] != (self.features,):
            raise ValueError(
                f"signal: got {signal.dtype} of shape {tuple(signal.shape)}, expected a "
                f"floating-point tensor (..., {self.features})"
            )
        return self.transmit(signal, self.coefficients(signal.dtype))


def _check_weight(name: str, value: Any) -> None:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        kind = value.dtype if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"{name}: got {kind}, expected a floating-point tensor")


class DenseConnectome(Connectome):
    """``I_syn = W out + bias``: all to all, free signs, self-connections; as ``nn.Linear``.

    Args:
        weight: Initial weights (N, N), row post, column pre.
        bias: Constant current (N,) of every step, the first included; None for none.

    Raises:
        TypeError: Weights that are not a floating-point tensor.
        ValueError: Weights that are not square, or a bias of another size.

    Example:
        >>> import torch, phc_snn as phc
        >>> connectome = phc.DenseConnectome(torch.eye(3), torch.ones(3))
        >>> connectome(torch.tensor([1.0, 0.0, 2.0]))
        tensor([2., 1., 3.], grad_fn=<AddBackward0>)
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        _check_weight("weight", weight)
        if bias is not None:
            _check_weight("bias", bias)
        if weight.dim() != 2 or weight.shape[0] != weight.shape[1]:
            raise ValueError(f"weight: got shape {tuple(weight.shape)}, expected (N, N)")
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ValueError(
                f"bias: got shape {tuple(bias.shape)}, expected ({len(weight)},) as weight has"
            )
        self.features = len(weight)
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    def coefficients(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        return self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype)

    @staticmethod
    def transmit(signal: Tensor, coefficients: tuple[Tensor, Tensor | None]) -> Tensor:
        weight, bias = coefficients
        current = numerics.linear(signal, weight)
        return current if bias is None else current + bias

    @torch.no_grad()
    def scale(self, gain: float) -> None:
        self.weight.mul_(gain)

    def extra_repr(self) -> str:
        return f"{self.features}, bias={self.bias is not None}"


class OneToOneConnectome(Connectome):
    """``I_syn = w out``: each neuron to itself alone.

    Args:
        weight: Initial weights (N,).

    Raises:
        TypeError: Weights that are not a floating-point tensor.
        ValueError: Weights of another shape.

    Example:
        >>> import torch, phc_snn as phc
        >>> phc.OneToOneConnectome(torch.tensor([0.5, -1.0]))(torch.ones(2))
        tensor([ 0.5000, -1.0000], grad_fn=<MulBackward0>)
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        _check_weight("weight", weight)
        if weight.dim() != 1:
            raise ValueError(f"weight: got shape {tuple(weight.shape)}, expected (N,)")
        self.features = len(weight)
        self.weight = nn.Parameter(weight.detach().clone())

    def coefficients(self, dtype: torch.dtype) -> Tensor:
        return self.weight.to(dtype)

    @staticmethod
    def transmit(signal: Tensor, coefficients: Tensor) -> Tensor:
        return signal * coefficients

    @torch.no_grad()
    def scale(self, gain: float) -> None:
        self.weight.mul_(gain)

    def extra_repr(self) -> str:
        return f"{self.features}"
