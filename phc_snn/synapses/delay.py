"""Axonal delay (Chiang 2026, Eq. 7)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from phc_snn.axes import TimeAxis, arrivals
from phc_snn.process import Process


class DelayState(NamedTuple):
    """Signals under way, (B, D, N) with D the longest delay, the oldest first."""

    queue: Tensor


class Delay(Process):
    """Passes its input on after ``steps`` steps: ``S[t] = s[t - steps]``, zero before the first.

    In a `phc_snn.PHC` it is what makes the loop causal: a spike acts at the earliest ``steps``
    steps later, so a time step can be computed from the past alone.

    Args:
        features: N, the number of neurons.
        steps: Delay in time steps, one integer or one for each neuron; 0 passes the input through.

    Raises:
        TypeError: A delay that is not an integer.
        ValueError: A negative delay, or as many delays as there are no neurons.

    Example:
        >>> import torch, phc_snn as phc
        >>> signal, state = phc.Delay(1, steps=2).scan(
        ...     torch.tensor([1.0, 2, 3, 4]).reshape(4, 1, 1)
        ... )
        >>> signal.flatten()
        tensor([0., 0., 1., 2.])
    """

    echoes = False
    delay: Tensor
    lead: Tensor

    def __init__(self, features: int, steps: int | Sequence[int] | Tensor = 1) -> None:
        super().__init__(features)
        given = torch.as_tensor(steps)
        if given.is_floating_point() or given.is_complex() or given.dtype == torch.bool:
            raise TypeError(f"steps: got {steps!r}, expected an integer number of time steps")
        if given.dim() > 1 or given.numel() not in (1, features):
            raise ValueError(
                f"steps: got shape {tuple(given.shape)}, expected one value or one for each of "
                f"{features} neurons"
            )
        if int(given.min()) < 0:
            raise ValueError(
                f"steps: got {int(given.min())}, expected at least 0: a signal cannot arrive "
                "before it is sent"
            )
        self.shortest, self.longest = int(given.min()), int(given.max())
        self.register_buffer("delay", given.long().expand(features).clone())
        # Always the same tensor, so that kernels need its values once.
        self.register_buffer("lead", self.longest - self.delay, persistent=False)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        saved = state_dict.get(f"{prefix}delay")
        if saved is not None and not torch.equal(saved.to(self.delay.device), self.delay):
            args[-1].append(
                f"{prefix}delay: the saved network has other delays than this one; build the "
                "module with the delays it was saved with"
            )
            return
        super()._load_from_state_dict(state_dict, prefix, *args)

    def initial_state(
        self,
        batch_size: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> DelayState:
        """Nothing under way."""
        shape = (batch_size, self.longest, self.features)
        return DelayState(torch.zeros(shape, device=device, dtype=dtype))

    def coefficients(self, dtype: torch.dtype) -> Tensor | None:
        """How many steps each neuron's delay is shorter than the longest; None if none is."""
        return None if self.shortest == self.longest else self.lead

    @staticmethod
    def dynamics(
        x: Tensor, state: DelayState, c: Tensor | None, time: TimeAxis
    ) -> tuple[tuple[Tensor], DelayState]:
        delayed, queue = time.shift(x, state.queue, c)
        return (delayed,), DelayState(queue)

    def due(self, state: DelayState, steps: int) -> Tensor:
        """What arrives in the coming ``steps`` steps, (steps, B, N); at most `shortest` of them."""
        return arrivals(state.queue.transpose(0, 1), self.coefficients(state.queue.dtype), steps)

    def extra_repr(self) -> str:
        steps = f"{self.shortest}" if self.shortest == self.longest else self.delay.tolist()
        return f"{self.features}, steps={steps}"
