"""The logistic function and its integral, in operations that have the same bits everywhere.

Each is stated once, in ``+ - * /``, comparisons and one shift of exponent bits: operations that
IEEE 754 rounds in one way. So tensors on any device, compiled loops and generated C agree in every
bit, as no two libraries' ``exp`` do. The coefficients are our own minimax fits: relative error of
the rational functions below 3e-8 (float32) and 8e-17 (float64), less than rounding adds.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function_unary

from phc_snn.checks import is_transformed, needs_a_node

X = Any
"""A tensor, or the symbol of one (`phc_snn.kernels.graph.Symbol`)."""


class _Constants(NamedTuple):
    """Of one precision; polynomials from the lowest power up."""

    largest: float  # beyond it the logistic function is 0 or 1
    numerator: tuple[float, ...]  # sigmoid(x) - 1/2 = x numerator(x^2) / denominator(x^2)
    denominator: tuple[float, ...]
    deepest: float  # exp(-deepest) is still a normal number
    shift: float  # adding and subtracting it rounds to whole numbers
    ln2_high: float  # log 2 in two parts, the first with trailing zeros: its multiples are exact
    ln2_low: float
    exponential: tuple[float, ...]  # exp(r) for |r| <= log(2) / 2
    log_numerator: tuple[float, ...]  # log1p(y) = y log_numerator(y) / log_denominator(y) to y = 1
    log_denominator: tuple[float, ...]


_CONSTANTS = {
    torch.float32: _Constants(
        largest=18.0,
        numerator=(0.25, 0.008362331, 5.4594515e-05, 8.040508e-08, 1.3007172e-11),
        denominator=(1.0, 0.11678261, 0.0016169455, 5.129868e-06, 3.0320848e-09),
        deepest=87.0,
        shift=1.5 * 2.0**23,
        ln2_high=0.693145751953125,
        ln2_low=1.4286068203094173e-06,
        exponential=(1.0, 1.0, 0.4999999, 0.16666411, 0.04166829, 0.008375645, 0.0013835782),
        log_numerator=(1.0, 1.0662141, 0.23815504, 0.0034172074),
        log_denominator=(1.0, 1.566214, 0.6879316, 0.07528632),
    ),
    torch.float64: _Constants(
        largest=38.0,
        numerator=(
            0.24999999999999997,
            0.009487688600989702,
            9.334941391336948e-05,
            3.655846885365657e-07,
            6.668428684948254e-10,
            5.954939658186057e-13,
            2.543237025019902e-16,
            4.667186248177145e-20,
            2.821107499592709e-24,
            2.3770785495349545e-29,
        ),
        denominator=(
            1.0,
            0.12128408773729192,
            0.002147071633761255,
            1.293821201076001e-05,
            3.418676720822677e-08,
            4.35683285633242e-11,
            2.7107216570564047e-14,
            7.744027817988174e-18,
            8.57578110575151e-22,
            2.366902813225253e-26,
        ),
        deepest=708.0,
        shift=1.5 * 2.0**52,
        ln2_high=0.693147180559663,
        ln2_low=2.8235290563031577e-13,
        exponential=(
            1.0,
            1.0,
            0.5,
            0.16666666666666705,
            0.04166666666666586,
            0.00833333333330817,
            0.0013888888889162917,
            0.0001984126991224888,
            2.4801586891646266e-05,
            2.7557222068072563e-06,
            2.755758460501663e-07,
            2.5115853219111916e-08,
            2.0831077569722545e-09,
        ),
        log_numerator=(
            1.0,
            2.9116763538827484,
            3.2348069296939346,
            1.71512058448645,
            0.4428816287886888,
            0.050318992829529556,
            0.001845609314960652,
            4.445871807828115e-06,
        ),
        log_denominator=(
            1.0,
            3.4116763538827484,
            4.607311773301976,
            3.1315510198431578,
            1.1258056360809638,
            0.20553081012908342,
            0.01652345218737541,
            0.0004000657671123412,
        ),
    ),
}


def _polynomial(x: X, coefficients: Sequence[float]) -> X:
    result: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        result = result * x + c
    return result


def _clamp(x: X, bound: float) -> X:
    """``x`` cut off at ``bound`` and ``-bound``; NaN stays."""
    x = torch.where(x > bound, bound, x)
    return torch.where(-x > bound, -bound, x)


def sigmoid_formula(x: X, dtype: torch.dtype) -> X:
    """The logistic function in elementary operations, with the constants of ``dtype``."""
    c = _CONSTANTS[dtype]
    x = _clamp(x, c.largest)
    square = x * x
    quotient = x * _polynomial(square, c.numerator) / _polynomial(square, c.denominator)
    return _clamp(quotient, 0.5) + 0.5  # rounding may have gone beyond


def softplus_formula(x: X, dtype: torch.dtype) -> X:
    """``log(1 + exp(x)) = max(x, 0) + log1p(exp(-|x|))`` in elementary operations."""
    c = _CONSTANTS[dtype]
    magnitude = torch.abs(x)
    y = decaying_formula(magnitude, dtype)
    log1p = y * _polynomial(y, c.log_numerator) / _polynomial(y, c.log_denominator)
    return (x + magnitude) * 0.5 + log1p


def decaying_formula(x: X, dtype: torch.dtype) -> X:
    """``exp(-x)`` for x >= 0 in elementary operations; never below the smallest normal number."""
    c = _CONSTANTS[dtype]
    depth = torch.where(x > c.deepest, c.deepest, x)
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
    """The bits of `_Constants.shift`, as an integer."""
    shift = torch.tensor(_CONSTANTS[dtype].shift, dtype=dtype)
    return int(shift.view(EXPONENT[dtype][0]))


FORMULAS: dict[str, Callable[[Any, torch.dtype], Any]] = {
    "sigmoid": sigmoid_formula,
    "softplus": softplus_formula,
}


def sigmoid(x: Tensor) -> Tensor:
    """Logistic function, the same bits wherever the value stands and whatever computes it.

    Within 2e-7 (float32) and 4e-16 (float64) of the true value, never outside 0 to 1, and exactly 0
    and 1 from -18 and 18 on (float32; 38 in float64). Half precision is computed in float32.
    """
    return _function(sigmoid, "sigmoid", x)


def softplus(x: Tensor) -> Tensor:
    """``log(1 + exp(x))`` without overflow, the same bits wherever the value stands.

    Relative error below 4e-7 (float32) and 1e-15 (float64) as long as ``exp(x)`` is a normal
    number. Half precision is computed in float32.
    """
    return _function(softplus, "softplus", x)


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
    if x.dtype not in _CONSTANTS:
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
        # The derivative of one is in its result, that of the other in its input.
        ctx.save_for_backward(output if ctx.name == "sigmoid" else x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return grad_outputs[0] * _SLOPES[f"own_{ctx.name}"](kept, kept), None


def special(x: Tensor, name: str) -> Tensor:
    """torch's own function of this name (`_FUNCTIONS`), also where it is compiled.

    ``torch.compile`` would take another implementation, of other bits. The functions above stand in
    a compiled graph in this way too, as ``"own_sigmoid"`` and ``"own_softplus"``.
    """
    if torch.compiler.is_compiling():
        opaque: Tensor = _opaque(x, name)
        return opaque
    return _FUNCTIONS[name](x)


_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "cos": torch.cos,
    "sin": torch.sin,
    "exp": torch.exp,
    "log1p": torch.log1p,
    "softplus": torch.nn.functional.softplus,
    "own_sigmoid": sigmoid,
    "own_softplus": softplus,
}


@torch.library.custom_op("phc_snn::special", mutates_args=())
def _opaque(x: Tensor, name: str) -> Tensor:
    return _FUNCTIONS[name](x)


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
    "log1p": lambda x, y: 1.0 / (1.0 + x),
    "softplus": lambda x, y: torch.sigmoid(x),
    "own_sigmoid": lambda x, y: y * (1.0 - y),
    "own_softplus": lambda x, y: sigmoid(x),
}
"""Derivatives, of input and result."""


def _derivative(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
    return grad * _SLOPES[ctx.name](*ctx.saved_tensors), None


_opaque.register_autograd(_derivative, setup_context=_keep)
