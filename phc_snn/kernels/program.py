"""What a kernel computes in one time step, for any machine: a graph, cut into phases.

A phase is a loop over lanes; what one phase stores another may load from other lanes, or from
another row in time. Chains of processes need one phase, a whole network two, with the product of
the connectome between them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from phc_snn.kernels.adjoint import cotangents
from phc_snn.kernels.graph import Graph, Matrix, Symbol, UntraceableError
from phc_snn.kernels.trace import Port, Stage, StageTrace, Tracer, is_delay, passes_through
from phc_snn.numerics.elementary import FORMULAS
from phc_snn.state import map_state

Place = tuple[str, int]
"""Where a value stands: a kind of array, and which one of them."""


@dataclass
class Phase:
    """Values that one loop over lanes stores, each with its place."""

    stores: list[tuple[Place, int]] = field(default_factory=list)


@dataclass
class Program:
    """One time step.

    Attributes:
        graph: The equations.
        phases: In order.
        cut: The number of phases before the product of the connectome; None without one.
        x: The node of the input.
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
    _constant: dict[tuple[bool, ...], list[int]] = field(default_factory=dict, repr=False)

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
        return found

    def constant_results(
        self,
        x: bool,
        states: Sequence[bool],
        queues: Sequence[bool],
        coefficients: Sequence[bool],
        weight: bool,
    ) -> list[int]:
        """Which of results, final states and final queues no gradient can pass.

        Args say which inputs want one.
        """
        key = (x, *states, *queues, *coefficients, weight)
        if key not in self._constant:
            self._constant[key] = self._find_constant(x, states, queues, coefficients, weight)
        return self._constant[key]

    def _find_constant(
        self,
        x: bool,
        states: Sequence[bool],
        queues: Sequence[bool],
        coefficients: Sequence[bool],
        weight: bool,
    ) -> list[int]:
        moving = {self.x} if x else set()
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
    coefficients: list[int] = []

    def symbol(tensor: torch.Tensor) -> Any:
        if tensor.dim() == 2:
            return Matrix()
        coefficients.append(tracer.input("coefficient").index)
        return Symbol(tracer.graph, coefficients[-1])

    try:
        synaptic = transmit(Symbol(tracer.graph, signal), map_state(symbol, weights))
    except (TypeError, ValueError, AttributeError) as error:
        raise UntraceableError(f"what is no scalar operation ({error})") from error
    program.matrix_coefficients = tuple(coefficients)
    products = [i for i, node in enumerate(tracer.graph.nodes) if node.op == "linear"]
    if len(products) > 1:
        raise UntraceableError("a connectome of several products")
    if products:
        (program.product,) = products
        (program.signal,) = tracer.graph.nodes[products[0]].args
        program.phases[-1].stores.append((("signal", 0), program.signal))
        program.cut = len(program.phases)
        program.phases.append(Phase())
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


class Adjoint(NamedTuple):
    """The way back through one step: phases in reverse, and what they load beyond `Program.loads`.

    Attributes:
        phases: One for each phase of the program, last first.
        loads: Cotangents.
        kept: Costly nodes, which are kept from the way forward.
    """

    phases: list[Phase]
    loads: dict[int, Place]
    kept: list[int]


def adjoint(program: Program) -> Adjoint:
    """Append the vector-Jacobian product of a step to the program's graph.

    Cotangents of results stand in ``("g", i)``, of states in ``("z", i)``, of what a delay is sent
    in ``("h", k)``, of the signal of the connectome in ``("pulled", 0)``. Stored are those of the
    input ``("gx", 0)``, of states ``("z", i)``, of what arrives ``("h_arrived", k)``, of the
    product ``("pull", 0)``, and what is added to those of coefficients, ``("a", i)``.
    """
    graph = program.graph
    forward = len(graph.nodes)
    loads: dict[int, Place] = {}

    def load(place: Place) -> Symbol:
        symbol = graph.add("input", payload=place)
        loads[symbol.index] = place
        return symbol

    results = {place: i for i, place in enumerate(program.outputs)}
    targets: dict[int, Place] = {program.x: ("gx", 0)}
    targets |= {before: ("z", i) for i, (before, _) in enumerate(program.states)}
    targets |= {node: ("a", i) for i, node in enumerate(program.coefficients)}
    targets |= {port.arrived: ("h_arrived", k) for k, port in enumerate(program.ports)}
    if program.product is not None:
        targets[program.product] = ("pull", 0)
    phases = []
    reached: set[int] = set()
    for phase in reversed(program.phases):
        seeds: dict[int, Symbol] = {}
        for place, node in phase.stores:
            found = []
            if place in results:
                found.append(load(("g", results[place])))
            if place[0] in _COTANGENT:
                found.append(load((_COTANGENT[place[0]], place[1])))
            for cotangent in found:
                seeds[node] = seeds[node] + cotangent if node in seeds else cotangent
        grads = cotangents(graph, seeds, [*targets])
        own = {node for place, node in phase.stores if place[0] == "s"}
        stores = [(targets[node], grads[node].index) for node in targets if node in grads]
        # A state that nothing hangs on passes on no cotangent.
        for i, (before, after) in enumerate(program.states):
            if after in own and before not in grads:
                stores.append((("z", i), graph.constant(0.0).index))
        reached |= grads.keys()
        phases.append(Phase(stores))
    # Rows of cotangents are not cleared beforehand: where nothing smooth hangs on a value, it is 0.
    first = {program.x, *(port.arrived for port in program.ports if not port.varied)} - reached
    phases[-1].stores += [(targets[node], graph.constant(0.0).index) for node in sorted(first)]
    if program.product is not None and program.product not in reached:
        before = len(program.phases) - 1 - (program.cut or 0)
        phases[before].stores.append((targets[program.product], graph.constant(0.0).index))
    roots = [node for phase in phases for _, node in phase.stores]
    used = graph.needed(roots, [*program.loads(), *loads])
    kept = [i for i in used if i < forward and graph.nodes[i].op in FORMULAS]
    return Adjoint(phases, loads, kept)


_FLAT = ("constant", "input", "greater", "number", "detach")
"""Operations that pass no gradient."""

_COTANGENT = {"s": "z", "sent": "h", "signal": "pulled"}
