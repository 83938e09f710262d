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
        ValueError: An edge from or to a node that is not there, or written twice; a graph inside
            that has not one input and one output.
    """
    nodes, edges, _ = _flat(graph, "")
    return Wiring(nodes, edges)


Edges = list[tuple[str, str]]


def _flat(graph: Any, prefix: str) -> tuple[dict[str, Any], Edges, dict[str, tuple[str, str]]]:
    """Nodes, edges, and for each graph inside its input and output."""
    nir = require("nir", extra="export")
    nodes: dict[str, Any] = {}
    edges: Edges = []
    inside: dict[str, tuple[str, str]] = {}
    for name, node in graph.nodes.items():
        full = prefix + name
        if not isinstance(node, nir.NIRGraph):
            nodes[full] = node
            continue
        inner, inner_edges, _ = _flat(node, f"{full}.")
        nodes |= inner
        edges += inner_edges
        inside[full] = _gates(node, full)
    for source, target in dict.fromkeys(map(tuple, graph.edges)):
        for name in (source, target):
            if name not in graph.nodes:
                raise ValueError(
                    f"edge {source!r} -> {target!r}: there is no node {prefix + name!r}, expected "
                    "edges between nodes of the graph"
                )
        edges.append(
            (
                inside.get(prefix + source, ("", prefix + source))[1],
                inside.get(prefix + target, (prefix + target, ""))[0],
            )
        )
    for entry, exit_ in inside.values():
        edges = _without(entry, edges)
        edges = _without(exit_, edges)
        del nodes[entry], nodes[exit_]
    return nodes, edges, inside


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


def _without(name: str, edges: Edges) -> Edges:
    """Whatever fed ``name`` feeds what it fed."""
    before = [source for source, target in edges if target == name]
    after = [target for source, target in edges if source == name]
    kept = [edge for edge in edges if name not in edge]
    return list(dict.fromkeys(kept + [(s, t) for s in before for t in after]))
