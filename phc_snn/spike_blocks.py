"""The blocks around `phc_snn.PSpikeSSM`, and a classifier of them (Bal and Sengupta 2024)."""

import math
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from phc_snn import numerics
from phc_snn.checks import check_finite, check_input, check_positive, check_state
from phc_snn.neurons.p_spike_modes import Discretization
from phc_snn.neurons.p_spike_ssm import PSpikeSSM, PSpikeSSMState, clamped
from phc_snn.readout import add_over_time
from phc_snn.stack_layers import FeatureNorm
from phc_snn.state import batch_size


class _Linear(nn.Module):
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


class SpikeMixer(_Linear):
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
        return clamped(total) if self.bounded else total

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
        self.encoder = _Linear(in_features, features, generator)
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
        self.decoder = _Linear(features, classes, generator)

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
