"""The blocks around `phc_snn.PSpikeSSM` (Bal and Sengupta 2024)."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from phc_snn import numerics
from phc_snn.checks import check_positive
from phc_snn.neurons.p_spike_ssm import PSpikeSSM, PSpikeSSMState
from phc_snn.stack_layers import FeatureNorm


class Linear(nn.Module):
    """``W x + bias`` by `phc_snn.numerics.linear`, first values as of ``nn.Linear``."""

    def __init__(
        self, in_features: int, out_features: int, generator: torch.Generator | None
    ) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(in_features)

        def drawn(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))

        self.weight = drawn(out_features, in_features)
        self.bias = drawn(out_features)

    def forward(self, x: Tensor) -> Tensor:
        return numerics.linear(x, self.weight.to(x.dtype)) + self.bias.to(x.dtype)


class SpikeMixer(Linear):
    """``gelu(W s + bias)``: what a feature gets of the spikes of all.

    Args:
        features: N, in and out.
        generator: Source of first values; torch's default one if None.

    Example:
        >>> import torch, phc_snn as phc
        >>> phc.SpikeMixer(4)(torch.ones(7, 2, 4)).shape
        torch.Size([7, 2, 4])
    """

    def __init__(self, features: int, *, generator: torch.Generator | None = None) -> None:
        check_positive("features", features)
        super().__init__(features, features, generator)

    def forward(self, s: Tensor) -> Tensor:
        """Spikes (..., N) -> (..., N)."""
        return numerics.gelu(super().forward(s))


class FuseClamp(nn.Module):
    """The join of a residual branch: ``clamp(out + x, 0, 1)``, a probability again.

    Args:
        bounded: False leaves the clamp to the next draw of spikes, as the published program does.
            With a norm in between that is not the same. Default True.

    Example:
        >>> import torch, phc_snn as phc
        >>> phc.FuseClamp()(torch.tensor([0.75, -0.5]), torch.tensor([0.5, 0.25]))
        tensor([1., 0.])
    """

    def __init__(self, *, bounded: bool = True) -> None:
        super().__init__()
        self.bounded = bounded

    def forward(self, out: Tensor, x: Tensor) -> Tensor:
        """Both (..., N)."""
        total = out + x
        return numerics.clipped(total, 0.0, 1.0) if self.bounded else total

    def extra_repr(self) -> str:
        return f"bounded={self.bounded}"


class PSpikeBlock(nn.Module):
    """One block: affine map, norm, `PSpikeSSM`, `SpikeMixer`, and the input on top if asked.

    ::

        p_in[t] = norm(inp_a x[t] + inp_b)
        s[t]    = neuron(p_in)[t]
        out[t]  = gelu(W s[t] + bias)  (+ x[t])

    Args:
        neuron: Of N features.
        norm: `FeatureNorm` (default), or none.
        residual: Add the input: `FuseClamp`, or True for its sum without the clamp, as the
            published program. Default False.
        generator: Source of first values; torch's default one if None.

    Example:
        >>> import torch, phc_snn as phc
        >>> block = phc.PSpikeBlock(phc.PSpikeSSM(4, modes=2)).eval()
        >>> out, state = block.scan(torch.rand(7, 2, 4))
        >>> out, state = block.step(torch.rand(2, 4), state)
    """

    def __init__(
        self,
        neuron: PSpikeSSM,
        *,
        norm: bool = True,
        residual: bool | FuseClamp = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(neuron, PSpikeSSM):
            raise TypeError(f"neuron: got {type(neuron).__name__}, expected a PSpikeSSM")
        self.features = neuron.features
        self.inp_a = nn.Parameter(torch.ones(neuron.features))
        self.inp_b = nn.Parameter(torch.zeros(neuron.features))
        self.norm = FeatureNorm(neuron.features) if norm else None
        self.neuron = neuron
        self.mixer = SpikeMixer(neuron.features, generator=generator)
        self.fuse = FuseClamp(bounded=False) if residual is True else (residual or None)

    def step(self, x_t: Tensor, state: PSpikeSSMState | None = None) -> Any:
        """One step: (B, N) -> the block's output (B, N), and the state of its neuron.

        Raises:
            RuntimeError: In training, where the norm is over a whole batch of sequences.
            TypeError, ValueError: As `PSpikeSSM.step`.
        """
        if self.training and self.norm is not None:
            raise RuntimeError(
                "step: the norm is in training, where it looks at whole sequences; call eval()"
            )
        return self._run(x_t, state, self.neuron.step)

    def scan(
        self, x_seq: Tensor, state: PSpikeSSMState | None = None, *, backend: str = "auto"
    ) -> Any:
        """A sequence: (T, B, N) -> the block's outputs (T, B, N), and the state of its neuron.

        In evaluation equal to `step` in a loop as `PSpikeSSM.scan` is.

        Raises:
            TypeError, ValueError: As `PSpikeSSM.scan`.
        """
        return self._run(x_seq, state, lambda p, s: self.neuron.scan(p, s, backend=backend))

    def _run(self, x: Tensor, state: PSpikeSSMState | None, run: Any) -> tuple[Tensor, Any]:
        p = self.inp_a.to(x.dtype) * x + self.inp_b.to(x.dtype)
        spikes, _, state = run(p if self.norm is None else self.norm(p), state)
        out = self.mixer(spikes)
        return (out if self.fuse is None else self.fuse(out, x)), state
