"""The hashes that the self-test of the C code must come to."""

import numpy as np
import torch
from torch import Tensor

from phc_snn.firmware.readout import SELFTEST_STEPS
from phc_snn.firmware.reference import BitReference


def fnv(words: np.ndarray, start: int = 2166136261) -> int:
    """FNV-1a, 32 bits, over the bytes of 32-bit words, the lowest byte first."""
    found = start
    for byte in words.astype("<u4").tobytes():
        found = (found ^ byte) * 16777619 & 0xFFFFFFFF
    return found


def bits(values: Tensor) -> np.ndarray:
    """The bits of float32 numbers."""
    return values.detach().contiguous().numpy().view(np.uint32).ravel()


def congruential(steps: int, inputs: int, seed: int = 1) -> Tensor:
    """The input of the self-test, (steps, inputs): from -2 to 2, each number exact in float32."""
    found = np.empty(steps * inputs, np.float32)
    state = seed
    for i in range(len(found)):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        found[i] = ((state >> 16) - 32768) / 16384
    return torch.from_numpy(found).reshape(steps, inputs)


def golden(reference: BitReference) -> tuple[int, int]:
    """Of the voltages of all steps, and of the logits after them."""
    state = reference.initial_state(1)
    voltages, logits = fnv(np.empty(0, np.uint32)), None
    for x_t in congruential(SELFTEST_STEPS, reference.model.in_features):
        _, voltage, logits, state = reference.advance(x_t[None], state)
        voltages = fnv(bits(voltage), voltages)
    assert logits is not None
    return voltages, fnv(bits(logits))
