"""A run in a stack: see `phc_snn.training.together`."""

from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from phc_snn.models import PHCSSM
from phc_snn.training.batches import OfEqualLength, StepSampler
from phc_snn.training.optimization import rates_to
from phc_snn.training.progress import read_checkpoint, write_checkpoint
from phc_snn.training.recordings import Recordings
from phc_snn.training.result import TrainingResult, best_epoch, waited
from phc_snn.training.train import PROGRESS, evaluate, finish, forget, make_model
from phc_snn.training.train_config import TrainConfig


class Learner:
    """A run in a stack: its network, and how far its training is.

    Args:
        name: Of the run.
        config: Its settings.
        recordings: What it is trained, validated and tested on.
        data: Its training part, on ``device``.
        device: Where it is trained.
    """

    def __init__(
        self,
        name: str,
        config: TrainConfig,
        recordings: Recordings,
        data: OfEqualLength,
        device: torch.device,
    ) -> None:
        self.name, self.config, self.recordings, self.data = name, config, recordings, data
        self.folder = cast(Path, config.out)
        self.model = cast(PHCSSM, make_model(config, recordings)).to(device, data.x.dtype)
        self.sampler = StepSampler(
            len(data.labels), config.batch_size, config.seed, config.steps_per_epoch
        )
        given = config.make_optimization()
        self.optimizer = given.optimizer(self.model, device)
        self.schedule = given.scheduler(self.optimizer, config.epochs * self.sampler.steps)
        self.losses: list[float] = []
        self.validation: list[float] = []
        self.best: dict[str, Tensor] = {}
        self.seconds = 0.0
        self.error = ""
        self._load(device)

    @property
    def epochs(self) -> int:
        """Complete ones."""
        return len(self.losses)

    @property
    def place(self) -> tuple[int, int]:
        """Recordings of a pass, and the step of the pass that comes next."""
        return self.sampler.size, self.epochs * self.sampler.steps % self.sampler.in_pass

    @property
    def ended(self) -> bool:
        patience = self.config.patience
        tired = patience is not None and waited(self.validation) > patience
        return bool(self.error) or tired or self.epochs >= self.config.epochs

    def batches(self) -> list[list[int]]:
        """The recordings of each step of the next epoch."""
        self.sampler.set_epoch(self.epochs)
        return [[index for index, _ in keys] for keys in self.sampler]

    def end_epoch(self, losses: Tensor) -> None:
        """Take note of an epoch, and look at the validation part."""
        if not bool(torch.isfinite(losses).all()):
            self.error = (
                f"learning_rate: {self.config.learning_rate:g} made the loss no number in epoch "
                f"{self.epochs + 1}; use a smaller one"
            )
        self.losses.append(float(losses.mean()))
        if self.recordings.validation is None:
            return
        found = evaluate(self.model, self.recordings.validation, self.config.make_solver())
        self.validation.append(found.accuracy)
        if self.validation[-1] == max(self.validation):
            self.best = {n: t.detach().clone() for n, t in self.model.state_dict().items()}

    def finish(self) -> str:
        """Evaluate and write the results; what went wrong, or ""."""
        if self.error:
            forget(self.folder)
            return self.error
        self.model.cpu()
        if self.best:
            self.model.load_state_dict(self.best)
        training = TrainingResult(
            self.epochs,
            self.losses,
            False,
            self.seconds,
            self.validation,
            best_epoch(self.validation),
        )
        try:
            finish(self.config, self.recordings, self.folder, self.model.eval(), training)
        except OSError as error:  # of this folder; those of the others can be written to
            self.error = str(error)
        return self.error

    def keep(self) -> None:
        """Write where the training stands."""
        content = {
            "stacked": True,
            "weights": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": None if self.schedule is None else self.schedule.state_dict(),
            "losses": self.losses,
            "validation": self.validation,
            "best": self.best,
            "seconds": self.seconds,
        }
        write_checkpoint(content, self.folder / PROGRESS, f"epoch-{self.epochs}")

    def _load(self, device: torch.device) -> None:
        content = read_checkpoint(self.folder / PROGRESS)
        if content is None:
            return
        if not content.get("stacked"):
            raise ValueError(
                f"engine: {self.folder} was begun by the engine local; go on with that one"
            )
        self.model.load_state_dict(content["weights"])
        self.optimizer.load_state_dict(content["optimizer"])
        rates_to(self.optimizer, device)
        if self.schedule is not None:
            self.schedule.load_state_dict(content["schedule"])
        self.losses, self.validation = content["losses"], content["validation"]
        self.best, self.seconds = content["best"], content["seconds"]
