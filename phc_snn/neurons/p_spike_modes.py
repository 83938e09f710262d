"""The linear state space inside `PSpikeSSM`: modes of each feature, discretised and run along time.

A state is n complex modes for each of N features, (B, n, N); each stands for itself and its
conjugate, so that what is read of it is real. Complex numbers are pairs of real tensors, and the
products are spelled out: torch's own round differently from one position in a tensor to another.
"""

import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from phc_snn.axes import TimeAxis, WholeSequence
from phc_snn.checks import values_are_known
from phc_snn.neurons.statespace import (
    Complex,
    exponential,
    hippo_legs,
    product,
    quotient,
    recur_complex,
    total,
)
from phc_snn.state import map_state

Discretization = Literal["zoh", "bilinear", "dplr"]


class Modes(NamedTuple):
    """A state: real and imaginary part, each (B, n, N)."""

    imaginary: Tensor
    real: Tensor


class Feedback(NamedTuple):
    """How the modes of a feature act on one another, through one number."""

    p: Complex  # (n, 1)
    along: Complex  # (n, N)
    gain: Tensor  # (N,)


class ModeCoefficients(NamedTuple):
    """Of ``h[t] = decay h[t-1] + b s[t]``, each (n, N), and what joins the modes if anything."""

    decay: Complex
    b: Complex
    feedback: Feedback | None = None


def scaled(x: Complex, factor: Tensor) -> Complex:
    return x[0] * factor, x[1] * factor


def read(c: Complex, h: Modes) -> Tensor:
    """``2 Re sum_n C_n h_n``: each mode and its conjugate."""
    return 2.0 * total(c[0] * h.real - c[1] * h.imaginary)


# --- discretisation -----------------------------------------------------------------------------


def zero_order_hold(a: Complex, b: Complex, step: Tensor) -> ModeCoefficients:
    """``exp(dt A)`` and ``B (exp(dt A) - 1) / A``."""
    decay = exponential(a[0] * step, a[1] * step)
    return ModeCoefficients(decay, quotient(product(b, (decay[0] - 1.0, decay[1])), a))


def bilinear(a: Complex, b: Complex, step: Tensor) -> ModeCoefficients:
    """``(1 + dt A / 2) / (1 - dt A / 2)`` and ``dt B / (1 - dt A / 2)``."""
    half = scaled(a, 0.5 * step)
    below = 1.0 - half[0], -half[1]
    return ModeCoefficients(
        quotient((1.0 + half[0], half[1]), below), quotient(scaled(b, step), below)
    )


def low_rank(a: Complex, b: Complex, p: Complex, step: Tensor) -> ModeCoefficients:
    """`bilinear` of ``M = diag(A) - P P^H``, over all modes and their conjugates.

    The inverse of ``I - dt M / 2`` is a diagonal and a rank one as well (Sherman and Morrison), so
    a step is diagonal but for the number ``P^H h``, before and after it: see `joined`.
    """
    plain = bilinear(a, b, step)
    half = scaled(a, 0.5 * step)
    along = quotient(scaled(p, 0.5 * step), (1.0 - half[0], -half[1]))
    gain = 2.0 * total(p[0] * along[0] + p[1] * along[1])
    return plain._replace(feedback=Feedback(p, along, gain))


# --- along time ---------------------------------------------------------------------------------


def driven(
    s: Tensor, c: Complex, h: Modes, m: ModeCoefficients, time: TimeAxis
) -> tuple[Tensor, Modes]:
    """The modes ``h`` under ``s``, read with ``c``: `read` on this axis, and the last modes."""
    if m.feedback is None:
        drive = m.b[0] * s[..., None, :], m.b[1] * s[..., None, :]
        every, last = recur_complex(m.decay, drive, (h.real, h.imaginary), time)
        return read(c, Modes(every[1], every[0])), Modes(last[1], last[0])

    if isinstance(time, WholeSequence) and time.backend == "associative" and len(s):
        return convolved(s, c, h, m)

    def step(s: Tensor, before: Modes) -> tuple[tuple[Tensor], Modes]:
        after = joined(s, before, m)
        return (read(c, after),), after

    (y,), end = time.walk(step, s, h)
    return y, end


def convolved(s: Tensor, c: Complex, h: Modes, m: ModeCoefficients) -> tuple[Tensor, Modes]:
    """`driven` of a sequence (T, B, N), by the response to one spike: parallel over time and batch.

    Only this response is walked, once for all samples; and what was there before, unless at rest.
    Equal to the walk to rounding.
    """
    steps = len(s)
    one, none = s.new_ones(1, s.shape[-1]), s.new_zeros(1, s.shape[-1])
    rows = [joined(one, map_state(lambda part: part.new_zeros(1, *part.shape[1:]), h), m)]
    for _ in range(steps - 1):
        rows.append(joined(none, rows[-1], m))
    every = Modes(*(torch.cat(parts) for parts in zip(*rows, strict=True)))
    # Twice as long, so that what comes last does not come round to the first.
    spectra = (torch.fft.rfft(part, n=2 * steps, dim=0) for part in (read(c, every)[:, None], s))
    y = torch.fft.irfft(next(spectra) * next(spectra), n=2 * steps, dim=0)[:steps]
    end = [torch.einsum("tkn,tbn->bkn", part.flip(0), s) for part in every]
    known = values_are_known(h.real) and not (h.real.requires_grad or h.imaginary.requires_grad)
    if known and not bool((h.real != 0).any() | (h.imaginary != 0).any()):
        return y, Modes(*end)
    free = []
    for _ in range(steps):
        h = joined(torch.zeros_like(s[0]), h, m)
        free.append(read(c, h))
    return y + torch.stack(free), Modes(end[0] + h.imaginary, end[1] + h.real)


def joined(s: Tensor, h: Modes, m: ModeCoefficients) -> Modes:
    """One step of modes that act on one another.

    With ``q = P^H h`` before and ``q'`` after the step, over conjugates too and thus real,
    ``h' = decay h + b s - along (q + q')``, and ``P^H`` of that is an equation for ``q'``.
    """
    assert m.feedback is not None
    p, along, gain = m.feedback
    moved = product(m.decay, (h.real, h.imaginary))
    drive = s[..., None, :]
    alone = moved[0] + m.b[0] * drive, moved[1] + m.b[1] * drive
    before = 2.0 * total(p[0] * h.real + p[1] * h.imaginary)
    after = (2.0 * total(p[0] * alone[0] + p[1] * alone[1]) - gain * before) / (1.0 + gain)
    both = (before + after)[..., None, :]
    return Modes(alone[1] - along[1] * both, alone[0] - along[0] * both)


# --- first values -------------------------------------------------------------------------------


def linear_frequencies(modes: int) -> Complex:
    """A of S4D-Lin (Gu, Goel, Gupta and Re 2022, Eq. 10), each (n,): ``-1/2 + i pi n``."""
    return torch.full((modes,), -0.5), math.pi * torch.arange(modes, dtype=torch.float32)


def legs(modes: int) -> tuple[Complex, Complex, Complex]:
    """A, P and B of HiPPO-LegS with 2 n states, of each conjugate pair one, each (n,), float64.

    The matrix of Gu, Dao, Ermon, Rudra and Re 2020 is normal but for a rank one (Gu, Goel and Re
    2022, section 3): ``diag(A) - P P^H`` in the basis of the eigenvectors of the normal part.
    """
    values, vectors = hippo_legs(modes)
    order = torch.arange(2 * modes, dtype=torch.float64)
    # Of each pair the one with a positive imaginary part.
    basis = vectors.conj().mH
    p, b = (
        basis @ v.to(basis.dtype) for v in (torch.sqrt(order + 0.5), torch.sqrt(2.0 * order + 1.0))
    )
    return (values.real, -values.imag), (p.real, p.imag), (b.real, b.imag)
