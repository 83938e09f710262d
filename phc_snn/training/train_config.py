"""Settings of a training, and those that stand for the published one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from phc_snn.models import Readout
from phc_snn.named import NeuronName, TopologyName, make_topology
from phc_snn.neurons.alif import DriveTransform
from phc_snn.solvers import Solver
from phc_snn.synapses import RSTDP, Topology
from phc_snn.synapses.rstdp import Coincidence
from phc_snn.synapses.tsodyks_markram import Release
from phc_snn.training.batches import draws
from phc_snn.training.optimization import Optimization
from phc_snn.training.recordings import Protocol
from phc_snn.training.run import (
    Device,
    Log,
    Precision,
    Schedule,
    SolverName,
    check_device,
    command_line,
    make_solver,
)
from phc_snn.training.settings import check_settings, setting

DaleName = Literal["construction", "projection", "none"]

PUBLISHED: Mapping[str, Any] = {
    "neurons": 64,
    "regions": 2,
    "readout": "voltage",
    "rate_target": 0.1,
    "solver": "auto",
    "stdp": True,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "schedule": "constant",
    "dropout": 0.0,
    "steps_per_epoch": 1000,
    "epochs": 100,
    "patience": 10,
}
"""The model and the training of the published benchmark, which ``protocol = "uea"`` stands for."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of `train`; a TOML file and the command line have the same names.

    What each one means stands at its field; ``phc-snn train --help`` lists them.
    """

    # Data
    data: str = setting(
        "nmnist",
        "Event set (nmnist, dvsgesture, shd, ssc), psmnist, smnist, fsdd, or a UEA set.",
    )
    data_dir: Path | None = setting(
        None, "Folder of the sets; nothing only for what aeon brings or downloads."
    )
    protocol: Protocol = setting(
        "archive",
        "Of UEA sets: archive, or uea: the split, model and training of the published benchmark.",
    )
    standardize: bool | None = setting(
        None, "Scale each channel of a UEA set by its training part; else as the protocol does."
    )
    average: int | None = setting(
        None, "Steps of a UEA set that become one, their mean; else none.", least=1
    )
    unshift: bool | None = setting(
        None, "Channels of a UEA set that are one row at many delays: the electrodes in that row."
    )
    window: float | None = setting(
        None, "Time of a frame of events or speech, ms; else 10.", least=0.001
    )
    downsample: int | None = setting(
        None, "Sensor cells, each way, in one of a frame; else the set's own.", least=1
    )
    cache: Path | None = setting(None, "Folder to keep event frames in; else nowhere.")
    shift: int | None = setting(
        None, "Cells by which training moves event recordings at most; else the set's own.", least=0
    )

    # Network
    neuron: NeuronName = setting("alif", "Neuron model.")
    neurons: int = setting(80, "Neurons in the network.", least=1)
    members: int = setting(1, "Networks that are trained together and decide together.", least=1)
    topology: TopologyName = setting("bidirectional", "Connections between regions.")
    # With two regions, as `PHCSSM` has by default, all that the readout learns of has to pass
    # through spikes, which takes several times as long to train.
    regions: int = setting(1, "Of the neurons; the first takes the input.", least=1)
    # In one region the mean voltage is all but linear in the input.
    readout: Readout = setting("spike", "What is averaged over time and read out.")
    windows: int = setting(1, "Stretches of time that are read out each for itself.", least=1)
    window_steps: int | None = setting(None, "Steps of one of several windows.", least=1)
    encoder_norm: bool = setting(True, "LayerNorm of the encoder.")
    delay: int = setting(1, "Synaptic delay in time steps.", least=1)
    delay_spread: int = setting(
        0, "Steps by which the delay of each neuron may be longer, drawn by the seed.", least=0
    )
    plasticity: bool = setting(True, "Short-term plasticity of the synapses.")
    release: Release = setting("post", "Resources that a spike releases: after its own depression, "
                               "or before it.")  # fmt: skip
    dale: DaleName = setting("construction", "How Dale's law is kept.")
    drive_transform: DriveTransform = setting("identity", "Of the current into the membrane.")
    rate_target: float = setting(0.2, "Firing rate to aim at, per step.", least=0.0, most=1.0)
    rate_weight: float = setting(1.0, "Weight of the distance from that rate.", least=0.0)
    voltage_weight: float = setting(1e-3, "Weight of the mean squared voltage.", least=0.0)
    label_smoothing: float = setting(0.1, "Of the cross-entropy.", least=0.0, most=1.0)

    # Solver
    solver: SolverName = setting("jacobi", "Solver that trains, and the parallel mode.")
    sweeps: int = setting(4, "Sweeps of the jacobi solver.", least=1)

    # Training
    epochs: int = setting(
        80, "Passes over the training data, or as often steps_per_epoch.", least=0
    )
    steps_per_epoch: int | None = setting(
        None, "Steps between validations and checkpoints; else one pass.", least=1
    )
    batch_size: int = setting(20, "Recordings in a training step, of all devices.", least=1)
    learning_rate: float = setting(1e-2, "Of Adam, at the start.", least=0.0)
    dynamics_rate: float = setting(
        1.0, "Learning rate of neurons and synaptic processes, as a multiple.", least=0.0
    )
    schedule: Schedule = setting("cosine", "Of the learning rate over the training.")
    weight_decay: float = setting(0.0, "Of AdamW.", least=0.0)
    clip: float | None = setting(
        None, "Norm to cut the gradient to; else it is not cut.", least=0.0
    )
    dropout: float = setting(0.5, "Share of inputs dropped in training.", least=0.0, most=0.99)
    stdp: bool = setting(False, "R-STDP beside the gradient, after each of its steps.")
    stdp_eta: float = setting(0.01, "Learning rate of R-STDP.", least=0.0)
    stdp_coincidence: Coincidence = setting("ltd", "What two spikes in one step do.")
    stdp_baseline: float | None = setting(
        None, "Accuracy at which the reward is zero; else chance.", least=0.0, most=0.99
    )
    patience: int | None = setting(
        None, "Validations without a better one before the end; else never.", least=0
    )
    seed: int = setting(0, "Of weights, order, and what else is drawn.", least=0, most=2**63 - 1)

    # Machine
    device: Device = setting("cpu", "Where to train.")
    devices: int = setting(1, "Processes on a machine, each with a device.", least=1)
    nodes: int = setting(1, "Machines.", least=1)
    strategy: str = setting("auto", "Of Lightning: how processes share the work.")
    precision: Precision = setting("32-true", "Of weights and computation.")
    threads: int = setting(1, "CPU threads.", least=1, most=256)
    checkpoint_seconds: float = setting(
        5.0, "Time between checkpoints, at least; they come at the ends of epochs.", least=0.0
    )
    log: Log = setting("none", "Losses and accuracies of the epochs, as files.")
    out: Path | None = setting(None, "Folder for the results; else runs/<data>-<time>.")

    @staticmethod
    def presets(values: Mapping[str, Any]) -> Mapping[str, Any]:
        """What these settings bring with them, on the command line and in files."""
        return PUBLISHED if values.get("protocol") == "uea" else {}

    def make_solver(self) -> Solver:
        """The solver that trains."""
        return make_solver(self.solver, self.sweeps)

    def make_topology(self) -> Topology:
        """Of the network."""
        return make_topology(self.topology, self.neurons, regions=self.regions)

    def make_delays(self, member: int) -> int | list[int]:
        """Of the neurons of one network."""
        if not self.delay_spread:
            return self.delay
        # Not of the generator of the weights, which are those of the same seed without a spread.
        longer = torch.randint(
            self.delay_spread + 1, (self.neurons,), generator=draws(self.seed, member, 1)
        )
        return (longer + self.delay).tolist()

    def make_rstdp(self) -> RSTDP | None:
        """The plasticity beside the gradient, if there is one."""
        if not self.stdp:
            return None
        return RSTDP(
            eta=self.stdp_eta,
            coincidence=self.stdp_coincidence,
            reward_baseline="chance" if self.stdp_baseline is None else self.stdp_baseline,
        )

    def make_optimization(self) -> Optimization:
        """How each step changes the weights."""
        return Optimization(
            self.learning_rate, self.schedule, self.weight_decay, self.clip, self.dynamics_rate
        )

    def check(self) -> None:
        """Refuse what can be refused before the data are read.

        Raises:
            ValueError: A value outside its bounds, a device that is not there, or settings that do
                not go together.
        """
        check_settings(self)
        for name, value in self.presets(vars(self)).items():
            # Files and command lines leave out what is none, and would be read with this instead.
            if value is not None and getattr(self, name) is None:
                raise ValueError(
                    f"{name}: got none, which protocol = {self.protocol!r} stands for {value} "
                    "with; give a number, or have all that it stands for by from_mapping"
                )
        check_device(self.device)
        self.make_topology()

    def command(self) -> str:
        """The command line that repeats the run."""
        return command_line("train", self)
