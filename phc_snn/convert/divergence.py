"""How far a network solved in parallel is from the same network run step by step."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from phc_snn.circuit import Solution
from phc_snn.models import PHCSSM
from phc_snn.phc import PHC
from phc_snn.solvers import Exact, Sequential, Solver


@dataclass(frozen=True)
class Comparison:
    """One solver against the reference, over all samples.

    Attributes:
        solution: The solver's `Solution`.
        logits: (B, C) for a `PHCSSM`, else None.
        seconds: Time of one run.
        differing_spikes: Neuron-steps at which one fires and the other does not.
        spike_difference: That number per spike of the reference (NaN if it is silent).
        step_difference: That number per neuron-step.
        first_differing_step: First step, over all samples, with a differing spike; None if none.
        voltage_rmse, voltage_max: Error of the voltage.
        rate_difference: Mean spikes per neuron-step, solver minus reference.
        logits_max: Largest error of a logit; None without logits.
        agreement: Part of the samples that get the reference's decision; None without logits.
    """

    solution: Solution
    logits: Tensor | None
    seconds: float
    differing_spikes: int
    spike_difference: float
    step_difference: float
    first_differing_step: int | None
    voltage_rmse: float
    voltage_max: float
    rate_difference: float
    logits_max: float | None
    agreement: float | None


@dataclass(frozen=True)
class Divergence:
    """What `measure_divergence` returns: the reference, and each solver compared with it.

    Attributes:
        reference: The reference compared with itself (its solution, logits and time).
        solvers: Name -> `Comparison`.
    """

    reference: Comparison
    solvers: Mapping[str, Comparison]

    def __str__(self) -> str:
        head = ("solver", "differing spikes", "first step", "voltage RMSE", "sweeps", "seconds")
        rows = [head]
        for name, c in {"reference": self.reference, **self.solvers}.items():
            first = "-" if c.first_differing_step is None else str(c.first_differing_step)
            sweeps = c.solution.sweeps
            rows.append(
                (
                    name,
                    f"{c.differing_spikes} ({c.spike_difference:.2%})",
                    first,
                    f"{c.voltage_rmse:.2e}",
                    f"{int(sweeps.max())}" if len(sweeps) else "-",
                    f"{c.seconds:.3f}",
                )
            )
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )


@torch.no_grad()
def measure_divergence(
    model: PHC | PHCSSM,
    x_seq: Tensor,
    *,
    solvers: Mapping[str, Solver] | None = None,
    reference: Solver | None = None,
) -> Divergence:
    """Run one input through several solvers and compare each with the reference.

    Args:
        model: A `PHC` or `PHCSSM`.
        x_seq: Its input, time first.
        solvers: Name -> solver; the model's own and `Exact()` if None.
        reference: `Sequential()` if None.

    Example:
        >>> import torch, phc_snn as phc
        >>> model = phc.PHCSSM(6, 4, neurons=16)
        >>> solvers = {"4 sweeps": phc.Jacobi(4), "exact": phc.Exact()}
        >>> divergence = phc.measure_divergence(model, torch.randn(50, 8, 6), solvers=solvers)
        >>> divergence.solvers["exact"].differing_spikes
        0
    """
    truth, truth_logits, seconds = _run(model, x_seq, reference or Sequential())
    if solvers is None:
        network = model if isinstance(model, PHC) else model.network
        solvers = {"own": network.solver, "exact": Exact()}
    compared = {}
    for name, solver in solvers.items():
        compared[name] = _compare(*_run(model, x_seq, solver), truth, truth_logits)
    return Divergence(_compare(truth, truth_logits, seconds, truth, truth_logits), compared)


def _run(
    model: PHC | PHCSSM, x_seq: Tensor, solver: Solver
) -> tuple[Solution, Tensor | None, float]:
    began = time.perf_counter()
    output = model(x_seq, solver=solver)
    if x_seq.is_cuda:
        torch.cuda.synchronize(x_seq.device)
    seconds = time.perf_counter() - began
    if isinstance(model, PHC):
        return output, None, seconds
    return output.solution, output.logits, seconds


def _compare(
    solution: Solution,
    logits: Tensor | None,
    seconds: float,
    truth: Solution,
    truth_logits: Tensor | None,
) -> Comparison:
    differing = solution.spikes != truth.spikes
    steps = differing.any(-1).any(-1).nonzero()
    error = (solution.voltage - truth.voltage).double()
    count = int(differing.sum())
    spikes = float(truth.spikes.sum(dtype=torch.float64))
    size = max(differing.numel(), 1)
    logits_max = agreement = None
    if logits is not None and truth_logits is not None and logits.numel():
        logits_max = float((logits - truth_logits).abs().max())
        agreement = float((logits.argmax(-1) == truth_logits.argmax(-1)).double().mean())
    return Comparison(
        solution=solution,
        logits=logits,
        seconds=seconds,
        differing_spikes=count,
        spike_difference=count / spikes if spikes else float("nan"),
        step_difference=count / size,
        first_differing_step=int(steps[0]) if len(steps) else None,
        voltage_rmse=float(error.square().sum() / size) ** 0.5,
        voltage_max=float(error.abs().max()) if error.numel() else 0.0,
        rate_difference=float((solution.spikes - truth.spikes).double().sum()) / size,
        logits_max=logits_max,
        agreement=agreement,
    )
