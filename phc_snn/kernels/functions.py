"""Functions of `phc_snn.numerics` as compiled loops, value by value."""

from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from phc_snn.kernels.graph import Graph
from phc_snn.kernels.source import indent
from phc_snn.numerics.elementary import FORMULAS


def elementwise(name: str, x: Tensor) -> Tensor:
    """A function of `phc_snn.numerics` on a CPU tensor of float32 or float64."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    _compiled(name, x.dtype)(x.detach().reshape(-1).numpy(), out.view(-1).numpy())
    return out


@cache
def _compiled(name: str, dtype: torch.dtype) -> Callable[[Any, Any], None]:
    from phc_snn.kernels import build

    module = build.load(_source(name, dtype), name)
    return cast(Callable[[Any, Any], None], module.apply)


def _source(name: str, dtype: torch.dtype) -> str:
    """A module with ``apply(x, out)``."""
    from phc_snn.kernels.cpu_source import NumbaPrinter, head

    graph = Graph()
    x = graph.add("input", payload=("x", 0))
    result = FORMULAS[name](x, dtype)
    lines, names = NumbaPrinter(dtype).statements(graph, [result.index], {x.index: "x[i]"})
    return "\n".join(
        [
            *head(dtype),
            "from phc_snn.kernels.jit import compiled",
            "",
            "",
            "@compiled",
            "def apply(x, out):",
            "    for i in range(count(len(x))):",
            *indent(indent([*lines, f"out[i] = {names[result.index]}"])),
            "",
        ]
    )
