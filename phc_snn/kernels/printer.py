"""Graphs as statements: one line for each node, in the language of a target."""

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar

from phc_snn.kernels.graph import Graph


class Printer(abc.ABC):
    """Statements for the nodes of a graph of elementary operations (`Graph.lowered`)."""

    _BINARY: ClassVar = {"add": "+", "sub": "-", "mul": "*", "div": "/", "greater": ">"}

    @abc.abstractmethod
    def constant(self, value: float) -> str:
        """A number of the kernel's precision."""

    @abc.abstractmethod
    def choose(self, condition: str, yes: str, no: str) -> str: ...

    @abc.abstractmethod
    def power_of_two(self, shifted: str) -> str:
        """`phc_snn.numerics.elementary.power_of_two`."""

    def divide(self, x: str, y: str) -> str:
        """A quotient that is rounded correctly."""
        return f"{x} / {y}"

    def negate(self, x: str) -> str:
        return f"-{x}"

    def absolute(self, x: str) -> str:
        return f"abs({x})"

    def statements(
        self, graph: Graph, roots: Sequence[int], loads: Mapping[int, str]
    ) -> tuple[list[str], dict[int, str]]:
        """Lines that compute ``roots``, and the name that each node has in them.

        Args:
            graph: The nodes.
            roots: What to compute.
            loads: Expressions for nodes that need not be computed.
        """
        names: dict[int, str] = {}
        lines = []
        for i in graph.needed(roots, [*loads]):
            if i in loads:
                text = loads[i]
            elif graph.nodes[i].op == "constant":
                names[i] = self.constant(graph.nodes[i].payload[0])
                continue
            else:
                text = self._expression(graph, i, names)
            names[i] = f"n{i}"
            lines.append(f"n{i} = {text}")
        return lines, names

    def _expression(self, graph: Graph, i: int, names: Mapping[int, str]) -> str:
        op, args, _ = graph.nodes[i]
        x = [names[a] for a in args]
        if op == "div":
            return self.divide(*x)
        if op in self._BINARY:
            return f"{x[0]} {self._BINARY[op]} {x[1]}"
        if op == "neg":
            return self.negate(x[0])
        if op == "abs":
            return self.absolute(x[0])
        if op == "where":
            return self.choose(*x)
        if op == "number":
            return self.choose(x[0], self.constant(1.0), self.constant(0.0))
        if op == "power_of_two":
            return self.power_of_two(x[0])
        raise KeyError(op)
