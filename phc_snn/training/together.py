"""Runs that are trained as one batch: a network this small leaves a GPU idle, many of them do not.

Each run is what it would be alone: it has its own seed, batches, optimiser, validation and end, and
its folder is as `train` writes it. What the runs of a stack have in common is all that gives their
tensors a shape.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from phc_snn.training.batches import OfEqualLength
from phc_snn.training.graphed import GraphedStep
from phc_snn.training.learner import Learner
from phc_snn.training.recordings import Recordings
from phc_snn.training.stack import Stack
from phc_snn.training.train import SETTINGS, new_run, read
from phc_snn.training.train_config import TrainConfig

FREE = (
    "clip", "epochs", "learning_rate", "patience", "schedule", "seed", "topology", "weight_decay",
)  # fmt: skip
"""Settings in which the runs of a stack may differ."""

_OWN = {
    "members": 1, "dropout": 0.0, "devices": 1, "nodes": 1, "strategy": "auto", "log": "none",
}  # fmt: skip
"""Settings that a run in a stack has at one value only."""

_SPARE = 20
"""Keeping the progress takes at most one part in so many of the time."""


def check_stackable(config: TrainConfig) -> None:
    """Refuse settings that a run in a stack cannot have.

    Raises:
        ValueError: Some that it cannot; all of them are named.
    """
    found = {name: getattr(config, name) for name in _OWN}
    other = [f"{name} = {value!r}" for name, value in found.items() if value != _OWN[name]]
    if config.solver == "exact":  # it decides by values, of each network by its own
        other.append("solver = 'exact'")
    if other:
        only = ", ".join(f"{name} = {value!r}" for name, value in _OWN.items())
        raise ValueError(
            f"engine: stacked does not train runs with {', '.join(other)}; it takes {only} and any "
            "solver but exact; set that, or use the engine local"
        )


def stacks(
    runs: Mapping[str, TrainConfig], largest: int | None = None
) -> list[dict[str, TrainConfig]]:
    """Runs that can be trained as one batch, together; at most ``largest`` of them."""
    found: dict[Any, list[dict[str, TrainConfig]]] = {}
    for name, config in runs.items():
        key = tuple(v for n, v in vars(config).items() if n not in (*FREE, "out"))
        parts = found.setdefault(key, [{}])
        if largest is not None and len(parts[-1]) >= largest:
            parts.append({})
        parts[-1][name] = config
    return [stack for parts in found.values() for stack in parts]


def train_together(
    runs: Mapping[str, TrainConfig], told: Callable[[str], None] = lambda news: None
) -> Iterator[tuple[str, str]]:
    """Train the runs of one of `stacks`; name and error, or "", of each, as they end.

    A run that was cut off goes on from its last epoch, on a CPU with the same bits. Beside other
    runs it is the same to rounding: torch rounds some functions by where in a tensor a value is.

    Args:
        runs: Name -> settings; each has a folder.
        told: Hears how far it is.

    Raises:
        FileNotFoundError, ValueError: As `train`.
    """
    first = next(iter(runs.values()))
    torch.set_num_threads(first.threads)
    there = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(there if first.device == "auto" else first.device)
    known: dict[int, Recordings] = {}
    data: dict[int, OfEqualLength] = {}
    for config in runs.values():
        if config.seed not in known:
            known[config.seed] = read(config)
            data[config.seed] = _on_device(known[config.seed], config, device, data)
    with ExitStack() as folders:
        learners = []
        for name, config in runs.items():
            folder = cast(Path, config.out)
            if not (folder / SETTINGS).exists():
                folders.enter_context(new_run(config, folder))
            learners.append(Learner(name, config, known[config.seed], data[config.seed], device))
        yield from _until_all_have_ended(learners, told)


def _on_device(
    recordings: Recordings,
    config: TrainConfig,
    device: torch.device,
    there: Mapping[int, OfEqualLength],
) -> OfEqualLength:
    """The training part; where it is there already, as of seeds that split nothing, that one."""
    if not isinstance(recordings.train, TensorDataset):
        raise ValueError(
            f"engine: stacked trains recordings of one length, those of {config.data} differ; use "
            "the engine local"
        )
    x, labels = recordings.train.tensors
    wide = config.precision == "64-true"
    batches = OfEqualLength(x.double() if wide else x, labels)
    batches.to(device)
    same = (b for b in there.values() if torch.equal(b.x, batches.x))
    return next((b for b in same if torch.equal(b.labels, batches.labels)), batches)


def _until_all_have_ended(
    learners: list[Learner], told: Callable[[str], None]
) -> Iterator[tuple[str, str]]:
    alive = list(learners)
    while alive:
        for learner in alive:
            if learner.ended:
                yield learner.name, learner.finish()
        alive = [learner for learner in alive if not learner.ended]
        # Batches of one size in every step: what is left at the end of a pass is a smaller one.
        groups: dict[tuple[int, int], list[Learner]] = {}
        for learner in alive:
            groups.setdefault(learner.place, []).append(learner)
        for group in groups.values():
            _until_one_has_ended(group, told)


def _until_one_has_ended(group: list[Learner], told: Callable[[str], None]) -> None:
    rounds = Rounds(group)
    while not any(learner.ended for learner in group):
        rounds.epoch()
        told(f"{len(group)} together, epoch {max(learner.epochs for learner in group)}")


class Rounds:
    """Epochs of a stack of learners whose batches are of one size."""

    def __init__(self, learners: list[Learner]) -> None:
        self.learners = learners
        first = learners[0]
        self._device = first.data.x.device
        step = _step(learners)
        # It holds nothing of this object, so that all is gone when the next one is made.
        self._run = GraphedStep(step) if self._device.type == "cuda" else step
        self._kept = time.monotonic()
        self._wait = first.config.checkpoint_seconds

    def epoch(self) -> None:
        """One more, of each."""
        began = time.perf_counter()
        plans = [learner.batches() for learner in self.learners]
        steps = list(zip(*plans, strict=True))
        # Sent at once: to send each step's would make the device wait for it.
        flat = [index for step in steps for batch in step for index in batch]
        sizes = [len(batch) for step in steps for batch in step]
        numbers = iter(torch.split(torch.tensor(flat).to(self._device), sizes))
        found = []
        for _ in steps:
            chosen = [next(numbers) for _ in self.learners]
            pairs = list(zip(self.learners, chosen, strict=True))
            x = torch.stack([learner.data.x.index_select(1, own) for learner, own in pairs])
            labels = torch.stack([learner.data.labels[own] for learner, own in pairs])
            found.append(self._run(x, labels))
            for learner in self.learners:
                if learner.schedule is not None:
                    learner.schedule.step()
        losses = torch.stack(found).cpu()
        for learner, own in zip(self.learners, losses.unbind(1), strict=True):
            learner.end_epoch(own)
        share = (time.perf_counter() - began) / len(self.learners)
        for learner in self.learners:
            learner.seconds += share
        self._keep()

    def _keep(self) -> None:
        began = time.monotonic()
        if began - self._kept < self._wait and not any(x.ended for x in self.learners):
            return
        for learner in self.learners:
            if not learner.error:
                learner.keep()
        self._kept = time.monotonic()
        self._wait = max(self._wait, _SPARE * (self._kept - began))


def _step(learners: list[Learner]) -> Callable[[Tensor, Tensor], Tensor]:
    """One step of all: their batches and labels -> their losses."""
    stack = Stack([learner.model for learner in learners], learners[0].config.make_rstdp())

    def step(x: Tensor, labels: Tensor) -> Tensor:
        losses, right, spikes = stack.backward(x, labels)
        for learner in learners:
            if learner.config.clip is not None:
                torch.nn.utils.clip_grad_norm_(learner.model.parameters(), learner.config.clip)
            learner.optimizer.step()
        stack.reinforce(spikes, right)
        return losses

    return step
