"""Programs on a GPU: tensors for the generated Triton kernels, and their launches.

No kernel adds to what another thread adds to, so two runs have the same bits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import triton
from torch import Tensor

from phc_snn.kernels import build
from phc_snn.kernels.arrays import Gradients, Inputs, Outputs, lines_of, outputs_of
from phc_snn.kernels.gpu_source import TritonSource
from phc_snn.kernels.gpu_walk import Plan
from phc_snn.kernels.graph import UntraceableError
from phc_snn.kernels.program import Program
from phc_snn.numerics.product import grid

PLANS = {"chain": Plan(4, 4), "network": Plan(4, 1)}
"""How each kind of program walks through time. On an H100 a pass in blocks of 8 steps was no
faster, and a network took several times as long to compile."""

WIDTH = {"chain": 32}
"""Lanes of a chain's program: one warp each, so that few lanes spread over many processors."""

WARPS = {16: 1, 32: 1, 64: 2, 128: 4}
"""Warps of a network's program, by its neurons: with more threads than those it is far slower."""

_STRETCH = 32
"""Steps whose outer products are summed in one matrix product."""


class Kernel:
    """A program, compiled for one precision.

    Attributes:
        largest: Neurons of a network whose weights fit into the registers of one program.
    """

    largest = 128

    def __init__(self, program: Program, dtype: torch.dtype) -> None:
        self.network = program.cut is not None
        if self.network and dtype != torch.float32:
            raise UntraceableError(f"a connectome of {dtype} in a kernel for a GPU")
        self.program = program
        self._dtype = dtype
        self._plan = PLANS["network" if self.network else "chain"]
        self._made: dict[tuple[int, ...], tuple[TritonSource, Any]] = {}

    def _of(self, inputs: Inputs) -> tuple[TritonSource, Any]:
        """The source for delays of these lengths, and its module."""
        depths = tuple(
            queue.shape[1] if lead is None and queue.shape[1] < self._plan.unroll else 0
            for queue, lead in zip(inputs.queues, inputs.leads, strict=True)
        )
        if depths not in self._made:
            source = TritonSource(self.program, self._dtype, self._plan, depths)
            self._made[depths] = source, build.load(source.text, "gpu")
        return self._made[depths]

    def forward(self, inputs: Inputs, *, keep: bool, trajectory: bool = False) -> Outputs:
        """Run it; ``keep`` what `backward` needs, or return the states of all steps."""
        (source, module), x = self._of(inputs), inputs.x.detach()
        steps, batch, neurons = x.shape
        lanes = batch * neurons
        given = self._common(inputs)
        sent = lines_of(inputs.queues, steps, x.new_empty)
        given |= {f"sent{k}": line for k, line in enumerate(sent)}
        states = [_lanes(s, batch, neurons) for s in inputs.states]
        final = [x.new_empty(batch, neurons) for _ in states]
        results = [x.new_empty(steps, batch, neurons) for _ in range(source.results)]
        kept = x.new_empty(self._rows(steps) if keep else 0, source.states, lanes)
        path = x.new_empty(steps if trajectory else 0, source.states, lanes)
        given |= {f"states{i}": s for i, s in enumerate(states)}
        given |= {f"final{i}": s for i, s in enumerate(final)}
        given |= {f"y{i}": r for i, r in enumerate(results)}
        given |= {"kept": kept, "path": path, "KEEP": int(keep), "PATH": int(trajectory)}
        if self.network:
            given["shift"] = 1.5 * 2.0 ** (52 - grid(neurons, self._dtype)[0])
        self._launch(module.forward, source.forward, given, batch, neurons)
        return outputs_of(
            self.program, inputs, results, final, path if trajectory else None, sent, kept
        )

    def backward(
        self,
        inputs: Inputs,
        sent: Sequence[Tensor],
        kept: Tensor,
        current: Tensor | None,
        results: Sequence[Tensor | None],
        states: Sequence[Tensor | None],
        queues: Sequence[Tensor | None],
    ) -> Gradients:
        """Cotangents of the inputs, out of those of results, final states and final queues."""
        (source, module), x = self._of(inputs), inputs.x.detach()
        steps, batch, neurons = x.shape
        lanes = batch * neurons
        given = self._common(inputs)
        zero = x.new_zeros(())
        nothing = x.new_zeros(lanes)
        for i, g in enumerate(results):
            given |= {
                f"every{i}": int(g is not None),
                f"g{i}": nothing if g is None else g.contiguous(),
            }
        carried = [_lanes(zero if g is None else g, batch, neurons) for g in states]
        gradients = [x.new_empty(batch, neurons) for _ in states]
        given |= {f"states{i}": z for i, z in enumerate(carried)}
        given |= {f"final{i}": z for i, z in enumerate(gradients)}
        lines = []
        for k, (line, g) in enumerate(zip(sent, queues, strict=True)):
            varied = self.program.ports[k].varied
            h = torch.zeros_like(line) if varied else torch.empty_like(line)
            h[steps:] = 0.0 if g is None else g.transpose(0, 1)
            lines.append(h)
            given |= {f"h{k}": h, f"sent{k}": line}
        gx = torch.empty_like(x, memory_format=torch.contiguous_format)
        given |= {"gx": gx, "kept": kept}
        if current is not None:
            given["current"] = current
        totals = [
            x.new_empty(batch, neurons, dtype=torch.float64) for _ in range(source.coefficients)
        ]
        given |= {f"total{i}": t for i, t in enumerate(totals)}
        weight = None
        if self.network:
            given |= {"signal": torch.empty_like(gx), "pull": torch.empty_like(gx)}
        self._launch(module.backward, source.backward, given, batch, neurons)
        if self.network:
            weight = _outer(given["pull"], given["signal"])
        return Gradients(
            gx,
            gradients,
            [h[: len(h) - steps].transpose(0, 1) for h in lines],
            totals,
            weight,
        )

    # --- tensors ------------------------------------------------------------------------------

    def _common(self, inputs: Inputs) -> dict[str, Any]:
        steps, batch, neurons = inputs.x.shape
        given: dict[str, Any] = {
            "steps": steps,
            "lanes": batch * neurons,
            "x": inputs.x.detach().contiguous(),
        }
        for i, c in enumerate(inputs.coefficients):
            given[f"c{i}"] = _lanes(c, batch, neurons)
        for k, (queue, lead) in enumerate(zip(inputs.queues, inputs.leads, strict=True)):
            depth = shortest = queue.shape[1]
            if lead is not None:
                given[f"lead{k}"] = _lanes(lead, batch, neurons)
                shortest -= int(lead.max()) if lead.numel() else 0
            given |= {f"depth{k}": depth, f"NEAR{k}": int(shortest < self._plan.unroll)}
        if inputs.weight is not None:
            given["weight"] = inputs.weight.detach().contiguous()
        return given

    def _rows(self, steps: int) -> int:
        """States that are kept: one for each block, and for each step that is left over."""
        return steps // self._plan.unroll + steps % self._plan.unroll

    def _launch(
        self, kernel: Any, names: Sequence[str], given: Mapping[str, Any], batch: int, neurons: int
    ) -> None:
        lanes = batch * neurons
        if self.network:
            block = max(16, triton.next_power_of_2(neurons))
            width, programs, warps = neurons, batch, WARPS[block]
        else:
            block = width = WIDTH["chain"]
            programs, warps = -(-lanes // block), block // 32
        if not programs:
            return
        given = {**given, "width": width, "BLOCK": block}
        kernel[(programs,)](
            *(given[name.partition(":")[0]] for name in names),
            num_warps=warps,
            enable_fp_fusion=False,  # every operation rounds, as in the step
        )


def _lanes(x: Tensor, batch: int, neurons: int) -> Tensor:
    """What broadcasts to (B, N) as a contiguous tensor of all lanes."""
    return x.detach().expand(batch, neurons).contiguous()


def _outer(cotangent: Tensor, signal: Tensor) -> Tensor:
    """The sum over steps and samples of ``cotangent signal^T``, (N, N), always in one order."""
    steps, batch, neurons = signal.shape
    whole = steps // _STRETCH * _STRETCH

    def stretches(x: Tensor) -> Tensor:
        return x[:whole].reshape(whole // _STRETCH, _STRETCH * batch, neurons)

    total = torch.bmm(stretches(cotangent).mT, stretches(signal)).sum(0, dtype=torch.float64)
    rest = cotangent[whole:].reshape(-1, neurons).T @ signal[whole:].reshape(-1, neurons)
    return total + rest
