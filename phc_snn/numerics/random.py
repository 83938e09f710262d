"""Random numbers that are a pure function of a counter, so that every mode draws the same ones.

A counter is a 64-bit integer in the state of a model. Each draw adds `INCREMENT` to it and mixes
the sum (SplitMix64: Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
So the draws of all steps of a sequence are known from the first counter, without any order: a step,
a scan, a sweep and a run that is taken up again see the same ones, on every device.

Whole numbers of torch wrap around, as the generator wants it.
"""

import torch
from torch import Tensor

_WORD = 1 << 64


def _signed(word: int) -> int:
    """The int64 with the bits of an unsigned word."""
    return word - _WORD if word >= _WORD // 2 else word


INCREMENT = _signed(0x9E3779B97F4A7C15)
"""What a counter grows by with each draw."""

_FIRST, _SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """``z`` shifted to the right, zeros moving in: torch moves in copies of the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def mixed(z: Tensor) -> Tensor:
    """The 64 random bits of a counter (int64), the first draw being that of `INCREMENT` added."""
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


def stride(draws: int) -> int:
    """What a counter grows by with so many draws."""
    return _signed(draws * INCREMENT % _WORD)


def after(counter: Tensor, draws: int) -> Tensor:
    """The counter so many draws later."""
    return counter + stride(draws)


def uniform(counter: Tensor, dtype: torch.dtype) -> Tensor:
    """Numbers from [0, 1), evenly spread, out of counters (int64) of any shape.

    Whole multiples of ``2**-53`` in float64 and of ``2**-24`` otherwise, where half precision has
    to be rounded by whoever asks for it: what is returned is float32 then.
    """
    bits = 53 if dtype == torch.float64 else 24
    kind = torch.float64 if dtype == torch.float64 else torch.float32
    return _shifted(mixed(counter), 64 - bits).to(kind) * 2.0**-bits


def first_counters(lanes: int, seed: int) -> Tensor:
    """(lanes,) counters to start from, far from one another, always the same for a seed.

    Args:
        lanes: How many.
        seed: Any whole number from 0 to 2**63 - 1.

    Raises:
        ValueError: Another seed.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < _WORD // 2:
        raise ValueError(f"seed: got {seed!r}, expected a whole number from 0 to 2**63 - 1")
    # The counters are draws themselves, of a stream that begins at a mixed seed: neighbouring
    # seeds have nothing in common.
    start = mixed(torch.tensor(seed) + INCREMENT)
    return mixed(start + INCREMENT * torch.arange(1, lanes + 1))


def drawn_counters(
    shape: tuple[int, ...], generator: torch.Generator | None, device: torch.device | str | None
) -> Tensor:
    """Counters (int64) to start from, each drawn by itself from all there are."""
    source = None if generator is None else generator.device
    found = torch.empty(shape, dtype=torch.int64, device=source or device)
    return found.random_(-(_WORD // 2), None, generator=generator).to(device or found.device)
