"""`PSpikeStack`: a classifier of P-SpikeSSM blocks (Bal and Sengupta 2024)."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from phc_snn.checks import check_finite, check_input, check_positive, check_state
from phc_snn.neurons.p_spike_modes import Discretization
from phc_snn.neurons.p_spike_ssm import PSpikeSSM, PSpikeSSMState
from phc_snn.readout import add_over_time
from phc_snn.spike_blocks import FuseClamp, Linear, PSpikeBlock
from phc_snn.stack_layers import FeatureNorm
from phc_snn.state import batch_size


class PSpikeStackState(NamedTuple):
    """State of `PSpikeStack`: of its blocks, the sum (B, N) of all steps, and how many (B,)."""

    blocks: tuple[PSpikeSSMState, ...]
    total: Tensor
    steps: Tensor


class PSpikeStack(nn.Module):
    """A classifier of sequences: linear encoder, blocks, norm, mean over time, linear decoder.

    In evaluation `step` in a loop and `forward` give the same logits in every bit.

    The published backbone for permuted MNIST is 2 blocks of 400 features, 32 pairs of modes,
    ``"dplr"`` and two-sided, without residuals. Blocks and last norm have 430,784 parameters here.
    Counted over the published program they are 1,073,984: each block holds besides a linear layer
    of 400 to 800 that is never called (320,800), and an affine map of 2 x 400 that another kind of
    two-sided layer would use.

    Args:
        in_features: D, of the input.
        classes: Of the output.
        features: N. Default 64.
        blocks: Default 2.
        modes, discretization, gelu, bidirectional: As `PSpikeSSM`.
        norm, residual: As `PSpikeBlock`; the last norm is there with the others.
        seed: Of the draws of a state at rest; each block has its own.
        generator: Source of first values; torch's default one if None.

    Example:
        >>> import torch, phc_snn as phc
        >>> stack = phc.PSpikeStack(3, 10, features=8, modes=4).eval()
        >>> logits, state = stack(torch.rand(20, 2, 3))
        >>> logits, state = stack.step(torch.rand(2, 3), state)  # of 21 steps
        >>> logits.shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        *,
        features: int = 64,
        blocks: int = 2,
        modes: int = 32,
        discretization: Discretization = "zoh",
        gelu: bool = True,
        bidirectional: bool = False,
        norm: bool = True,
        residual: bool | FuseClamp = False,
        seed: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {"in_features": in_features, "classes": classes, "blocks": blocks}
        for name, value in {**sizes, "features": features}.items():
            check_positive(name, value)
        self.in_features, self.features = in_features, features
        self.check_finite = True
        self.encoder = Linear(in_features, features, generator)
        self.blocks = nn.ModuleList(
            PSpikeBlock(
                PSpikeSSM(
                    features,
                    modes=modes,
                    discretization=discretization,
                    gelu=gelu,
                    bidirectional=bidirectional,
                    seed=seed + i,
                    generator=generator,
                ),
                norm=norm,
                residual=residual,
                generator=generator,
            )
            for i in range(blocks)
        )
        self.norm = FeatureNorm(features) if norm else None
        self.decoder = Linear(features, classes, generator)

    def initial_state(
        self,
        batch_size: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PSpikeStackState:
        """At rest; with a ``generator`` every lane of every sample has draws of its own."""
        states = (
            block.neuron.initial_state(batch_size, generator=generator, device=device, dtype=dtype)
            for block in self._blocks()
        )
        total = torch.zeros(batch_size, self.features, device=device, dtype=dtype)
        steps = torch.zeros(batch_size, device=device, dtype=torch.int64)
        return PSpikeStackState(tuple(states), total, steps)

    def forward(
        self, x_seq: Tensor, state: PSpikeStackState | None = None, *, backend: str = "auto"
    ) -> tuple[Tensor, PSpikeStackState]:
        """A sequence (T, B, D) -> logits (B, classes) of all steps so far, and the state.

        For training, give it ``initial_state(B, generator=g)``: at rest all samples and all batches
        have the same draws. With ``"dplr"`` take ``backend="associative"`` too, see `PSpikeSSM`.

        Raises:
            TypeError: Input that is not a floating-point tensor; a state of another kind or dtype.
            ValueError: A wrong shape, a state of another batch size, NaN or Inf; no steps at all.
        """
        state = self._check("x_seq", x_seq, ("T", "B", "D"), state)
        if not len(x_seq) and not bool((state.steps > 0).all()):
            raise ValueError("x_seq: got no steps, expected at least one: there is no mean of none")
        signal, states = self.encoder(x_seq), []
        for block, before in zip(self._blocks(), state.blocks, strict=True):
            signal, after = block.scan(signal, before, backend=backend)
            states.append(after)
        return self._read(signal, state, tuple(states))

    def step(
        self, x_t: Tensor, state: PSpikeStackState | None = None
    ) -> tuple[Tensor, PSpikeStackState]:
        """One step (B, D) -> logits (B, classes) of all steps so far, and the state.

        Raises:
            RuntimeError: In training: see `PSpikeBlock.step`.
            TypeError, ValueError: As `forward`; two-sided blocks.
        """
        state = self._check("x_t", x_t, ("B", "D"), state)
        signal, states = self.encoder(x_t), []
        for block, before in zip(self._blocks(), state.blocks, strict=True):
            signal, after = block.step(signal, before)
            states.append(after)
        return self._read(signal[None], state, tuple(states))

    def _blocks(self) -> list[PSpikeBlock]:
        return [cast(PSpikeBlock, block) for block in self.blocks]

    def _read(
        self, signal: Tensor, state: PSpikeStackState, states: tuple[PSpikeSSMState, ...]
    ) -> tuple[Tensor, PSpikeStackState]:
        """Logits after some steps (T, B, N) more."""
        signal = signal if self.norm is None else self.norm(signal)
        total = add_over_time(state.total, signal, None)
        steps = state.steps + len(signal)
        logits: Tensor = self.decoder(total / steps[:, None].to(total.dtype))
        return logits, PSpikeStackState(states, total, steps)

    def _check(
        self, name: str, x: Tensor, dims: tuple[str, ...], state: PSpikeStackState | None
    ) -> PSpikeStackState:
        check_input(name, x, dims, self.in_features, batch_size(state))
        resting = self.initial_state(x.shape[-2], device=x.device, dtype=x.dtype)
        if state is not None:
            check_state(state, resting)
        if self.check_finite:
            check_finite(name, x)
        return resting if state is None else state
