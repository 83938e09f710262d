"""Networks in: from a NIR graph, or a file that holds one."""

import os
from typing import Any

import numpy as np
from torch import nn

from phc_snn.convert.nir.chain import Chain
from phc_snn.convert.nir.files import read_nir
from phc_snn.convert.nir.layers import LINKS, driven, link, recurrent
from phc_snn.convert.nir.motifs import Unit, find_units
from phc_snn.convert.nir.units import check_dt
from phc_snn.convert.nir.wiring import Wiring, flatten
from phc_snn.extras import require
from phc_snn.phc import PHC


def from_nir(graph: Any, *, dt: float | None = None) -> Chain:
    """A NIR graph as a network of ours, exact in forward Euler steps of ``dt``.

    What comes in is a chain of layers: ``Linear``, ``Affine``, ``Scale``, ``Delay``, and neurons
    (``LIF``, ``IF``, ``CubaLIF``, or integrators before a ``Threshold``), each with at most one
    loop from its spikes back to its input, which makes it a `PHC`. Neurons are found by how their
    nodes are wired, in subgraphs or outside, whoever wrote them. Parameters have torch's default
    dtype; membranes are measured in units of one step's input, so thresholds can differ from the
    file's.

    Args:
        graph: A ``nir.NIRGraph``, or the path of a file, which is checked first (`read_nir`).
        dt: Seconds for a time step. None takes the one that the graph's metadata record.

    Returns:
        The layers in order. A `PHC` among them has the solver `Sequential`.

    Raises:
        MissingExtraError: nir is not installed (extra ``export``).
        TypeError: No graph, or a ``dt`` that is no number.
        ValueError: No ``dt``; a node or wiring that has no exact form here, by its name and type;
            or a file that is refused.

    Example:
        >>> import torch, phc_snn as phc
        >>> from phc_snn import from_nir, to_nir
        >>> network = phc.PHC(
        ...     phc.LIF(8, reset_mechanism="zero"), phc.Delay(8), phc.DenseConnectome(torch.eye(8))
        ... )
        >>> copy = from_nir(to_nir(network, dt=1e-4))
        >>> x_seq = torch.randn(50, 4, 8)
        >>> spikes, state = copy(x_seq)
        >>> bool((spikes == network(x_seq, solver=phc.Exact()).spikes).all())
        True
    """
    nir = require("nir", extra="export")
    if isinstance(graph, str | os.PathLike):
        graph = read_nir(graph)
    if not isinstance(graph, nir.NIRGraph):
        raise TypeError(
            f"graph: got {type(graph).__name__}, expected a nir.NIRGraph or the path of a file"
        )
    wiring = flatten(graph)
    step = _time_step(graph, dt)
    units = find_units(wiring, step)
    known = frozenset().union(*(unit.body for unit in units.values()))
    for name in wiring.nodes:
        if name not in known and wiring.kind(name) not in ("Input", "Output", *LINKS):
            raise ValueError(
                f"{wiring.label(name)}: has no exact form here, expected Linear, Affine, Scale, "
                "Delay, LIF, IF, CubaLIF, or integrators before a Threshold"
            )
    return _Builder(_contracted(wiring, units), units, step).chain()


def _time_step(graph: Any, dt: float | None) -> float:
    if dt is None:
        recorded = graph.metadata.get("dt")
        if recorded is None:
            raise ValueError(
                "dt: got None and the graph records none, expected seconds for a time step: 1e-4 "
                "if snnTorch wrote it"
            )
        dt = float(recorded)
    check_dt(dt)
    return float(dt)


def _contracted(wiring: Wiring, units: dict[str, Unit]) -> Wiring:
    """Each neuron as one node, by the name of its last."""
    owner = {name: unit.last for unit in units.values() for name in unit.body}
    nodes = {name: node for name, node in wiring.nodes.items() if owner.get(name, name) == name}
    edges = []
    for source, target in wiring.edges:
        inside = owner.get(source) is not None and owner.get(source) == owner.get(target)
        # From its last node to its first: the neuron's own loop, unless that is its reset.
        if inside and not (source == owner[source] and target == units[source].first):
            continue
        edges.append((source, owner.get(target, target)))
    return Wiring(nodes, edges)


class _Builder:
    """Walks a graph of neurons and links from its input to its output, and makes the layers."""

    def __init__(self, wiring: Wiring, units: dict[str, Unit], dt: float) -> None:
        self.wiring, self.units, self.dt = wiring, units, dt

    def chain(self) -> Chain:
        name, width = self._enter()
        layers: list[nn.Module] = []
        walked = {self._end("Input")}
        before = self._end("Input")
        while self.wiring.kind(name) != "Output":
            loop, after = self._around(name)
            self._expect_sources(name, {before, *loop[-1:]})
            walked |= {name, *loop}
            width = self._width(name, width)
            layer = self._layer(name, loop, width)
            if isinstance(layer, PHC):
                joined = driven(layers[-1] if layers else None, layer)
                if joined is not None:
                    layers[-1:], layer = [], joined
            layers.append(layer)
            width = layer.out_features if isinstance(layer, nn.Linear) else width
            before, name = name, after
        self._expect_sources(name, {before})
        walked.add(name)
        for left in self.wiring.nodes:
            if left not in walked:
                raise ValueError(
                    f"{self.wiring.label(left)}: is not on the way from input to output"
                )
        if not layers:
            raise ValueError("graph: has no layers between input and output, expected some")
        return Chain(layers)

    def _end(self, kind: str) -> str:
        ends = self.wiring.named(kind)
        if len(ends) != 1:
            raise ValueError(f"graph: has {len(ends)} {kind} nodes, expected one")
        return ends[0]

    def _enter(self) -> tuple[str, int | None]:
        """The first node, and how many values the input has, as far as the file says so."""
        start = self._end("Input")
        self._end("Output")
        shape = self.wiring.nodes[start].input_type["input"]
        shape = [] if shape is None else [int(n) for n in np.asarray(shape).reshape(-1)]
        return self._only_target(start), shape[-1] if shape else None

    def _only_target(self, name: str) -> str:
        targets = self.wiring.targets(name)
        if len(targets) != 1:
            raise ValueError(
                f"{self.wiring.label(name)}: feeds {len(targets)} nodes {targets}, expected one: "
                "what comes in is a chain of layers"
            )
        return targets[0]

    def _expect_sources(self, name: str, expected: set[str]) -> None:
        sources = set(self.wiring.sources(name))
        if sources != expected:
            raise ValueError(
                f"{self.wiring.label(name)}: is fed by {sorted(sources)}, expected "
                f"{sorted(expected)}: sums are taken only where the spikes of a layer come back to "
                "that layer"
            )

    def _around(self, name: str) -> tuple[list[str], str]:
        """The links of the loop from a layer back to it, itself last if there are none; what
        comes after the layer."""
        if name not in self.units:
            return [], self._only_target(name)
        loops, ways_on = [], []
        for target in self.wiring.targets(name):
            path = self._follow(target, name)
            if path is None:
                ways_on.append(target)
            else:
                loops.append(path or [name])
        if len(loops) > 1 or len(ways_on) != 1:
            raise ValueError(
                f"{self.wiring.label(name)}: its spikes go on to {ways_on} and back through "
                f"{loops}, expected one node to go on to and one loop at most"
            )
        return (loops[0] if loops else []), ways_on[0]

    def _follow(self, name: str, goal: str) -> list[str] | None:
        """The links from ``name`` to ``goal``; None where the way does not lead there."""
        path: list[str] = []
        while name != goal:
            if self.wiring.kind(name) not in LINKS or name in path:
                return None
            path.append(name)
            targets = self.wiring.targets(name)
            if goal in targets and len(targets) > 1:
                raise ValueError(
                    f"{self.wiring.label(name)}: feeds {targets}, expected only {goal!r}, its loop"
                )
            if len(targets) != 1:
                return None
            name = targets[0]
        return path

    def _width(self, name: str, width: int | None) -> int:
        """How many values a node takes: what it is given, or what its own parameters say."""
        if width is None:
            shape = np.asarray(next(iter(self.wiring.nodes[name].input_type.values()))).reshape(-1)
            if not shape.size:
                raise ValueError(
                    f"{self.wiring.label(name)}: neither it nor the Input says how many values "
                    "come in"
                )
            width = int(shape[-1])
        if not 1 <= width <= _WIDEST:
            raise ValueError(
                f"{self.wiring.label(name)}: takes {width} values, expected 1 to {_WIDEST}"
            )
        return width

    def _layer(self, name: str, loop: list[str], width: int) -> nn.Module:
        if name not in self.units:
            return link(self.wiring, name, width, self.dt)
        neuron = self.units[name].build(width)
        if not loop:
            return neuron
        links = [step for step in loop if step != name]
        return recurrent(self.wiring, neuron, links, self.dt)


_WIDEST = 2**24
"""Neurons in a layer; a file can name any number beside parameters that hold for all of them."""
