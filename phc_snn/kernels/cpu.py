"""Programs on the CPU: arrays for the generated loops, and their threads."""

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phc_snn.kernels import build, comparing, hints, jit, loops
from phc_snn.kernels.arrays import Gradients, Inputs, Outputs, lines_of, outputs_of
from phc_snn.kernels.cpu_source import EVERY, NumbaSource
from phc_snn.kernels.memory import empty
from phc_snn.kernels.program import Program
from phc_snn.kernels.rows import Comparison
from phc_snn.kernels.threads import share
from phc_snn.numerics.product import slices_of

_COUNT = np.uint64

_WIDTH = 256
"""Lanes of a block: its rows stay in the first cache, and a step is worth its fixed cost."""


class Kernel:
    """A program, compiled for one precision.

    Attributes:
        largest: Neurons of a network; any number.
        stacks: Whether it takes several networks at once; it runs one after the other.
    """

    largest = math.inf
    stacks = False

    def __init__(self, program: Program, dtype: torch.dtype) -> None:
        self.source = NumbaSource(program, dtype)
        self.program = program
        self._dtype = dtype
        self._real = torch.empty(0, dtype=dtype).numpy().dtype
        module = build.load(self.source.text, "cpu", _callees())
        self._forward, self._backward = module.forward, module.backward

    def forward(self, inputs: Inputs, *, keep: bool, trajectory: bool = False) -> Outputs:
        """Run it; ``keep`` what `backward` needs, or return the states of all steps."""
        source, x = self.source, inputs.x
        steps, batch, neurons = x.shape
        lanes = batch * neurons
        arrays = self._common(inputs)
        sent = lines_of(inputs.queues, steps, self._new)
        arrays |= {f"sent{k}": _rows(line) for k, line in enumerate(sent)}
        states = [_lanes(s, batch, neurons, copy=True) for s in inputs.states]
        results = [self._new((steps, batch, neurons)) for _ in range(source.results)]
        chunks = -(-steps // EVERY) if keep else 0
        kept = self._new((chunks, source.states, lanes))
        path = self._new((steps if trajectory else 0, source.states, lanes))
        arrays |= {f"states{i}": s for i, s in enumerate(states)}
        arrays |= {f"y{i}": _rows(r) for i, r in enumerate(results)}
        arrays |= {"kept_states": kept.numpy(), "trajectory": path.numpy()}
        if inputs.weight is not None:
            slices = slices_of(inputs.weight)
            arrays |= {
                "neurons": _COUNT(neurons),
                "k": _COUNT(0),
                "parts": slices.transposed,
                "top": slices.top,
                "shifts": slices.shifts,
            }
        width, blocks = self._blocks(batch, neurons)
        compared = Comparison.empty(lanes) if inputs.driven is not None else None
        arrays |= {} if compared is None else compared._asdict()

        def prepare(start: int, stop: int) -> Callable[[], object]:
            own = {f"s{i}": self._row(width) for i in range(source.states)}
            if inputs.weight is not None:
                own |= {"signal": self._row(1, width), "product": self._row(width)}
                own["sums"] = np.empty((2, neurons))
                own["factors"] = np.empty((slices.slices, neurons + 3))
                own["active"] = np.empty(neurons + 4, _COUNT)
            if compared is not None:
                own["same"] = np.empty(width, np.int32)
            own |= hints.lanes_of(start * width, min(stop * width, lanes), width)
            return _bound(self._forward, source.forward, arrays | own)

        share(blocks, steps * lanes, prepare)
        last = [torch.from_numpy(s).reshape(batch, neurons) for s in states]
        out = outputs_of(
            self.program, inputs, results, last, path if trajectory else None, sent, kept
        )
        if compared is None:
            return out
        return out._replace(progress=compared.of_samples(batch, self._dtype))

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
        source, x = self.source, inputs.x
        steps, batch, neurons = x.shape
        lanes = batch * neurons
        arrays = self._common(inputs)
        arrays |= {f"sent{k}": _rows(line) for k, line in enumerate(sent)}
        nothing = np.zeros((1, lanes), self._real)
        for i, g in enumerate(results):
            arrays |= {
                f"every{i}": _COUNT(g is not None),
                f"g{i}": nothing if g is None else _rows(g),
            }
        zero = x.new_zeros(())
        carried = [_lanes(zero if g is None else g, batch, neurons, copy=True) for g in states]
        arrays |= {f"z{i}": z for i, z in enumerate(carried)}
        under_way = self._under_way(inputs, queues)
        arrays |= {f"queue{k}": _rows(row) for k, row in enumerate(under_way)}
        gx = self._new(tuple(x.shape))
        arrays |= {"gx": _rows(gx), "kept_states": kept.numpy()}
        if current is not None:
            arrays["current"] = _rows(current)
        totals = [np.zeros(lanes) for _ in range(source.coefficients)]
        arrays |= {f"total{i}": t for i, t in enumerate(totals)}
        width, blocks = self._blocks(batch, neurons)
        outer_total = None
        if inputs.weight is not None:
            outer_total = np.zeros((batch, neurons, neurons))
            arrays |= {
                "neurons": _COUNT(neurons),
                "weight": np.ascontiguousarray(inputs.weight.numpy()),
                "outer_total": outer_total,
            }

        def prepare(start: int, stop: int) -> Callable[[], object]:
            own = self._room_back(inputs, width)
            own |= hints.lanes_of(start * width, min(stop * width, lanes), width)
            return _bound(self._backward, source.backward, arrays | own)

        if steps:
            share(blocks, steps * lanes, prepare)
        else:
            gx.zero_()
        return Gradients(
            gx,
            [torch.from_numpy(z).reshape(batch, neurons) for z in carried],
            [row.transpose(0, 1) for row in under_way],
            [torch.from_numpy(t).reshape(batch, neurons) for t in totals],
            None if outer_total is None else _sum_in_order(torch.from_numpy(outer_total)).T,
        )

    def _under_way(self, inputs: Inputs, queues: Sequence[Tensor | None]) -> list[Tensor]:
        """Cotangents of what is under way, (D, B, N): in, of the last queue; out, of the first."""
        found = []
        for queue, g in zip(inputs.queues, queues, strict=True):
            row = torch.zeros(queue.shape[1], *inputs.x.shape[1:], dtype=self._dtype)
            if g is not None:
                row.copy_(g.transpose(0, 1))
            found.append(row)
        return found

    def _room_back(self, inputs: Inputs, width: int) -> dict[str, Any]:
        """What a thread needs for the way back through one block."""
        source = self.source
        own = {f"s{i}": self._row(width) for i in range(source.states)}
        own |= {f"p{i}": self._row(EVERY, width) for i in range(source.states)}
        own |= {f"w{i}": self._row(EVERY, width) for i in range(source.back.kept)}
        own |= {f"a{i}": self._row(width) for i in range(source.coefficients)}
        for k, queue in enumerate(inputs.queues):
            own[f"h{k}"] = self._row(queue.shape[1] + 1, width)
        if inputs.weight is not None:
            neurons = len(inputs.weight)
            own |= {"pull": self._row(1, width), "pulled": self._row(width)}
            own["signal"] = self._row(EVERY, width)
            own["outer"] = self._row(width // neurons, neurons, neurons)
            own["outer"][:] = 0
            own["active"] = np.empty(neurons + 1, _COUNT)
        return own

    # --- arrays -------------------------------------------------------------------------------

    def _common(self, inputs: Inputs) -> dict[str, Any]:
        steps, batch, neurons = inputs.x.shape
        arrays: dict[str, Any] = {"steps": _COUNT(steps), "x": _rows(inputs.x)}
        if inputs.driven is not None:
            arrays["driven"] = _rows(inputs.driven)
        for i, c in enumerate(inputs.coefficients):
            arrays[f"c{i}"] = _lanes(c.to(self._dtype), batch, neurons)
        for k, (queue, lead) in enumerate(zip(inputs.queues, inputs.leads, strict=True)):
            arrays[f"depth{k}"] = _COUNT(queue.shape[1])
            if lead is not None:
                arrays[f"lead{k}"] = _lanes(lead, batch, neurons).astype(_COUNT)
        return arrays

    def _blocks(self, batch: int, neurons: int) -> tuple[int, int]:
        """Lanes of a block, and the number of blocks: at least one for each thread.

        No bit hangs on this: lanes do not know each other, and samples of a network do not.
        """
        threads = torch.get_num_threads()
        if self.program.cut is None:
            lanes = batch * neurons
            width = min(_WIDTH, max(-(-lanes // threads), 16))
            return width, -(-lanes // width)
        samples = max(1, min(_WIDTH // neurons, -(-batch // threads)))
        return samples * neurons, -(-batch // samples)

    def _new(self, shape: tuple[int, ...]) -> Tensor:
        return empty(shape, self._dtype)

    def _row(self, *shape: int) -> Any:
        return np.empty(shape, self._real)


def _bound(
    function: Callable[..., object], names: Sequence[str], arrays: dict[str, Any]
) -> Callable[[], object]:
    """The call of a function with the arguments of these names."""
    return partial(function, *(arrays[name] for name in names))


def _rows(x: Tensor) -> Any:
    """(T, ...) as a contiguous array (T, lanes)."""
    return x.detach().reshape(x.shape[0], x[:1].numel() if len(x) else 0).contiguous().numpy()


def _lanes(x: Tensor, batch: int, neurons: int, *, copy: bool = False) -> Any:
    """What broadcasts to (B, N) as a contiguous array of all lanes."""
    flat = x.detach().expand(batch, neurons).reshape(-1)
    return (flat.clone() if copy else flat.contiguous()).numpy()


def _sum_in_order(parts: Tensor) -> Tensor:
    total = torch.zeros_like(parts[0]) if len(parts) else parts.new_zeros(parts.shape[1:])
    for part in parts:
        total += part
    return total


@cache
def _callees() -> str:
    """What a generated module has built in: it is compiled anew when this changes."""
    files = (Path(str(module.__file__)) for module in (jit, hints, loops, comparing))
    return "".join(file.read_text(encoding="utf-8") for file in files)
