"""The difference from a reference after each sweep, in one run."""

from dataclasses import dataclass

import torch
from torch import Tensor

from phc_snn.circuit import Circuit
from phc_snn.solution import PHCState, Solution
from phc_snn.solvers import Jacobi
from phc_snn.solvers.base import leading_steps


@dataclass(frozen=True)
class SweepCurve:
    """What each sweep over the whole sequence achieves; row k is after k + 1 sweeps.

    Attributes:
        step_difference: (K,) part of the neuron-steps whose spike differs from the reference.
        voltage_rmse: (K,) error of the voltage.
        certified_steps: (K, B) leading steps that the sweeps themselves prove.
        equal_steps: (K, B) leading steps on which the spikes are those of the reference.
        residuals: (K, B) change of the current, relative to the synaptic current.
    """

    step_difference: Tensor
    voltage_rmse: Tensor
    certified_steps: Tensor
    equal_steps: Tensor
    residuals: Tensor

    def __len__(self) -> int:
        return len(self.step_difference)


@torch.no_grad()
def sweep_curve(
    circuit: Circuit, x_seq: Tensor, state: PHCState, reference: Solution, sweeps: int
) -> SweepCurve:
    """Sweep until everything is proved, ``sweeps`` times at most; nothing for empty input.

    Args:
        circuit: The network.
        x_seq: Its input (T, B, N).
        state: Before the first step.
        reference: Solution to compare with.
        sweeps: Most rows of the curve.
    """
    batch = x_seq.shape[1]
    rows: list[tuple[Tensor, ...]] = []
    wanted = sweeps if x_seq.numel() else 0
    relaxation = Jacobi().relax(circuit, x_seq, state) if wanted else None
    while relaxation is not None and len(rows) < wanted:
        solution = relaxation.sweep()
        differs = solution.spikes != reference.spikes
        error = (solution.voltage - reference.voltage).double()
        rows.append(
            (
                differs.double().mean(),
                error.square().mean().sqrt(),
                solution.certified_steps,
                leading_steps(~differs),
                solution.residuals[0],
            )
        )
        if bool(solution.converged.all()):
            break
    if rows:
        return SweepCurve(*(torch.stack(column).cpu() for column in zip(*rows, strict=True)))
    none, nobody = torch.zeros(0, dtype=torch.float64), torch.zeros(0, batch)
    return SweepCurve(none, none, nobody.long(), nobody.long(), nobody)
