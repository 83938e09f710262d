"""A NIR graph as a flat set of nodes and edges."""

from collections.abc import Iterable
from typing import Any

from phc_snn.extras import require


class Wiring:
    """Nodes by name, and who feeds whom.

    Args:
        nodes: By name.
        edges: (source, target) pairs, without repetitions.
    """

    def __init__(self, nodes: dict[str, Any], edges: Iterable[tuple[str, str]]) -> None:
        self.nodes = nodes
        self.edges = list(edges)
        self._targets: dict[str, list[str]] = {name: [] for name in nodes}
        self._sources: dict[str, list[str]] = {name: [] for name in nodes}
        for source, target in self.edges:
            self._targets[source].append(target)
            self._sources[target].append(source)

    def targets(self, name: str) -> list[str]:
        """The nodes that ``name`` feeds."""
        return self._targets[name]

    def sources(self, name: str) -> list[str]:
        """The nodes that feed ``name``."""
        return self._sources[name]

    def named(self, *kind: str) -> list[str]:
        """The names of all nodes of these NIR types."""
        return [name for name in self.nodes if self.kind(name) in kind]

    def kind(self, name: str) -> str:
        """NIR's type of a node."""
        return type(self.nodes[name]).__name__

    def label(self, name: str) -> str:
        """A node in an error message."""
        return f"node {name!r} ({self.kind(name)})"


def flatten(graph: Any) -> Wiring:
    """All nodes of a graph and of the graphs in it, which lose their ends.

    A node of a graph in it is named ``graph.node``.

    Raises:
        ValueError: An edge from or to a node that is not there; a graph inside that has not one
            input and one output.
    """
    flat = _Flattening()
    flat.add(graph, "")
    for gate in flat.gates:
        flat.dissolve(gate)
    edges = [(source, target) for source, ends in flat.targets.items() for target in ends]
    return Wiring({name: flat.nodes[name] for name in flat.targets}, edges)


class _Flattening:
    def __init__(self) -> None:
        self.nodes: dict[str, Any] = {}
        # Dictionaries for their order: what comes out may not change from run to run.
        self.targets: dict[str, dict[str, None]] = {}
        self.sources: dict[str, dict[str, None]] = {}
        self.gates: list[str] = []

    def add(self, graph: Any, prefix: str) -> None:
        nir = require("nir", extra="export")
        first, last = {}, {}
        for name, node in graph.nodes.items():
            full = prefix + name
            first[name] = last[name] = full
            if isinstance(node, nir.NIRGraph):
                self.add(node, f"{full}.")
                first[name], last[name] = _gates(node, full)
                self.gates += [first[name], last[name]]
            else:
                self.nodes[full] = node
                self.targets[full], self.sources[full] = {}, {}
        for source, target in graph.edges:
            for name in (source, target):
                if name not in graph.nodes:
                    raise ValueError(
                        f"edge {source!r} -> {target!r}: there is no node {prefix + name!r}, "
                        "expected edges between nodes of the graph"
                    )
            self.connect(last[source], first[target])

    def connect(self, source: str, target: str) -> None:
        self.targets[source][target] = None
        self.sources[target][source] = None

    def dissolve(self, gate: str) -> None:
        """Whatever fed the end of a graph inside feeds what that fed."""
        before, after = self.sources.pop(gate), self.targets.pop(gate)
        if len(before) * len(after) > _MOST_JOINED:
            raise ValueError(
                f"node {gate!r}: leads from {len(before)} nodes to {len(after)}, expected a few"
            )
        for source in before:
            del self.targets[source][gate]
        for target in after:
            del self.sources[target][gate]
        for source in before:
            for target in after:
                self.connect(source, target)


_MOST_JOINED = 1000
"""Edges for one end of a graph inside; a file could ask for the square of its own."""


def _gates(graph: Any, name: str) -> tuple[str, str]:
    nir = require("nir", extra="export")
    found = []
    for kind, word in ((nir.Input, "Input"), (nir.Output, "Output")):
        ends = [key for key, node in graph.nodes.items() if isinstance(node, kind)]
        if len(ends) != 1:
            raise ValueError(
                f"node {name!r} (NIRGraph): has {len(ends)} {word} nodes, expected one"
            )
        found.append(f"{name}.{ends[0]}")
    return found[0], found[1]
