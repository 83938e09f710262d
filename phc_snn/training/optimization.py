"""How each step of a training changes the weights."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phc_snn.ensemble import Ensemble
from phc_snn.models import PHCSSM
from phc_snn.training.run import Schedule


@dataclass(frozen=True)
class Optimization:
    """How each step changes the weights.

    Attributes:
        learning_rate: Of Adam, at the start.
        schedule: ``"cosine"``, falling to zero over the training, or ``"constant"``.
        weight_decay: Share of each weight that goes for each unit of learning rate (AdamW).
        clip: Norm to which the gradient is cut; None for not at all.
        dynamics_rate: Learning rate of the parameters of neurons and synaptic processes (time
            constants, thresholds, release), as a multiple of that of the weights.
    """

    learning_rate: float
    schedule: Schedule = "cosine"
    weight_decay: float = 0.0
    clip: float | None = None
    dynamics_rate: float = 1.0

    def optimizer(self, model: PHCSSM | Ensemble, device: torch.device) -> torch.optim.Optimizer:
        """Adam on the weights of ``model``, which are on ``device``."""
        options: dict[str, Any] = {"weight_decay": self.weight_decay}
        groups: list[dict[str, Any]] = [{"params": list(model.parameters())}]
        if self.dynamics_rate != 1.0:
            groups = _by_kind(model)
        for group, times in zip(groups, (1.0, self.dynamics_rate), strict=False):
            group["lr"] = self.learning_rate * times
        if device.type == "cuda":
            options |= {"capturable": True, "fused": True}
            for group in groups:
                # A recorded step reads the rate anew only if it is a tensor.
                group["lr"] = torch.tensor(group["lr"], device=device)
        make = torch.optim.AdamW if self.weight_decay else torch.optim.Adam
        optimizer = make(groups, **options)
        for member in model.members:
            member.connectome.project_after(optimizer)
        return optimizer

    def scheduler(self, optimizer: torch.optim.Optimizer, steps: int) -> Any:
        """Of the learning rate, over so many steps; None where it stays."""
        if self.schedule == "constant":
            return None
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))


def _by_kind(model: PHCSSM | Ensemble) -> list[dict[str, Any]]:
    """Two groups: weights, and what makes the dynamics of neurons and synaptic processes."""
    own = {
        id(parameter)
        for member in model.members
        for process in (member.network.neuron, *member.network.synapses)
        for parameter in process.parameters()
    }
    kinds: dict[bool, list[Any]] = {False: [], True: []}
    for parameter in model.parameters():
        kinds[id(parameter) in own].append(parameter)
    return [{"params": kinds[False]}, {"params": kinds[True]}]


def rates_to(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Put learning rates that are tensors where the weights are.

    A checkpoint is read to the CPU, and an optimiser moves its states from there, but no rates.
    """
    for group in optimizer.param_groups:
        for name, value in group.items():
            if name in ("lr", "initial_lr") and isinstance(value, Tensor):
                group[name] = value.to(device)
