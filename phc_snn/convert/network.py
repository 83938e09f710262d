"""What `PHC` and `PHCSSM` are alike in: a recurrent network, its input current, a run of it."""

import time
from typing import Any

import torch
from torch import Tensor

from phc_snn.checks import check_input
from phc_snn.models import PHCSSM
from phc_snn.phc import PHC
from phc_snn.solution import Solution
from phc_snn.solvers import Solver


def recurrent(model: Any, x_seq: Any) -> tuple[PHC, Tensor]:
    """The `PHC` of a model, and its input current (T, B, N) for the model's input.

    Raises:
        TypeError: Another model than `PHC` and `PHCSSM`; input that is no floating-point tensor.
        ValueError: Input of a wrong shape.
    """
    if isinstance(model, PHCSSM):
        check_input("x_seq", x_seq, ("T", "B", "D_in"), model.in_features)
        return model.network, model.encoder(x_seq)
    if isinstance(model, PHC):
        check_input("x_seq", x_seq, ("T", "B", "N"), model.features)
        return model, x_seq
    raise TypeError(f"model: got {type(model).__name__}, expected a PHC or a PHCSSM")


def timed_run(
    model: PHC | PHCSSM, x_seq: Tensor, solver: Solver
) -> tuple[Solution, Tensor | None, float]:
    """Solution, logits (None without a readout), and the seconds that they took."""
    _synchronize(x_seq)
    began = time.perf_counter()
    output = model(x_seq, solver=solver)
    _synchronize(x_seq)
    seconds = time.perf_counter() - began
    if isinstance(model, PHC):
        return output, None, seconds
    return output.solution, output.logits, seconds


def _synchronize(x_seq: Tensor) -> None:
    """Wait for a GPU, which works on by itself."""
    if x_seq.is_cuda:
        torch.cuda.synchronize(x_seq.device)
