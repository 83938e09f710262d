"""Where sweeping settles and where it does not, over recurrent gain and synaptic delay."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from phc_snn.checks import check_positive
from phc_snn.convert.network import recurrent
from phc_snn.models import PHCSSM
from phc_snn.phc import PHC
from phc_snn.solvers import Exact, Jacobi, Sequential, Solver
from phc_snn.synapses import Delay


@dataclass(frozen=True)
class PhaseDiagram:
    """What `phase_diagram` measured; all tensors are (delays, gains).

    Attributes:
        gains: Factors of the recurrent weights.
        delays: Synaptic delays in steps.
        sweeps: Median over samples of the sweeps over the whole sequence until everything is
            proved, ``limit`` where that many do not suffice.
        difference: Part of the neuron-steps that differ from `Sequential` for ``solver``.
        work: Median work of `Exact`.
        rate: Firing rate, spikes per neuron-step.
        limit: Most sweeps that were tried.
        solver: Whose difference it is.
    """

    gains: tuple[float, ...]
    delays: tuple[int, ...]
    sweeps: Tensor
    difference: Tensor
    work: Tensor
    rate: Tensor
    limit: int
    solver: Solver


@torch.no_grad()
def phase_diagram(
    model: PHC | PHCSSM,
    x_seq: Tensor,
    *,
    gains: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
    delays: Sequence[int] = (1, 2, 4, 8),
    solver: Solver | None = None,
    limit: int = 64,
    progress: Callable[[str], None] | None = None,
) -> PhaseDiagram:
    """Scale the recurrent weights of a network, set its delay, and see how sweeps fare.

    Args:
        model: A `PHC` or `PHCSSM`; copies of it are varied, it is not changed.
        x_seq: Its input, time first.
        gains: Factors of its recurrent weights, at least 0.
        delays: Synaptic delays; each replaces all delays that the network has.
        solver: Whose difference from `Sequential` is measured; ``Jacobi(4)`` if None.
        limit: Most sweeps over the whole sequence. Default 64.
        progress: Told of each delay before it is measured.

    Raises:
        TypeError: A model of another kind, or a solver that is none.
        ValueError: A gain or delay outside its range, or none of them; empty input, or input of a
            wrong shape.

    Example:
        >>> import torch, phc_snn as phc
        >>> model = phc.PHCSSM(6, 4, neurons=16)
        >>> phase = phc.phase_diagram(model, torch.randn(40, 4, 6), gains=(1, 10), delays=(1, 4))
        >>> phase.sweeps.shape
        torch.Size([2, 2])
    """
    check_positive("limit", limit)
    numbers = all(isinstance(gain, int | float) for gain in gains)
    if not gains or not numbers or not all(0 <= gain < torch.inf for gain in gains):
        raise ValueError(f"gains: got {tuple(gains)}, expected numbers of at least 0")
    if not delays:
        raise ValueError("delays: got none, expected at least one")
    for delay in delays:
        check_positive("delays", delay)
    network, currents = recurrent(model, x_seq)
    if x_seq.numel() == 0:
        raise ValueError(f"x_seq: got shape {tuple(x_seq.shape)}, expected some input")
    measured = Jacobi(4) if solver is None else solver
    shape = (len(delays), len(gains))
    found = {name: torch.zeros(shape, dtype=torch.float64) for name in _MEASURES}
    for row, delay in enumerate(delays):
        if progress is not None:
            progress(f"varying the recurrent gain at delay {delay} ({row + 1} of {len(delays)})")
        for column, gain in enumerate(gains):
            varied = _varied(network, gain, delay)
            for name, value in _measure(varied, currents, measured, limit).items():
                found[name][row, column] = value
    return PhaseDiagram(tuple(gains), tuple(delays), limit=limit, solver=measured, **found)


_MEASURES = ("sweeps", "difference", "work", "rate")


def _varied(network: PHC, gain: float, delay: int) -> PHC:
    varied = deepcopy(network)
    varied.connectome.scale(gain)
    others = [part for part in varied.synapses if not isinstance(part, Delay)]
    first: list[nn.Module] = [Delay(network.features, delay).to(network.neuron.threshold.device)]
    varied.synapses = nn.ModuleList(first + others)
    return varied


def _measure(network: PHC, x: Tensor, solver: Solver, limit: int) -> dict[str, float]:
    truth = network(x, solver=Sequential())
    swept = network(x, solver=Jacobi(limit, tolerance=0.0, backend="sequential"))
    other = network(x, solver=solver)
    work = network(x, solver=Exact()).work
    return {
        "sweeps": float(swept.sweeps.double().median()),
        "difference": float((other.spikes != truth.spikes).double().mean()),
        "work": float(work.median()),
        "rate": float(truth.spikes.double().mean()),
    }
