"""Layers one after the other: what a NIR graph without branches is."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from phc_snn.numerics import linear
from phc_snn.phc import PHC
from phc_snn.process import Process
from phc_snn.synapses.transmission import Connectome

Layer = nn.Linear | Connectome | Process | PHC


class Chain(nn.Module):
    """Layers one after the other over sequences, time first; what `from_nir` returns.

    ``nn.Sequential`` cannot do this: each layer here has its own way of being run over a sequence,
    and some have a state. `forward` and `step` agree in every bit on a CPU.

    Args:
        layers: ``nn.Linear``, neurons, `Delay`, connectomes (as a product at each step) and `PHC`,
            in order.

    Attributes:
        layers: The layers, to look at, to train and to change.

    Raises:
        TypeError: A layer of another kind.
        ValueError: No layers.

    Example:
        >>> import torch, phc_snn as phc
        >>> from phc_snn import Chain
        >>> chain = Chain([torch.nn.Linear(3, 8), phc.LIF(8), torch.nn.Linear(8, 2)])
        >>> output, state = chain(torch.ones(5, 4, 3))
        >>> output.shape
        torch.Size([5, 4, 2])
        >>> output, state = chain.step(torch.ones(4, 3), state)
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                raise TypeError(
                    f"layers[{i}]: got {type(layer).__name__}, expected an nn.Linear, a neuron, a "
                    "synaptic process, a connectome or a PHC"
                )
        if not layers:
            raise ValueError("layers: got none, expected at least one")
        self.layers = nn.ModuleList(layers)

    def forward(self, x_seq: Tensor, state: Any = None) -> tuple[Tensor, tuple[Any, ...]]:
        """A sequence (T, B, N_in) -> output of the last layer (T, B, N_out), and the state.

        Args:
            x_seq: Input, time first.
            state: What the call before returned; None starts at rest.
        """
        return self._run(x_seq, state, one_step=False)

    def step(self, x_t: Tensor, state: Any = None) -> tuple[Tensor, tuple[Any, ...]]:
        """One time step (B, N_in) -> (B, N_out), and the state; as `forward`."""
        return self._run(x_t, state, one_step=True)

    def _run(self, x: Tensor, state: Any, one_step: bool) -> tuple[Tensor, tuple[Any, ...]]:
        if state is None:
            state = (None,) * len(self.layers)
        if len(state) != len(self.layers):
            raise ValueError(
                f"state: got {len(state)} states, expected one for each of {len(self.layers)} "
                "layers, as an earlier call returned them"
            )
        after = []
        for layer, before in zip(self.layers, state, strict=True):
            x, left = _through(layer, x, before, one_step)
            after.append(left)
        return x, tuple(after)


def _through(layer: nn.Module, x: Tensor, state: Any, one_step: bool) -> tuple[Tensor, Any]:
    """Output and state of one layer; None for the state of a layer that has none."""
    if isinstance(layer, PHC) and not one_step:
        solution = layer(x, state)
        return solution.spikes, solution.state
    if isinstance(layer, PHC | Process):
        outputs = layer.step(x, state) if one_step else layer.scan(x, state)  # type: ignore[operator]
        return outputs[0], outputs[-1]
    if isinstance(layer, nn.Linear):
        # Not the layer itself: its bits depend on how many rows it is given.
        current = linear(x, layer.weight)
        return (current if layer.bias is None else current + layer.bias), None
    current = layer(x)
    return current, None
