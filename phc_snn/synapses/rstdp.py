"""Reward-modulated spike-timing-dependent plasticity (Chiang 2026, Eqs. 15-17)."""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args, overload

import torch
from torch import Tensor

from phc_snn.checks import check_input, values_are_known
from phc_snn.numerics.product import linear_of_spikes
from phc_snn.padding import Across, check_lengths, own_steps
from phc_snn.scan import affine_scan
from phc_snn.scan.affine import delayed
from phc_snn.synapses.connectome import HierarchicalConnectome

Coincidence = Literal["ltd", "none"]


@dataclass(frozen=True, kw_only=True)
class RSTDP:
    """R-STDP: spike timing says which weights change, the reward how much, and in which direction.

    ::

        x_pre[t]  = exp(-1 / tau_plus)  x_pre[t-1]  + s[t]                     trace       (Eq. 15)
        x_post[t] = exp(-1 / tau_minus) x_post[t-1] + s[t]                     trace       (Eq. 15)
        dW = (A_plus  sum_t s[t] x_pre[t-1]^T
            - A_minus sum_t x_post[t] s[t]^T) / (B T)                          timing      (Eq. 16)
        W <- W + eta r dW M_topo M_type                                        update      (Eq. 17)

    Rows are postsynaptic, columns presynaptic. With a positive reward a weight grows where the
    presynaptic neuron fires before the postsynaptic one, and shrinks where it fires after it; a
    negative reward turns both round. ``M_topo`` are the connections of the topology and ``M_type``
    those from excitatory onto excitatory neurons. The traces begin at zero with each sequence.

    It runs outside autograd, after the optimiser's step, and has no state.

    Args:
        tau_plus: Time constant of the presynaptic trace, in steps. Default 10.
        tau_minus: Time constant of the postsynaptic trace, in steps. Default 20.
        A_plus: Strength of potentiation, at least 0. Default 1.
        A_minus: Strength of depression, at least 0. Default 1.05.
        eta: Learning rate, at least 0. Default 0.01.
        coincidence: What two spikes in one step do. ``"ltd"`` (published): ``x_post[t]`` counts
            the spike of step t itself, so they depress by ``A_minus``. ``"none"``: nothing.
        reward_baseline: The accuracy at which the reward is zero: ``"chance"`` (default), one over
            the number of classes, or a number in [0, 1). 0.5 is the published form, which is
            negative at chance for more than two classes.

    Raises:
        TypeError: A constant that is not a number.
        ValueError: A constant outside its range, or an unknown ``coincidence``.

    Example:
        >>> import torch, phc_snn as phc
        >>> model = phc.PHCSSM(in_features=6, num_classes=4, neurons=32)
        >>> rule = phc.RSTDP(eta=0.01)
        >>> x, labels = torch.randn(100, 20, 6), torch.randint(4, (20,))  # time first
        >>> output = model(x)
        >>> accuracy = (output.logits.argmax(1) == labels).float().mean()
        >>> reward = rule.reward(accuracy, num_classes=4)
        >>> rule.update(model.connectome, output.solution.spikes, reward)
    """

    tau_plus: float = 10.0
    tau_minus: float = 20.0
    A_plus: float = 1.0
    A_minus: float = 1.05
    eta: float = 0.01
    coincidence: Coincidence = "ltd"
    reward_baseline: float | Literal["chance"] = "chance"

    def __post_init__(self) -> None:
        for name in ("tau_plus", "tau_minus"):
            value = _number(name, getattr(self, name))
            if not 0 < value < math.inf:
                raise ValueError(f"{name}: got {value}, expected a positive number of time steps")
        for name in ("A_plus", "A_minus", "eta"):
            value = _number(name, getattr(self, name))
            if not 0 <= value < math.inf:
                raise ValueError(f"{name}: got {value}, expected a finite number of at least 0")
        if self.coincidence not in get_args(Coincidence):
            raise ValueError(
                f"coincidence: got {self.coincidence!r}, expected one of {get_args(Coincidence)}"
            )
        baseline = self.reward_baseline
        if baseline != "chance" and (not _is_number(baseline) or not 0 <= baseline < 1):
            raise ValueError(
                f"reward_baseline: got {baseline!r}, expected 'chance' or an accuracy of at least "
                "0 and below 1, such as 0.5 for the published 2 * accuracy - 1"
            )

    @torch.no_grad()
    def change(
        self, spikes: Tensor, lengths: Tensor | None = None, *, across: Across | None = None
    ) -> Tensor:
        """``dW`` (Eq. 16) of all pairs of neurons, without masks, learning rate and reward.

        The sum over time takes two scans and one matrix product of (N, T B) by (T B, N). Its value
        for spikes of 0 and 1 is exact but for the traces, which are rounded once in each step, in
        the order of the steps, and put on a grid of ``53 - ceil(log2(T B))`` bits below the largest
        (in float64 twice as many). So its bits do not depend on the order of the batch or on
        threads, and a GPU gives those of a CPU. Padding changes it to rounding only.

        Args:
            spikes: s (T, B, N), time first.
            lengths: (B,) integers, the steps of each sample that are its own; what follows is
                padding, which counts neither in the sums nor in ``B T``, then the sum of
                ``lengths``. None (default): all T.
            across: Where several processes share a batch: the mean of a value over them.

        Returns:
            (N, N), row post, column pre; float32 for spikes of less precision, else in their dtype.
            Zero where there are no steps.

        Raises:
            TypeError: Spikes that are not a floating-point tensor, or lengths that are not
                integers.
            ValueError: A wrong shape, lengths outside 0 to T, or other values than 0 and 1, for
                which nothing looks on a GPU.
        """
        features = spikes.shape[-1] if isinstance(spikes, Tensor) and spikes.dim() else 0
        check_input("spikes", spikes, ("T", "B", "N"), features)
        steps, batch, _ = spikes.shape
        spikes = spikes.to(torch.promote_types(spikes.dtype, torch.float32))
        count = spikes.new_full((), steps * batch)
        if lengths is not None:
            check_lengths(lengths, steps, spikes)
            spikes = torch.where(own_steps(lengths, steps)[..., None], spikes, 0.0)
            count = lengths.sum().to(spikes.dtype)
        # Whatever is not finite makes the sum so too, and one sum costs less than a look at each.
        if _is_at_hand(spikes) and not math.isfinite(spikes.sum()):
            raise ValueError("spikes: got NaN or Inf, expected 0 and 1; clean what made them")
        if _is_at_hand(spikes) and not torch.equal(spikes, spikes * spikes):
            raise ValueError(
                "spikes: got other values than 0 and 1, expected spikes; give the neurons a spike "
                "function (spike_grad=phc_snn.FastSigmoid())"
            )
        effect = self._effect(spikes).flatten(0, 1).T
        total = linear_of_spikes(spikes.flatten(0, 1).T, effect)
        if across is not None:
            total, count = across(total), across(count)
        return total / count.clamp(min=1)

    def _effect(self, spikes: Tensor) -> Tensor:
        """What a postsynaptic spike at t does to the synapse of each presynaptic neuron, (T, B, N).

        The sum over pairs with the presynaptic spike last is the same whether the postsynaptic
        trace runs forward or one of the presynaptic spikes backward:
        ``sum_t x_post[t] s[t]^T = sum_t s[t] y[t]^T`` with
        ``y[t] = exp(-1 / tau_minus) y[t+1] + s[t]``. Both terms then share their left factor, the
        spikes, and are one product.
        """
        before = _trace(spikes, self.tau_plus)
        before = delayed(before, torch.zeros_like(before[:1]), reverse=False)
        after = _trace(spikes.flip(0), self.tau_minus).flip(0)
        if self.coincidence == "none":
            after -= spikes
        return self.A_plus * before - self.A_minus * after

    @overload
    def reward(self, accuracy: Tensor, num_classes: int) -> Tensor: ...
    @overload
    def reward(self, accuracy: float, num_classes: int) -> float: ...
    def reward(self, accuracy: Tensor | float, num_classes: int) -> Tensor | float:
        """``r = (accuracy - b) / (1 - b)``: 0 at the baseline b, 1 if all is right.

        With two classes, or ``reward_baseline=0.5``, it is the published ``2 * accuracy - 1``.

        Args:
            accuracy: Share of right answers, 0 to 1. A tensor gives a tensor, and the host waits
                for nothing if it is on a GPU.
            num_classes: C, at least 2; chance is ``1 / C``.

        Raises:
            TypeError: An accuracy that is neither a number nor a floating-point tensor.
            ValueError: Less than two classes, or an accuracy outside 0 to 1, which on a GPU nothing
                looks at.
        """
        if isinstance(num_classes, bool) or not isinstance(num_classes, int) or num_classes < 2:
            raise ValueError(f"num_classes: got {num_classes!r}, expected an integer of at least 2")
        _check_reward("accuracy", accuracy)
        if _is_at_hand(accuracy):
            outside = torch.as_tensor(accuracy).flatten()
            outside = outside[~((outside >= 0) & (outside <= 1))]
            if len(outside):
                raise ValueError(
                    f"accuracy: got {float(outside[0])}, expected 0 to 1, the share of right "
                    "answers; divide a percentage by 100"
                )
        baseline = 1 / num_classes if self.reward_baseline == "chance" else self.reward_baseline
        return (accuracy - baseline) / (1 - baseline)

    @torch.no_grad()
    def update(
        self,
        connectome: HierarchicalConnectome,
        spikes: Tensor,
        reward: Tensor | float,
        lengths: Tensor | None = None,
        *,
        across: Across | None = None,
    ) -> None:
        """Change the weights from excitatory onto excitatory neurons in place (Eq. 17).

        Nothing else of the connectome changes, nor its gradient. Under Dale's law a weight stops at
        zero and is not dead there: `HierarchicalConnectome.add`. Call it after the backward pass
        and the optimiser's step. With tensors on a GPU it can be part of a `phc_snn.GraphedStep`,
        where a reward that is a number keeps the value that it had when it was recorded.

        Args:
            connectome: Of N neurons; ``model.connectome`` of a `phc_snn.PHCSSM`.
            spikes: (T, B, N), time first, on the connectome's device.
            reward: r, what `reward` returned: a number, or a tensor of one value on that device.
            lengths, across: As `change`.

        Raises:
            TypeError: Another kind of connectome, a reward that is neither a number nor a
                floating-point tensor, and as `change`.
            ValueError: Spikes of another number of neurons, tensors on different devices, a reward
                of more than one value or that is not finite (nothing looks at a tensor on a GPU),
                and as `change`.
        """
        if not isinstance(connectome, HierarchicalConnectome):
            raise TypeError(
                f"connectome: got {type(connectome).__name__}, expected a HierarchicalConnectome, "
                "whose topology says which neurons are excitatory; of a PHCSSM pass "
                "model.connectome, and add change(spikes) to other weights yourself"
            )
        check_input("spikes", spikes, ("T", "B", "N"), connectome.features)
        raw = connectome.raw_weight
        for name, value in (("spikes", spikes), ("reward", reward)):
            if isinstance(value, Tensor) and value.device != raw.device:
                raise ValueError(
                    f"{name}: is on {value.device}, the connectome on {raw.device}; move one of "
                    "them"
                )
        _check_reward("reward", reward)
        if isinstance(reward, Tensor):
            if reward.numel() != 1:
                raise ValueError(
                    f"reward: got shape {tuple(reward.shape)}, expected one value; take its mean"
                )
            reward = reward.reshape(()).to(raw.dtype)
        if _is_at_hand(reward) and not math.isfinite(reward):
            raise ValueError(
                f"reward: got {float(reward)}, expected a finite number; is the batch empty?"
            )
        excitatory = connectome.excitatory
        plastic = excitatory[:, None] & excitatory
        change = self.change(spikes, lengths, across=across).to(raw.dtype) * (self.eta * reward)
        connectome.add(torch.where(plastic, change, 0.0))


def _trace(spikes: Tensor, time: float) -> Tensor:
    """``x[t] = exp(-1 / time) x[t-1] + s[t]``, in the order of the steps."""
    return affine_scan(spikes.new_full((), math.exp(-1 / time)), spikes, backend="sequential")


def _is_at_hand(value: Tensor | float) -> bool:
    """Whether it can be looked at without waiting for a GPU."""
    return not isinstance(value, Tensor) or (values_are_known(value) and not value.is_cuda)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(name: str, value: Any) -> float:
    if not _is_number(value):
        raise TypeError(f"{name}: got {type(value).__name__}, expected a number")
    return float(value)


def _check_reward(name: str, value: Any) -> None:
    if isinstance(value, Tensor) and value.is_floating_point():
        return
    if not _is_number(value):
        kind = f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(
            f"{name}: got {kind}, expected a number or a floating-point tensor; convert what is "
            "right or wrong with .float() and take its mean"
        )
