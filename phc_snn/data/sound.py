"""Sound as tensors: the samples of a wav file, and the energies that a causal network takes."""

import io
import math
import wave
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

_FLOOR = 1e-6
"""Added to a band's energy, so that digital silence has a logarithm: -60 dB."""


@dataclass(frozen=True)
class FilterBank:
    """Logarithm of the energy in bands of frequency, at the end of each hop, of the past alone.

    The spectrum at a step is that of the last ``span`` samples (Hann window, silence before the
    beginning). Triangular bands overlap by half and are equally wide on the mel scale.

    Attributes:
        rate: Samples per second.
        hop: Samples from one step to the next.
        span: Samples in a spectrum, not fewer than ``hop``.
        bands: Their number.
        lowest, highest: Where the first band begins and the last one ends, Hz.

    Example:
        >>> import torch
        >>> bank = FilterBank(rate=16000, hop=160, span=400, bands=40, lowest=20.0, highest=8e3)
        >>> bank(torch.zeros(16000)).shape
        torch.Size([100, 40])
    """

    rate: int
    hop: int
    span: int
    bands: int
    lowest: float
    highest: float

    def __call__(self, samples: Tensor) -> Tensor:
        """``samples`` (n,) from -1 to 1 -> (ceil(n / hop), bands), of the same dtype."""
        span, hop = self.span, self.hop
        steps = -(-len(samples) // hop)
        # By numpy: on pieces this small torch's threads cost more than they bring.
        padded = np.pad(samples.numpy(), (span - hop, steps * hop - len(samples)))
        pieces = np.lib.stride_tricks.sliding_window_view(padded, span)[::hop] * np.hanning(span)
        power = np.abs(np.fft.rfft(pieces, n=self._points)) ** 2 / span
        energy = np.einsum("tf,fb->tb", power, self._filters)
        return torch.from_numpy(np.log(energy + _FLOOR)).to(samples.dtype)

    @property
    def _points(self) -> int:
        """Of a spectrum: twice as many as samples, so that no narrow band falls between two."""
        return 1 << math.ceil(math.log2(2 * self.span))

    @cached_property
    def _filters(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """(points // 2 + 1, bands) weights of the triangular bands."""
        mel = np.linspace(_mel(self.lowest), _mel(self.highest), self.bands + 2)
        edges = 700.0 * np.expm1(mel / 1127.0)
        low, middle, high = edges[:-2], edges[1:-1], edges[2:]
        frequencies = np.linspace(0.0, self.rate / 2, self._points // 2 + 1)[:, None]
        rising = (frequencies - low) / (middle - low)
        falling = (high - frequencies) / (high - middle)
        return np.clip(np.minimum(rising, falling), 0.0, None)


def _mel(frequency: float) -> float:
    """O'Shaughnessy's mel scale, the one with the natural logarithm."""
    return float(1127.0 * np.log1p(frequency / 700.0))


def samples_of(name: str, milliseconds: float, rate: int) -> int:
    """A time as a whole number of samples.

    Raises:
        ValueError: Less than one sample, or more than a second.
    """
    count = round(milliseconds * rate / 1000) if math.isfinite(milliseconds) else 0
    if not 1 <= count <= rate:
        raise ValueError(
            f"{name}: got {milliseconds}, expected {1000 / rate:g} to 1000 ms, of "
            f"{rate // 1000} samples each"
        )
    return count


def read_wav(content: bytes, name: str, rate: int) -> Tensor:
    """Samples (n,) from -1 to 1, float32, of a wav file of 16 bit, mono.

    Args:
        content: The file's bytes.
        name: Of the file, for the errors.
        rate: Samples per second that it has to have.

    Raises:
        ValueError: Another format, no samples, or fewer than the file announces.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            found = file.getframerate(), 8 * file.getsampwidth(), file.getnchannels()
            announced = file.getnframes()
            data = file.readframes(announced)
    except (wave.Error, EOFError) as error:
        raise ValueError(
            f"{name}: is no wav file that can be read ({error or 'cut off'})"
        ) from error
    if found != (rate, 16, 1):
        other, width, channels = found
        raise ValueError(
            f"{name}: has {other} Hz, {width} bit, {channels} channel(s), expected {rate} Hz, 16 "
            "bit, 1 channel; convert it first"
        )
    if not announced or len(data) != 2 * announced:
        raise ValueError(
            f"{name}: has {len(data) // 2:,} samples and announces {announced:,}, expected as many "
            "and at least one; get it again"
        )
    return torch.from_numpy(np.frombuffer(data, "<i2").astype(np.float32) / 2**15)
