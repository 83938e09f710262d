"""Equations as data: one time step of one lane, as a graph of scalar operations.

A model states its equations in tensor operations. Called with `Symbol`s in place of tensors, the
same lines leave their graph here, and kernels for any machine are printed from it
(`phc_snn.kernels.trace`). The operations are those of IEEE 754 and a few functions of
`phc_snn.numerics`; a node keeps the operands and their order, so the bits of what is printed are
those of the tensor operations.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from phc_snn import numerics
from phc_snn.emit import Emit
from phc_snn.numerics.elementary import FORMULAS, power_of_two


class UntraceableError(Exception):
    """The equations use something that has no scalar operation; the message says what."""


class Node(NamedTuple):
    """One operation; ``args`` are indices of nodes, ``payload`` what else it needs."""

    op: str
    args: tuple[int, ...] = ()
    payload: Any = None


class Graph:
    """Nodes in an order in which they can be evaluated. Equal nodes are one."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._index: dict[Node, int] = {}

    def add(self, op: str, *args: "Symbol | float", payload: Any = None) -> "Symbol":
        """The symbol of a node, new or already there."""
        return self._symbol(Node(op, tuple(self.index(a) for a in args), payload))

    def constant(self, value: float) -> "Symbol":
        # The sign tells 0.0 from -0.0, which are equal and not the same.
        return self._symbol(Node("constant", (), (float(value), str(float(value)))))

    def index(self, value: "Symbol | float") -> int:
        """The index of a symbol's node; numbers become constants."""
        if isinstance(value, Symbol):
            return value.index
        if isinstance(value, (int, float)):
            return self.constant(value).index
        raise UntraceableError(f"a {type(value).__name__} among the operands")

    def _symbol(self, node: Node) -> "Symbol":
        if node not in self._index:
            self._index[node] = len(self.nodes)
            self.nodes.append(node)
        return Symbol(self, self._index[node])

    def lowered(self, dtype: torch.dtype) -> tuple["Graph", list[int]]:
        """This graph in elementary operations of ``dtype``, and where each node is in it.

        The functions of `phc_snn.numerics` become what they are made of, a spike becomes a number.
        """
        graph, place = Graph(), list[int]()
        for op, args, payload in self.nodes:
            operands = [Symbol(graph, place[a]) for a in args]
            if op in FORMULAS:
                result = FORMULAS[op](operands[0], dtype)
            elif op == "spike":
                result = (operands[0] > 0.0).to()
            elif op == "detach":
                result = operands[0]
            else:
                result = graph.add(op, *operands, payload=payload)
            place.append(result.index)
        return graph, place

    def needed(self, roots: Sequence[int], given: Sequence[int] = ()) -> list[int]:
        """The nodes that ``roots`` hang on, in order; those ``given`` are not looked behind."""
        found: set[int] = set()
        stack = [*roots]
        while stack:
            i = stack.pop()
            if i not in found:
                found.add(i)
                stack += () if i in given else self.nodes[i].args
        return sorted(found)


class Symbol:
    """A value of one lane that is not known yet; it takes the operations that tensors take."""

    __slots__ = ("graph", "index")

    def __init__(self, graph: Graph, index: int) -> None:
        self.graph, self.index = graph, index

    @property
    def node(self) -> Node:
        return self.graph.nodes[self.index]

    def _new(self, op: str, *args: "Symbol | float") -> "Symbol":
        return self.graph.add(op, *args)

    def __add__(self, other: "Symbol | float") -> "Symbol":
        return self._new("add", self, other)

    def __radd__(self, other: float) -> "Symbol":
        return self._new("add", other, self)

    def __sub__(self, other: "Symbol | float") -> "Symbol":
        return self._new("sub", self, other)

    def __rsub__(self, other: float) -> "Symbol":
        return self._new("sub", other, self)

    def __mul__(self, other: "Symbol | float") -> "Symbol":
        return self._new("mul", self, other)

    def __rmul__(self, other: float) -> "Symbol":
        return self._new("mul", other, self)

    def __truediv__(self, other: "Symbol | float") -> "Symbol":
        return self._new("div", self, other)

    def __rtruediv__(self, other: float) -> "Symbol":
        return self._new("mul", self._new("div", 1.0, self), other)  # as torch has it

    def __neg__(self) -> "Symbol":
        return self._new("neg", self)

    def __pow__(self, power: int) -> "Symbol":
        if power != 2:
            raise UntraceableError(f"the power {power}")
        return self * self

    def __gt__(self, other: "Symbol | float") -> "Symbol":
        return self._new("greater", self, other)

    def abs(self) -> "Symbol":
        return self._new("abs", self)

    def detach(self) -> "Symbol":
        return self._new("detach", self)

    def __eq__(self, other: object) -> bool:
        raise UntraceableError("a test for equality")

    __hash__ = object.__hash__

    def to(self, *dtype: Any) -> "Symbol":
        if dtype not in ((), (None,)):
            raise UntraceableError("a change of dtype")
        # Truth becomes 1 or 0; of numbers there is one kind.
        return self._new("number", self) if self.node.op == "greater" else self

    @property
    def dtype(self) -> None:
        return None

    def is_complex(self) -> bool:
        return False

    def __bool__(self) -> bool:
        raise UntraceableError("a decision that depends on a value")

    def __getattr__(self, name: str) -> Any:
        raise UntraceableError(f"the operation {name!r}")

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        known = _FUNCTIONS.get(function)
        if known is None or kwargs:
            raise UntraceableError(f"the function {getattr(function, '__name__', function)!r}")
        return known(*args)


def _emit(emit: Emit, excess: Symbol) -> Symbol:
    if emit.inhibition:
        raise UntraceableError("inhibition, which looks at all neurons of a step")
    if emit.graded is not None:
        return emit.graded(excess)  # type: ignore[no-any-return]
    if emit.slope is None:
        raise UntraceableError(f"the unknown derivative of the spike function {emit.spike_grad}")
    if emit.slope.flat:
        return (excess > 0.0).to()
    return excess.graph.add("spike", excess, payload=emit.slope)


class Matrix:
    """Stands for the weights of a connectome; nothing takes it but the product."""


def _linear(x: Symbol, weight: Any) -> Symbol:
    if not isinstance(weight, Matrix):
        raise UntraceableError("a product with something else than the weights of a connectome")
    return x.graph.add("linear", x)


def _where(condition: Symbol, yes: Symbol | float, no: Symbol | float) -> Symbol:
    return condition.graph.add("where", condition, yes, no)


_FUNCTIONS: dict[Callable[..., Any], Callable[..., Symbol]] = {
    torch.abs: Symbol.abs,
    torch.where: _where,
    numerics.sigmoid: lambda x: x.graph.add("sigmoid", x),
    numerics.softplus: lambda x: x.graph.add("softplus", x),
    numerics.erf: lambda x: x.graph.add("erf", x),
    numerics.gaussian: lambda x: x.graph.add("gaussian", x),
    power_of_two: lambda x, dtype: x.graph.add("power_of_two", x, payload=dtype),
    numerics.linear: _linear,
    Emit.__call__: _emit,
}
