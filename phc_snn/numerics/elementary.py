"""The logistic function, its integral and the error function, with the same bits everywhere.

Each is stated once, in ``+ - * /``, comparisons and one shift of exponent bits: operations that
IEEE 754 rounds in one way. So tensors on any device, compiled loops and generated C agree in every
bit, as no two libraries' ``exp`` do.

`gaussian`, ``exp(-x^2)``, is there for the derivative of `erf`, and closes the list: a derivative
of what stands here is made of what stands here.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from phc_snn.checks import is_transformed, needs_a_node
from phc_snn.numerics.constants import CONSTANTS

ERF_SLOPE = 2.0 / math.sqrt(math.pi)
"""Of `erf` at 0."""

X = Any
"""A tensor, or the symbol of one (`phc_snn.kernels.graph.Symbol`)."""


def _polynomial(x: X, coefficients: Sequence[float]) -> X:
    result: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        result = result * x + c
    return result


def clipped(x: X, lower: float = -math.inf, upper: float = math.inf) -> X:
    """``clamp(x, lower, upper)`` whose derivative is 1 on the bounds too, and 0 outside; NaN stays.

    That of torch's own is 0 on the bounds since 2.15: what starts there would never move.
    """
    x = torch.where(x > upper, upper, x)
    return torch.where(-x > -lower, lower, x)


def sigmoid_formula(x: X, dtype: torch.dtype) -> X:
    """The logistic function in elementary operations, with the constants of ``dtype``."""
    c = CONSTANTS[dtype]
    x = clipped(x, -c.largest, c.largest)
    square = x * x
    quotient = x * _polynomial(square, c.numerator) / _polynomial(square, c.denominator)
    return clipped(quotient, -0.5, 0.5) + 0.5  # rounding may have gone beyond


def softplus_formula(x: X, dtype: torch.dtype) -> X:
    """``log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))`` in elementary operations."""
    c = CONSTANTS[dtype]
    magnitude = torch.abs(x)
    y = falling(magnitude, dtype)
    log1p = y * _polynomial(y, c.log_numerator) / _polynomial(y, c.log_denominator)
    return (x + magnitude) * 0.5 + log1p


def erf_formula(x: X, dtype: torch.dtype) -> X:
    """The error function in elementary operations."""
    c = CONSTANTS[dtype]
    inside = clipped(x, -c.certain, c.certain)
    square = inside * inside
    quotient = inside * _polynomial(square, c.erf_numerator)
    return clipped(quotient / _polynomial(square, c.erf_denominator), -1.0, 1.0)


def gaussian_formula(x: X, dtype: torch.dtype) -> X:
    """``exp(-x^2)`` in elementary operations."""
    return falling(x * x, dtype)


def falling(depth: X, dtype: torch.dtype) -> X:
    """``exp(-depth)`` for a depth of at least 0; at least the smallest normal number, about."""
    c = CONSTANTS[dtype]
    depth = torch.where(depth > c.deepest, c.deepest, depth)
    # exp(-depth) = 2**k exp(r): k whole, |r| <= log(2) / 2.
    shifted = depth * -1.4426950408889634 + c.shift
    k = shifted - c.shift
    r = (-depth - k * c.ln2_high) - k * c.ln2_low
    return _polynomial(r, c.exponential) * power_of_two(shifted, dtype)


def power_of_two(shifted: X, dtype: torch.dtype) -> X:
    """``2**k`` exactly, of ``k + shift``: k stands in the lowest bits and moves to the exponent."""
    if has_torch_function_unary(shifted):
        result: X = handle_torch_function(power_of_two, (shifted,), shifted, dtype)
        return result
    integer, bits, bias = EXPONENT[dtype]
    whole = (shifted + 0.0).view(integer) - shift_bits(dtype) + bias
    return (whole << bits).view(dtype)


EXPONENT = {torch.float32: (torch.int32, 23, 127), torch.float64: (torch.int64, 52, 1023)}
"""The integer of the same size, the bits of the mantissa, and the bias of the exponent."""


def shift_bits(dtype: torch.dtype) -> int:
    """The bits of `Constants.shift`, as an integer."""
    shift = torch.tensor(CONSTANTS[dtype].shift, dtype=dtype)
    return int(shift.view(EXPONENT[dtype][0]))


FORMULAS: dict[str, Callable[[Any, torch.dtype], Any]] = {
    "sigmoid": sigmoid_formula,
    "softplus": softplus_formula,
    "erf": erf_formula,
    "gaussian": gaussian_formula,
}


def sigmoid(x: Tensor) -> Tensor:
    """Logistic function, the same bits wherever the value stands and whatever computes it.

    Within 2e-7 (float32) and 4e-16 (float64) of the true value, never outside 0 to 1, and exactly 0
    and 1 from -18 and 18 on (float32; 38 in float64). Half precision is computed in float32.
    """
    return _function(sigmoid, "sigmoid", x)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent by `sigmoid`, with the same bits wherever the value stands.

    Within 4e-7 (float32) and 8e-16 (float64) of the true value.
    """
    return 2.0 * sigmoid(2.0 * x) - 1.0


def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))`` without overflow, the same bits wherever the value stands.

    Relative error below 4e-7 (float32) and 1e-15 (float64) as long as ``exp(x)`` is a normal
    number. Half precision is computed in float32.
    """
    return _function(softplus, "softplus", x)


def erf(x: Tensor) -> Tensor:
    """Error function, the same bits wherever the value stands.

    Within 4e-7 (float32) and 1e-15 (float64) of the true value, never outside -1 to 1, and exactly
    -1 and 1 from -6 and 6 on. Half precision is computed in float32.
    """
    return _function(erf, "erf", x)


def gaussian(x: Tensor) -> Tensor:
    """``exp(-x^2)``, `erf`'s slope but for a factor; the same bits wherever the value stands.

    Within 1e-7 (float32) and 2e-16 (float64) of the true value; far out it stays at the smallest
    value that it has, near the smallest normal number. Half precision is computed in float32.
    """
    return _function(gaussian, "gaussian", x)


def gelu(x: Tensor) -> Tensor:
    """``x (1 + erf(x / sqrt(2))) / 2``: GELU (Hendrycks and Gimpel 2016), not its approximation.

    The same bits wherever the value stands; the error is that of `erf`, times half of ``x``.
    """
    return 0.5 * x * (1.0 + erf(x * math.sqrt(0.5)))


def _function(public: Callable[[Tensor], Tensor], name: str, x: Tensor) -> Tensor:
    """A formula on whatever stands for a tensor; ``public`` is what a symbol knows it as."""
    result: Tensor
    if has_torch_function_unary(x):
        result = handle_torch_function(public, (x,), x)
    elif torch.compiler.is_compiling():
        result = special(x, f"own_{name}")
    else:
        result = _Formula.apply(x, name) if needs_a_node(x) else _evaluate(x, name)
    return result


def _evaluate(x: Tensor, name: str) -> Tensor:
    """A formula on a tensor, compiled where that is possible: the same bits."""
    if x.dtype not in CONSTANTS:
        return _evaluate(x.float(), name).to(x.dtype)
    plain = x.device.type == "cpu" and type(x) in (Tensor, torch.nn.Parameter)
    if not plain or is_transformed(x) or not x.numel():
        result: Tensor = FORMULAS[name](x, x.dtype)
        return result
    from phc_snn.kernels import elementwise

    return elementwise(name, x)


class _Formula(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, name: str) -> Tensor:
        return _evaluate(x, name)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, str], output: Tensor) -> None:
        x, ctx.name = inputs
        # The derivative of one is in its result, those of the others in their input.
        ctx.save_for_backward(output if ctx.name == "sigmoid" else x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return grad_outputs[0] * _SLOPES[f"own_{ctx.name}"](kept, kept), None


def special(x: Tensor, name: str) -> Tensor:
    """torch's own function of this name (`_FUNCTIONS`), also where it is compiled.

    It is computed in double precision and rounded. Two libraries differ there in the last bit, and
    so does one with itself at the end of a tensor; single precision does not see it, but for one
    value in some hundred millions. So a network has the same coefficients on two machines.

    ``torch.compile`` would take another implementation, of other bits. The functions above stand in
    a compiled graph in this way too, as ``"own_sigmoid"``, ``"own_softplus"`` and so on.
    """
    if torch.compiler.is_compiling():
        opaque: Tensor = _opaque(x, name)
        return opaque
    return _evaluate_special(x, name)


def _evaluate_special(x: Tensor, name: str) -> Tensor:
    own = _OWN.get(name)
    if own is not None:
        return own(x)
    if x.is_complex():
        raise TypeError(f"x: got {x.dtype}, expected real numbers")
    result: Tensor = _FUNCTIONS[name](x.double()).to(x.dtype)
    return result


_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "cos": torch.cos,
    "sin": torch.sin,
    "exp": torch.exp,
    "softplus": torch.nn.functional.softplus,
}
_OWN: dict[str, Callable[[Tensor], Tensor]] = {
    "own_sigmoid": sigmoid,
    "own_softplus": softplus,
    "own_erf": erf,
    "own_gaussian": gaussian,
}


@torch.library.custom_op("phc_snn::special", mutates_args=())
def _opaque(x: Tensor, name: str) -> Tensor:
    return _evaluate_special(x, name)


@_opaque.register_fake
def _(x: Tensor, name: str) -> Tensor:
    return torch.empty_like(x)


def _keep(ctx: Any, inputs: tuple[Tensor, str], output: Tensor) -> None:
    x, ctx.name = inputs
    ctx.save_for_backward(x, output)


_SLOPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "tanh": lambda x, y: 1.0 - y * y,
    "cos": lambda x, y: -torch.sin(x),
    "sin": lambda x, y: torch.cos(x),
    "exp": lambda x, y: y,
    "softplus": lambda x, y: torch.sigmoid(x),
    "own_sigmoid": lambda x, y: y * (1.0 - y),
    "own_softplus": lambda x, y: sigmoid(x),
    "own_erf": lambda x, y: ERF_SLOPE * gaussian(x),
    "own_gaussian": lambda x, y: -2.0 * x * gaussian(x),
}
"""Derivatives, of input and result."""


def _derivative(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    x, y = ctx.saved_tensors
    if ctx.name in _OWN:
        return grad * _SLOPES[ctx.name](x, y), None
    x = x.double()  # as the function is computed
    slope = _SLOPES[ctx.name](x, _FUNCTIONS[ctx.name](x))
    return (grad.double() * slope).to(grad.dtype), None


_opaque.register_autograd(_derivative, setup_context=_keep)
