"""`PHCSSM`: encoder, recurrent network and readout for sequence classification (Chiang 2026)."""

import inspect
import math
import warnings
from collections.abc import Sequence
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from phc_snn import numerics
from phc_snn.checks import check_finite, check_input, check_positive, check_state, values_are_known
from phc_snn.encoder import Encoder
from phc_snn.named import NEURONS, NeuronName, TopologyName, make_neuron, make_topology
from phc_snn.neurons.alif import DriveTransform
from phc_snn.outputs import ParameterCount, PHCSSMOutput, PHCSSMState
from phc_snn.padding import Across, check_lengths
from phc_snn.phc import PHC
from phc_snn.process import Process
from phc_snn.readout import (
    add_over_time,
    add_to_windows,
    check_labels,
    check_windows,
    mean_of_windows,
    mean_over_steps,
    of_neurons,
    weighted_mean,
)
from phc_snn.solvers import Solver, solver_from_dict, solver_to_dict
from phc_snn.state import batch_size
from phc_snn.synapses import Delay, HierarchicalConnectome, Topology, TsodyksMarkram
from phc_snn.synapses.connectome import Dale
from phc_snn.synapses.tsodyks_markram import Release

Readout = Literal["voltage", "spike"]


class PHCSSM(nn.Module):
    """Sequence classifier: encoder (Eq. 1), PHC (Eqs. 2-14), readout (Eq. 18), loss (Eq. 19).

    Args:
        in_features: D_in, channels of the input.
        num_classes: C.
        neurons: N. Default 64.
        neuron: ``"alif"`` (default), or any other model of `phc_snn.neurons` by its name in lower
            case: ``"lif"``, ``"silif"``, ...
        topology: ``"feedforward"`` or ``"bidirectional"`` (two regions, 80 % excitatory), or a
            `Topology` of N neurons.
        readout: ``"voltage"`` or ``"spike"``: what is averaged over time, of the excitatory neurons
            of the last region.
        windows: Consecutive stretches of the sequence that are averaged and read out each for
            itself, so that the decision can tell when something was. Default 1, the whole of it.
        window_steps: Steps of a window; the last one takes all that follow. Needed for more than
            one: a step has to know its window before the sequence has ended.
        encoder_norm: The LayerNorm of the encoder. Default True; False where the strength of the
            input matters, of which the norm takes no notice.
        delay: Synaptic delay in steps, one or N. Default 1.
        plasticity: Short-term plasticity of the synapses. Default True.
        drive: ``alpha_drive``. Default 1.
        refractory_lag: As `ALIF`.
        drive_transform: As `ALIF`.
        release: As `TsodyksMarkram`.
        gain: As `HierarchicalConnectome`.
        dale: As `HierarchicalConnectome`.
        solver: Default solver; ``Jacobi(4)`` if None.
        label_smoothing: Of the cross-entropy. Default 0.1.
        rate_target: Target firing rate of each region, spikes per neuron and step. Default 0.1.
        rate_weight: Weight of each region's squared distance from the target rate. Default 1.
        voltage_weight: Weight of each region's mean squared voltage. Default 1e-3.
        generator: Source of the initial weights; torch's default one if None.

    The input should be standardised, each channel to mean 0 and variance 1. A default network then
    fires between 2 % and 20 % of the time and every neuron can fire: the initial values were found
    by a search for that, and for loops that settle in few sweeps.

    Raises:
        ValueError: No connection path from the input neurons to the readout neurons, or an argument
            outside its range.

    Example:
        >>> import torch, phc_snn as phc
        >>> model = phc.PHCSSM(in_features=6, num_classes=4, neurons=32)
        >>> x, labels = torch.randn(100, 20, 6), torch.randint(4, (20,))  # time first
        >>> output = model(x)
        >>> loss = model.loss(output, labels)
        >>> deployed = model(x, solver=phc.Sequential()).logits
    """

    neurons_read: Tensor

    def __init__(
        self,
        in_features: int,
        num_classes: int,
        *,
        neurons: int = 64,
        neuron: NeuronName = "alif",
        topology: TopologyName | Topology = "bidirectional",
        readout: Readout = "voltage",
        windows: int = 1,
        window_steps: int | None = None,
        encoder_norm: bool = True,
        delay: int | Sequence[int] = 1,
        plasticity: bool = True,
        drive: float = 1.0,
        refractory_lag: Literal[0, 1] = 0,
        drive_transform: DriveTransform = "identity",
        release: Release = "post",
        gain: float = 8.0,
        dale: Dale | None = "construction",
        solver: Solver | Literal["auto"] | None = None,
        label_smoothing: float = 0.1,
        rate_target: float = 0.1,
        rate_weight: float = 1.0,
        voltage_weight: float = 1e-3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        sizes = {"in_features": in_features, "num_classes": num_classes, "neurons": neurons}
        for name, value in sizes.items():
            check_positive(name, value)
        if readout not in get_args(Readout):
            raise ValueError(f"readout: got {readout!r}, expected one of {get_args(Readout)}")
        check_windows(windows, window_steps)
        topology = make_topology(topology, neurons)
        topology.require_path()
        self.in_features, self.num_classes = in_features, num_classes
        self.readout = readout
        self.windows, self.window_steps = windows, window_steps
        self.label_smoothing = label_smoothing
        self.rate_target, self.rate_weight = rate_target, rate_weight
        self.voltage_weight = voltage_weight
        self.check_finite = True

        self.encoder = Encoder(in_features, topology, generator, normalize=encoder_norm)
        synapses: list[Process] = [Delay(neurons, delay)]
        if plasticity:
            synapses.append(TsodyksMarkram(neurons, release=release))
        cell = make_neuron(
            neuron,
            neurons,
            generator,
            **({} if refractory_lag == 0 else {"refractory_lag": refractory_lag}),
            **({} if drive_transform == "identity" else {"drive_transform": drive_transform}),
        )
        connectome = HierarchicalConnectome(topology, gain=gain, dale=dale, generator=generator)
        self.network = PHC(cell, synapses, connectome, drive=drive, solver=solver)
        self.network.check_finite = False  # the door is here
        self._make_readout(topology, num_classes, generator)

    def _make_readout(
        self, topology: Topology, num_classes: int, generator: torch.Generator | None
    ) -> None:
        # On the model's device, so that a step need not wait for the host.
        for name, members in (("read", topology.readout), *_regions(topology)):
            self.register_buffer(f"neurons_{name}", members.nonzero()[:, 0], persistent=False)
        read = self.windows * int(topology.readout.sum())
        self.norm = nn.RMSNorm(read, eps=1e-6)
        self.decoder = nn.Linear(read, num_classes)
        bound = 1.0 / math.sqrt(read)
        for parameter in self.decoder.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)

    @property
    def connectome(self) -> HierarchicalConnectome:
        return cast(HierarchicalConnectome, self.network.connectome)

    @property
    def members(self) -> tuple["PHCSSM"]:
        """Itself: a network alone is an `Ensemble` of one."""
        return (self,)

    @property
    def topology(self) -> Topology:
        return self.connectome.topology

    def initial_state(
        self,
        batch_size: int,
        *,
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> PHCSSMState:
        """The network at rest, no step read out; ``generator`` as `PHC.initial_state`."""
        return PHCSSMState(
            self.network.initial_state(batch_size, generator=generator, device=device, dtype=dtype),
            torch.zeros(batch_size, self.decoder.in_features, device=device, dtype=dtype),
            torch.zeros(batch_size, device=device, dtype=torch.long),
        )

    def forward(
        self,
        x_seq: Tensor,
        state: PHCSSMState | None = None,
        *,
        solver: Solver | Literal["auto"] | None = None,
        lengths: Tensor | None = None,
    ) -> PHCSSMOutput:
        """Classify sequences, or go on with them.

        Args:
            x_seq: (T, B, D_in), time first.
            state: State carried from the chunk before; the logits then count its steps too.
            solver: How to close the recurrent loop; None takes the model's own.
            lengths: (B,) integers, the steps of each sample that are its own; what follows is
                padding, of which neither logits nor loss take notice. None (default): all T.

        The logits of a sample have the same bits in any batch, padded to any length, whole, in
        chunks or by `step`, with every solver whose own result is so: `Sequential` and `Exact`, and
        `Jacobi` without a tolerance, where the scan backend keeps the step's order (on the CPU). A
        tolerance looks at all T steps, padding included, so padding can change the number of
        sweeps; so can it change what `Exact` achieves within ``max_sweeps``.

        Raises:
            TypeError: Input that is not a floating-point tensor; a state of another kind or dtype;
                lengths that are not integers.
            ValueError: A wrong shape, a state of another batch size, NaN or Inf, or lengths outside
                0 to T.
        """
        resting = self._check("x_seq", x_seq, ("T", "B", "D_in"), state)
        if lengths is not None:
            check_lengths(lengths, len(x_seq), x_seq)
        carried = None if state is None else state.network
        solution = self.network(self.encoder(x_seq), carried, solver=solver)
        read = solution.voltage if self.readout == "voltage" else solution.spikes
        before = resting if state is None else state
        after = PHCSSMState(
            solution.state,
            self._add(before, None if state is None else state.steps, read, lengths),
            before.steps + (x_seq.shape[0] if lengths is None else lengths),
        )
        return PHCSSMOutput(self.logits(after), solution, after, lengths)

    def step(self, x_t: Tensor, state: PHCSSMState | None = None) -> tuple[Tensor, PHCSSMState]:
        """One sample in, ``x_t`` (B, D_in), one decision out: logits (B, C) over all steps so far.

        Raises:
            TypeError, ValueError: As `forward`.
        """
        resting = self._check("x_t", x_t, ("B", "D_in"), state)
        before = resting if state is None else state
        spikes, voltage, network = self.network.step(self.encoder(x_t), before.network)
        read = voltage if self.readout == "voltage" else spikes
        total = self._add(before, before.steps, read[None], None)
        after = PHCSSMState(network, total, before.steps + 1)
        return self.logits(after), after

    def _add(
        self, state: PHCSSMState, steps: Tensor | None, values: Tensor, lengths: Tensor | None
    ) -> Tensor:
        read = of_neurons(self.neurons_read, values)
        if self.window_steps is None:
            return add_over_time(state.total, read, lengths)
        return add_to_windows(state.total, steps, read, lengths, self.windows, self.window_steps)

    def logits(self, state: PHCSSMState) -> Tensor:
        """``W_dec RMSNorm(mean over time) + b_dec`` (Eq. 18) from the running sum; (B, C).

        With several windows, of the means of all windows behind one another; one that has not begun
        is zero.

        In the dtype of the weights, whatever the input's.
        """
        if self.window_steps is None:
            mean = state.total / state.steps.clamp(min=1)[:, None]
        else:
            mean = mean_of_windows(state.total, state.steps, self.windows, self.window_steps)
        normed = self.norm(mean.to(self.decoder.weight.dtype))
        return numerics.linear(normed, self.decoder.weight) + self.decoder.bias

    def loss(self, output: PHCSSMOutput, labels: Tensor, *, across: Across | None = None) -> Tensor:
        """Cross-entropy plus the rate and voltage terms of each region (Eq. 19); a scalar.

        Rate and voltage are means over the neurons and over the samples' own steps: padding that
        ``lengths`` told `forward` of does not count.

        Args:
            output: What `forward` returned.
            labels: (B,) class numbers, of any integer dtype.
            across: Where several processes share a batch: the mean of a value over them, whose
                gradient is that of this one's part. None (default): the batch is whole.

        Raises:
            TypeError: Labels that are not integers.
            ValueError: Labels of another shape than (B,).

        Warns:
            UserWarning: No neuron fired in the whole batch, so that nothing can be learned.
        """
        labels = check_labels(labels, len(output.logits))
        spikes, voltage = output.solution.spikes, output.solution.voltage
        if spikes.numel() and values_are_known(spikes) and not bool(spikes.any()):
            warnings.warn(
                "no neuron fired in this batch; is each input channel standardised (mean 0, "
                "variance 1)?",
                stacklevel=2,
            )
        loss = nn.functional.cross_entropy(
            output.logits, labels, label_smoothing=self.label_smoothing
        )
        loss = weighted_mean(loss, len(labels), across)
        if spikes.numel() == 0:
            return loss  # no step, no rate
        rates = mean_over_steps(spikes, output.lengths, across)
        powers = mean_over_steps(voltage.square(), output.lengths, across)
        for name, _ in _regions(self.topology):
            members = getattr(self, f"neurons_{name}")
            rate, power = (of_neurons(members, means).mean() for means in (rates, powers))
            loss = loss + self.rate_weight * (rate - self.rate_target) ** 2
            loss = loss + self.voltage_weight * power
        return loss

    def count_parameters(self) -> ParameterCount:
        """Trainable parameters, and how many of them can act.

        Trainable are ``D_in N + N^2 + 12 N + r + (r + 1) C``, with r neurons read out, times the
        windows; the N^2 of the connectome include those that the topology masks.
        """
        trainable = sum(p.numel() for p in self.parameters() if p.requires_grad)
        connectome = self.connectome
        masked = connectome.raw_weight.numel() - connectome.effective_weights
        return ParameterCount(trainable, trainable - masked)

    def config(self) -> dict[str, Any]:
        """All that `from_config` needs to build a model of this structure, as JSON values."""
        network = self.network
        plasticity = [p for p in network.synapses if isinstance(p, TsodyksMarkram)]
        return {
            "in_features": self.in_features,
            "num_classes": self.num_classes,
            "neurons": network.features,
            "neuron": next(n for n, model in NEURONS.items() if type(network.neuron) is model),
            "topology": self.topology.to_dict(),
            "readout": self.readout,
            "windows": self.windows,
            "window_steps": self.window_steps,
            "encoder_norm": self.encoder.norm is not None,
            "delay": network.synapses[0].delay.tolist(),  # type: ignore[operator]
            "plasticity": bool(plasticity),
            "drive": network.drive,
            "refractory_lag": getattr(network.neuron, "refractory_lag", 0),
            "drive_transform": getattr(network.neuron, "drive_transform", "identity"),
            "release": plasticity[0].release if plasticity else "post",
            "dale": self.connectome.dale,
            "solver": solver_to_dict(network.solver),
            "label_smoothing": self.label_smoothing,
            "rate_target": self.rate_target,
            "rate_weight": self.rate_weight,
            "voltage_weight": self.voltage_weight,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "PHCSSM":
        """Build an untrained model from what `config` returned.

        Raises:
            ValueError: Entries that are unknown or missing, or values that the model refuses.
        """
        # What models were before there was a choice.
        before = {"neuron": "alif", "windows": 1, "window_steps": None, "encoder_norm": True}
        config = {**before, **config}
        known = set(inspect.signature(cls).parameters) - {"gain", "generator"}
        if set(config) != known:
            raise ValueError(
                f"config: unknown entries {sorted(set(config) - known)}, missing entries "
                f"{sorted(known - set(config))}"
            )
        parts = {
            "topology": Topology.from_dict(config["topology"]),
            "solver": solver_from_dict(config["solver"]),
        }
        return cls(**{**config, **parts})

    def _check(self, name: str, x: Tensor, dims: tuple[str, ...], state: Any) -> PHCSSMState:
        check_input(name, x, dims, self.in_features, batch_size(state))
        resting = self.initial_state(x.shape[-2], device=x.device, dtype=x.dtype)
        if state is not None:
            check_state(state, resting)
        if self.check_finite:
            check_finite(name, x)
        return resting


def _regions(topology: Topology) -> list[tuple[str, Tensor]]:
    """The regions' names, and the masks (N,) of their neurons."""
    return [(f"in_region_{r}", topology.region == r) for r in range(topology.regions)]
