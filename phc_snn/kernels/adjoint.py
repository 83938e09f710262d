"""Reverse mode: the graph of a step, and that of its vector-Jacobian product."""

from collections.abc import Mapping, Sequence

from phc_snn.kernels.graph import Graph, Symbol, UntraceableError
from phc_snn.numerics.elementary import ERF_SLOPE


def cotangents(
    graph: Graph, seeds: Mapping[int, Symbol], sources: Sequence[int]
) -> dict[int, Symbol]:
    """Cotangents of the nodes ``sources``, out of those of other nodes; none where there is none.

    Args:
        graph: Takes the new nodes.
        seeds: Node -> its cotangent.
        sources: Nodes to differentiate by; they are not looked behind.
    """
    reached = graph.needed([*seeds], sources)
    total: dict[int, Symbol] = dict(seeds)
    for i in reversed(reached):
        if i not in total or i in sources:
            continue
        for operand, share, negative in _shares(graph, i, total[i]):
            if operand in total:
                total[operand] = total[operand] - share if negative else total[operand] + share
            else:
                total[operand] = -share if negative else share
    return {i: total[i] for i in sources if i in total}


def _shares(graph: Graph, i: int, g: Symbol) -> list[tuple[int, Symbol, bool]]:
    """What the cotangent ``g`` of a node adds to those of its operands, or takes from them."""
    op, args, payload = graph.nodes[i]
    y = Symbol(graph, i)
    x = [Symbol(graph, a) for a in args]
    match op:
        case "add":
            return [(args[0], g, False), (args[1], g, False)]
        case "sub":
            return [(args[0], g, False), (args[1], g, True)]
        case "mul":
            return [(args[0], g * x[1], False), (args[1], g * x[0], False)]
        case "div":
            share = g / x[1]
            return [(args[0], share, False), (args[1], share * y, True)]
        case "neg":
            return [(args[0], g, True)]
        case "abs":
            zero = graph.constant(0.0)
            sign = (x[0] > zero).to() - (zero > x[0]).to()
            return [(args[0], g * sign, False)]
        case "where":
            zero = graph.constant(0.0)
            return [
                (args[1], graph.add("where", x[0], g, zero), False),
                (args[2], graph.add("where", x[0], zero, g), False),
            ]
        case "sigmoid":
            return [(args[0], g * (y * (1.0 - y)), False)]
        case "softplus":
            return [(args[0], g * graph.add("sigmoid", x[0]), False)]
        case "erf":
            return [(args[0], g * (ERF_SLOPE * graph.add("gaussian", x[0])), False)]
        case "gaussian":
            return [(args[0], g * (-2.0 * x[0] * y), False)]
        case "spike":
            return [(args[0], g * payload.derivative(x[0]), False)]
        case "constant" | "input" | "greater" | "number" | "detach":
            return []
    raise UntraceableError(f"the derivative of {op!r}")
