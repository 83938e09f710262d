"""What the sources of kernels for all machines have in common."""

import abc
from collections.abc import Iterable

import torch

from phc_snn.kernels.printer import Printer
from phc_snn.kernels.program import Program
from phc_snn.kernels.way_back import way_back
from phc_snn.numerics.elementary import EXPONENT


class Source(abc.ABC):
    """The text of a module with ``forward`` and ``backward``, for a program and a precision.

    Names in the text, each with the number of the thing: ``s`` a state, ``c`` a coefficient, ``y``
    a result, ``sent`` what a delay was sent; on the way back ``g`` the cotangent of a result, ``z``
    of a state, ``h`` of what a delay was sent, ``a`` of a coefficient, ``p`` a state of before the
    step, ``w`` a node that was kept.

    Attributes:
        states, coefficients, delays: How many the program has.
        results: How many results have an array of their own.
        back: The way back.
        forward, backward: Names of the arguments, in order.
        text: Python.
    """

    forward: list[str]
    backward: list[str]
    text: str

    def __init__(self, program: Program, dtype: torch.dtype, printer: Printer) -> None:
        self.program = program
        self.dtype = dtype
        self.network = program.cut is not None
        self.states = len(program.states)
        self.coefficients = len(program.coefficients)
        self.delays = len(program.ports)
        self.results = sum(kind == "y" for kind, _ in program.outputs)
        self.back = way_back(program)
        self._graph, self._place = program.graph.lowered(dtype)
        self._printer = printer

    def delay_arguments(self) -> list[str]:
        """Of each delay: its longest delay, what was sent, and by how much lanes differ."""
        found = []
        for k, port in enumerate(self.program.ports):
            found += [f"depth{k}", f"sent{k}"] + ([f"lead{k}"] if port.varied else [])
        return found

    def cotangent_arguments(self) -> list[str]:
        """Of each result: its cotangent, and 0 if it is the same row in every step."""
        return [f"{name}{i}" for i in range(len(self.program.outputs)) for name in ("every", "g")]


def names_of(dtype: torch.dtype) -> tuple[str, str]:
    """The precision and the integer of the same size, as numpy and Triton call them."""
    kinds = (dtype, EXPONENT[dtype][0])
    real, whole = (str(kind).removeprefix("torch.") for kind in kinds)
    return real, whole


def when(condition: str, lines: Iterable[str]) -> list[str]:
    """Statements under a condition; none if there are none."""
    body = indent(lines)
    return [f"if {condition}:", *body] if body else []


def indent(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]
