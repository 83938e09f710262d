"""What a kernel computes in one time step, for any machine: a graph, cut into phases.

A phase is a loop over lanes; what one phase stores another may load from other lanes, or from
another row in time. Chains of processes need one phase; a whole network, or a sweep over one, two,
with the product of the connectome between them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from phc_snn.kernels.graph import Graph, Matrix, Symbol, UntraceableError
from phc_snn.kernels.trace import Port, Stage, StageTrace, Tracer, is_delay, passes_through
from phc_snn.state import map_state

Place = tuple[str, int]
"""Where a value stands: a kind of array, and which one of them."""

Stores = list[tuple[Place, int]]
"""Nodes, and where their values go."""


Wanted = tuple[bool, bool, tuple[bool, ...], tuple[bool, ...], tuple[bool, ...], bool]
"""Whether the input, what drives the next sweep, each state, each queue, each coefficient and the
weights want a gradient."""


@dataclass
class Phase:
    """Values that one loop over lanes stores, each with its place."""

    stores: Stores = field(default_factory=list)


@dataclass
class Program:
    """One time step.

    Attributes:
        graph: The equations.
        phases: In order.
        cut: The number of phases before the product of the connectome; None without one.
        x: The node of the input.
        driven: Of a sweep, the node of what is added to the synaptic current.
        outputs: Place of each result over time, ``("y", i)``, or ``("sent", k)`` where what a delay
            is sent is a result as well.
        stages: The nodes of each stage.
        ports: The delays.
        signal, product, current: Nodes of a network: before and after the connectome's product, and
            the current of the neurons.
    """

    graph: Graph
    ports: list[Port]
    x: int
    phases: list[Phase] = field(default_factory=lambda: [Phase()])
    cut: int | None = None
    outputs: list[Place] = field(default_factory=list)
    stages: list[StageTrace] = field(default_factory=list)
    matrix_coefficients: tuple[int, ...] = ()
    signal: int | None = None
    product: int | None = None
    current: int | None = None
    driven: int | None = None
    _constant: dict[Wanted, list[int]] = field(default_factory=dict, repr=False)

    @property
    def states(self) -> list[tuple[int, int]]:
        """Nodes of every state, before and after the step."""
        return [pair for s in self.stages for pair in zip(s.states, s.after, strict=True)]

    @property
    def coefficients(self) -> list[int]:
        """Nodes of every coefficient, those of the connectome last."""
        own = [c for s in self.stages for c in s.coefficients]
        return [*own, *self.matrix_coefficients]

    def loads(self) -> dict[int, Place]:
        """Where the inputs of the step stand."""
        found = {self.x: ("x", 0)}
        found |= {before: ("s", i) for i, (before, _) in enumerate(self.states)}
        found |= {node: ("c", i) for i, node in enumerate(self.coefficients)}
        found |= {port.arrived: ("arrived", k) for k, port in enumerate(self.ports)}
        if self.product is not None:
            found[self.product] = ("product", 0)
        if self.driven is not None:
            found[self.driven] = ("driven", 0)
        return found

    def constant_results(self, wanted: Wanted) -> list[int]:
        """Which of results, final states and final queues no gradient can pass."""
        if wanted not in self._constant:
            self._constant[wanted] = self._find_constant(*wanted)
        return self._constant[wanted]

    def _find_constant(
        self,
        x: bool,
        driven: bool,
        states: tuple[bool, ...],
        queues: tuple[bool, ...],
        coefficients: tuple[bool, ...],
        weight: bool,
    ) -> list[int]:
        moving = {self.x} if x else set()
        if driven and self.driven is not None:
            moving.add(self.driven)
        moving |= {before for (before, _), m in zip(self.states, states, strict=True) if m}
        moving |= {node for node, m in zip(self.coefficients, coefficients, strict=True) if m}
        moving |= {port.arrived for port, m in zip(self.ports, queues, strict=True) if m}
        if weight and self.product is not None:
            moving.add(self.product)
        links = [*self.states, *((port.arrived, port.sent) for port in self.ports)]
        size = -1
        while len(moving) > size:  # once around the loop of time, until nothing is added
            size = len(moving)
            for i, (op, args, _) in enumerate(self.graph.nodes):
                if op not in _FLAT and moving.intersection(args):
                    moving.add(i)
            moving |= {before for before, after in links if after in moving}
        stores = {place: node for phase in self.phases for place, node in phase.stores}
        nodes = [stores[place] for place in self.outputs]
        nodes += [after for _, after in self.states] + [port.sent for port in self.ports]
        queues_moving = {port.sent for port, m in zip(self.ports, queues, strict=True) if m}
        return [i for i, n in enumerate(nodes) if n not in moving and n not in queues_moving]

    def _add(self, tracer: Tracer, stage: Stage, signal: int, port: int | None) -> StageTrace:
        """Append a stage to the last phase."""
        if passes_through(stage):
            trace = StageTrace((signal,), (), (), (), None)
            self.stages.append(trace)
            return trace
        first = sum(len(s.states) for s in self.stages)
        trace = tracer.stage(stage, signal, port)
        self.stages.append(trace)
        stores = self.phases[-1].stores
        stores += ((("s", first + i), node) for i, node in enumerate(trace.after))
        if port is not None:
            stores.append((("sent", port), self.ports[port].sent))
            if not self.ports[port].strict:
                self.phases.append(Phase())  # what arrives may have been sent in this very step
        return trace

    def _transmit(
        self, tracer: Tracer, signal: int, transmit: Callable[[Any, Any], Any], weights: Any
    ) -> Symbol:
        """The synaptic current of a node; the product of the connectome starts a new phase."""
        coefficients: list[int] = []

        def symbol(tensor: torch.Tensor) -> Any:
            if tensor.dim() == 2:
                return Matrix()
            coefficients.append(tracer.input("coefficient").index)
            return Symbol(tracer.graph, coefficients[-1])

        try:
            synaptic: Symbol = transmit(Symbol(tracer.graph, signal), map_state(symbol, weights))
        except (TypeError, ValueError, AttributeError) as error:
            raise UntraceableError(f"what is no scalar operation ({error})") from error
        self.matrix_coefficients = tuple(coefficients)
        products = [i for i, node in enumerate(tracer.graph.nodes) if node.op == "linear"]
        if len(products) > 1:
            raise UntraceableError("a connectome of several products")
        if products:
            (self.product,) = products
            (self.signal,) = tracer.graph.nodes[products[0]].args
            self.phases[-1].stores.append((("signal", 0), self.signal))
            self.cut = len(self.phases)
            self.phases.append(Phase())
        return synaptic

    def _return(self, node: int, phase: Phase) -> None:
        """Make a node of a phase a result."""
        sent = [k for k, port in enumerate(self.ports) if port.sent == node]
        if sent:
            self.outputs.append(("sent", sent[0]))
            return
        place = ("y", sum(kind == "y" for kind, _ in self.outputs))
        self.outputs.append(place)
        phase.stores.append((place, node))


def chain(stages: Sequence[Stage]) -> Program:
    """Stages one behind the other; results are all outputs of the first and of the last."""
    tracer = Tracer()
    program = Program(tracer.graph, tracer.lanes.ports, tracer.input("x").index)
    signal = program.x
    results: list[tuple[int, Phase]] = []
    for i, stage in enumerate(stages):
        port = tracer.port(stage) if is_delay(stage) else None
        phase = program.phases[-1]
        trace = program._add(tracer, stage, signal, port)
        signal = trace.outputs[0]
        if i == 0 or i == len(stages) - 1:
            phase = phase if port is None else program.phases[-1]
            results += ((node, phase) for node in trace.outputs)
    for node, phase in results:  # only now is known what a delay is sent
        program._return(node, phase)
    return program


def network(
    neuron: Stage,
    ahead: Sequence[Stage],
    delay: Stage,
    behind: Sequence[Stage],
    transmit: Callable[[Any, Any], Any],
    weights: Any,
) -> Program:
    """A recurrent network, in the order of `phc_snn.circuit.Circuit.advance`.

    Stages of the program: those ``behind`` the delay, the neuron, those ``ahead``, the ``delay``;
    its port is the first.
    Results are spikes, voltage and current.
    """
    tracer = Tracer()
    program = Program(tracer.graph, tracer.lanes.ports, tracer.input("x").index)
    cut = tracer.port(delay)
    signal = program.ports[cut].arrived
    for stage in behind:
        port = tracer.port(stage) if is_delay(stage) else None
        signal = program._add(tracer, stage, signal, port).outputs[0]
    synaptic = program._transmit(tracer, signal, transmit, weights)
    current = synaptic + Symbol(tracer.graph, program.x)
    program.current = current.index
    phase = program.phases[-1]
    fired = program._add(tracer, neuron, current.index, None)
    signal = fired.outputs[0]
    for stage in ahead:
        port = tracer.port(stage) if is_delay(stage) else None
        signal = program._add(tracer, stage, signal, port).outputs[0]
    program._add(tracer, delay, signal, cut)
    for node in (*fired.outputs, program.current):
        program._return(node, phase)
    return program


def sweep(stages: Sequence[Stage], transmit: Callable[[Any, Any], Any], weights: Any) -> Program:
    """The neuron and all processes along the axons under a given current, and what they transmit.

    Results are spikes, voltage, and the current that follows: synaptic current and driven input.
    """
    tracer = Tracer()
    program = Program(tracer.graph, tracer.lanes.ports, tracer.input("x").index)
    program.driven = tracer.input("driven").index
    neuron, *synapses = stages
    fired = program._add(tracer, neuron, program.x, None)
    phase = program.phases[-1]
    signal = fired.outputs[0]
    for stage in synapses:
        port = tracer.port(stage) if is_delay(stage) else None
        signal = program._add(tracer, stage, signal, port).outputs[0]
    synaptic = program._transmit(tracer, signal, transmit, weights)
    following = synaptic + Symbol(tracer.graph, program.driven)
    for node in fired.outputs:
        program._return(node, phase)
    program._return(following.index, program.phases[-1])
    return program


_FLAT = ("constant", "input", "greater", "number", "detach")
"""Operations that pass no gradient."""
