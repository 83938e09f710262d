"""Networks of one structure as one batch."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.func import functional_call

from phc_snn.models import PHCSSM
from phc_snn.synapses import RSTDP, HierarchicalConnectome

_CONNECTOME = "network.connectome."


class Stack:
    """The loss of each network, its gradient and its plasticity, computed for all of them at once.

    The networks stay what they are: from now on their weights are parts of the stack's tensors,
    which an optimiser, or who loads weights into one, changes in place. They must not be moved to
    another device while they are stacked.

    Args:
        models: Of one structure, on one device; what may differ are values: weights, connections
            and signs.
        rule: Plasticity, or None.
    """

    def __init__(self, models: Sequence[PHCSSM], rule: RSTDP | None = None) -> None:
        self.models = list(models)
        self.rule = rule
        self._first = self.models[0]
        self._own = [dict(model.named_parameters()) for model in self.models]
        self._values = {
            name: torch.stack([own[name].detach() for own in self._own]).requires_grad_()
            for name in self._own[0]
        }
        for name, value in self._values.items():
            for own, part in zip(self._own, value.detach().unbind(0), strict=True):
                own[name].data = part
        fixed = [dict(model.named_buffers()) for model in self.models]
        self._fixed = {name: torch.stack([own[name] for own in fixed]) for name in fixed[0]}
        self._plasticity = None if rule is None else _Plasticity(rule, self._first.connectome)

    def backward(self, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gradient of each network's loss on its batch, into the parameters of each.

        Args:
            x: (networks, T, B, D_in).
            labels: (networks, B).

        Returns:
            Losses (networks,), shares of right decisions (networks,), and spikes (networks, T, B,
            N).
        """
        for value in self._values.values():
            value.grad = None
        losses, right, spikes = torch.vmap(self._loss)(self._values, self._fixed, x, labels)
        torch.autograd.backward(losses.sum())
        for name, value in self._values.items():
            gradient = cast(Tensor, value.grad)
            for own, part in zip(self._own, gradient.unbind(0), strict=True):
                own[name].grad = part
        return losses.detach(), right, spikes

    def _loss(
        self, values: dict[str, Tensor], fixed: dict[str, Tensor], x: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        output = functional_call(self._first, (values, fixed), (x,))
        decided = output.logits.detach().argmax(-1)
        right = (decided == labels).to(x.dtype).mean()
        return self._first.loss(output, labels), right, output.solution.spikes.detach()

    @torch.no_grad()
    def reinforce(self, spikes: Tensor, accuracy: Tensor) -> None:
        """R-STDP of each network, after the optimiser's step, by what `backward` returned."""
        if self._plasticity is None:
            return
        values, fixed = (
            {n: t.detach() for n, t in of.items() if n.startswith(_CONNECTOME)}
            for of in (self._values, self._fixed)
        )
        torch.vmap(self._change)(values, fixed, spikes, accuracy)

    def _change(
        self, values: dict[str, Tensor], fixed: dict[str, Tensor], spikes: Tensor, accuracy: Tensor
    ) -> Tensor:
        own = {n.replace(_CONNECTOME, "connectome."): t for n, t in (values | fixed).items()}
        reward = cast(RSTDP, self.rule).reward(accuracy, self._first.num_classes)
        changed: Tensor = functional_call(cast(nn.Module, self._plasticity), own, (spikes, reward))
        return changed


class _Plasticity(nn.Module):
    """The rule as a module, whose weights ``torch.func`` can replace."""

    def __init__(self, rule: RSTDP, connectome: HierarchicalConnectome) -> None:
        super().__init__()
        self.rule, self.connectome = rule, connectome

    def forward(self, spikes: Tensor, reward: Tensor) -> Tensor:
        self.rule.update(self.connectome, spikes, reward)
        return reward
