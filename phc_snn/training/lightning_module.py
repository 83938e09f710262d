"""A `PHCSSM` or an `Ensemble` as a Lightning module: what one step of a training does."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from phc_snn.ensemble import Ensemble
from phc_snn.extras import require
from phc_snn.models import PHCSSM
from phc_snn.outputs import PHCSSMOutput
from phc_snn.padding import Across
from phc_snn.readout import weighted_mean
from phc_snn.synapses import RSTDP
from phc_snn.training.graphed import GraphedStep
from phc_snn.training.optimization import Optimization, rates_to

lightning: Any = require("lightning.pytorch", extra="train")

_HISTORY = ("losses", "accuracies", "validation")
"""What a `Classifier` knows of the epochs before."""


class Classifier(lightning.LightningModule):  # type: ignore[misc]
    """Adam on `PHCSSM.loss`, of each network of an `Ensemble` for itself.

    Batches begin with (x (T, B, channels), lengths (B,) or None, labels (B,)), as an `EventBatch`
    of flattened frames does. On a GPU the step is recorded once and replayed (`GraphedStep`), where
    batches have one length and the solver hangs on no value, as `Exact` does. With several
    processes the loss is that of the whole batch.

    Args:
        model: Trained in place.
        optimization: See there.
        steps: Of the whole training, for the schedule.
        rstdp: Changes the weights after each step of the optimiser, by the batch's accuracy.
    """

    def __init__(
        self,
        model: PHCSSM | Ensemble,
        optimization: Optimization,
        steps: int,
        rstdp: RSTDP | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model
        self.optimization = optimization
        self.steps = steps
        self.rstdp = rstdp
        self.losses: list[float] = []
        self.validation: list[float] = []
        self.accuracies: list[float] = []
        self._epoch: list[Tensor] = []
        self._right: list[Tensor] = []
        self._seen = 0
        self._earlier = 0.0
        self._began = time.perf_counter()
        self._graphed: GraphedStep[tuple[Tensor, Tensor]] | None = None
        self._recordable: dict[torch.Size, bool] = {}

    def configure_optimizers(self) -> Any:
        optimizer = self.optimization.optimizer(self.model, self.device)
        schedule = self.optimization.scheduler(optimizer, self.steps)
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_train_start(self) -> None:
        rates_to(self.optimizers(use_pl_optimizer=False), self.device)
        alone = self.trainer.world_size == 1
        self._recordable.clear()
        self._graphed = GraphedStep(self._step) if self.device.type == "cuda" and alone else None

    @torch.no_grad()
    def _can_record(self, x: Tensor) -> bool:
        if x.shape not in self._recordable:
            self._recordable[x.shape] = all(
                member.network.recordable(member.encoder(x)) for member in self.model.members
            )
        return self._recordable[x.shape]

    def training_step(self, batch: Sequence[Any], _: int) -> None:
        x, lengths, labels = batch[:3]
        if self._graphed is not None and lengths is None and self._can_record(x):
            loss, right = self._graphed(x, labels)
        else:
            loss, right = self._step(x, labels, lengths)
        if not loss.is_cuda:
            self._check(loss)
        self._epoch.append(loss)
        self._right.append(right)
        self._seen += len(labels)
        schedule = self.lr_schedulers()
        if schedule is not None:
            schedule.step()

    def _step(
        self, x: Tensor, labels: Tensor, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """One step of the optimiser: the loss, and how many decisions were right."""
        optimizer = self.optimizers(use_pl_optimizer=False)
        optimizer.zero_grad()
        output = self.model(x, lengths=lengths)
        across = mean_of_processes if self.trainer.world_size > 1 else None
        loss = self.model.loss(output, labels, across=across)
        self.manual_backward(loss)
        if self.optimization.clip is not None:
            for member in self.model.members:
                torch.nn.utils.clip_grad_norm_(member.parameters(), self.optimization.clip)
        optimizer.step()
        if self.rstdp is not None:
            for member, found in zip(self.model.members, output.members, strict=True):
                self._reinforce(self.rstdp, member, found, labels, across)
        return loss.detach(), (output.logits.detach().argmax(-1) == labels).sum()

    def _reinforce(
        self,
        rule: RSTDP,
        member: PHCSSM,
        found: PHCSSMOutput,
        labels: Tensor,
        across: Across | None,
    ) -> None:
        """Plasticity of one network, by its own accuracy."""
        right = (found.logits.detach().argmax(-1) == labels).to(found.logits.dtype)
        accuracy = weighted_mean(right.mean(), len(labels), across)
        reward = rule.reward(accuracy, member.num_classes)
        spikes = found.solution.spikes.detach()
        rule.update(member.connectome, spikes, reward, found.lengths, across=across)

    def end_epoch(self) -> None:
        """Sum up the epoch."""
        if not self._epoch:  # Ctrl-C came before its first step
            return
        losses = torch.stack(self._epoch).cpu()
        for loss in losses:
            self._check(loss)
        self.losses.append(float(losses.mean()))
        right = torch.stack(self._right).sum()
        counts = torch.stack([right, torch.full_like(right, self._seen)])
        if self.trainer.world_size > 1:
            torch.distributed.all_reduce(counts)
        self.accuracies.append(float(counts[0] / counts[1].clamp(min=1)))
        self._epoch.clear()
        self._right.clear()
        self._seen = 0
        for logger in self.trainer.loggers:
            logger.log_metrics(self.measured(len(self.losses)), step=len(self.losses))
            logger.save()

    def measured(self, epoch: int) -> dict[str, float]:
        """What was measured in an epoch, counted from 1."""
        found = {"loss": self.losses[epoch - 1], "accuracy": self.accuracies[epoch - 1]}
        if self.validation:
            found["validation"] = self.validation[epoch - 1]
        return found

    def _check(self, loss: Tensor) -> None:
        if not bool(torch.isfinite(loss)):
            rate, epoch = self.optimization.learning_rate, self.current_epoch + 1
            raise ValueError(
                f"learning_rate: {rate:g} made the loss {float(loss)} in epoch {epoch}; use a "
                "smaller one"
            )

    @property
    def seconds(self) -> float:
        """Time of the training, before it was cut off too."""
        return self._earlier + time.perf_counter() - self._began

    def ends_here(self) -> bool:
        """Whether no epoch follows."""
        last = self.current_epoch + 1 >= self.trainer.max_epochs
        return bool(last or self.trainer.should_stop)

    def on_validation_epoch_start(self) -> None:
        self._decided: list[Tensor] = []

    def validation_step(self, batch: Sequence[Any], _: int) -> None:
        x, lengths, labels = batch[:3]
        self._decided.append(self.model(x, lengths=lengths).logits.argmax(-1) == labels)

    def on_validation_epoch_end(self) -> None:
        self.validation.append(float(torch.cat(self._decided).double().mean()))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for name in _HISTORY:
            checkpoint[name] = getattr(self, name)
        checkpoint["seconds"] = self.seconds
        checkpoint["finished"] = self.ends_here()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for name in _HISTORY:
            setattr(self, name, checkpoint[name])
        self._earlier = checkpoint["seconds"]


def mean_of_processes(x: Tensor) -> Tensor:
    """The mean of ``x`` over all processes; its gradient is that of this one's part.

    Lightning's strategies average the gradients of all processes, and so it is that of the mean.
    """
    total = x.detach().clone()
    torch.distributed.all_reduce(total)
    return x + (total / torch.distributed.get_world_size() - x.detach())
