"""Equations of one time step as C99, in float32."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from phc_snn.kernels.graph import Graph
from phc_snn.kernels.printer import Printer
from phc_snn.numerics.elementary import EXPONENT, shift_bits


def real(value: float) -> str:
    """A float32 as a C constant: the shortest decimal that reads back as the same bits."""
    number = np.float32(value)
    if not np.isfinite(number):
        raise ValueError(f"value: got {value}, expected a finite float32")
    text = str(number)
    return f"{text}f" if any(c in text for c in ".e") else f"{text}.0f"


class CPrinter(Printer):
    """Statements of C99; ``prefix`` is that of the library's own functions."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def constant(self, value: float) -> str:
        text = real(value)
        return f"({text})" if text.startswith("-") else text

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"{condition} ? {yes} : {no}"

    def negate(self, x: str) -> str:
        return f"-({x})"  # of a constant it would be a decrement

    def absolute(self, x: str) -> str:
        return f"fabsf({x})"

    def power_of_two(self, shifted: str) -> str:
        return f"{self._prefix}_power_of_two({shifted})"

    def statements(
        self, graph: Graph, roots: Sequence[int], loads: Mapping[int, str]
    ) -> tuple[list[str], dict[int, str]]:
        lines, names = super().statements(graph, roots, loads)
        kinds = {f"n{i}": node.op for i, node in enumerate(graph.nodes)}
        typed = []
        for line in lines:
            kind = "int" if kinds[line.split(" ", 1)[0]] == "greater" else "float"
            typed.append(f"const {kind} {line};")
        return typed, names


def power_of_two(prefix: str) -> list[str]:
    """The function that `CPrinter.power_of_two` calls."""
    _, bits, bias = EXPONENT[torch.float32]
    offset = bias - shift_bits(torch.float32)
    # Unsigned: shifting a negative number is not defined, and wrapping around is what is meant.
    return [
        "/* 2 to the whole number that stands in the lowest bits of a large one. */",
        f"static {prefix.upper()}_CODE float {prefix}_power_of_two(float shifted)",
        "{",
        "    uint32_t word;",
        "    float result;",
        "    memcpy(&word, &shifted, sizeof word);",
        f"    word = (word + {offset & 0xFFFFFFFF}u) << {bits};",
        "    memcpy(&result, &word, sizeof result);",
        "    return result;",
        "}",
        "",
    ]
