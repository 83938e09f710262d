"""One solver's result beside the reference's: every figure of their difference."""

import math
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from phc_snn.convert.attribution import CAUSES, Attribution
from phc_snn.convert.van_rossum import van_rossum_distance
from phc_snn.solution import Solution


@dataclass(frozen=True)
class Comparison:
    """One solver against the reference, over all samples.

    Attributes:
        solution: The solver's `Solution`.
        logits: (B, C) for a `PHCSSM`, else None.
        seconds: Time of one run.
        differing_spikes: Neuron-steps at which one fires and the other does not; of neurons that
            send graded signals, those at which the two are not equal, and a signal that is not
            zero counts as a spike.
        spike_difference: That number per spike of the reference (NaN if it is silent).
        step_difference: That number per neuron-step.
        first_differing_step: First step, over all samples, with a differing spike; None if none.
        voltage_rmse, voltage_max: Error of the voltage.
        rate_difference: Mean spikes per neuron-step, solver minus reference.
        van_rossum: Mean `van_rossum_distance` of a neuron's spike trains in a sample.
        undecidable_spikes: Neuron-steps at which the reference's voltage lies so close to the
            threshold that rounding decides the spike.
        differing_undecidable: Differing neuron-steps that are among them.
        attribution: Differing neuron-steps by cause; None where the causes are not known: for the
            reference, against another reference than `Sequential`, without a delay, and for solvers
            that are not of this library.
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
    van_rossum: float
    undecidable_spikes: int
    differing_undecidable: int
    attribution: Attribution | None
    logits_max: float | None
    agreement: float | None

    def accuracy(self, labels: Tensor) -> float:
        """Part of the samples whose decision is their label (B,).

        Raises:
            ValueError: There are no logits; labels of another shape than (B,).
        """
        if self.logits is None:
            raise ValueError("labels: only a PHCSSM has decisions to compare them with")
        if labels.shape != self.logits.shape[:1]:
            raise ValueError(
                f"labels: got shape {tuple(labels.shape)}, expected ({len(self.logits)},)"
            )
        return float((self.logits.argmax(-1) == labels).double().mean())

    def figures(self) -> dict[str, Any]:
        """Every figure by name, as JSON values (None for NaN); without the tensors."""
        solution = self.solution
        content: dict[str, Any] = {
            f.name: finite(getattr(self, f.name))
            for f in fields(self)
            if f.name not in ("solution", "logits", "attribution")
        }
        for cause in CAUSES:
            content[f"from_{cause}"] = self.attribution and getattr(self.attribution, cause)
        present = len(solution.sweeps) > 0
        content |= {
            "spikes": int(solution.spikes.count_nonzero()),
            "sweeps_median": float(solution.sweeps.double().median()) if present else None,
            "sweeps_max": int(solution.sweeps.max()) if present else None,
            "work_mean": float(solution.work.mean()) if present else None,
            "certified_steps_min": int(solution.certified_steps.min()) if present else None,
            "converged": int(solution.converged.sum()),
        }
        return content

    def row(self) -> tuple[str, ...]:
        """The cells of a table, under `HEADINGS`."""
        solution = self.solution
        present = len(solution.sweeps) > 0
        return (
            counted(self.differing_spikes, self.spike_difference),
            "-" if self.first_differing_step is None else str(self.first_differing_step),
            f"{self.differing_undecidable} of {self.undecidable_spikes}",
            f"{self.voltage_rmse:.2e}",
            f"{int(solution.sweeps.max())}" if present else "-",
            f"{float(solution.work.mean()):.2f}" if present else "-",
            f"{self.seconds:.3f}",
        )


HEADINGS = ("differing spikes", "first", "undecidable", "V RMSE", "sweeps", "work", "seconds")


def counted(spikes: int, share: float) -> str:
    """Differing spikes, and their share where there are any."""
    return f"{spikes:,} ({share:.2%})" if math.isfinite(share) and spikes else f"{spikes:,}"


def finite(value: Any) -> Any:
    """A JSON value: None for a number that is not finite."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def differences(
    solution: Solution, truth: Solution, undecidable: Tensor, time_constant: float
) -> dict[str, Any]:
    """The figures of `Comparison` that spikes and voltages give."""
    differing = solution.spikes != truth.spikes
    steps = differing.any(-1).any(-1).nonzero()
    error = (solution.voltage - truth.voltage).double()
    count = int(differing.sum())
    spikes = int(truth.spikes.count_nonzero())
    size = max(differing.numel(), 1)
    distance = van_rossum_distance(solution.spikes, truth.spikes, time_constant)
    return {
        "differing_spikes": count,
        "spike_difference": count / spikes if spikes else float("nan"),
        "step_difference": count / size,
        "first_differing_step": int(steps[0]) if len(steps) else None,
        "voltage_rmse": float(error.square().sum() / size) ** 0.5,
        "voltage_max": float(error.abs().max()) if error.numel() else 0.0,
        "rate_difference": float((solution.spikes - truth.spikes).double().sum()) / size,
        "van_rossum": float(distance.mean()) if distance.numel() else 0.0,
        "undecidable_spikes": int(undecidable.sum()),
        "differing_undecidable": int((differing & undecidable).sum()),
    }


def decisions(logits: Tensor | None, truth: Tensor | None) -> dict[str, Any]:
    """The figures of `Comparison` that logits give."""
    if logits is None or truth is None or not logits.numel():
        return {"logits_max": None, "agreement": None}
    return {
        "logits_max": float((logits - truth).abs().max()),
        "agreement": float((logits.argmax(-1) == truth.argmax(-1)).double().mean()),
    }
