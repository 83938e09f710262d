"""What a `PHCSSM` and a `StackedSNN` take along and return."""

from typing import Any, NamedTuple

from torch import Tensor

from phc_snn.solution import PHCState, Solution


class PHCSSMState(NamedTuple):
    """State of a `PHCSSM`: the network's, and the readout's running sum over the steps so far.

    Attributes:
        network: After all steps, padding included.
        total: (B, r), summed over each sample's own steps; (B, windows r), window by window.
        steps: (B,), their number.
    """

    network: PHCState
    total: Tensor
    steps: Tensor


class PHCSSMOutput(NamedTuple):
    """What a `PHCSSM` returns.

    Attributes:
        logits: (B, C), after the last step.
        solution: The network's `Solution`: spikes, voltage, sweeps, certificate.
        state: To carry into the next chunk.
        lengths: (B,) steps of each sample that were not padding; None if all were the sample's own.
    """

    logits: Tensor
    solution: Solution
    state: PHCSSMState
    lengths: Tensor | None = None

    @property
    def members(self) -> tuple["PHCSSMOutput"]:
        """Itself: a network alone is an `Ensemble` of one."""
        return (self,)


class StackedSNNState(NamedTuple):
    """State of a `StackedSNN`.

    Attributes:
        neurons: State of each hidden layer, after all steps, padding included.
        total: (B, C), the sum over each sample's own steps.
        steps: (B,), their number.
        membrane: (B, C), of the readout, after all steps.
    """

    neurons: tuple[Any, ...]
    total: Tensor
    steps: Tensor
    membrane: Tensor


class StackedSNNOutput(NamedTuple):
    """What a `StackedSNN` returns.

    Attributes:
        logits: (B, C), the sum over time of the readout's softmax.
        spikes: Of each hidden layer, (T, B, N), before the dropout.
        state: To carry into the next chunk.
        lengths: (B,) steps of each sample that were not padding; None if all were the sample's own.
    """

    logits: Tensor
    spikes: tuple[Tensor, ...]
    state: StackedSNNState
    lengths: Tensor | None = None


class ParameterCount(NamedTuple):
    """Numbers of parameters: all that an optimiser sees, and those that can act.

    The connectome is stored dense; weights that the topology masks are trainable in name only.
    """

    trainable: int
    effective: int
