"""The arithmetic of the C code in torch, operation by operation, so that bits can be compared.

Between the torch modes and the C code differ the sums alone: `phc_snn.numerics.linear` is an exact
sum, which needs float64; C adds float32 numbers one after the other, as a microcontroller can. So
does this. All else is `phc_snn.circuit.Circuit`, whose operations are those of IEEE 754.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from phc_snn.axes import OneStep
from phc_snn.checks import check_input
from phc_snn.circuit import Circuit
from phc_snn.firmware.plan import STEPS, make_plan
from phc_snn.models import PHCSSM
from phc_snn.solution import PHCState
from phc_snn.state import tensors
from phc_snn.synapses.transmission import Connectome

Trace = dict[str, Tensor]
"""Of every step (T, B, n): voltage, each state, spikes, logits."""


class BitState(NamedTuple):
    """State of a `BitReference`.

    Attributes:
        network: Of neurons and synapses.
        total: (B, r), the sums that are read out.
        steps: Steps so far.
    """

    network: PHCState
    total: Tensor
    steps: int


class BitReference:
    """A `PHCSSM` in the order of operations of its C code, float32, step by step.

    Args:
        model: The model.

    Attributes:
        model: It, on the CPU.
        plan: What its C code computes.

    Raises:
        TypeError, ValueError: As `phc_snn.export_c`.

    Example:
        >>> import torch, phc_snn as phc
        >>> from phc_snn.firmware import BitReference
        >>> reference = BitReference(phc.PHCSSM(in_features=3, num_classes=2, neurons=8))
        >>> logits, state = reference.step(torch.zeros(1, 3))
        >>> logits.shape
        torch.Size([1, 2])
    """

    @torch.no_grad()
    def __init__(self, model: PHCSSM) -> None:
        self.plan = make_plan(model)  # refuses what has no C code
        self.model = model = self.plan.model  # on the CPU
        network = model.network
        self._circuit = Circuit(
            network.neuron,
            list(network.synapses),  # type: ignore[arg-type]
            _InOrder(network.connectome),
            network.drive,
            torch.float32,
        )

    def initial_state(self, batch_size: int) -> BitState:
        """At rest, nothing read out."""
        resting = self.model.initial_state(batch_size, dtype=torch.float32)
        return BitState(resting.network, resting.total, 0)

    @torch.no_grad()
    def step(self, x_t: Tensor, state: BitState | None = None) -> tuple[Tensor, BitState]:
        """One sample in, ``x_t`` (B, D_in) float32: logits (B, C), and the new state.

        Raises:
            TypeError, ValueError: As `PHCSSM.step`.
        """
        check_input("x_t", x_t, ("B", "D_in"), self.model.in_features, None)
        state = self.initial_state(len(x_t)) if state is None else state
        _, _, logits, after = self.advance(x_t, state)
        return logits, after

    @torch.no_grad()
    def advance(
        self, x_t: Tensor, state: BitState, name: str = "x_t"
    ) -> tuple[Tensor, Tensor, Tensor, BitState]:
        """As `step`: spikes and voltage (B, N), logits, and the new state.

        Raises:
            ValueError: NaN or Inf, or numbers that overflow in the encoder, as the C code refuses.
        """
        current = self.encode(x_t)
        if not bool(torch.isfinite(current).all()):
            raise ValueError(
                f"{name}: has NaN or Inf, or numbers so large that the encoder overflows; the C "
                "code refuses such a sample"
            )
        driven = self._circuit.driven(current)
        spikes, voltage, _, network = self._circuit.advance(driven, state.network, OneStep())
        model = self.model
        read = (voltage if model.readout == "voltage" else spikes)[:, model.neurons_read]
        total, neurons = state.total.clone(), read.shape[1]
        if state.steps < STEPS:
            first = neurons * self._window(state.steps)
            total[:, first : first + neurons] += read
        after = BitState(network, total, min(state.steps + 1, STEPS))
        return spikes, voltage, self.logits(after), after

    def _window(self, steps: int) -> int:
        width = self.model.window_steps
        return 0 if width is None else min(steps // width, self.model.windows - 1)

    def encode(self, x: Tensor) -> Tensor:
        """Encoder (Eq. 1): (B, D_in) -> (B, N)."""
        encoder = self.model.encoder
        projected = in_order(x, encoder.weight) + encoder.bias
        if encoder.norm is not None:
            norm = encoder.norm
            count = float(projected.shape[-1])
            centred = projected - (add_up(projected) / count)[:, None]
            variance = add_up(centred * centred) / count
            scale = 1.0 / square_root(variance + norm.eps)
            projected = centred * scale[:, None] * norm.weight + norm.bias
            # A scale of 0 would hide what overflows.
            projected = torch.where(torch.isfinite(variance)[:, None], projected, torch.nan)
        return torch.where(encoder.inputs.bool(), projected, 0.0)

    def logits(self, state: BitState) -> Tensor:
        """Readout (Eq. 18): (B, C)."""
        model = self.model
        neurons = state.total.shape[1] // model.windows
        counts = []
        for window in range(model.windows):
            began = 0 if model.window_steps is None else window * model.window_steps
            count = state.steps - began
            if window < model.windows - 1:
                count = min(count, model.window_steps or 0)
            counts += [float(max(count, 1))] * neurons
        mean = state.total / torch.tensor(counts, dtype=torch.float32)
        square = add_up(mean * mean) / float(mean.shape[1])
        scale = 1.0 / square_root(square + (model.norm.eps or 0.0))
        normed = mean * scale[:, None] * model.norm.weight
        return in_order(normed, model.decoder.weight) + model.decoder.bias

    def state_tensors(self, state: BitState) -> list[Tensor]:
        """Of synapses behind the delay, neurons, and synapses ahead, as the C code has them."""
        cut = self._circuit._cut
        network = state.network
        ordered = (*network.synapses[cut + 1 :], network.neuron, *network.synapses[:cut])
        return [t for part in ordered for t in tensors(part) if t.dim() == 2]


def check_recordings(model: PHCSSM, inputs: Tensor) -> Tensor:
    """``inputs`` (T, B, D_in) in float32 and on the CPU; refused if a network cannot take them.

    Raises:
        TypeError, ValueError: No tensor of numbers, a wrong shape, nothing in it, NaN or Inf.
    """
    check_input("inputs", inputs, ("T", "B", "D_in"), model.in_features, None)
    if not inputs.numel():
        raise ValueError(
            f"inputs: got shape {tuple(inputs.shape)}, expected at least one step of one recording"
        )
    found = inputs.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(found).all()):
        raise ValueError("inputs: has NaN or Inf in float32, expected finite numbers; clean it")
    return found


def trace(reference: BitReference, inputs: Tensor, names: Sequence[str] = ()) -> Trace:
    """What the reference computes in every step; of the states those that are named, or none."""
    state = reference.initial_state(inputs.shape[1])
    rows: dict[str, list[Tensor]] = {name: [] for name in ("voltage", *names, "spikes", "logits")}
    for x_t in inputs.to(torch.float32).unbind(0):
        spikes, voltage, logits, state = reference.advance(x_t, state, "inputs")
        rows["voltage"].append(voltage)
        rows["spikes"].append(spikes)
        rows["logits"].append(logits)
        for name, value in zip(names, reference.state_tensors(state), strict=bool(names)):
            rows[name].append(value)
    return {name: torch.stack(values) for name, values in rows.items()}


def square_root(x: Tensor) -> Tensor:
    """Rounded correctly, as C has it and torch on a CPU has not."""
    return torch.from_numpy(np.sqrt(x.detach().numpy()))


def add_up(x: Tensor) -> Tensor:
    """Sum over the last dimension, from the first element to the last."""
    total = torch.zeros_like(x[..., 0])
    for column in x.unbind(-1):
        total = total + column
    return total


def in_order(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T`` (..., N), each product rounded and added, from the first column on."""
    total = x.new_zeros(*x.shape[:-1], len(weight))
    for k, column in enumerate(x.unbind(-1)):
        total = total + column[..., None] * weight[:, k]
    return total


class _InOrder(Connectome):
    """The connectome of a model, its product in order."""

    def __init__(self, connectome: Any) -> None:
        super().__init__()
        self.features = connectome.features
        self._given = connectome

    def coefficients(self, dtype: torch.dtype) -> Any:
        return self._given.coefficients(dtype)

    @staticmethod
    def transmit(signal: Tensor, coefficients: Any) -> Tensor:
        return in_order(signal, coefficients)

    def scale(self, gain: float) -> None:
        self._given.scale(gain)
