"""Programs on a GPU: tensors for the generated Triton kernels, and their launches.

No kernel adds to what another thread adds to, so two runs have the same bits.
"""

from collections.abc import Iterable, Mapping, Sequence
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
from phc_snn.kernels.trace import extremes
from phc_snn.numerics.product import grid, product_of_stretches

PLANS = {"network": Plan(4, 1), torch.float32: Plan(8, 2), torch.float64: Plan(4, 2)}
"""How a network's program walks through time, and a chain's of each precision.

On an H100 a pass in blocks of 4 steps took a third longer than in blocks of 8; in blocks of 16 it
was 8 % faster and took 90 s to compile. With blocks of 8 the registers of a network or of float64
are not enough.
"""

CHAIN = {"BLOCK": 32, "num_warps": 1}
"""Lanes of a chain's program: one warp each, so that few lanes spread over many processors."""

WARPS = {16: 1, 32: 1, 64: 2, 128: 8}
"""Warps of a network's program, by its neurons: one thread each, with all of its weights; of 128
neurons they would not fit into its registers."""

_STRETCH = 32
"""Steps whose outer products are summed in one matrix product."""


class Kernel:
    """A program, compiled for one precision.

    Attributes:
        largest: Neurons of a network whose weights fit into the registers of one program.
        stacks: It takes several networks at once, each with its part of the batch.
    """

    largest = 128
    stacks = True

    def __init__(self, program: Program, dtype: torch.dtype) -> None:
        if program.driven is not None:
            # The product of all steps at once is faster there than one in each.
            raise UntraceableError("a sweep with its product in a kernel for a GPU")
        self.network = program.cut is not None
        if self.network and dtype != torch.float32:
            raise UntraceableError(f"a connectome of {dtype} in a kernel for a GPU")
        self.program = program
        self._dtype = dtype
        self._plan = PLANS["network" if self.network else dtype]
        self._made: dict[tuple[int, ...], tuple[TritonSource, Any]] = {}

    def _of(self, inputs: Inputs) -> tuple[TritonSource, Any]:
        """The source for delays of these lengths, and its module."""
        depths = self._held(inputs)
        if depths not in self._made:
            source = TritonSource(self.program, self._dtype, self._plan, depths)
            self._made[depths] = source, build.load(source.text, "gpu")
        return self._made[depths]

    def _held(self, inputs: Inputs) -> tuple[int, ...]:
        """The lengths of delays that are held in registers; 0 for the others."""
        return tuple(
            queue.shape[1] if lead is None and queue.shape[1] < self._plan.unroll else 0
            for queue, lead in zip(inputs.queues, inputs.leads, strict=True)
        )

    def forward(self, inputs: Inputs, *, keep: bool, trajectory: bool = False) -> Outputs:
        """Run it; ``keep`` what `backward` needs, or return the states of all steps."""
        (source, module), x = self._of(inputs), inputs.x.detach()
        steps, batch, neurons = x.shape
        lanes = batch * neurons
        given = self._common(inputs)
        sent = self._lines(inputs)
        final = list(x.new_empty(len(inputs.states), batch, neurons).unbind(0))
        results = [x.new_empty(steps, batch, neurons) for _ in range(source.results)]
        kept = x.new_empty(self._rows(steps) if keep else 0, source.states, lanes)
        path = x.new_empty(steps if trajectory else 0, source.states, lanes)
        given |= _numbered("sent", sent)
        given |= _numbered("queue", (q.detach().contiguous() for q in inputs.queues))
        given |= _numbered("states", (_lanes(s, batch, neurons) for s in inputs.states))
        given |= _numbered("final", final) | _numbered("y", results)
        given |= {"kept": kept, "path": path, "KEEP": int(keep), "PATH": int(trajectory)}
        if inputs.weight is not None:
            given["weight"] = inputs.weight.detach().mT.contiguous()
            given["BITS"] = grid(neurons, self._dtype)[0]
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
        _, batch, neurons = x.shape
        given = self._common(inputs)
        gx = torch.empty_like(x, memory_format=torch.contiguous_format)
        gradients = list(x.new_empty(len(states), batch, neurons).unbind(0))
        totals = x.new_empty(source.coefficients, batch, neurons, dtype=torch.float64)
        lines = []
        for k, (line, g) in enumerate(zip(sent, queues, strict=True)):
            lines.append(self._cotangents_of_line(inputs, k, line, g))
            given[f"end{k}"] = None if g is None else g.transpose(0, 1).contiguous()
        given |= _numbered("sent", sent) | _numbered("h", lines)
        given |= _numbered("g", (None if g is None else g.contiguous() for g in results))
        carried = (None if g is None else _lanes(g, batch, neurons) for g in states)
        given |= _numbered("states", carried)
        given |= _numbered("final", gradients) | _numbered("total", totals.unbind(0))
        given |= {"gx": gx, "kept": kept, "current": current}
        if inputs.weight is not None:
            given["weight"] = inputs.weight.detach().contiguous()
            given |= {"signal": torch.empty_like(gx), "pull": torch.empty_like(gx)}
        self._launch(module.backward, source.backward, given, batch, neurons)
        return Gradients(
            gx,
            gradients,
            [
                h[: queue.shape[1]].transpose(0, 1)
                for h, queue in zip(lines, inputs.queues, strict=True)
            ],
            _over_samples(totals, inputs.coefficients, x.dtype),
            None
            if inputs.weight is None
            else _outer(given["pull"], given["signal"], inputs.weight),
        )

    # --- tensors ------------------------------------------------------------------------------

    def _common(self, inputs: Inputs) -> dict[str, Any]:
        steps, batch, neurons = inputs.x.shape
        given: dict[str, Any] = {
            "steps": steps,
            "lanes": batch * neurons,
            "neurons": neurons,
            "x": inputs.x.detach().contiguous(),
        }
        if inputs.weight is not None:
            given["share"] = batch // (len(inputs.weight) if inputs.weight.dim() == 3 else 1)
        for i, c in enumerate(inputs.coefficients):
            # One row for many samples, as nearly every coefficient has, is not written out.
            c = c.flatten(0, 1) if c.dim() == 3 else c
            rows = c.shape[0] if c.dim() == 2 else 1
            given[f"c{i}"] = _lanes(c, rows, neurons)
            given[f"span{i}"] = batch // max(rows, 1)
        for k, (queue, lead) in enumerate(zip(inputs.queues, inputs.leads, strict=True)):
            depth = shortest = queue.shape[1]
            if lead is not None:
                given[f"lead{k}"] = lead.contiguous()
                shortest -= extremes(lead)[1]
            given |= {f"depth{k}": depth, f"NEAR{k}": int(shortest < self._plan.unroll)}
        return given

    def _lines(self, inputs: Inputs) -> list[Tensor]:
        """`lines_of`; of delays that a kernel holds in registers it writes the queue as well."""
        steps, batch, neurons = inputs.x.shape
        queues, new = inputs.queues, inputs.x.new_empty
        held = self._held(inputs)
        return [
            new(depth + steps, batch, neurons) if depth else lines_of([queue], steps, new)[0]
            for queue, depth in zip(queues, held, strict=True)
        ]

    def _cotangents_of_line(
        self, inputs: Inputs, k: int, line: Tensor, end: Tensor | None
    ) -> Tensor:
        """Room for the cotangents of what a delay was sent, or of its first queue alone."""
        depth = self._held(inputs)[k]
        if depth:
            return torch.empty_like(line[:depth])
        h = torch.zeros_like(line) if self.program.ports[k].varied else torch.empty_like(line)
        h[len(inputs.x) :] = 0.0 if end is None else end.transpose(0, 1)
        return h

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
            block = width = CHAIN["BLOCK"]
            programs, warps = -(-lanes // block), CHAIN["num_warps"]
        if not programs:
            return
        given = {**given, "width": width, "BLOCK": block}
        kernel[(programs,)](
            *(given[name.partition(":")[0]] for name in names),
            num_warps=warps,
            enable_fp_fusion=False,  # every operation rounds, as in the step
        )


def _lanes(x: Tensor, *shape: int) -> Tensor:
    """What broadcasts to (B, N), or to (N,), as a contiguous tensor of that shape."""
    if x.shape != shape:
        x = x.reshape(x.shape[-len(shape) :]).expand(shape)
    return x.detach().contiguous()


def _numbered(name: str, values: Iterable[Any]) -> dict[str, Any]:
    return {f"{name}{i}": value for i, value in enumerate(values)}


def _over_samples(
    totals: Tensor, coefficients: Sequence[Tensor], dtype: torch.dtype
) -> list[Tensor]:
    """Cotangents of coefficients, out of those of every lane, (coefficients, B, N) in float64.

    One sum for all that have as many rows, each for as many samples; those of a row for each sample
    are returned as they are.
    """
    neurons = totals.shape[-1:]
    sums: dict[int, Tensor] = {}
    found = []
    for total, i, c in zip(totals, range(len(totals)), coefficients, strict=True):
        rows = len(c) if c.dim() == 3 else 1 if c.shape == neurons else None
        if rows is None:
            found.append(total)
            continue
        if rows not in sums:
            sums[rows] = totals.reshape(len(totals), rows, -1, *neurons).sum(2).to(dtype)
        found.append(sums[rows][i].reshape(c.shape))
    return found


def _outer(cotangent: Tensor, signal: Tensor, weight: Tensor) -> Tensor:
    """The sum over steps and samples of ``cotangent signal^T``, shaped as ``weight``.

    Always in one order.
    """
    steps, batch, neurons = signal.shape
    stacked = weight.dim() == 3
    networks = len(weight) if stacked else 1
    own = batch // networks

    def rows(x: Tensor) -> Tensor:
        """(networks, T own, N)."""
        return x.reshape(steps, networks, own, neurons).transpose(0, 1).flatten(1, 2)

    total = product_of_stretches(rows(cotangent), rows(signal), _STRETCH * own, torch.float64)
    return total if stacked else total[0]
