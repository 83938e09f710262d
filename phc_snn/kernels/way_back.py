"""The way back through one step: what is computed again, and the vector-Jacobian product."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from phc_snn.kernels.adjoint import cotangents
from phc_snn.kernels.graph import Symbol
from phc_snn.kernels.program import Phase, Place, Program, Stores
from phc_snn.numerics.elementary import FORMULAS


class WayBack(NamedTuple):
    """Phases of a step in reverse, for any machine.

    Cotangents of results stand in ``("g", i)``, of states in ``("z", i)``, of what a delay is sent
    in ``("h", k)``, of the signal of the connectome in ``("pulled", 0)``. Stored are those of the
    input ``("gx", 0)``, of states ``("z", i)``, of what arrives ``("h_arrived", k)``, of the
    product ``("pull", 0)``, and what is added to those of coefficients, ``("a", i)``.

    Attributes:
        phases: One for each phase of the program, last first.
        cut: The number of phases before the product of the connectome is passed back through.
        loads: Where their inputs stand; states of before the step in ``("p", i)``.
        again: Where the inputs of a step stand that is computed again; its current is known.
        recomputed: What each phase of the program, first to last, stores then: the states, the
            signal of the connectome, and nodes that cost more to compute than to keep, in
            ``("w", i)``.
        kept: How many of the last.
    """

    phases: list[Phase]
    cut: int | None
    loads: dict[int, Place]
    again: dict[int, Place]
    recomputed: list[Stores]
    kept: int


def way_back(program: Program) -> WayBack:
    """Append the vector-Jacobian product of a step to the program's graph."""
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
    again = program.loads()
    if program.current is not None:
        again[program.current] = ("current", 0)
    back = again | {node: ("p", i) for node, (kind, i) in again.items() if kind == "s"}
    back |= {node: ("w", i) for i, node in enumerate(kept)} | loads
    cut = None if program.cut is None else len(phases) - program.cut
    return WayBack(phases, cut, back, again, _recomputed(program, again, kept), len(kept))


def _recomputed(program: Program, again: Mapping[int, Place], kept: Sequence[int]) -> list[Stores]:
    places: dict[int, Place] = {node: ("w", i) for i, node in enumerate(kept)}
    found = []
    for phase in program.phases:
        needed = program.graph.needed([node for _, node in phase.stores], [*again])
        stores = [store for store in phase.stores if store[0][0] in ("s", "signal")]
        stores += [(places.pop(node), node) for node in [*places] if node in needed]
        found.append(stores)
    return found


_COTANGENT = {"s": "z", "sent": "h", "signal": "pulled"}
