"""One step of a lane in a Triton kernel: where its values stand, and where they go."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from phc_snn.kernels.graph import Graph
from phc_snn.kernels.printer import Printer
from phc_snn.kernels.program import Place, Program, Stores
from phc_snn.kernels.source import Source
from phc_snn.numerics.elementary import EXPONENT, shift_bits


class Plan(NamedTuple):
    """How a kernel walks through time.

    Attributes:
        unroll: Steps of a block, forward and backward alike.
        ahead: For how many blocks ahead the forward kernel asks for its input.
    """

    unroll: int = 8
    ahead: int = 2


class Triton(Printer):
    """Operations in Triton.

    Args:
        dtype: The precision.
        exact: Round every quotient correctly; else to two units in the last place, without a
            branch: what a derivative needs.

    Attributes:
        bounded: Quotients of the graph that `quotient_of` can take.
        fused: Sums of the graph that may take in a product, rounded once: cotangents.
    """

    def __init__(self, dtype: torch.dtype, *, exact: bool = True) -> None:
        self._dtype = dtype
        self._exact = exact
        self.bounded: frozenset[int] = frozenset()
        self.fused: frozenset[int] = frozenset()

    def constant(self, value: float) -> str:
        return f"tl.full((), {value!r}, real)"  # a bare number would become a float32

    def choose(self, condition: str, yes: str, no: str) -> str:
        return f"tl.where({condition}, {yes}, {no})"

    def divide(self, x: str, y: str) -> str:
        # The slash is an approximation in float32.
        rounds = self._exact and self._dtype == torch.float32
        return f"tl.div_rn({x}, {y})" if rounds else f"{x} / {y}"

    def _expression(self, graph: Graph, i: int, names: Mapping[int, str]) -> str:
        if i in self.bounded:
            x, y = (names[a] for a in graph.nodes[i].args)
            return f"quotient_of({x}, {y})"
        node = graph.nodes[i]
        if i in self.fused and node.op in ("add", "sub"):
            first, second = node.args
            minus = node.op == "sub"
            other = self.negate(names[second]) if minus else names[second]
            text = self.sum_with(graph, second, names, names[first], minus=minus)
            text = text or self.sum_with(graph, first, names, other)
            if text is not None:
                return text
        return super()._expression(graph, i, names)

    def sum_with(
        self,
        graph: Graph,
        node: int,
        names: Mapping[int, str],
        other: str,
        *,
        minus: bool = False,
    ) -> str | None:
        """``other`` plus a node that is a product, rounded once; None if the node is none."""
        op, args, _ = graph.nodes[node]
        if op != "mul" or not all(a in names for a in args):
            return None
        x, y = (names[a] for a in args)
        return f"tl.fma({self.negate(x) if minus else x}, {y}, {other})"

    def negate(self, x: str) -> str:
        return f"{x} * {self.constant(-1.0)}"  # the minus is a difference from 0 and loses -0

    def absolute(self, x: str) -> str:
        return f"tl.abs({x})"

    def power_of_two(self, shifted: str) -> str:
        _, bits, bias = EXPONENT[self._dtype]
        offset = bias - shift_bits(self._dtype)
        return (
            f"((({shifted}).to(whole, bitcast=True) + ({offset})) << {bits}).to(real, bitcast=True)"
        )


class Walk(Source):
    """A thread holds a lane and walks through time, some steps at once.

    What is under way in a short delay stays in registers: ``depths`` has its steps, where they are
    the same for all lanes and fewer than those of a block, else 0. In the text ``e`` is what is
    under way, ``o`` what a step of the block sends; on the way back ``f`` and ``r`` are their
    cotangents.
    """

    def __init__(
        self, program: Program, dtype: torch.dtype, plan: Plan, depths: Sequence[int]
    ) -> None:
        self._exact = Triton(dtype)
        super().__init__(program, dtype, self._exact)
        if dtype == torch.float32:
            self._exact.bounded = self._quotients_of_sigmoids()
        self._derivatives = Triton(dtype, exact=False)
        self._derivatives.fused = self._cotangents()
        self.plan = plan
        self._depths = depths
        self._held = [k for k, depth in enumerate(depths) if depth]

    def _cotangents(self) -> frozenset[int]:
        """All that hangs on a cotangent; the rest is of the step, and decides what it decided."""
        kinds = ("g", "z", "h", "pulled")
        found = {self._place[n] for n, (kind, _) in self.back.loads.items() if kind in kinds}
        for i, node in enumerate(self._graph.nodes):
            if found.intersection(node.args):
                found.add(i)
        return frozenset(found)

    def _quotients_of_sigmoids(self) -> frozenset[int]:
        """Their denominators are between 1 and 500.

        What is too small for the last bit of the quotient to be right is added to 1/2 and gone.
        """
        found = set()
        for i, (op, args, _) in enumerate(self.program.graph.nodes):
            if op == "sigmoid":
                inner = self._graph.needed([self._place[i]], [self._place[args[0]]])
                found |= {n for n in inner if self._graph.nodes[n].op == "div"}
        return frozenset(found)

    @property
    def _shares_lines(self) -> bool:
        """Whether several threads may hold a lane whose delay goes through memory."""
        return self.network and not all(self._depths)

    def _weights(self) -> list[str]:
        """The weights of the sample's network; what is summed over is the row."""
        if not self.network:
            return []
        own = "weight + tl.program_id(0).to(tl.int64) // share * width * width"
        place = f"{own} + row[:, None] * width + lane[None, :]"
        return [
            "row = tl.arange(0, BLOCK)",
            "square = (row < width)[:, None] & (lane < width)[None, :]",
            f"matrix = tl.load({place}, mask=square, other=0.0)",
        ]

    def _row(self, array: str, row: str) -> str:
        return f"{array} + ({row}) * lanes + at" if row != "0" else f"{array} + at"

    def _arrival_row(self, array: str, k: int, row: str) -> str:
        later = f" + later{k}" if self.program.ports[k].varied else ""
        return f"{array} + ({row}{later}) * lanes + at"

    def _arrival(self, array: str, k: int, j: int) -> str:
        return load(self._arrival_row(array, k, f"t + {j}"))

    def _sent_row(self, k: int, j: int) -> str:
        return load(f"h{k} + (depth{k} + t + {j}) * lanes + at")

    def _names(
        self, loads: Mapping[int, Place], j: int, *, way_back: bool = False
    ) -> dict[int, str]:
        """The variable that each loaded node stands in, at step ``j`` of a block."""
        middle = "_0" if way_back else ""
        names = {}
        for node, (kind, i) in loads.items():
            names[self._place[node]] = {
                "c": f"coefficient{i}",
                "s": f"s{i}",
                "z": f"z{i}",
                "p": f"p{i}_{j}",
                "w": f"w{i}_{j}",
                "x": f"x0_{j}",
                "current": f"current0_{j}",
                "g": f"g{i}_0_{j}",
                "h": f"h{i}_{j}",
                "arrived": f"arrived{i}{middle}_{j}",
                "product": "product",
                "pulled": "pulled",
            }[kind]
        return names

    def _phase(
        self,
        stores: Stores,
        loads: Mapping[int, str],
        j: int,
        *,
        again: bool = False,
        derivatives: bool = False,
    ) -> list[str]:
        """Statements that compute some nodes, and where these go."""
        printer = self._derivatives if derivatives else self._exact
        lines, names = printer.statements(
            self._graph, [self._place[node] for _, node in stores], loads
        )
        for target, node in stores:
            place = self._place[node]
            if target[0] == "a":
                name = f"a{target[1]}"
                text = printer.sum_with(self._graph, place, names, name)
                lines.append(f"{name} = {text or f'{name} + {names[place]}'}")
            else:
                lines += self._store(target, names[place], j, again)
        return lines

    def _store(self, place: Place, value: str, j: int, again: bool) -> list[str]:
        kind, i = place
        if value.startswith("tl.full"):
            value = f"{value} + tl.full((BLOCK,), 0.0, real)"
        row = f"(t + {j}) * lanes + at"

        def put(array: str) -> str:
            return f"tl.store({array}{row}, {value}, mask=inside)"

        if kind == "signal":
            kept = [f"tl.store(signal + {row}, {value}, mask=inside)"]
            return kept if again else [f"signal = {value}"]
        if kind == "pull":
            return [f"pulling = {value}", put("pull + ")]
        if kind == "h_arrived" and self._depths[i]:
            return [f"r{i}_{j} = {value}"]
        if kind == "h_arrived":
            if not self.program.ports[i].varied:
                return [put(f"h{i} + ")]
            address = self._arrival_row(f"h{i}", i, f"t + {j}")
            return [f"tl.store({address}, {load(address)} + {value}, mask=inside)"]
        if kind in ("y", "gx"):
            return [put(f"y{i} + " if kind == "y" else "gx + ")]
        if kind == "sent" and self._depths[i]:
            ahead = j + self._depths[i]
            return [
                f"o{i}_{j} = {value}",
                f"arrived{i}_{ahead} = o{i}_{j}",
                f"tl.store(sent{i} + (depth{i} + t + {j}) * lanes + at, {value}, mask=inside)",
            ]
        if kind == "sent":
            return [f"tl.store(sent{i} + (depth{i} + t + {j}) * lanes + at, {value}, mask=inside)"]
        return [f"w{i}_{j} = {value}" if kind == "w" else f"{kind}{i} = {value}"]


def load(address: str, other: str = "0.0", *, more: str = "") -> str:
    mask = f"lane < tl.where({more}, bound, 0)" if more else "inside"
    return f"tl.load({address}, mask={mask}, other={other})"


def given(array: str, variable: str, value: str) -> list[str]:
    """A variable's value, which is zero where the array is None; known when it is compiled."""
    return [
        f"if {array} is None:",
        f"    {variable} = zero",
        "else:",
        f"    {variable} = {value}",
    ]
