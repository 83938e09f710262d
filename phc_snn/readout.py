"""What is taken from a run over time: sums in the order of the steps, over each sample's own steps.

A batch of sequences of different lengths is padded. With ``lengths`` (B,) nothing here looks at the
padding.
"""

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from phc_snn.checks import check_positive
from phc_snn.padding import Across, own_steps
from phc_snn.scan import affine_scan
from phc_snn.state import unmapped


def of_neurons(neurons: Tensor, values: Tensor) -> Tensor:
    """The part (..., n) of ``values`` (..., N) of the neurons with these numbers, (n,).

    Not by an index: its gradient allows for numbers that come twice, and sorts them.
    """
    return values.gather(-1, neurons.expand(*values.shape[:-1], -1))


def add_over_time(total: Tensor, values: Tensor, lengths: Tensor | None) -> Tensor:
    """``total`` (B, r) plus the steps of ``values`` (T, B, r) one after the other.

    In this order a sum has the same bits whether it is taken at once, in chunks or step by step,
    and whatever padding follows.
    """
    if lengths is not None:
        values = torch.where(own_steps(lengths, len(values))[..., None], values, 0.0)
    return _Sum.apply(total, values)  # type: ignore[no-any-return]


def add_to_windows(
    total: Tensor,
    before: Tensor | None,
    values: Tensor,
    lengths: Tensor | None,
    windows: int,
    width: int,
) -> Tensor:
    """As `add_over_time`, into the window that each step belongs to: ``total`` (B, windows r).

    A window is ``width`` steps of the sample; the last one has no end. ``before`` (B,) are the
    samples' steps so far; None for none.
    """
    parts = total.chunk(windows, -1)
    if before is None:
        # The places are the same for all samples.
        steps = len(values)
        ends = [min(width * k, steps) for k in range(windows)] + [steps]
        sizes = [end - start for start, end in pairwise(ends)]
        own = [
            None if lengths is None else (lengths - start).clamp(0, size)
            for start, size in zip(ends, sizes, strict=False)
        ]
        shares = torch.split(values, sizes)
    else:
        place = before + torch.arange(len(values), device=values.device)[:, None]
        window = (place // width).clamp(max=windows - 1)[..., None]
        own = [lengths] * windows
        shares = tuple(torch.where(window == k, values, 0.0) for k in range(windows))
    found = [add_over_time(*each) for each in zip(parts, shares, own, strict=True)]
    return torch.cat(found, -1)


def mean_of_windows(total: Tensor, steps: Tensor, windows: int, width: int) -> Tensor:
    """What `add_to_windows` summed, over each window's steps; zero where there were none."""
    counts = steps[:, None] - width * torch.arange(windows, device=steps.device)
    counts = torch.cat([counts[:, :-1].clamp(max=width), counts[:, -1:]], 1).clamp(min=1)
    neurons = total.shape[-1] // windows
    return (total.reshape(-1, windows, neurons) / counts[..., None]).flatten(1)


def check_windows(windows: int, window_steps: int | None) -> None:
    """Refuse windows whose steps are not known.

    Raises:
        ValueError: Not positive integers, or several windows without their steps.
    """
    check_positive("windows", windows)
    if window_steps is not None:
        check_positive("window_steps", window_steps)
    elif windows > 1:
        raise ValueError(
            f"window_steps: got None for {windows} windows, expected the steps of one; for "
            f"sequences of T steps, T // {windows}"
        )


class _Sum(torch.autograd.Function):
    # The gradient of a sum is known; that of the scan would be another scan.
    @staticmethod
    def forward(total: Tensor, values: Tensor) -> Tensor:
        if not len(values):
            return total.clone()
        return affine_scan(values.new_ones(()), values, total, backend="sequential")[-1]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.shape = inputs[1].shape

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:
        (grad,) = grad_outputs
        return grad, grad.expand(ctx.shape)

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[int | None, int | None], total: Tensor, values: Tensor
    ) -> tuple[Tensor, int]:
        # Every sample is summed by itself: more networks are more samples.
        many = info.batch_size
        total = unmapped(total, in_dims[0], 0, many)
        values = unmapped(values, in_dims[1], 1, many)
        added = add_over_time(total.flatten(0, 1), values.flatten(1, 2), None)
        return added.reshape(total.shape), 0


def mean_over_steps(values: Tensor, lengths: Tensor | None, across: Across | None = None) -> Tensor:
    """Mean of ``values`` (T, B, n) over the samples' own steps, of each neuron; (n,).

    ``across`` makes it that of the batches of all processes.
    """
    if lengths is None:
        return weighted_mean(values.mean((0, 1)), values.shape[0] * values.shape[1], across)
    own = own_steps(lengths, len(values))
    # Chosen, not multiplied by 0: what stands in the padding need not even be finite.
    total = torch.where(own[..., None], values, 0.0).sum((0, 1))
    count = own.sum()
    if across is not None:
        return across(total) / across(count.to(total.dtype)).clamp(min=1)
    return total / count.clamp(min=1)


def weighted_mean(mean: Tensor, count: int, across: Across | None) -> Tensor:
    """A mean of ``count`` values here, over those of all processes."""
    if across is None:
        return mean
    return across(mean * count) / across(mean.new_tensor(float(count)))


def check_labels(labels: Any, batch: int) -> Tensor:
    """Class numbers (B,) as int64.

    Raises:
        TypeError: Labels that are not integers.
        ValueError: Labels of another shape than (B,).
    """
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.is_complex():
        kind = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"labels: got {kind}, expected a tensor of class numbers (integers)")
    if labels.shape != (batch,):
        raise ValueError(
            f"labels: got shape {tuple(labels.shape)} for a batch of {batch}, expected "
            f"({batch},); if x is (batch, time, channels), pass x.transpose(0, 1)"
        )
    return labels.long()
