"""Parameters that stay in their valid range by construction.

A `Constrained` attribute of a module is read as its value (a tensor computed from an unconstrained
parameter, so gradients flow) and assigned as its value. The parameter itself is stored as
``raw_<name>``; whatever an optimiser does to it, the value stays in range, so nothing is ever
clamped.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

import torch
from torch import Tensor, nn

from phc_snn.numerics import clipped, special

_NEVER = -1000.0
"""Parameter of a value at its lower bound: exactly 0 after sigmoid, softplus or exp, yet finite.

Its negative is exactly 1 after sigmoid.
"""

Value = float | Sequence[float] | Tensor


class Constrained:
    """Descriptor for a parameter of shape (N,) whose values lie between ``lower`` and ``upper``.

    Args:
        lower: Smallest value.
        upper: Largest value; None for no bound. With a bound the value is
            ``lower + (upper - lower) sigmoid(raw)``, without one ``lower + softplus(raw)``.
        exponential: Without an upper bound, use ``lower + exp(raw)`` instead: for time constants,
            which spread over orders of magnitude, an optimiser's step is then a relative change.

        exact: For values that have to match another library's: what is read is as near to what was
            assigned as the dtype allows, and ``upper`` itself can be assigned.

    The value ``lower`` itself can be assigned: it stays there and gets no gradient. ``upper``
    cannot unless ``exact``, but an optimiser that drives the parameter far enough reaches it, to
    rounding.
    """

    def __init__(
        self,
        lower: float = 0.0,
        upper: float | None = None,
        *,
        exponential: bool = False,
        exact: bool = False,
    ) -> None:
        self.lower, self.upper = lower, upper
        self.exponential, self.exact = exponential, exact

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.raw_name = f"raw_{name}"

    if TYPE_CHECKING:

        @overload
        def __get__(self, module: None, owner: type) -> "Constrained": ...
        @overload
        def __get__(self, module: nn.Module, owner: type) -> Tensor: ...

    def __get__(self, module: nn.Module | None, owner: type) -> "Tensor | Constrained":
        if module is None:
            return self
        return self._value(getattr(module, self.raw_name))

    def _value(self, raw: Tensor) -> Tensor:
        if self.upper is not None:
            # Through tanh, which comes near every number; the sigmoid of `phc_snn.numerics`, made
            # for one result everywhere, skips some.
            share = special(raw * 0.5, "tanh") * 0.5 + 0.5
            return self.lower + (self.upper - self.lower) * share
        # exp(60) steps outlast any sequence; beyond it the exponential would overflow.
        grown = (
            special(raw.clamp(max=60.0), "exp") if self.exponential else special(raw, "softplus")
        )
        return self.lower + grown

    def __set__(self, module: nn.Module, value: Value) -> None:
        raw = getattr(module, self.raw_name)
        wanted = per_neuron(self.name, value, raw.shape[0])
        with torch.no_grad():
            found = self._inverse(wanted).to(raw)
            raw.copy_(self._nearest(found, wanted.to(raw)) if self.exact else found)

    def _nearest(self, raw: Tensor, wanted: Tensor) -> Tensor:
        """The parameter near ``raw`` whose value is nearest to ``wanted``.

        The inverse functions are rounded, so what they give is a few units in the last place off.
        """
        best, error = raw, (self._value(raw) - wanted).abs()
        slope = torch.func.vmap(torch.func.grad(self._value))(raw)
        info = torch.finfo(raw.dtype)
        # Quarters of a unit in the last place of the value, in units of the parameter.
        unit = 0.25 * info.eps * wanted.abs() / slope.clamp(min=info.tiny)
        for steps in range(-16, 17):
            near = raw + steps * unit
            distance = (self._value(near) - wanted).abs()
            best = torch.where(distance < error, near, best)
            error = torch.minimum(distance, error)
        return best

    def _inverse(self, value: Tensor) -> Tensor:
        """Unconstrained float64 values of ``value``; raises ValueError outside the range."""
        self._check(value)
        highest = None if self.upper is None else -_NEVER
        return self._raw(value - self.lower).clamp(_NEVER, highest)

    def _check(self, value: Tensor) -> None:
        upper = torch.inf if self.upper is None else self.upper
        below = (value <= upper) if self.exact else (value < upper)
        if not bool(((value >= self.lower) & below).all()):
            sign = "<=" if self.exact else "<"
            raise ValueError(
                f"{self.name}: got values from {value.min():g} to {value.max():g}, expected "
                f"{self.lower:g} <= {self.name} {sign} {upper:g}"
            )

    def _raw(self, above: Tensor) -> Tensor:
        if self.upper is not None:
            return torch.logit(above / (self.upper - self.lower))
        # For softplus, log(expm1(v)) = v + log(1 - exp(-v)) does not overflow.
        return torch.log(above) if self.exponential else above + torch.log(-torch.expm1(-above))

    def create(self, module: nn.Module, features: int, value: Value) -> None:
        """Register the parameter on ``module`` and give it its first value."""
        raw = nn.Parameter(torch.zeros(features))
        module.register_parameter(self.raw_name, raw)
        self.__set__(module, value)


class Clipped(Constrained):
    """Descriptor for a parameter (N,) that is cut off at ``lower`` and ``upper`` when it is read.

    As published programs do it: an optimiser can carry the parameter out of the range, and there it
    gets no gradient any more. Where nothing published has to be met, take `Constrained`.
    """

    def __init__(self, lower: float, upper: float) -> None:
        super().__init__(lower, upper, exact=True)

    def _value(self, raw: Tensor) -> Tensor:
        upper = torch.inf if self.upper is None else self.upper
        value: Tensor = clipped(raw, self.lower, upper)
        return value

    def _nearest(self, raw: Tensor, wanted: Tensor) -> Tensor:
        return raw  # it is what was assigned

    def _inverse(self, value: Tensor) -> Tensor:
        self._check(value)
        return value


def uniform(
    features: int, low: float, high: float, generator: torch.Generator | None = None
) -> Tensor:
    """First values (N,) of a parameter, drawn between two numbers."""
    drawn = torch.empty(features).uniform_(low, high, generator=generator)
    return drawn.double().clamp(low, high)  # the bounds in float32 can lie outside of themselves


def log_uniform(
    features: int, low: float, high: float, generator: torch.Generator | None = None
) -> Tensor:
    """First values (N,) of a parameter, drawn evenly in the logarithm."""
    return uniform(features, math.log(low), math.log(high), generator).exp()


def per_neuron(name: str, value: Value, features: int) -> Tensor:
    """``value`` as a float64 tensor of shape (N,): one number for all neurons, or one for each."""
    tensor = torch.as_tensor(value, dtype=torch.float64).detach().cpu()
    if tensor.dim() > 1 or tensor.numel() not in (1, features):
        raise ValueError(
            f"{name}: got shape {tuple(tensor.shape)}, expected one value or one for each of "
            f"{features} neurons"
        )
    return tensor.expand(features).clone()
