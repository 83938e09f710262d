"""What the linear state-space models have in common: they have no spikes, and complex states.

A complex state is kept as two real tensors, because states have the dtype of the input and half
precision has no complex numbers: there they are computed in float32.
"""

from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from phc_snn.axes import TimeAxis
from phc_snn.neurons.base import Neuron
from phc_snn.numerics import special
from phc_snn.surrogate import RectifiedTanh

Complex = tuple[Tensor, Tensor]
"""Real and imaginary part, of one real dtype."""


class StateSpace(Neuron):
    """Base of linear state-space models: ``voltage`` is their output y, which has no bounds.

    What they transmit in a recurrent network is ``spike_grad(y - threshold)``, by default
    ``max(tanh(y), 0)``;
    a spike function makes it binary.
    """

    EXCITABLE = False
    SURROGATE: ClassVar[Any] = RectifiedTanh()
    THRESHOLD = 0.0
    NETWORK: ClassVar[dict[str, Any]] = {"threshold": 0.2}

    @classmethod
    def for_network(
        cls, features: int, *, generator: torch.Generator | None = None, **options: Any
    ) -> Self:
        # Where excitation made a unit quieter, nothing in a network would start it.
        neuron = super().for_network(features, generator=generator, **options)
        feedthrough = getattr(neuron, "feedthrough", None)
        if feedthrough is not None:
            nn.init.ones_(feedthrough)
        return neuron

    def learn(self, **values: Tensor) -> None:
        """Register parameters with these first values."""
        for name, value in values.items():
            found = value.detach().to(torch.get_default_dtype())
            self.register_parameter(name, nn.Parameter(found))


def wide(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which states of ``dtype`` are computed."""
    return torch.promote_types(dtype, torch.float32)


def exponential(real: Tensor, imaginary: Tensor) -> Complex:
    """``exp(real + i imaginary)``."""
    size = special(real, "exp")
    return size * special(imaginary, "cos"), size * special(imaginary, "sin")


def product(a: Complex, b: Complex) -> Complex:
    """``a b``."""
    return a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]


def quotient(a: Complex, b: Complex) -> Complex:
    """``a / b``."""
    size = b[0] * b[0] + b[1] * b[1]
    real, imaginary = product(a, (b[0], -b[1]))
    return real / size, imaginary / size


def recur_complex(
    decay: Complex, drive: Complex, initial: Complex, time: TimeAxis
) -> tuple[Complex, Complex]:
    """`TimeAxis.recur` in parts: all states, and the last one in the dtype of ``initial``."""
    work, kept = decay[0].dtype, initial[0].dtype
    h, last = time.recur(
        torch.complex(*decay),
        torch.complex(*drive),
        torch.complex(initial[0].to(work), initial[1].to(work)),
    )
    end = last.real.to(kept).contiguous(), last.imag.to(kept).contiguous()
    return (h.real, h.imag), end


def total(terms: Tensor) -> Tensor:
    """Sum over the modes, (..., modes, N) -> (..., N), elementwise, so always in one order."""
    while (count := terms.shape[-2]) > 1:
        half = count // 2
        left = terms[..., 2 * half :, :]
        terms = terms[..., :half, :] + terms[..., half : 2 * half, :]
        terms = torch.cat([terms, left], -2) if count % 2 else terms
    return terms.squeeze(-2)


def hippo_legs(pairs: int) -> tuple[Tensor, Tensor]:
    """Eigenvalues (pairs,) of the normal part of HiPPO-LegS, and eigenvectors (2 pairs, pairs).

    ``A[n, k] = -sqrt((2 n + 1) (2 k + 1))`` below the diagonal and ``-(n + 1)`` on it, plus
    ``sqrt((n + 1/2) (k + 1/2))``, is -1/2 and a skew-symmetric matrix (Gu et al. 2020, 2022). Of
    each pair of conjugates the one with a negative imaginary part.
    """
    root = torch.sqrt(torch.arange(2 * pairs, dtype=torch.float64) + 0.5)
    outer = root[:, None] * root
    skew = outer.triu(1) - outer.tril(-1)
    frequencies, vectors = torch.linalg.eigh(-1j * skew)
    values = torch.complex(torch.full((pairs,), -0.5, dtype=torch.float64), frequencies[:pairs])
    return values, vectors[:, :pairs]
