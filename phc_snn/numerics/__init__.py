"""Operations whose result does not depend on where in a tensor, or in which batch, a value stands.

Parallel training and step-by-step deployment run the same network on tensors of different shapes,
in different loops, and on different machines. They can agree in every bit only if each operation
does. Elementwise ``+ - * /`` do by IEEE 754, and recurrences do when they keep one order. Not so
torch's ``sigmoid``, ``softplus`` and ``gelu`` (the last elements of a tensor, past the vector
width, take another code path, and each library has its own), nor the matrix product (each shape
sums in another order). This package has versions that do. `random` has draws that do not depend on
the order in which they are made.
"""

from phc_snn.numerics.classes import softmax
from phc_snn.numerics.elementary import (
    clipped,
    erf,
    gaussian,
    gelu,
    sigmoid,
    softplus,
    special,
    tanh,
)
from phc_snn.numerics.product import linear

__all__ = [
    "clipped",
    "erf",
    "gaussian",
    "gelu",
    "linear",
    "sigmoid",
    "softmax",
    "softplus",
    "special",
    "tanh",
]
