"""The hash that the self-test of the C code must come to."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from phc_snn.firmware.readout import selftest_steps
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


class Golden(NamedTuple):
    """What the self-test must come to.

    Attributes:
        hash: Of all tables, and of voltages and logits of all steps.
        spikes: Those that the connectome passes on meanwhile.
    """

    hash: int
    spikes: int


def golden(reference: BitReference, tables: Iterable[np.ndarray]) -> Golden:
    """Run the self-test in torch; ``tables`` are the words of all tables of the C code."""
    plan = reference.plan
    state, found, spikes = reference.initial_state(1), fnv(np.empty(0, np.uint32)), 0
    for words in tables:
        found = fnv(words, found)
    steps = selftest_steps(plan)
    arriving = steps - max((ring.depth for ring in plan.rings), default=0)
    for t, x_t in enumerate(congruential(steps, reference.model.in_features)):
        fired, voltage, logits, state = reference.advance(x_t[None], state)
        found = fnv(bits(logits), fnv(bits(voltage), found))
        if t < arriving:
            spikes += int((fired[0] != 0).sum())
    return Golden(found, spikes)
