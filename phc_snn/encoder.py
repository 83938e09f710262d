"""The encoder in front of the network (Chiang 2026, Eq. 1)."""

import torch
from torch import Tensor, nn

from phc_snn import numerics
from phc_snn.synapses.topology import Topology


class Encoder(nn.Module):
    """``LayerNorm(W_enc x + b_enc) * m_in`` (Eq. 1): the input reaches the input neurons only.

    The normalisation runs over all N before the mask. Each step is encoded by itself, and its bits
    do not depend on the batch or the sequence around it.

    Args:
        in_features: D_in.
        topology: Whose input neurons the input reaches.
        generator: Source of the initial weights.
        normalize: The LayerNorm. While the bias is zero, it makes the current the same however
            strong the input is: what an amplitude tells is lost. False leaves it out.
    """

    inputs: Tensor

    def __init__(
        self,
        in_features: int,
        topology: Topology,
        generator: torch.Generator | None = None,
        *,
        normalize: bool = True,
    ) -> None:
        super().__init__()
        neurons = topology.features
        # Rows of one length: on standardised input every neuron is driven equally strongly.
        weight = torch.randn(neurons, in_features, generator=generator)
        self.weight = nn.Parameter(nn.functional.normalize(weight, dim=1))
        # A bias would be a constant current, which the membrane sums up: some neurons would always
        # fire and others never.
        self.bias = nn.Parameter(torch.zeros(neurons))
        self.norm = nn.LayerNorm(neurons) if normalize else None
        self.register_buffer("inputs", topology.inputs.clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D_in) -> (..., N)."""
        projected = numerics.linear(x, self.weight.to(x.dtype)) + self.bias.to(x.dtype)
        norm = self.norm
        if norm is None:
            return projected * self.inputs
        weight, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
        normed = nn.functional.layer_norm(projected, norm.normalized_shape, weight, bias, norm.eps)
        return normed * self.inputs
