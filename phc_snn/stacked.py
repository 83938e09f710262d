"""`StackedSNN`: layers of neurons joined by matrices alone, and a leaky integrator that decides."""

import inspect
import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from phc_snn.axes import OneStep, TimeAxis, WholeSequence
from phc_snn.checks import check_finite, check_input, check_positive, check_state
from phc_snn.neurons import Neuron
from phc_snn.neurons.resetting import Resetting
from phc_snn.outputs import ParameterCount, StackedSNNOutput, StackedSNNState
from phc_snn.padding import check_lengths, own_steps
from phc_snn.readout import add_over_time, check_labels, mean_over_steps
from phc_snn.stack_layers import LeakyReadout, NormedLinear, checked, maker
from phc_snn.state import batch_size


class StackedSNN(nn.Module):
    """Feed-forward classifier of the SiLIF work (Fabre et al. 2025, on Bittar and Garner 2022).

    ::

        I[t] = BatchNorm(W x[t]),    s[t] = neuron(I[t])             each hidden layer, then dropout
        u[t] = decay u[t-1] + (1 - decay) BatchNorm(W s[t])                     readout of C classes
        logits = sum over t of softmax(u[t])

    Args:
        in_features: D_in, channels of the input.
        num_classes: C.
        hidden: Neurons of each hidden layer. Default (512, 512), as published.
        neuron: Name of the model, as ``"silif"`` (default) or ``"csilif"``, or a callable
            ``features -> Neuron``.
        dropout: Of what leaves each hidden layer, in training. Default 0.1, as published.
        rate_weight: Weight in the loss of firing rates outside ``rate_range``. Default 0, as in the
            SiLIF work; Bittar and Garner 2022 have 0.5 where they use it.
        rate_range: Spikes per step that cost nothing. Default (0.01, 0.5).
        generator: Source of the initial values; torch's default one if None. What dropout draws
            comes from torch's default one.
        options: Of the neurons, where ``neuron`` is a name: ``time_step=0.01``, ``spike_grad=...``.

    In evaluation a BatchNorm is an affine map of each neuron's current, and `forward` and `step`
    agree in every bit. In training it takes mean and variance over all steps of all samples, so no
    step can be had before the others, and `step` refuses. Where `forward` is told the samples'
    ``lengths``, these are their own steps alone; the published programs count padding as well,
    which is what happens without ``lengths``.

    Raises:
        ValueError: An argument outside its range, or no model of that name.

    Example:
        >>> import torch, phc_snn as phc
        >>> model = phc.StackedSNN(in_features=40, num_classes=10, hidden=(32, 32))
        >>> x, labels = torch.randn(100, 20, 40), torch.randint(10, (20,))  # time first
        >>> loss = model.loss(model(x), labels)
        >>> deployed = model.eval()
        >>> logits, state = deployed.step(x[0])
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        hidden: Sequence[int] = (512, 512),
        neuron: str | Callable[[int], Neuron] = "silif",
        dropout: float = 0.1,
        rate_weight: float = 0.0,
        rate_range: tuple[float, float] = (0.01, 0.5),
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        for name, value in {"in_features": in_features, "num_classes": num_classes}.items():
            check_positive(name, value)
        hidden = _sizes(hidden)
        if "init_hidden" in options:
            raise ValueError("options: got init_hidden, expected none: a stack carries all states")
        if not (rate_weight >= 0.0 and math.isfinite(rate_weight)):
            raise ValueError(f"rate_weight: got {rate_weight}, expected a number of at least 0")
        if not isinstance(rate_range, (tuple, list)) or len(rate_range) != 2:
            raise ValueError(f"rate_range: got {rate_range!r}, expected the lowest and the highest")
        if not (isinstance(neuron, str) or callable(neuron)):
            raise ValueError(f"neuron: got {neuron!r}, expected a model's name or what makes one")
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"dropout: got {dropout}, expected 0 <= dropout < 1")
        low, high = rate_range
        if not 0.0 <= low <= high:
            raise ValueError(f"rate_range: got {rate_range}, expected 0 <= lowest <= highest")
        self.in_features, self.num_classes = in_features, num_classes
        self.rate_weight, self.rate_range = rate_weight, (low, high)
        self.check_finite = True
        self._made_by = (neuron, options)

        widths = (in_features, *hidden)
        make = maker(neuron, options, generator)
        currents, neurons = [], []
        for number, (before, features) in enumerate(zip(widths, hidden, strict=False)):
            currents.append(NormedLinear(before, features, generator))
            neurons.append(checked(make(features, number), features))
        self.currents, self.neurons = nn.ModuleList(currents), nn.ModuleList(neurons)
        self.dropout = nn.Dropout(dropout)
        self.readout = LeakyReadout(widths[-1], num_classes, generator)

    @property
    def hidden(self) -> tuple[int, ...]:
        """Neurons of each hidden layer."""
        return tuple(neuron.features for neuron in self._neurons)

    @property
    def _neurons(self) -> list[Neuron]:
        return list(self.neurons)  # type: ignore[arg-type]

    def initial_state(
        self,
        batch_size: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> StackedSNNState:
        """All layers at rest, nothing read out.

        Args:
            batch_size: B.
            generator: Of what the neurons draw, as `PSpikeSSM`; None for the draws of their seed.
            device, dtype: Of the tensors.
        """
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        zeros = torch.zeros(batch_size, self.num_classes, device=device, dtype=dtype)
        return StackedSNNState(
            tuple(n.drawn_state(batch_size, generator, **where) for n in self._neurons),
            zeros,
            torch.zeros(batch_size, device=device, dtype=torch.long),
            zeros.clone(),
        )

    def random_state(
        self,
        batch_size: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> StackedSNNState:
        """All layers in a state drawn from 0 to 1, nothing read out.

        The published programs start from it, at evaluation too, so that their results are draws.

        Raises:
            ValueError: Neurons without a ``random_state``.
        """
        resting = self.initial_state(batch_size, device=device, dtype=dtype)
        states = []
        for neuron in self._neurons:
            if not isinstance(neuron, Resetting):
                raise ValueError(
                    f"neuron: {type(neuron).__name__} has no random_state, the neurons of the "
                    "SiLIF work have; start from initial_state"
                )
            states.append(
                neuron.random_state(batch_size, generator=generator, device=device, dtype=dtype)
            )
        membrane = resting.membrane.uniform_(generator=generator)
        return resting._replace(neurons=tuple(states), membrane=membrane)

    def forward(
        self,
        x_seq: Tensor,
        state: StackedSNNState | None = None,
        *,
        lengths: Tensor | None = None,
    ) -> StackedSNNOutput:
        """Classify sequences, or go on with them.

        Args:
            x_seq: (T, B, D_in), time first.
            state: State carried from the chunk before; the logits then count its steps too.
            lengths: (B,) integers, the steps of each sample that are its own; what follows is
                padding, of which neither logits nor loss take notice. None (default): all T.

        In evaluation the logits of a sample have the same bits in any batch, padded to any length,
        whole, in chunks or by `step`, in float32 and float64 on the CPU.

        Raises:
            TypeError: Input that is not a floating-point tensor; a state of another kind or dtype;
                lengths that are not integers.
            ValueError: A wrong shape, a state of another batch size, NaN or Inf, lengths outside 0
                to T; in training, fewer than two steps in all.
        """
        before = self._check("x_seq", x_seq, ("T", "B", "D_in"), state)
        own = None
        if lengths is not None:
            check_lengths(lengths, len(x_seq), x_seq)
            own = own_steps(lengths, len(x_seq))
        spikes, states, decided, membrane = self._run(x_seq, before, WholeSequence(), own)
        after = StackedSNNState(
            states,
            add_over_time(before.total, decided, lengths),
            before.steps + (len(x_seq) if lengths is None else lengths),
            membrane,
        )
        return StackedSNNOutput(after.total, spikes, after, lengths)

    def step(
        self, x_t: Tensor, state: StackedSNNState | None = None
    ) -> tuple[Tensor, StackedSNNState]:
        """One sample in, ``x_t`` (B, D_in), one decision out: logits (B, C) over all steps so far.

        Raises:
            RuntimeError: In training, where BatchNorm needs all steps at once.
            TypeError, ValueError: As `forward`.
        """
        if self.training:
            raise RuntimeError(
                "step: the model is in training, where BatchNorm takes mean and variance over all "
                "steps; call eval() first, or forward with the whole sequence"
            )
        before = self._check("x_t", x_t, ("B", "D_in"), state)
        _, states, decided, membrane = self._run(x_t, before, OneStep(), None)
        after = StackedSNNState(states, before.total + decided, before.steps + 1, membrane)
        return after.total, after

    def _run(
        self, x: Tensor, before: StackedSNNState, time: TimeAxis, own: Tensor | None
    ) -> tuple[tuple[Tensor, ...], tuple[Any, ...], Tensor, Tensor]:
        """Spikes and states of the hidden layers, softmax of the readout, its last membrane."""
        spikes, states = [], []
        for current, neuron, state in zip(
            self.currents, self._neurons, before.neurons, strict=True
        ):
            run = neuron.step if isinstance(time, OneStep) else neuron.scan
            fired, _, after = run(current(x, own), state)
            x = self.dropout(fired)
            spikes.append(fired)
            states.append(after)
        decided, membrane = self.readout(x, before.membrane, time, own)
        return tuple(spikes), tuple(states), decided, membrane

    def loss(self, output: StackedSNNOutput, labels: Tensor) -> Tensor:
        """Cross-entropy of the summed softmax, as published, plus the rate term; a scalar.

        The rate term is ``rate_weight`` times the sum, over all neurons, of what their rate is
        outside of ``rate_range`` (Bittar and Garner 2022). A rate is a mean over the batch and the
        samples' own steps.

        Args:
            output: What `forward` returned.
            labels: (B,) class numbers, of any integer dtype.

        Raises:
            TypeError: Labels that are not integers.
            ValueError: Labels of another shape than (B,).
        """
        labels = check_labels(labels, len(output.logits))
        loss = nn.functional.cross_entropy(output.logits, labels)
        if not self.rate_weight:
            return loss
        low, high = self.rate_range
        for spikes in output.spikes:
            rates = mean_over_steps(spikes, output.lengths)
            outside = (low - rates).relu() + (rates - high).relu()
            loss = loss + self.rate_weight * outside.sum()
        return loss

    def count_parameters(self) -> ParameterCount:
        """Trainable parameters; all of them can act."""
        trainable = sum(p.numel() for p in self.parameters() if p.requires_grad)
        return ParameterCount(trainable, trainable)

    def config(self) -> dict[str, Any]:
        """All that `from_config` needs to build a model of this structure, as JSON values.

        Raises:
            ValueError: Neurons made by a callable, or options that JSON has no value for.
        """
        name, options = self._made_by
        if not isinstance(name, str):
            raise ValueError(
                f"neuron: got {name!r}, expected the name of a model: what a callable makes cannot "
                "be told in JSON; build it again by the same call"
            )
        found = {
            "in_features": self.in_features,
            "num_classes": self.num_classes,
            "hidden": list(self.hidden),
            "neuron": name,
            "dropout": self.dropout.p,
            "rate_weight": self.rate_weight,
            "rate_range": list(self.rate_range),
            "options": {k: v.tolist() if isinstance(v, Tensor) else v for k, v in options.items()},
        }
        try:
            json.dumps(found)
        except TypeError as error:
            raise ValueError(
                f"options: got {options}, expected numbers, lists and names that JSON has ({error})"
            ) from error
        return found

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "StackedSNN":
        """Build an untrained model from what `config` returned.

        Raises:
            ValueError: Entries that are unknown or missing, or values that the model refuses.
        """
        known = set(inspect.signature(cls).parameters) - {"generator"}
        if set(config) != known:
            raise ValueError(
                f"config: unknown entries {sorted(set(config) - known)}, missing entries "
                f"{sorted(known - set(config))}"
            )
        given = {name: value for name, value in config.items() if name != "options"}
        return cls(**given, **config["options"])

    def _check(self, name: str, x: Tensor, dims: tuple[str, ...], state: Any) -> StackedSNNState:
        """The state to start from."""
        check_input(name, x, dims, self.in_features, batch_size(state))
        resting = self.initial_state(x.shape[-2], device=x.device, dtype=x.dtype)
        if state is not None:
            check_state(state, resting)
        if self.check_finite:
            check_finite(name, x)
        return resting if state is None else state


def _sizes(hidden: Sequence[int]) -> tuple[int, ...]:
    if isinstance(hidden, int) or not len(hidden):
        raise ValueError(f"hidden: got {hidden!r}, expected the neurons of each layer, as (512,)")
    for size in hidden:
        check_positive("hidden", size)
    return tuple(hidden)
